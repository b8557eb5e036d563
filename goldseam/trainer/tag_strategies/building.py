"""From the options of a label strategy to its loss."""

from goldseam.trainer.tag_strategies.class_selective import ClassSelectiveLoss
from goldseam.trainer.tag_strategies.config import (
    Asymmetric,
    ClassSelective,
    Entropy,
    Hill,
    Ignore,
    LargeLoss,
    Splc,
    TagStrategy,
)
from goldseam.trainer.tag_strategies.large_loss import LargeTagLoss
from goldseam.trainer.tag_strategies.plain import (
    AsymmetricLoss,
    HillLoss,
    IgnoreLoss,
    NegativeLoss,
    SplcLoss,
)
from goldseam.trainer.tag_strategies.strategy import TagLoss
from goldseam.trainer.tag_strategies.undecided import EntropyLoss


def build_tag_loss(strategy: TagStrategy, *, categories: int, images: int = 0) -> TagLoss:
    """The loss that a configuration names, for one tags task.

    Args:
        strategy: its options.
        categories: C of the task.
        images: N of the training split; strategies that remember images hold up to 5 bytes for
            each image and category.

    Raises:
        InvalidConfig: the options do not fit the task.
    """
    match strategy:
        case Ignore():
            return IgnoreLoss(strategy)
        case Asymmetric():
            return AsymmetricLoss(strategy)
        case LargeLoss():
            return LargeTagLoss(strategy, images, categories)
        case Hill():
            return HillLoss(strategy)
        case Splc():
            return SplcLoss(strategy)
        case Entropy():
            return EntropyLoss(strategy, images, categories)
        case ClassSelective():
            return ClassSelectiveLoss(strategy, categories)
        case _:
            return NegativeLoss(strategy, categories)
