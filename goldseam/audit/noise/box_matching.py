"""Which boxes of two labels of the same images are the same object.

All images at once. Legend: A and B boxes of the two labels, sorted by image; P pairs of boxes of
one image.
"""

from collections.abc import Iterator

import numpy as np

from goldseam.audit.label_side import BoxTable
from goldseam.dataset.codecs import Array

PAIRS_AT_ONCE = 1 << 21
# an object keeps its category more often than not; of two boxes that overlap alike, that one
SAME_CATEGORY = 0.1


def pairs_within_images(image_A: Array, image_B: Array) -> Iterator[tuple[Array, Array]]:
    """Every pair of a box of A and a box of B in one image, some millions at a time.

    Args:
        image_A: ascending.
        image_B: ascending.
    """
    first_A = np.searchsorted(image_B, image_A, side="left")
    count_A = np.searchsorted(image_B, image_A, side="right") - first_A
    # cut where an image begins, so that all pairs of an image come together
    starts = np.flatnonzero(np.diff(image_A, prepend=-1))
    before = np.concatenate([[0], np.cumsum(count_A)])[starts]
    cuts = np.concatenate(
        [starts[np.flatnonzero(np.diff(before // PAIRS_AT_ONCE, prepend=-1))], [len(image_A)]]
    )
    for begin, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        count_S = count_A[begin:end]
        a_P = np.repeat(np.arange(begin, end), count_S)
        within_P = np.arange(len(a_P)) - np.repeat(np.cumsum(count_S) - count_S, count_S)
        yield a_P, np.repeat(first_A[begin:end], count_S) + within_P


def overlap(corners_P4: Array, other_P4: Array) -> tuple[Array, Array]:
    """Intersection over union of pairs of boxes, and intersection over the first one's area."""
    corner_P4, against_P4 = corners_P4.astype(np.float64), other_P4.astype(np.float64)
    low_P2 = np.maximum(corner_P4[:, :2], against_P4[:, :2])
    high_P2 = np.minimum(corner_P4[:, 2:], against_P4[:, 2:])
    common_P = np.prod(np.maximum(high_P2 - low_P2, 0), axis=1)
    area_P, other_P = (
        np.prod(c_P4[:, 2:] - c_P4[:, :2], axis=1) for c_P4 in (corner_P4, against_P4)
    )
    union_P = np.maximum(area_P + other_P - common_P, 1e-12)
    return common_P / union_P, common_P / np.maximum(area_P, 1e-12)


def match(a: BoxTable, b: BoxTable, minimum: float) -> Array:
    """For each box of `a` its partner in `b`, or -1.

    Greedy by overlap, as if the best pair of an image were taken first, then the best of what is
    left: in each round every pair is taken whose boxes both have no better one.

    Args:
        a: boxes that are not ignored.
        b: the same.
        minimum: intersection over union of a pair.
    """
    partner_A, taken_B = np.full(len(a.image_M), -1, np.int64), np.zeros(len(b.image_M), bool)
    for a_P, b_P in pairs_within_images(a.image_M, b.image_M):
        union_P, _ = overlap(a.corners_M4[a_P], b.corners_M4[b_P])
        score_P = union_P + SAME_CATEGORY * (a.category_M[a_P] == b.category_M[b_P])
        near_P = union_P >= minimum
        _take_best(a_P[near_P], b_P[near_P], score_P[near_P], (partner_A, taken_B))
    return partner_A


def _take_best(a_P: Array, b_P: Array, score_P: Array, found: tuple[Array, Array]) -> None:
    """Write the partners that pairs give each other, best scores first, into partner and taken."""
    partner_A, taken_B = found
    order = np.argsort(-score_P, kind="stable")
    a_P, b_P = a_P[order], b_P[order]
    while len(a_P):
        best_P = _is_first(a_P) & _is_first(b_P)
        partner_A[a_P[best_P]] = b_P[best_P]
        taken_B[b_P[best_P]] = True
        free_P = (partner_A[a_P] < 0) & ~taken_B[b_P]
        a_P, b_P = a_P[free_P], b_P[free_P]


def _is_first(value_P: Array) -> Array:
    """True where a value stands for the first time."""
    first_P = np.zeros(len(value_P), bool)
    first_P[np.unique(value_P, return_index=True)[1]] = True
    return first_P


def covered(a: BoxTable, b: BoxTable, share: float = 0.5) -> Array:
    """Bool A: boxes of `a` of which at least `share` lies in one box of `b`."""
    covered_A = np.zeros(len(a.image_M), bool)
    for a_P, b_P in pairs_within_images(a.image_M, b.image_M):
        _, inside_P = overlap(a.corners_M4[a_P], b.corners_M4[b_P])
        covered_A[a_P[inside_P >= share]] = True
    return covered_A
