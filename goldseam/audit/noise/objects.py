"""Which objects of a mask another mask leaves out.

An object is a connected region (8 neighbors) of one category. H and W pixels, M objects.
"""

import dataclasses

import numpy as np

from goldseam.dataset.codecs import Array


@dataclasses.dataclass(frozen=True, eq=False)
class Regions:
    """The connected regions of a mask.

    Attributes:
        label_HW: number of each pixel's region from 1; 0 outside the mask.
        area_M: px, by number; entry 0 is what lies outside.
    """

    label_HW: Array
    area_M: Array

    @classmethod
    def of(cls, mask_HW: Array) -> "Regions":
        """Find the regions of a bool mask."""
        import cv2

        count, label_HW, stats, _ = cv2.connectedComponentsWithStats(
            mask_HW.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S
        )
        return cls(label_HW, stats[:count, cv2.CC_STAT_AREA].astype(np.int64))

    def pixels(self, where_HW: Array) -> Array:
        """Pixels of each region where a bool mask is True."""
        counted_M: Array = np.bincount(self.label_HW[where_HW], minlength=len(self.area_M))
        return counted_M

    def touching(self, other_HW: Array) -> Array:
        """Bool HW: the regions that share a pixel with the other mask."""
        touched_M = self.pixels(other_HW) > 0
        touched_M[0] = False
        kept_HW: Array = touched_M[self.label_HW]
        return kept_HW


def left_out(
    mask_HW: Array, others: tuple[Array, ...], known_HW: Array, minimum: int
) -> tuple[int, int]:
    """How many objects there are, and how many of them another mask shows nothing of.

    An object that borders on pixels which not both labels know counts only where it is found: its
    counterpart may lie there.

    Args:
        mask_HW: bool, whose objects are looked for; False where not both labels are known.
        others: the other mask, and other placements of it; one shared pixel with any of them is
            enough.
        known_HW: where both labels are known.
        minimum: px of the smallest object.
    """
    import cv2

    regions = Regions.of(mask_HW)
    found_M = np.zeros(len(regions.area_M), bool)
    for other_HW in others:
        found_M |= regions.pixels(other_HW) > 0
    counted_M = regions.area_M >= minimum
    if not known_HW.all():
        beside_HW = cv2.dilate((~known_HW).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        counted_M &= found_M | (regions.pixels(beside_HW) == 0)
    counted_M[0] = False
    return int(counted_M.sum()), int((counted_M & ~found_M).sum())


def moved(mask_HW: Array, dx: int, dy: int) -> Array:
    """A bool mask moved right and down by whole pixels; what comes in from outside is False."""
    height, width = mask_HW.shape
    target_HW = np.zeros_like(mask_HW)
    if abs(dx) < width and abs(dy) < height:
        target_HW[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = mask_HW[
            max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
        ]
    return target_HW
