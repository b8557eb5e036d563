"""Which boxes of the same image overlap, and who is matched with whom.

Flat arrays over all images, without a square of the dataset and without a loop over images.
A first boxes, B second boxes, K pairs of both that stand in one image.
"""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from goldseam.dataset.codecs import Array

PAIRS_AT_ONCE = 2_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Overlapping boxes.

    Attributes:
        first_K: positions among the first boxes.
        second_K: positions among the second boxes.
        iou_K: intersection over union.
    """

    first_K: Array
    second_K: Array
    iou_K: Array

    def of(self, keep_K: Array) -> "Pairs":
        """Some of the pairs, by a mask or in another order."""
        return Pairs(self.first_K[keep_K], self.second_K[keep_K], self.iou_K[keep_K])


def box_area(corners_N4: Array) -> Array:
    """Area of each box, px²: float64."""
    side_N2 = np.maximum(corners_N4[:, 2:].astype(np.float64) - corners_N4[:, :2], 0)
    area_N: Array = side_N2[:, 0] * side_N2[:, 1]
    return area_N


def paired_iou(corners_N4: Array, other_N4: Array) -> Array:
    """Intersection over union of two boxes a row; NaN where a corner is."""
    low_N2 = np.maximum(corners_N4[:, :2], other_N4[:, :2])
    high_N2 = np.minimum(corners_N4[:, 2:], other_N4[:, 2:])
    shared_N = np.prod(np.maximum(high_N2.astype(np.float64) - low_N2, 0), axis=1)
    iou_N: Array = shared_N / (box_area(corners_N4) + box_area(other_N4) - shared_N)
    return iou_N


def overlapping_pairs(
    image_A: Array, corners_A4: Array, image_B: Array, corners_B4: Array, least: float
) -> Pairs:
    """Pairs in one image whose intersection over union is at least `least`.

    Args:
        image_A: ascending.
        corners_A4: xmin, ymin, xmax, ymax in px.
        image_B: ascending.
        corners_B4: as `corners_A4`.
        least: above 0.
    """
    area_A, area_B = box_area(corners_A4), box_area(corners_B4)
    found: list[Pairs] = [Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for first_K, second_K, shared_K in _intersections(image_A, corners_A4, image_B, corners_B4):
        iou_K = shared_K / (area_A[first_K] + area_B[second_K] - shared_K)
        found.append(Pairs(first_K, second_K, iou_K).of(iou_K >= least))
    return Pairs(
        np.concatenate([pairs.first_K for pairs in found]),
        np.concatenate([pairs.second_K for pairs in found]),
        np.concatenate([pairs.iou_K for pairs in found]),
    )


def covered_share(image_A: Array, corners_A4: Array, image_B: Array, corners_B4: Array) -> Array:
    """Of each second box, the largest share of its area that one first box of its image covers."""
    area_B = box_area(corners_B4)
    covered_B = np.zeros(len(corners_B4))
    for _, second_K, shared_K in _intersections(image_A, corners_A4, image_B, corners_B4):
        np.maximum.at(covered_B, second_K, shared_K / area_B[second_K])
    return covered_B


def _intersections(
    image_A: Array, corners_A4: Array, image_B: Array, corners_B4: Array
) -> Iterator[tuple[Array, Array, Array]]:
    """(first, second, intersection in px²) of pairs in one image that overlap, in blocks."""
    start_B = np.searchsorted(image_A, image_B, side="left")
    count_B = np.searchsorted(image_A, image_B, side="right") - start_B
    # a block ends where its pairs would be too many; one box's pairs are never divided
    block_B = np.cumsum(count_B) // PAIRS_AT_ONCE
    edges = np.flatnonzero(np.diff(block_B, prepend=-1, append=np.inf))
    for begin, end in itertools.pairwise(edges):
        count = count_B[begin:end]
        second_K = np.repeat(np.arange(begin, end), count)
        before = np.cumsum(count) - count
        first_K = np.arange(len(second_K)) - np.repeat(before - start_B[begin:end], count)
        low_K2 = np.maximum(corners_A4[first_K, :2], corners_B4[second_K, :2])
        high_K2 = np.minimum(corners_A4[first_K, 2:], corners_B4[second_K, 2:])
        side_K2 = np.maximum(high_K2.astype(np.float64) - low_K2, 0)
        shared_K = side_K2[:, 0] * side_K2[:, 1]
        overlap_K = shared_K > 0
        yield first_K[overlap_K], second_K[overlap_K], shared_K[overlap_K]


def match_greedily(pairs: Pairs, *worth: Array) -> Pairs:
    """One-to-one matching that takes the best pair left, again and again.

    Every round takes all pairs that are the best left of both their boxes, which gives the same
    matching as taking single pairs from best to worst, in a few rounds.

    Args:
        pairs: candidates.
        worth: K, larger is better; the next one breaks ties, and the positions break the last.
    """
    keys = (pairs.second_K, pairs.first_K, *(-value for value in reversed(worth)))
    left = pairs.of(np.lexsort(keys))
    taken: list[Pairs] = [left.of(np.zeros(0, np.int64))]
    while len(left.first_K):
        rank_K = np.arange(len(left.first_K))
        best_K = _is_first(left.first_K, rank_K) & _is_first(left.second_K, rank_K)
        chosen = left.of(best_K)
        taken.append(chosen)
        used_K = _among(left.first_K, chosen.first_K) | _among(left.second_K, chosen.second_K)
        left = left.of(~used_K)
    return Pairs(
        np.concatenate([pairs.first_K for pairs in taken]),
        np.concatenate([pairs.second_K for pairs in taken]),
        np.concatenate([pairs.iou_K for pairs in taken]),
    )


def _is_first(box_K: Array, rank_K: Array) -> Array:
    """Whether no pair before has the same box."""
    first = np.empty(box_K.max() + 1, np.int64)
    first[box_K[::-1]] = rank_K[::-1]  # the last write is that of the smallest rank
    is_first_K: Array = first[box_K] == rank_K
    return is_first_K


def _among(box_K: Array, chosen: Array) -> Array:
    used = np.zeros(box_K.max() + 1, bool)
    used[chosen] = True
    return used[box_K]
