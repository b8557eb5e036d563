"""What a tag that nobody labeled counts for in training: label strategies, as a recipe names them.

Only the options are imported here, so that a recipe is read without torch; `building` makes the
losses.
"""

from goldseam.trainer.tag_strategies.config import (
    AssumeNegative,
    Asymmetric,
    ClassSelective,
    Entropy,
    Hill,
    Ignore,
    LargeLoss,
    SmoothedNegative,
    Splc,
    TagStrategy,
    UncertainPolicy,
    WeightedNegative,
)

__all__ = [
    "AssumeNegative",
    "Asymmetric",
    "ClassSelective",
    "Entropy",
    "Hill",
    "Ignore",
    "LargeLoss",
    "SmoothedNegative",
    "Splc",
    "TagStrategy",
    "UncertainPolicy",
    "WeightedNegative",
]
