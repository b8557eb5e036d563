"""Options of the finetune stage."""

from typing import Annotated, Literal, Self

import pydantic

from goldseam.artifacts import StageConfig
from goldseam.finetuning.probabilities.objectives import ExpectedCost, FBeta
from goldseam.finetuning.ranking.options import PublishedBP, PublishedGA, RankingSearch

Precision = Literal["float16", "float32"]
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
Ranking = Annotated[
    RankingSearch | PublishedBP | PublishedGA, pydantic.Field(discriminator="method")
]
Objective = Annotated[FBeta | ExpectedCost, pydantic.Field(discriminator="kind")]


class FinetuneConfig(StageConfig):
    """Options of `finetune`.

    Attributes:
        task: a tags task of the model.
        only: categories that are repaired; empty takes all. The others keep head and probabilities.
        penalties: ridge strengths that cross-validation chooses from.
        folds: of the cross-validation; whole groups go to one fold.
        minimum_known: known positives, and known negatives, below which a category keeps its head.
        split: whose known labels are used. The network has seen those of `train`.
        held_out: split by which it is told whether the network has learned its training labels by
            heart; empty does not ask.
        memorized: what is done where it has: `keep` leaves the heads and calibrates their
            probabilities on `held_out`; `stop` refuses; `ignore` goes on with a warning.
        calibrate: whether probabilities are calibrated, category by category; not where `flip_rate`
            or `annotator` says that known labels are partly wrong.
        random_split: split whose images were labeled at random, whatever they show; it corrects
            every category's share of positives. Empty takes the known labels for such a sample.
        objective: what thresholds are chosen for: `{kind: f_beta, beta: 1}`, or `{kind: cost,
            false_alarm: 1, miss: 5}`.
        flip_rate: share of known labels that are taken to be flipped: labels that the first fit
            contradicts count less in a second one; 0 trusts all labels alike.
        annotator: metadata column that names who labeled an image: annotators who are proven to
            err more often than others count less; empty trusts all alike.
        review_share: share of a category's known labels that `findings.parquet` lists, the most
            contradicted ones.
        ranking: `{method: search}` looks for heads that rank better than those of least loss, and
            takes one where known labels prove it; `{method: published_bp}` and `{method:
            published_ga}` are the published methods instead of ours, for comparison: the labels of
            `held_out` choose their heads, and must be clean. None leaves rankings alone.
        correlated: lets heads learn from each other, where cross-validation shows that it helps:
            `logits` adds the other categories' margins to the inputs, `shared` fits in directions
            that the updates of the others have in common; empty fits each alone.
        method: `single` solves category by category, `joint` blocks of categories at once; `auto`
            takes the cheaper.
        resamples: draws of groups behind the intervals; 0 leaves them out. Whether the network has
            learned its labels by heart is asked with 200 or more.
        precision: in which features stand on disk until the repair is finished.
        device: where features are computed and heads are solved; heads that are searched, published
            or fitted with each other's help are solved on the CPU.
        seed: of folds and draws.
    """

    task: str = "tags"
    only: tuple[str, ...] = ()
    penalties: tuple[Annotated[float, pydantic.Field(gt=0)], ...] = PENALTIES
    folds: int = pydantic.Field(default=5, ge=2)
    minimum_known: int = pydantic.Field(default=10, ge=1)
    split: str = "train"
    held_out: str = "validation"
    memorized: Literal["keep", "stop", "ignore"] = "keep"
    calibrate: bool = True
    random_split: str = ""
    objective: Objective = FBeta()
    flip_rate: float = pydantic.Field(default=0.0, ge=0, lt=0.5)
    annotator: str = ""
    review_share: float = pydantic.Field(default=0.05, gt=0, le=1)
    ranking: Ranking | None = None
    correlated: Literal["", "logits", "shared"] = ""
    method: Literal["auto", "single", "joint"] = "auto"
    resamples: int = pydantic.Field(default=400, ge=0)
    precision: Precision = "float32"
    device: str = "auto"
    seed: int = pydantic.Field(default=0, ge=0)

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.correlated and self.ranking is not None:
            raise ValueError("'correlated' and 'ranking' are two ways to a head: give one of them")
        if self.correlated and (self.flip_rate or self.annotator):
            raise ValueError("'correlated' trusts all labels alike: leave out flip_rate, annotator")
        if isinstance(self.ranking, PublishedBP | PublishedGA) and (
            not self.held_out or self.held_out == self.split
        ):
            raise ValueError("the published methods choose by clean labels: name 'held_out'")
        if isinstance(self.ranking, PublishedBP | PublishedGA) and (
            self.flip_rate or self.annotator
        ):
            raise ValueError("the published methods trust all labels: no flip_rate, annotator")
        if self.random_split and self.random_split == self.split:
            raise ValueError(
                "'random_split' corrects heads by labels they have not seen: name "
                "another split than 'split'"
            )
        return self
