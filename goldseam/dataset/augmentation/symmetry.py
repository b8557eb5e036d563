"""Flips and quarter turns of a sample: image, dense labels, boxes and normal vectors alike.

Unknown labels stay unknown.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from goldseam.dataset.codecs import Array, Boxes
from goldseam.dataset.reading import Record
from goldseam.dataset.schema import Kind, Task


@dataclasses.dataclass(frozen=True)
class Turn:
    """One of the eight symmetries of a square: a flip left to right, then quarter turns.

    Attributes:
        flip: whether left and right change places, first.
        quarters: counterclockwise turns by 90°, 0 to 3.
    """

    flip: bool = False
    quarters: int = 0

    def picture(self, array: Array) -> Array:
        """Turn `…HW`; a view of it."""
        turned = array[..., ::-1] if self.flip else array
        return np.rot90(turned, self.quarters, axes=(-2, -1))

    def corners(self, corners_N4: Array, height: int, width: int) -> Array:
        """Turn boxes (xmin, ymin, xmax, ymax) in px of an image of that size."""
        x0, y0, x1, y1 = corners_N4.T
        if self.flip:
            x0, x1 = width - x1, width - x0
        for _ in range(self.quarters):
            # a point (x, y) of an image of width W goes to (y, W - x)
            x0, y0, x1, y1 = y0, width - x1, y1, width - x0
            height, width = width, height
        return np.stack([x0, y0, x1, y1], axis=1).astype(np.float32)

    def normals(self, normal_3HW: Array, *, y_up: bool = True) -> Array:
        """Turn a field of vectors (x right, y up or down, z along the view), places and parts."""
        x, y, z = self.picture(normal_3HW)
        if self.flip:
            x = -x
        for _ in range(self.quarters):
            x, y = (-y, x) if y_up else (y, -x)
        return np.stack([x, y, z])


def turn_record(record: Record, tasks: Mapping[str, Task], turn: Turn) -> Record:
    """Turn an image and every label of it; unknown labels stay None."""
    height, width = record.image_HWC.shape[:2]
    image_CHW = turn.picture(np.moveaxis(record.image_HWC, 2, 0))
    labels = {
        name: _turn_label(label, tasks[name], turn, height, width)
        for name, label in record.labels.items()
    }
    return dataclasses.replace(record, image_HWC=np.moveaxis(image_CHW, 0, 2), labels=labels)


def _turn_label(label: Any, task: Task, turn: Turn, height: int, width: int) -> Any:
    if label is None or task.kind in (Kind.TAGS, Kind.CAPTION):
        return label
    if task.kind is Kind.DETECTION:
        corners_N4 = turn.corners(label.corners_N4, height, width)
        return Boxes(label.category_N, corners_N4, label.ignore_N)
    if task.kind is Kind.NORMALS:
        return turn.normals(label, y_up=bool(y_up(task)))
    return turn.picture(label)


def x_across(task: Task) -> bool:
    """Whether x is along the image's width, either way: all that a flip needs to know."""
    words = (task.axes or "").lower().replace(",", " ").split()
    return words[:2] in (["x", "right"], ["x", "left"], ["x", "along"])


def y_up(task: Task) -> bool | None:
    """Whether y points up, by the task's axes; None when they are not understood."""
    words = (task.axes or "").lower().replace(",", " ").split()
    return {("x", "right", "y", "up"): True, ("x", "right", "y", "down"): False}.get(
        tuple(words[:4])  # type: ignore[arg-type]
    )
