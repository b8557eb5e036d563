"""Which boxes of two labels of the same images are the same object.

Legend: A and B boxes of the two labels, sorted by image; K pairs that overlap.
"""

import numpy as np

from goldseam.audit.box_overlap import covered_share, match_greedily, overlapping_pairs
from goldseam.audit.label_side import BoxTable
from goldseam.dataset.codecs import Array

# an object keeps its category more often than not; of two boxes that overlap alike, that one
SAME_CATEGORY = 0.1


def match(a: BoxTable, b: BoxTable, minimum: float) -> Array:
    """For each box of `a` its partner in `b`, or -1: greedily, the largest overlap first.

    Args:
        a: boxes that are not ignored.
        b: the same.
        minimum: intersection over union of a pair.
    """
    pairs = overlapping_pairs(a.image_M, a.corners_M4, b.image_M, b.corners_M4, minimum)
    same_K = a.category_M[pairs.first_K] == b.category_M[pairs.second_K]
    matched = match_greedily(pairs, pairs.iou_K + SAME_CATEGORY * same_K)
    partner_A = np.full(len(a.image_M), -1, np.int64)
    partner_A[matched.first_K] = matched.second_K
    return partner_A


def covered(a: BoxTable, b: BoxTable, share: float = 0.5) -> Array:
    """Bool A: boxes of `a` of which at least `share` lies in one box of `b`."""
    covered_A: Array = covered_share(b.image_M, b.corners_M4, a.image_M, a.corners_M4) >= share
    return covered_A
