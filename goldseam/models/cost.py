"""What a model costs: parameters and multiply-adds, counted on shapes alone.

Nothing is computed: tensors on PyTorch's meta device have shapes and no content. Convolutions and
matrix products count; what is done to each element does not. Papers that say FLOPs often mean
multiply-adds, as DiffusionMTL does.
"""

import dataclasses
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from goldseam.dataset.schema import Task
from goldseam.errors import InvalidConfig
from goldseam.models.config import ModelConfig
from goldseam.models.multitask import MultitaskModel, Output, Preprocessing


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a model costs.

    Attributes:
        parameters: that are learned.
        multiply_adds: an image.
    """

    parameters: int
    multiply_adds: float


def prediction_cost(config: ModelConfig, tasks: Mapping[str, Task], size: int) -> Cost:
    """The cost of predicting all tasks of one image.

    Args:
        config: the architecture.
        tasks: by name.
        size: height and width of the image in px.
    """
    model = _on_meta(config, tasks).eval()
    with torch.no_grad():
        count = _multiply_adds(model, 1, size, None)
    return Cost(_parameters(model), count)


def training_cost(
    config: ModelConfig, tasks: Mapping[str, Task], size: int, labels_per_image: float
) -> Cost:
    """The cost of a training step: forward and backward, every loss included.

    Args:
        config: the architecture.
        tasks: by name.
        size: height and width of the images in px.
        labels_per_image: mean number of dense tasks that an image is labeled for; between whole
            numbers the cost is on the line between them, which is exact from 1 on.

    Raises:
        InvalidConfig: that many labels an image cannot have.
    """
    model = _on_meta(config, tasks).train()
    most = len(model.dense)
    if not 0 <= labels_per_image <= most:
        raise InvalidConfig(
            f"{labels_per_image} labels an image were asked for; the model has {most} dense tasks.",
            remedy=f"Name a number from 0 to {most}.",
        )
    below = math.floor(labels_per_image)
    share = labels_per_image - below
    count = _step_cost(model, size, below)
    if share:
        count += share * (_step_cost(model, size, below + 1) - count)
    return Cost(_parameters(model), count)


def _step_cost(model: MultitaskModel, size: int, labels: int) -> float:
    """Multiply-adds an image of a step in which every image has so many labels."""
    images = max(len(model.dense), 1)
    known = {
        # the tasks take turns, so that each has as many labels as the others
        task: torch.tensor([(image - place) % images < labels for image in range(images)])
        for place, task in enumerate(model.dense)
    }
    return _multiply_adds(model, images, size, known) / images


def _multiply_adds(
    model: MultitaskModel, images: int, size: int, known: dict[str, Tensor] | None
) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    images_B3HW = torch.empty(images, 3, size, size, device="meta")
    with FlopCounterMode(display=False) as counter:
        output = model(images_B3HW, known)
        if known is not None:
            torch.autograd.backward(_any_loss(output))
    return float(counter.get_total_flops()) / 2


def _any_loss(output: Output) -> Tensor:
    """A number to which every output contributes."""
    parts = [x.sum() for d in (output.initial, output.final, output.tags) for x in d.values()]
    return torch.stack(parts).sum()


def _on_meta(config: ModelConfig, tasks: Mapping[str, Task]) -> MultitaskModel:
    with torch.device("meta"):
        return MultitaskModel(config, tasks, Preprocessing(), pretrained=False)


def _parameters(model: MultitaskModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
