"""How much a noisy label differs from its clean version, pixel by pixel where both are known.

Shapes: C categories, H and W pixels. Counts are kept, not rates, so that images, shards and splits
add up; memory does not grow with the number of images.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.compute as pc

from goldseam.dataset.codecs import Array, BadCell, decode_label
from goldseam.dataset.reading import Dataset, open_shard
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.errors import InvalidDataset
from goldseam.progress import Step, progress
from goldseam.results import Disagreement

MEASURED = (Kind.SEGMENTATION, Kind.BOUNDARY, Kind.SALIENCY)
INTERIOR, BOUNDARY = 0, 1


@dataclasses.dataclass
class PixelCounts:
    """Pixels of which both labels are known.

    Attributes:
        images: how many were added.
        confusion_2CC: int64; interior and boundary, clean category, noisy category.
    """

    images: int
    confusion_2CC: Array

    @classmethod
    def none(cls, categories: int) -> "PixelCounts":
        """Nothing counted yet."""
        return cls(0, np.zeros((2, categories, categories), np.int64))

    def add(self, clean_HW: Array, noisy_HW: Array, counted_HW: Array, boundary_HW: Array) -> None:
        """Count one image.

        Args:
            clean_HW: category ids.
            noisy_HW: category ids of the same vocabulary.
            counted_HW: True where both are known.
            boundary_HW: True within the boundary band.
        """
        categories = self.confusion_2CC.shape[1]
        part = boundary_HW[counted_HW].astype(np.int64)
        cell = (part * categories + clean_HW[counted_HW]) * categories + noisy_HW[counted_HW]
        counts = np.bincount(cell, minlength=self.confusion_2CC.size)
        self.confusion_2CC += counts.reshape(self.confusion_2CC.shape)
        self.images += 1

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


@dataclasses.dataclass(frozen=True)
class Measured:
    """The disagreement of one noisy task in one split, with the counts behind the rates."""

    rates: Disagreement
    counts: PixelCounts

    @property
    def boundary_share(self) -> float | None:
        """Share of the differing pixels that lie in the boundary band; None when none differ."""
        differing = self.counts.differing()
        return self.counts.differing(BOUNDARY) / differing if differing else None


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


def noisy_pairs(info: DatasetInfo) -> list[tuple[str, str]]:
    """(clean, noisy) names of the tasks whose disagreement is measured: those of category ids."""
    return [
        (task.noisy_version_of, name)
        for name, task in info.tasks.items()
        if task.noisy_version_of is not None and task.kind in MEASURED
    ]


def measure_disagreement(dataset: Dataset, clean: str, noisy: str, band: int) -> list[Measured]:
    """Compare a noisy task with its clean version in every split, where both are known.

    Args:
        dataset: an open dataset.
        clean: name of the clean task.
        noisy: name of the noisy task.
        band: px of the boundary band.

    Raises:
        InvalidDataset: a label cannot be decoded or compared; says which.
    """
    info = dataset.info
    categories = vocabulary(info.task(clean))
    measured = []
    with progress("disagreement", info.rows()) as step:
        for split in info.splits:
            counts = PixelCounts.none(len(categories))
            for where, clean_cell, noisy_cell in _known_pairs(dataset, split, clean, noisy, step):
                try:
                    clean_HW, clean_known_HW = category_ids(
                        info.task(clean), decode_label(info.task(clean), clean_cell)
                    )
                    noisy_HW, noisy_known_HW = category_ids(
                        info.task(noisy), decode_label(info.task(noisy), noisy_cell)
                    )
                    check_size(clean_HW, noisy_HW)
                except BadCell as error:
                    raise InvalidDataset(f"{where}: {error}.", remedy=error.remedy) from error
                counts.add(
                    clean_HW,
                    noisy_HW,
                    clean_known_HW & noisy_known_HW,
                    boundary_band(clean_HW, clean_known_HW, band),
                )
            rates = disagreement((clean, noisy), split, band, categories, counts)
            measured.append(Measured(rates, counts))
    return measured


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


def _known_pairs(
    dataset: Dataset, split: str, clean: str, noisy: str, step: Step
) -> Iterator[tuple[str, Any, Any]]:
    """Where it stands, clean cell and noisy cell of each image that has both."""
    for shard in dataset.shards(split):
        with open_shard(dataset.path / shard.file) as parquet:
            for number in range(parquet.num_row_groups):
                # null masks first: most row groups of scarce labels need no picture read
                masks = parquet.read_row_group(number, columns=[f"{clean}.path", f"{noisy}.path"])
                both = pc.and_(masks.column(clean).is_valid(), masks.column(noisy).is_valid())
                if pc.any(both).as_py():
                    columns = ["image_id", clean, noisy]
                    table = parquet.read_row_group(number, columns=columns).filter(both)
                    for row in table.to_pylist():
                        yield f"{shard.file}, image '{row['image_id']}'", row[clean], row[noisy]
                step(masks.num_rows)


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
