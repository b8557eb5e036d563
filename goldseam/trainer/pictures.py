"""A sheet of a few validation images, their labels and what the model says of them.

H, W pixels. What nobody labeled is drawn as unknown.
"""

from collections.abc import Mapping

import numpy as np
import torch

from goldseam.dataset.batch import unit_image
from goldseam.dataset.codecs import Array
from goldseam.dataset.drawing import draw_label, value_limits
from goldseam.dataset.reading import Dataset, Record
from goldseam.dataset.schema import Kind, Task
from goldseam.models.multitask import DENSE, MultitaskModel

IMAGES = 4
GAP = 4
THRESHOLD = 0.5


def draw_sheet(
    model: MultitaskModel, dataset: Dataset, tasks: Mapping[str, Task], images: int = IMAGES
) -> Array:
    """One row an image: the image, then for each dense task its label and its prediction.

    Args:
        model: in evaluation mode.
        dataset: of whose validation split evenly spaced images are taken.
        tasks: of the model.
        images: number of rows.

    Returns:
        `uint8 [rows, columns, 3]`.
    """
    dense = {name: task for name, task in tasks.items() if task.kind in DENSE}
    count = dataset.info.rows("validation")
    rows = np.unique(np.linspace(0, count - 1, min(images, count)).round().astype(int)).tolist()
    records = dataset.records("validation", list(dense), rows)
    lines = [_stack(_panels(model, record, dense), axis=1) for record in records]
    return _stack(lines, axis=0)


def _panels(model: MultitaskModel, record: Record, tasks: Mapping[str, Task]) -> list[Array]:
    image_HW3 = record.image_HWC[:, :, :3]
    image_3HW = np.ascontiguousarray(np.moveaxis(unit_image(record)[:, :, :3], 2, 0))
    device = next(model.parameters()).device
    found = model.predict(torch.from_numpy(image_3HW)[None].to(device))
    panels = [np.ascontiguousarray(image_HW3)]
    for name, task in tasks.items():
        label = record.labels[name]
        predicted = as_label(task, found[name][0].cpu().numpy())
        limits = None
        if task.kind is Kind.REGRESSION:
            # label and prediction in the same colors
            limits = value_limits(predicted if label is None else label)
        panels.append(draw_label(task, label, image_HW3, limits=limits))
        panels.append(draw_label(task, predicted, image_HW3, limits=limits))
    return panels


def as_label(task: Task, prediction: Array) -> Array:
    """What the model predicts of an image, in the form of a dense task's label.

    Args:
        task: of a dense kind.
        prediction: of one image, as `MultitaskModel.predict` gives it; boundary and saliency are
            cut at one half.
    """
    if task.kind is Kind.SEGMENTATION:
        category_HW: Array = prediction.argmax(axis=0).astype(np.uint16)
        return category_HW
    if task.kind in (Kind.REGRESSION, Kind.NORMALS):
        return prediction.astype(np.float32)
    return (prediction >= THRESHOLD).astype(np.uint8)


def _stack(pictures: list[Array], axis: int) -> Array:
    """Side by side or below each other with a white gap; pictures may differ in size."""
    other = 1 - axis
    size = max(picture.shape[other] for picture in pictures)

    def padded(picture: Array) -> Array:
        margins = [(0, 0), (0, 0), (0, 0)]
        margins[other] = (0, size - picture.shape[other])
        margins[axis] = (0, GAP)
        return np.pad(picture, margins, constant_values=255)

    return np.concatenate([padded(picture) for picture in pictures], axis=axis)
