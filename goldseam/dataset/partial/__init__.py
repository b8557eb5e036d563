"""Partial labels made on purpose: which image keeps which label, and datasets that obey it."""

from goldseam.dataset.partial.choosing import (
    Traits,
    choose_rows,
    generator,
    known_tags,
    one_task_each,
)
from goldseam.dataset.partial.masks import InvalidMask, LabelMask, read_mask
from goldseam.dataset.partial.protocols import Protocol, budget, label_mask

__all__ = [
    "InvalidMask",
    "LabelMask",
    "Protocol",
    "Traits",
    "budget",
    "choose_rows",
    "generator",
    "known_tags",
    "label_mask",
    "one_task_each",
    "read_mask",
]
