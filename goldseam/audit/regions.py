"""Connected regions of a mask: what stands there as one object.

Pixels that share a side or a corner are connected. H and W pixels, M regions.
"""

import dataclasses

import numpy as np

from goldseam.dataset.codecs import Array


@dataclasses.dataclass(frozen=True, eq=False)
class Regions:
    """The connected regions of a mask, numbered from 1; entry 0 is what lies outside.

    Attributes:
        label_HW: number of each pixel's region.
        area_M: px.
        corners_M4: xmin, ymin, xmax, ymax of the tight box, px.
    """

    label_HW: Array
    area_M: Array
    corners_M4: Array

    @classmethod
    def of(cls, mask_HW: Array) -> "Regions":
        """Find the regions of a bool mask."""
        import cv2

        count, label_HW, stats, _ = cv2.connectedComponentsWithStats(
            mask_HW.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S
        )
        low_M2 = stats[:count, [cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP]]
        high_M2 = low_M2 + stats[:count, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
        area_M = stats[:count, cv2.CC_STAT_AREA].astype(np.int64)
        return cls(label_HW, area_M, np.concatenate([low_M2, high_M2], axis=1))

    def box(self, number: int) -> tuple[int, int, int, int]:
        """xmin, ymin, xmax, ymax of one region, px."""
        xmin, ymin, xmax, ymax = self.corners_M4[number].tolist()
        return xmin, ymin, xmax, ymax

    def at_edge(self, number: int) -> bool:
        """Whether a region touches the edge of the image."""
        xmin, ymin, xmax, ymax = self.box(number)
        height, width = self.label_HW.shape
        return xmin == 0 or ymin == 0 or xmax == width or ymax == height

    def pixels(self, where_HW: Array) -> Array:
        """Pixels of each region where a bool mask is True."""
        counted_M: Array = np.bincount(self.label_HW[where_HW], minlength=len(self.area_M))
        return counted_M

    def moved(self, dx: int, dy: int) -> "Regions":
        """The regions moved right and down by whole pixels; areas stay those of the whole."""
        corners_M4 = self.corners_M4 + np.array([dx, dy, dx, dy])
        return Regions(moved(self.label_HW, dx, dy), self.area_M, corners_M4)

    def touching(self, other_HW: Array) -> Array:
        """Bool HW: the regions that share a pixel with the other mask."""
        touched_M = self.pixels(other_HW) > 0
        touched_M[0] = False
        kept_HW: Array = touched_M[self.label_HW]
        return kept_HW


def moved(mask_HW: Array, dx: int, dy: int) -> Array:
    """A mask moved right and down by whole pixels; what comes in from outside is False or 0."""
    height, width = mask_HW.shape
    target_HW = np.zeros_like(mask_HW)
    if abs(dx) < width and abs(dy) < height:
        target_HW[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = mask_HW[
            max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
        ]
    return target_HW
