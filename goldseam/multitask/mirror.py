"""Predictions of mirrored images, mirrored back: what they say about the images as they are.

Shapes: B batch, C categories, H and W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from goldseam.dataset.augmentation.symmetry import x_across
from goldseam.dataset.schema import Kind, Task
from goldseam.models.multitask import MultitaskModel


def can_mirror(task: Task) -> bool:
    """Whether a label of the mirrored image tells that of the image; unclear of other axes."""
    return task.kind is not Kind.NORMALS or x_across(task)


def mirrored_back(task: Task, prediction: Tensor) -> Tensor:
    """What a prediction of mirrored images says about the images.

    Args:
        task: what is predicted; one that can be mirrored.
        prediction: as `MultitaskModel.predict` gives it.
    """
    if task.kind is Kind.TAGS:
        return prediction
    straight = prediction.flip(-1)
    if task.kind is Kind.NORMALS:
        straight = straight * straight.new_tensor([-1.0, 1.0, 1.0])[:, None, None]
    return straight


@torch.no_grad()
def mean_of_mirrored(model: MultitaskModel, images_BCHW: Tensor) -> dict[str, Tensor]:
    """Mean of what a model predicts of images and of the mirrored images.

    A task that cannot be mirrored is predicted from the images as they are. Mean normals have
    length 1.

    Args:
        model: predicts.
        images_BCHW: in [0, 1].
    """
    found = model.predict(images_BCHW)
    mirrored = model.predict(images_BCHW.flip(-1))
    for name, straight in found.items():
        task = model.tasks[name]
        if can_mirror(task):
            mean = (straight + mirrored_back(task, mirrored[name])) / 2
            found[name] = F.normalize(mean, dim=1) if task.kind is Kind.NORMALS else mean
    return found
