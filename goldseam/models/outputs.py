"""What a model gives: channels of each kind of task, training outputs, predictions.

Shapes: B batch, K labeled images of a task, C_t channels of task t, H and W pixels.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Annotated, Self

import pydantic
import torch
import torch.nn.functional as F
from torch import Tensor

from goldseam.dataset.decisions import USUAL_THRESHOLD
from goldseam.dataset.schema import Kind, Task

DENSE = (Kind.SEGMENTATION, Kind.BOUNDARY, Kind.SALIENCY, Kind.REGRESSION, Kind.NORMALS)
NORMAL_CHANNELS = 3
# category → from which probability on it is called present; None where that cannot be told
Thresholds = dict[str, Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)] | None]


class TagCurve(pydantic.BaseModel):
    """A category's logits into probabilities, where a sigmoid does not fit.

    Attributes:
        logits: ascending knots; beyond them the ends hold, between them a line.
        probabilities: at the knots, non-decreasing, strictly between 0 and 1.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    logits: tuple[float, ...] = pydantic.Field(min_length=1)
    probabilities: tuple[Annotated[float, pydantic.Field(gt=0, lt=1)], ...]

    @pydantic.model_validator(mode="after")
    def _ascends(self) -> Self:
        pairs = zip(self.logits, self.logits[1:], strict=False)
        shares = zip(self.probabilities, self.probabilities[1:], strict=False)
        if (
            len(self.logits) != len(self.probabilities)
            or any(not low < high for low, high in pairs)
            or any(low > high for low, high in shares)
        ):
            raise ValueError("a curve has ascending logits and as many non-decreasing shares")
        return self

    def __call__(self, logit_B: Tensor) -> Tensor:
        """Probabilities; a sum of ramps, which any export can express."""
        made_B = torch.full_like(logit_B, self.probabilities[0])
        knots = list(zip(self.logits, self.probabilities, strict=True))
        for (start, low), (end, high) in itertools.pairwise(knots):
            if high > low:
                made_B = made_B + (high - low) * ((logit_B - start) / (end - start)).clamp(0, 1)
        return made_B


class Preprocessing(pydantic.BaseModel):
    """What is done to pixels and values around the network; part of every checkpoint.

    Attributes:
        mean: of each channel, for images in [0, 1].
        std: of each channel.
        values: regression task → (center, spread) of its known training values.
        tag_curves: tags task → category → the map of its logits; all others pass a sigmoid.
        tag_thresholds: tags task → category → from which probability on it is called present; 1 or
            more is never. None where known labels cannot tell: then nothing is decided. For a
            category that is not named nobody chose one, and 0.5 is taken.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    values: dict[str, tuple[float, float]] = {}
    tag_curves: dict[str, dict[str, TagCurve]] = {}
    tag_thresholds: dict[str, Thresholds] = {}

    def scale_of(self, task: str) -> tuple[float, float]:
        """(center, spread) of a regression task; (0, 1) where nothing was measured."""
        return self.values.get(task, (0.0, 1.0))

    def thresholds_of(self, tasks: Mapping[str, Task]) -> dict[str, Thresholds]:
        """Tags task → the threshold of every category, in their order; None: no decision."""
        found: dict[str, Thresholds] = {}
        for name, task in tasks.items():
            if task.kind is Kind.TAGS:
                chosen = self.tag_thresholds.get(name, {})
                found[name] = {c: chosen.get(c, USUAL_THRESHOLD) for c in task.categories}
        return found


@dataclasses.dataclass
class Output:
    """What a training step needs.

    Attributes:
        rows: dense task → indices K of the images that were computed with gradients.
        initial: dense task → `K C_t H W` logits (segmentation, boundary, saliency),
            standardized values (regression) or vectors of any length (normals).
        final: the same after the denoiser; empty for the plain model.
        tags: tags task → `B C` logits.
    """

    rows: dict[str, Tensor]
    initial: dict[str, Tensor]
    final: dict[str, Tensor]
    tags: dict[str, Tensor]

    def nothing(self) -> Tensor:
        """0 with zero gradient: the loss where there is nothing to learn."""
        found = [*self.initial.values(), *self.tags.values()]
        return torch.stack([output.float().sum() for output in found]).sum() * 0.0


def channels_of(task: Task) -> int:
    """Output channels C_t of a dense task."""
    if task.kind is Kind.SEGMENTATION:
        return len(task.categories)
    return NORMAL_CHANNELS if task.kind is Kind.NORMALS else 1


def head_channels(task: Task, saliency_channels: int) -> int:
    """Channels of a dense task's last layer: those of its output, or the pair of a softmax."""
    return saliency_channels if task.kind is Kind.SALIENCY else channels_of(task)


def one_logit(task: Task, raw_KCHW: Tensor) -> Tensor:
    """The output of a head; of a saliency softmax the logit with the same probability."""
    if task.kind is Kind.SALIENCY and raw_KCHW.shape[1] == 2:
        return raw_KCHW[:, 1:] - raw_KCHW[:, :1]
    return raw_KCHW


def prediction(task: Task, logits_BCHW: Tensor, scale: tuple[float, float]) -> Tensor:
    """What a dense task's output means.

    Args:
        task: whose output.
        logits_BCHW: see `Output`.
        scale: (center, spread) of a regression task.

    Returns:
        Segmentation `B C H W` probabilities; boundary and saliency `B H W` probabilities;
        regression `B H W` in the task's unit; normals `B 3 H W` of length 1. All float32.
    """
    logits_BCHW = logits_BCHW.float()
    if task.kind is Kind.SEGMENTATION:
        return logits_BCHW.softmax(dim=1)
    if task.kind is Kind.NORMALS:
        return F.normalize(logits_BCHW, dim=1)
    if task.kind is Kind.REGRESSION:
        center, spread = scale
        return logits_BCHW[:, 0] * spread + center
    return logits_BCHW[:, 0].sigmoid()


def predicted_by(model_tasks: Mapping[str, Task], tasks: Mapping[str, Task]) -> dict[str, str]:
    """Task → task of the model that predicts it: itself, or else its noisy version.

    The model of a noisy map answers for the clean task; that is how it is scored "used directly".
    """
    found: dict[str, str] = {}
    for name, task in tasks.items():
        if name in model_tasks:
            found[name] = name
            continue
        for other, spec in model_tasks.items():
            if spec.noisy_version_of == name and spec.categories == task.categories:
                found[name] = other
    return found
