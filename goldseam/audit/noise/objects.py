"""Which objects of a mask another mask leaves out.

An object is a connected region of one category. H and W pixels, M objects, P pairs of them.
"""

import numpy as np

from goldseam.audit.regions import Regions
from goldseam.dataset.codecs import Array

MOSTLY_KNOWN = 0.75
SMALLEST_COUNTERPART, SHARED, COVERED = 0.1, 0.25, 0.5
SPECKLED = 0.005


def left_out(regions: Regions, other: Regions, known_HW: Array, minimum: int) -> tuple[int, int]:
    """How many objects there are, and how many of them another mask shows nothing of.

    An object counts where both labels are known on most of it; whether it counts never depends on
    what the other label says. It is shown where a region of the other mask is its counterpart: at
    least a tenth as large, and the two share at least a quarter of the smaller one (a neighbor that
    grew touches it, a speck falls into it; neither shows it); or where half of it is covered all
    the same.

    Args:
        regions: of the mask whose objects are looked for.
        other: regions of the other mask, moved to where they lie on the first one.
        known_HW: where both labels are known, the other one after it was moved.
        minimum: px of the smallest object.
    """
    known_M = regions.pixels(known_HW)
    counted_M = (known_M >= MOSTLY_KNOWN * regions.area_M) & (known_M >= minimum)
    counted_M[0] = False
    found_M = _shown(regions, known_M, other, known_HW)
    return int(counted_M.sum()), int((counted_M & ~found_M).sum())


def _shown(regions: Regions, known_M: Array, other: Regions, known_HW: Array) -> Array:
    """Bool M: the regions that have a counterpart, or are covered by half."""
    both_HW = known_HW & (regions.label_HW > 0) & (other.label_HW > 0)
    count = len(other.area_M)
    pair_P, shared_P = np.unique(
        regions.label_HW[both_HW].astype(np.int64) * count + other.label_HW[both_HW],
        return_counts=True,
    )
    own_P, other_P = np.divmod(pair_P, count)
    area_P, against_P = known_M[own_P], other.area_M[other_P]
    alike_P = against_P >= SMALLEST_COUNTERPART * area_P
    counterpart_P = alike_P & (shared_P >= SHARED * np.minimum(area_P, against_P))
    shown_M: Array = np.bincount(own_P, shared_P, len(known_M)) >= COVERED * known_M
    shown_M[own_P[counterpart_P]] = True
    return shown_M


def smoothed(mask_HW: Array) -> Array:
    """Each pixel as most of the 5 x 5 around it have it: single wrong pixels are voted down."""
    import cv2

    voted_HW: Array = cv2.medianBlur(mask_HW.astype(np.uint8), 5) > 0
    return voted_HW


def is_speckled(label_HW: Array, known_HW: Array) -> bool:
    """Whether more than half a percent of the known pixels agree with none of their 8 neighbors.

    Where single pixels are wrong by chance, they clump to regions and fray outlines, and what is
    left of an object cannot be told from them.

    Args:
        label_HW: category ids.
        known_HW: bool.
    """
    height, width = label_HW.shape
    id_HW = np.where(known_HW, label_HW.astype(np.int32), -1)
    framed_HW = np.pad(id_HW, 1, constant_values=-2)
    alone_HW = known_HW.copy()
    for y, x in np.ndindex(3, 3):
        if (y, x) != (1, 1):
            alone_HW &= framed_HW[y : y + height, x : x + width] != id_HW
    return bool(alone_HW.sum() > SPECKLED * known_HW.sum())
