"""Partial labels made on purpose: which image keeps which label, and datasets that obey it."""

from goldseam.dataset.partial.choosing import (
    Traits,
    choose_rows,
    generator,
    known_tags,
    one_task_each,
)
from goldseam.dataset.partial.masks import InvalidMask, LabelMask, read_mask
from goldseam.dataset.partial.protocols import (
    FULL,
    Protocol,
    budget,
    known_labels,
    label_mask,
)
from goldseam.dataset.partial.tag_protocols import (
    CoOccurrence,
    FixedPerCategory,
    PositivesDropped,
    RatesFromTable,
    SinglePositive,
    SinglePositiveAndNegatives,
    SizeDependent,
    TagScheme,
    Uniform,
    flip_tags,
    known_rates,
    tag_mask,
)

__all__ = [
    "FULL",
    "CoOccurrence",
    "FixedPerCategory",
    "InvalidMask",
    "LabelMask",
    "PositivesDropped",
    "Protocol",
    "RatesFromTable",
    "SinglePositive",
    "SinglePositiveAndNegatives",
    "SizeDependent",
    "TagScheme",
    "Traits",
    "Uniform",
    "budget",
    "choose_rows",
    "flip_tags",
    "generator",
    "known_labels",
    "known_rates",
    "known_tags",
    "label_mask",
    "one_task_each",
    "read_mask",
    "tag_mask",
]
