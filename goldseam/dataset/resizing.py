"""A sample at another size: what a small model looks at instead of a photograph of ten megapixels.

Sizes are (height, width) in px. Unknown labels stay unknown, ignored and invalid pixels stay so.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from goldseam.dataset.codecs import Array, Boxes
from goldseam.dataset.reading import Record
from goldseam.dataset.schema import Kind, Task

IGNORED_SHARE = 0.5


def resize_record(record: Record, tasks: Mapping[str, Task], size: tuple[int, int]) -> Record:
    """The image and every label of it, stretched to `size`.

    A pixel of a smaller boundary or saliency label is present where any pixel under it is, since
    thin lines would vanish otherwise; ids, values and normals, and lines that become larger, are
    taken from the nearest pixel.
    """
    if record.image_HWC.shape[:2] == size:
        return record
    labels = {
        name: _resize_label(label, tasks[name], record.image_HWC.shape[:2], size)
        for name, label in record.labels.items()
    }
    return dataclasses.replace(record, image_HWC=stretch(record.image_HWC, size), labels=labels)


def stretch(array_HWC: Array, size: tuple[int, int]) -> Array:
    """A picture or map `HW` or `HWC`, of 4 channels at most, at another size, without aliasing."""
    import cv2

    shrinks = array_HWC.shape[0] * array_HWC.shape[1] > size[0] * size[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    stretched: Array = cv2.resize(array_HWC, (size[1], size[0]), interpolation=how)
    return stretched.reshape(*size, *array_HWC.shape[2:])


def _resize_label(label: Any, task: Task, before: tuple[int, ...], size: tuple[int, int]) -> Any:
    if label is None or task.kind in (Kind.TAGS, Kind.CAPTION):
        return label
    if task.kind is Kind.DETECTION:
        factor = np.array([size[1] / before[1], size[0] / before[0]] * 2, np.float32)
        return Boxes(label.category_N, label.corners_N4 * factor, label.ignore_N)
    if task.kind in (Kind.BOUNDARY, Kind.SALIENCY):
        return _resize_lines(label, task.ignore, size)
    return _nearest(label, size)


def _resize_lines(label_HW: Array, ignore: int, size: tuple[int, int]) -> Array:
    # interpolating where a side grows would call present what somebody called absent
    shorter = min(size[0], label_HW.shape[0]), min(size[1], label_HW.shape[1])
    present_HW = stretch((label_HW == 1).astype(np.float32), shorter) > 0
    ignored_HW = stretch((label_HW == ignore).astype(np.float32), shorter) >= IGNORED_SHARE
    joined_HW = np.where(present_HW, 1, np.where(ignored_HW, ignore, 0)).astype(label_HW.dtype)
    return _nearest(joined_HW, size)


def _nearest(label_HW: Array, size: tuple[int, int]) -> Array:
    """Every pixel of `…HW` from the one under its center."""
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(np.int64), old - 1)
        for new, old in zip(size, label_HW.shape[-2:], strict=True)
    )
    return label_HW[..., rows[:, None], columns[None, :]]
