"""Noise matrices from counts of (clean, noisy) categories. C categories."""

import numpy as np

from goldseam.dataset.codecs import Array
from goldseam.results import NoiseMatrix

Rows = tuple[tuple[float | None, ...], ...]


def measured_matrix(
    task: str, categories: tuple[str, ...], count_CC: Array, *, category: str | None, part: str
) -> NoiseMatrix:
    """The joint and the transition matrix of counts that were measured.

    Args:
        task: whose labels are noisy.
        categories: C names.
        count_CC: labels by clean and noisy category.
        category: of tags; None where rows are categories.
        part: `all`, `interior` or `boundary`.
    """
    total = int(count_CC.sum())
    return NoiseMatrix(
        task=task,
        category=category,
        part=part,
        method="measured",
        labels=total,
        categories=categories,
        joint=as_rows(count_CC, np.full((len(count_CC), 1), total)),
        transition=as_rows(count_CC, count_CC.sum(axis=1, keepdims=True)),
    )


def as_rows(count_CC: Array, total_C1: Array) -> Rows:
    """Counts over totals; None where the total is 0."""
    rows = zip(count_CC.tolist(), total_C1[:, 0].tolist(), strict=True)
    return tuple(tuple(n / total if total else None for n in row_C) for row_C, total in rows)
