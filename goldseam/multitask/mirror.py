"""Predictions of mirrored images, mirrored back: what they say about the images as they are.

Shapes: B batch, C categories, H and W pixels.
"""

from torch import Tensor

from goldseam.dataset.augmentation.symmetry import x_across
from goldseam.dataset.schema import Kind, Task


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
