"""Options of the methods that search a head for its ranking: ours, and the two published ones."""

from typing import Literal

import pydantic

from goldseam.artifacts import StageConfig

RankingScore = Literal["ap", "auc"]


class RankingSearch(StageConfig):
    """Evolution around the convex optimum; needs no clean validation labels.

    Attributes:
        method: names this method.
        score: what is raised: average precision or area under the ROC curve.
        directions: in which a head may move; half of them follow its positives, half its negatives.
        population: candidates of a generation.
        elite: the best of a generation that go on unchanged.
        generations: at most.
        patience: generations without a better candidate after which a category's search ends.
        gene_rate: share of the coordinates that a mutation moves.
        shortest, longest: lengths of the first generation's mutations, in whitened coordinates; one
            of length r costs about r^2 / 2 nats of log-loss over all known labels together.
        final_share: mutations shrink evenly, to this share of their length in the last generation.
        minimum_known: known positives, and known negatives, below which a head is not searched.
        resamples: draws of groups behind the interval that decides.
        seed: of the search and the draws; None takes that of the stage, or 0.
    """

    method: Literal["search"] = "search"
    score: RankingScore = "ap"
    directions: int = pydantic.Field(default=24, ge=2, le=64, multiple_of=2)
    population: int = pydantic.Field(default=48, ge=4)
    elite: int = pydantic.Field(default=4, ge=1)
    generations: int = pydantic.Field(default=60, ge=1)
    patience: int = pydantic.Field(default=15, ge=1)
    gene_rate: float = pydantic.Field(default=0.5, gt=0, le=1)
    shortest: float = pydantic.Field(default=0.5, gt=0, allow_inf_nan=False)
    longest: float = pydantic.Field(default=16.0, gt=0, allow_inf_nan=False)
    final_share: float = pydantic.Field(default=0.1, gt=0, le=1)
    minimum_known: int = pydantic.Field(default=10, ge=1)
    resamples: int = pydantic.Field(default=1000, ge=40)
    seed: int | None = pydantic.Field(default=None, ge=0)

    @pydantic.model_validator(mode="after")
    def _check(self) -> "RankingSearch":
        if self.elite >= self.population:
            raise ValueError(f"elite {self.elite} leaves no room in a population of that size")
        if self.longest < self.shortest:
            raise ValueError(f"longest {self.longest} is below shortest {self.shortest}")
        return self


class PublishedBP(StageConfig):
    """CFT_BP of Chong et al. (arXiv 2401.16991), with the constants of the official code.

    Attributes:
        method: names this method.
        score: by which clean validation labels select.
        loss: `bce`, or `asl` with the three constants below; summed over the known rows.
        gamma_positive: ASL's exponent of positives.
        gamma_negative: ASL's exponent of negatives.
        margin: ASL's shift of the probability of negatives.
        learning_rate: of Adam (0.9, 0.999, 1e-8).
        epochs: full-batch steps at most.
        patience: epochs without a better validation score after which training ends.
        resamples: draws of groups behind the reported intervals.
        seed: of the draws, None as above; the method itself draws nothing.
    """

    method: Literal["published_bp"] = "published_bp"
    score: RankingScore = "ap"
    loss: Literal["bce", "asl"] = "bce"
    gamma_positive: float = pydantic.Field(default=0.0, ge=0, allow_inf_nan=False)
    gamma_negative: float = pydantic.Field(default=4.0, ge=0, allow_inf_nan=False)
    margin: float = pydantic.Field(default=0.05, ge=0, lt=1)
    learning_rate: float = pydantic.Field(default=1e-4, gt=0, allow_inf_nan=False)
    epochs: int = pydantic.Field(default=5000, ge=1)
    patience: int = pydantic.Field(default=300, ge=1)
    resamples: int = pydantic.Field(default=400, ge=0)
    seed: int | None = pydantic.Field(default=None, ge=0)


class PublishedGA(StageConfig):
    """CFT_GA of Chong et al. (arXiv 2401.16991), with the constants of the official code.

    Attributes:
        method: names this method.
        score: fitness on known training labels, and by which clean validation labels select.
        population: individuals; at first clones of the trained head.
        crossover: chance that a gene comes from the first parent.
        mutation: chance that a child is mutated, in all its genes.
        amplitude: of the uniform noise that a mutation adds to a gene.
        elite: the best individuals that go on unchanged.
        epochs: generations at most.
        patience: generations without a better validation score after which the search ends.
        resamples: draws of groups behind the reported intervals.
        seed: of the search and the draws; None takes that of the stage, or 0.
    """

    method: Literal["published_ga"] = "published_ga"
    score: RankingScore = "ap"
    population: int = pydantic.Field(default=50, ge=2)
    crossover: float = pydantic.Field(default=0.2, ge=0, le=1)
    mutation: float = pydantic.Field(default=0.5, ge=0, le=1)
    amplitude: float = pydantic.Field(default=1e-3, gt=0, allow_inf_nan=False)
    elite: int = pydantic.Field(default=1, ge=1)
    epochs: int = pydantic.Field(default=5000, ge=1)
    patience: int = pydantic.Field(default=300, ge=1)
    resamples: int = pydantic.Field(default=400, ge=0)
    seed: int | None = pydantic.Field(default=None, ge=0)

    @pydantic.model_validator(mode="after")
    def _check(self) -> "PublishedGA":
        if self.elite >= self.population:
            raise ValueError(f"elite {self.elite} leaves no room in a population of that size")
        return self
