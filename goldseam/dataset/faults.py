"""What a decoded label must be to fit its task and image; writer, reader and check ask the same.

H, W pixels of the image; C categories; N boxes.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from goldseam.dataset.codecs import STATE_OF, UNKNOWN, Array, BadCell, Boxes
from goldseam.dataset.schema import Kind, Task

UNIT_TOLERANCE = 0.01
# corners are float32: a box that ends at the edge may miss it by rounding
EDGE_TOLERANCE_PX = 0.001


def label_faults(task: Task, label: Any, height: int, width: int) -> Iterator[BadCell]:
    """Everything that is wrong with a label, given as `codecs.decode_label` gives it.

    Args:
        task: what the label should be.
        label: the array, `Boxes` or text; None, the unknown label, has no fault.
        height: of its image, in px.
        width: of its image, in px.
    """
    if label is None:
        return
    if task.kind is Kind.DETECTION:
        yield from _box_faults(task, label, height, width)
    elif task.kind is Kind.TAGS:
        yield from _tag_faults(task, np.asarray(label))
    elif task.kind is Kind.CAPTION:
        if not label.strip():
            yield BadCell("an empty caption", "text")
    else:
        yield from _picture_faults(task, np.asarray(label), height, width)


def _picture_faults(task: Task, label: Array, height: int, width: int) -> Iterator[BadCell]:
    expected = (3, height, width) if task.kind is Kind.NORMALS else (height, width)
    if label.shape != expected:
        found = " x ".join(str(length) for length in reversed(label.shape))
        yield BadCell(
            f"a label of {found} px",
            f"the size of its image, {width} x {height} px",
            "Cut or resample the label to its image, or leave it out: unknown is null.",
        )
    elif task.kind is Kind.NORMALS:
        length_HW = np.sqrt((label**2).sum(axis=0))
        wrong_HW = np.isfinite(length_HW) & (abs(length_HW - 1) > UNIT_TOLERANCE)
        if wrong_HW.any():
            yield BadCell(f"a normal of length {length_HW[wrong_HW][0]:.3f}", "unit vectors")
    elif task.kind is not Kind.REGRESSION:
        count = len(task.categories) if task.kind is Kind.SEGMENTATION else 2
        outside_HW = ((label < 0) | (label >= count)) & (label != task.ignore)
        if outside_HW.any():
            ids = ", ".join(str(i) for i in np.unique(label[outside_HW])[:5])
            yield BadCell(
                f"pixels of id {ids} ({outside_HW.sum()} of {label.size})",
                f"ids of 0 to {count - 1}, or {task.ignore} for ignored",
                "Add the category to dataset.yaml, or give those pixels the ignore id.",
            )


def _box_faults(task: Task, boxes: Boxes, height: int, width: int) -> Iterator[BadCell]:
    corners_N4 = np.asarray(boxes.corners_N4, np.float32).reshape(-1, 4)
    edge = np.array([width, height, width, height], np.float32)
    for number, (category, corners) in enumerate(
        zip(np.asarray(boxes.category_N).tolist(), corners_N4, strict=True)
    ):
        if not 0 <= category < len(task.categories):
            yield BadCell(
                f"box {number} of category id {category}",
                f"ids of 0 to {len(task.categories) - 1}",
                "Add the category to dataset.yaml, or leave the box out.",
            )
        found = f"box {number} at " + ", ".join(f"{corner:g}" for corner in corners)
        if not (corners[2:] > corners[:2]).all():
            yield BadCell(found, "xmin < xmax and ymin < ymax", "Mend the box, or leave it out.")
        elif (corners < -EDGE_TOLERANCE_PX).any() or (corners > edge + EDGE_TOLERANCE_PX).any():
            yield BadCell(
                found,
                f"a box inside the image of {width} x {height} px",
                "Clip the box to the image, and mark it `ignore` where the object is cut.",
            )


def _tag_faults(task: Task, state_C: Array) -> Iterator[BadCell]:
    if state_C.shape != (len(task.categories),):
        yield BadCell(
            f"an array of shape {state_C.shape}",
            f"{len(task.categories)} states",
        )
    elif not np.isin(state_C, (UNKNOWN, *(STATE_OF[part.name] for part in task.column))).all():
        more = ", -2 unsure" if task.unsure else ""
        yield BadCell(f"states {np.unique(state_C)}", f"1 present, 0 absent, -1 unknown{more}")
