"""How much a noisy mask differs from its clean version, pixel by pixel where both are known.

Shapes: C categories, H and W pixels. Counts are kept, not rates, so that images, shards and splits
add up; memory does not grow with the number of images.
"""

import dataclasses

import numpy as np

from goldseam.dataset.codecs import Array, BadCell
from goldseam.dataset.schema import Kind, Task
from goldseam.results import Disagreement

MEASURED = (Kind.SEGMENTATION, Kind.BOUNDARY, Kind.SALIENCY)
INTERIOR, BOUNDARY = 0, 1


@dataclasses.dataclass(frozen=True, eq=False)
class PixelCounts:
    """Pixels of which both labels are known.

    Attributes:
        images: that carry both labels.
        confusion_2CC: int64; interior and boundary, clean category, noisy category.
    """

    images: int
    confusion_2CC: Array

    def pixels(self, part: int | None = None) -> int:
        """Pixels counted: of a part (`INTERIOR`, `BOUNDARY`) or of both."""
        return int((self.confusion_2CC if part is None else self.confusion_2CC[part]).sum())

    def differing(self, part: int | None = None) -> int:
        """Pixels where the labels differ: of a part or of both."""
        confusion = self.confusion_2CC if part is None else self.confusion_2CC[part][None]
        return int(confusion.sum() - np.trace(confusion, axis1=1, axis2=2).sum())

    def rate(self, part: int | None = None) -> float | None:
        """Differing over counted pixels; None when none were counted."""
        pixels = self.pixels(part)
        return self.differing(part) / pixels if pixels else None


def boundary_band(label_HW: Array, known_HW: Array, band: int) -> Array:
    """Where a known pixel of another category lies within `band` px (Euclidean, center to center).

    A pixel that is not known makes no boundary and is in no band.

    Args:
        label_HW: category ids.
        known_HW: bool.
        band: px.
    """
    import cv2

    offset = np.arange(-band, band + 1)
    disk = (offset[:, None] ** 2 + offset[None, :] ** 2 <= band**2).astype(np.uint8)
    # largest and smallest category in reach; unknown pixels never win
    id_HW = label_HW.astype(np.uint16) + 1
    largest_HW = cv2.dilate(np.where(known_HW, id_HW, 0).astype(np.uint16), disk)
    smallest_HW = cv2.erode(np.where(known_HW, id_HW, 65535).astype(np.uint16), disk)
    within_HW: Array = known_HW & (largest_HW != smallest_HW)
    return within_HW


def vocabulary(task: Task) -> tuple[str, ...]:
    """Names of the category ids of a mask; those of boundaries and saliency have no own names."""
    return task.categories if task.kind is Kind.SEGMENTATION else ("absent", "present")


def category_ids(task: Task, label_HW: Array) -> tuple[Array, Array]:
    """Category ids with 0 where ignored, and where they are known.

    Raises:
        BadCell: an id is no category and not ignored.
    """
    known_HW = label_HW != task.ignore
    last = len(vocabulary(task)) - 1
    outside = known_HW & (label_HW > last)
    if outside.any():
        raise BadCell(
            f"category id {label_HW[outside][0]}", f"ids of 0 to {last}, or {task.ignore}"
        )
    return np.where(known_HW, label_HW, 0).astype(np.int64), known_HW


def check_size(clean_HW: Array, noisy_HW: Array) -> None:
    """Whether two labels of one image are of the same size.

    Args:
        clean_HW: height and width last.
        noisy_HW: the same.

    Raises:
        BadCell: they are not.
    """
    if clean_HW.shape != noisy_HW.shape:
        (height, width), (wanted_height, wanted_width) = noisy_HW.shape[-2:], clean_HW.shape[-2:]
        raise BadCell(
            f"a noisy label of {width} x {height} px",
            f"the size of the clean one, {wanted_width} x {wanted_height} px",
        )


def disagreement(
    tasks: tuple[str, str], split: str, band: int, categories: tuple[str, ...], counts: PixelCounts
) -> Disagreement:
    """The rates of some counts.

    Args:
        tasks: names of the clean and of the noisy task.
        split: that was counted.
        band: px of the boundary band.
        categories: names by id.
        counts: of that split.
    """
    rows = []
    for row_C in counts.confusion_2CC.sum(axis=0):
        total = int(row_C.sum())
        rows.append(tuple(int(number) / total if total else None for number in row_C))
    return Disagreement(
        task=tasks[0],
        noisy_task=tasks[1],
        split=split,
        images=counts.images,
        band=band,
        overall=counts.rate(),
        boundary=counts.rate(BOUNDARY),
        interior=counts.rate(INTERIOR),
        categories=categories,
        confusion=tuple(rows),
    )
