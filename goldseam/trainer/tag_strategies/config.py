"""Options of the label strategies: one class each, told apart by `name`.

In a recipe: `tags: {name: large_loss, mode: reject, rate: 0.002}`.
"""

from typing import Annotated, Literal, Self

import pydantic

from goldseam.artifacts import StageConfig

Share = Annotated[float, pydantic.Field(ge=0, le=1)]
Exponent = Annotated[float, pydantic.Field(ge=0)]
Epochs = Annotated[int, pydantic.Field(ge=1)]


class UncertainPolicy(StageConfig):
    """What an entry counts for of which its annotator was unsure, as in CheXpert.

    Attributes:
        policy: `ignore` leaves it out, also where a strategy replaces unknown entries; `zeros` and
            `ones` take it for absent or present (Irvin et al. 2019); `smoothed_zeros` and
            `smoothed_ones` for a number between the two (Pham et al. 2021).
        zeros: smallest and largest such number of `smoothed_zeros`.
        ones: those of `smoothed_ones`.
        seed: of these numbers, each of which is a function of (seed, image, category): an entry has
            the same one whenever it is seen.
    """

    policy: Literal["ignore", "zeros", "ones", "smoothed_zeros", "smoothed_ones"] = "ignore"
    zeros: tuple[Share, Share] = (0.0, 0.3)
    ones: tuple[Share, Share] = (0.55, 0.85)
    seed: int = 0

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.zeros[0] > self.zeros[1] or self.ones[0] > self.ones[1]:
            raise ValueError(
                "'zeros' and 'ones' are a smallest and a largest number, in this order"
            )
        return self


class StrategyOptions(StageConfig):
    """What every strategy has.

    Attributes:
        uncertain: what an entry counts for of which its annotator was unsure.
    """

    uncertain: UncertainPolicy = UncertainPolicy()

    @property
    def counts_unknown(self) -> bool:
        """Whether entries that are neither present nor absent may count."""
        return True

    @property
    def remembers_images(self) -> bool:
        """Whether what an entry counts for depends on which image of the dataset it is of."""
        return self.uncertain.policy.startswith("smoothed")


class Ignore(StrategyOptions):
    """Cross-entropy over known entries; an unknown one counts for nothing.

    Attributes:
        name: `ignore`.
    """

    name: Literal["ignore"] = "ignore"

    @property
    def counts_unknown(self) -> bool:
        """Only where unsure entries count."""
        return self.uncertain.policy != "ignore"


class AssumeNegative(StrategyOptions):
    """Cross-entropy in which unknown means absent (AN).

    Attributes:
        name: `assume_negative`.
    """

    name: Literal["assume_negative"] = "assume_negative"


class WeightedNegative(StrategyOptions):
    """Unknown means absent, with less weight (WAN; Cole et al., CVPR 2021).

    Attributes:
        name: `weighted_negative`.
        weight: of an unknown entry; null is 1 / (categories - 1), as published for images of which
            one present category is known.
    """

    name: Literal["weighted_negative"] = "weighted_negative"
    weight: Share | None = None


class SmoothedNegative(StrategyOptions):
    """Unknown means absent, and targets keep away from 0 and 1 (LSAN; Cole et al., CVPR 2021).

    Attributes:
        name: `smoothed_negative`.
        smoothing: distance of a target from 0 or 1.
        known: whether targets of known entries are smoothed as well (published).
    """

    name: Literal["smoothed_negative"] = "smoothed_negative"
    smoothing: float = pydantic.Field(default=0.1, ge=0, le=0.5)
    known: bool = True


class Asymmetric(StrategyOptions):
    """Asymmetric loss (ASL; Ridnik et al., ICCV 2021): easy negatives count less, or not at all.

    Published as a sum over the batch; here it is a mean, and `loss.weights` can undo that.

    Attributes:
        name: `asymmetric`.
        gamma_positive: exponent by which present entries that are predicted well lose weight.
        gamma_negative: the same of absent entries.
        margin: probability that absent entries have for free.
        unknown: `ignore` leaves unknown entries out; `absent` takes them for absent, as stage 1 of
            category-wise fine-tuning was published.
    """

    name: Literal["asymmetric"] = "asymmetric"
    gamma_positive: Exponent = 0.0
    gamma_negative: Exponent = 4.0
    margin: float = pydantic.Field(default=0.05, ge=0, lt=1)
    unknown: Literal["ignore", "absent"] = "ignore"

    @property
    def counts_unknown(self) -> bool:
        """Where unknown means absent, or unsure entries count."""
        return self.unknown == "absent" or self.uncertain.policy != "ignore"


class LargeLoss(StrategyOptions):
    """Unknown means absent, save for the entries that cost most (LL; Kim et al., CVPR 2022).

    In the first epoch nothing changes. Afterwards the k unknown entries of a batch whose loss is
    largest are rejected or corrected, as they are probably present.

    Attributes:
        name: `large_loss`.
        mode: `reject` counts their loss as 0 (LL-R); `temporary` takes them for present in this
            step (LL-Ct); `permanent` from this step on (LL-Cp).
        rate: share of a batch's entries, rounded up to k: times the number of past epochs in
            `reject` and `temporary`; in each batch anew in `permanent`.
        epochs: equal parts of the training, one after the other, that are called epochs here.
    """

    name: Literal["large_loss"] = "large_loss"
    mode: Literal["reject", "temporary", "permanent"] = "reject"
    rate: Share = 0.002
    epochs: Epochs = 10

    @property
    def remembers_images(self) -> bool:
        """Corrections that are permanent are remembered."""
        return self.mode == "permanent" or super().remembers_images


class Hill(StrategyOptions):
    """A loss that doubts confident negatives (Zhang et al. 2021, Hill); unknown means absent.

    The published setting knows no absent entry: known ones have the same loss as unknown ones.

    Attributes:
        name: `hill`.
        offset: λ; the loss of a negative is (λ - p) p².
        margin: subtracted from the logits of present entries.
        gamma: exponent by which present entries that are predicted well lose weight.
    """

    name: Literal["hill"] = "hill"
    offset: float = pydantic.Field(default=1.5, ge=1)
    margin: float = pydantic.Field(default=1.0, ge=0)
    gamma: Exponent = 2.0


class Splc(StrategyOptions):
    """Unknown entries that the model finds present become present (Zhang et al. 2021, SPLC).

    The others are taken for absent. Entries that are known never change.

    Attributes:
        name: `splc`.
        threshold: probability above which that happens, for this step.
        start: number of epochs before which it does not.
        margin: subtracted from the logits of present entries.
        gamma: exponent by which entries that are predicted well lose weight.
        epochs: equal parts of the training, one after the other, that are called epochs here.
    """

    name: Literal["splc"] = "splc"
    threshold: Share = 0.6
    start: int = pydantic.Field(default=1, ge=0)
    margin: float = pydantic.Field(default=1.0, ge=0)
    gamma: Exponent = 2.0
    epochs: Epochs = 10


class Entropy(StrategyOptions):
    """Unknown entries are kept undecided (EM; Zhou et al., ECCV 2022); the loss may be negative.

    With `negatives` above 0 (APL), after the warm-up every epoch begins with giving the unknown
    entries that each category scores lowest a soft target: that score, for good. Published scores
    come from a pass over all images; here they are those of an entry's last training step.

    Attributes:
        name: `entropy`.
        alpha: weight of the entropy of unknown entries, which is maximized.
        negatives: share of each category's unknown entries that get a soft target over the whole
            training, the same number in each epoch after the warm-up; 0 is EM alone.
        beta: weight of the cross-entropy with a soft target.
        warmup: epochs before the first one that gives any.
        epochs: equal parts of the training, one after the other, that are called epochs here.
    """

    name: Literal["entropy"] = "entropy"
    alpha: float = pydantic.Field(default=0.2, ge=0)
    negatives: Share = 0.0
    beta: float = pydantic.Field(default=0.02, ge=0)
    warmup: int = pydantic.Field(default=5, ge=1)
    epochs: Epochs = 10

    @property
    def remembers_images(self) -> bool:
        """Scores and soft targets are remembered."""
        return self.negatives > 0 or super().remembers_images

    @pydantic.model_validator(mode="after")
    def _has_time(self) -> Self:
        if self.negatives and self.warmup >= self.epochs:
            raise ValueError("'warmup' must be smaller than 'epochs' for 'negatives' to be given")
        return self


class ClassSelective(StrategyOptions):
    """Asymmetric loss with an exponent of its own for unknown entries (P-ASL; Ben-Baruch 2022).

    An unknown entry is ignored where its category is frequent, and where it is among the likeliest
    unknown entries of its image; elsewhere it is taken for absent. How frequent a category is, is
    the mean probability that a model gives it which ignored unknown entries in training: one that
    took them for absent finds frequent categories rare. Without `priors`, the last epoch of a
    warm-up that ignores them is that model.

    Attributes:
        name: `class_selective`.
        gamma_positive: exponent by which present entries that are predicted well lose weight.
        gamma_negative: the same of absent entries.
        gamma_unknown: the same of unknown entries that are taken for absent.
        margin: probability that absent entries have for free.
        prior_above: frequency above which the unknown entries of a category are ignored.
        likeliest: number of unknown entries of an image that are ignored.
        priors: frequency of each category, in order; with them there is no warm-up.
        warmup: epochs in which unknown entries are ignored and frequencies are measured.
        epochs: equal parts of the training, one after the other, that are called epochs here.
    """

    name: Literal["class_selective"] = "class_selective"
    gamma_positive: Exponent = 0.0
    gamma_negative: Exponent = 1.0
    gamma_unknown: Exponent = 4.0
    margin: float = pydantic.Field(default=0.05, ge=0, lt=1)
    prior_above: Share = 0.5
    likeliest: int = pydantic.Field(default=5, ge=0)
    priors: tuple[Share, ...] = ()
    warmup: int = pydantic.Field(default=1, ge=1)
    epochs: Epochs = 10

    @pydantic.model_validator(mode="after")
    def _has_time(self) -> Self:
        if not self.priors and self.warmup >= self.epochs:
            raise ValueError("'warmup' must be smaller than 'epochs', or 'priors' be given")
        return self


TagStrategy = Annotated[
    Ignore
    | AssumeNegative
    | WeightedNegative
    | SmoothedNegative
    | Asymmetric
    | LargeLoss
    | Hill
    | Splc
    | Entropy
    | ClassSelective,
    pydantic.Field(discriminator="name"),
]
