"""Windows of a sample at another scale: what lets photographs of many sizes share a batch.

Sizes are (height, width) in px. What stands outside the photograph is unknown: ignored, invalid, no
category. Unknown labels stay unknown.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from goldseam.dataset.batch import unit_image
from goldseam.dataset.codecs import PRESENT, UNKNOWN, UNSURE, Array, Boxes
from goldseam.dataset.derivation.normals import LENGTHS
from goldseam.dataset.reading import Record
from goldseam.dataset.resizing import resize_record
from goldseam.dataset.schema import Kind, Task


def scale_record(record: Record, tasks: Mapping[str, Task], scale: float) -> Record:
    """The sample `scale` times as large.

    A window that is enlarged looks like a scene that is nearer: lengths in m, mm, … are divided by
    the scale, those in px are multiplied; other units stay.
    """
    height, width = record.image_HWC.shape[:2]
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    record = resize_record(record, tasks, size)
    labels = {
        name: label if label is None else label * np.float32(_factor(tasks[name], scale))
        for name, label in record.labels.items()
        if tasks[name].kind is Kind.REGRESSION
    }
    return dataclasses.replace(record, labels={**record.labels, **labels})


def _factor(task: Task, scale: float) -> float:
    if task.unit in LENGTHS:
        return 1 / scale
    return scale if task.unit == "px" else 1.0


def crop_record(
    record: Record, tasks: Mapping[str, Task], corner: tuple[int, int], size: tuple[int, int]
) -> Record:
    """The window of `size` whose upper left pixel is `corner` (row, column).

    Where the window is larger than the sample, what is missing below and to the right is padded:
    the image with its mean color, every label with unknown. Boxes are clipped; those of which less
    than half is left are ignored, those of which nothing is left are dropped. Where something is
    cut off, a tag that was present is unknown: nobody looked whether it is in the window.
    """
    top, left = corner
    height, width = record.image_HWC.shape[:2]
    whole = corner == (0, 0) and height <= size[0] and width <= size[1]
    image_HWC = unit_image(record)
    fill_C = image_HWC.mean(axis=(0, 1), dtype=np.float32)
    image_HWC = record.image_HWC[top : top + size[0], left : left + size[1]]
    if image_HWC.shape[:2] != size:
        image_HWC = np.broadcast_to(fill_C, (*size, len(fill_C))).copy()
        part_HWC = unit_image(record)[top : top + size[0], left : left + size[1]]
        image_HWC[: part_HWC.shape[0], : part_HWC.shape[1]] = part_HWC
    labels = {
        name: label
        if label is None or (whole and tasks[name].kind is Kind.TAGS)
        else _crop_label(label, tasks[name], corner, size)
        for name, label in record.labels.items()
    }
    return dataclasses.replace(record, image_HWC=image_HWC, labels=labels)


def _crop_label(label: Any, task: Task, corner: tuple[int, int], size: tuple[int, int]) -> Any:
    if task.kind is Kind.CAPTION:
        return label
    if task.kind is Kind.TAGS:
        return np.where(np.isin(label, (PRESENT, UNSURE)), UNKNOWN, label).astype(label.dtype)
    if task.kind is Kind.DETECTION:
        return _crop_boxes(label, corner, size)
    fill = np.nan if task.kind in (Kind.REGRESSION, Kind.NORMALS) else task.ignore
    cropped = np.full((*label.shape[:-2], *size), fill, label.dtype)
    part: Array = label[..., corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]]
    cropped[..., : part.shape[-2], : part.shape[-1]] = part
    return cropped


def _crop_boxes(boxes: Boxes, corner: tuple[int, int], size: tuple[int, int]) -> Boxes:
    offset_4 = np.array([corner[1], corner[0]] * 2, np.float32)
    limit_4 = np.array([size[1], size[0]] * 2, np.float32)
    moved_N4 = boxes.corners_N4 - offset_4
    clipped_N4 = np.clip(moved_N4, 0, limit_4)
    left_N = _areas(clipped_N4) / np.maximum(_areas(moved_N4), 1e-6)
    kept_N = left_N > 0
    return Boxes(
        boxes.category_N[kept_N],
        clipped_N4[kept_N],
        (boxes.ignore_N | (left_N < 0.5))[kept_N],
    )


def _areas(corners_N4: Array) -> Array:
    sides_N2: Array = corners_N4[:, 2:] - corners_N4[:, :2]
    areas_N: Array = sides_N2.prod(axis=1)
    return areas_N


def largest_share(label_HW: Array, ignore: int) -> float:
    """Share of the most frequent category among the pixels that are not ignored; 0 without any."""
    counts = np.bincount(label_HW[label_HW != ignore].astype(np.int64))
    return float(counts.max() / counts.sum()) if counts.size else 0.0
