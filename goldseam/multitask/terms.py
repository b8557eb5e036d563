"""What adds to the losses of known labels: terms that read predictions of images without a label.

Shapes: B images of the batch, K images that a task was computed on, C_t channels of a task.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from goldseam.dataset.batch import Batch
from goldseam.models.multitask import MultitaskModel, Output
from goldseam.trainer.objective import StepContext

STEEPNESS = 5.0


@dataclasses.dataclass(frozen=True)
class Seen:
    """The predictions of one step, with gradients.

    Attributes:
        model: that made them.
        output: of its forward pass.
    """

    model: MultitaskModel
    output: Output

    def logits(self, task: str, chosen_B: Tensor) -> Tensor:
        """Logits of a task on some images, `K C_t H W` (`K C` for tags), float32.

        Args:
            task: of the model.
            chosen_B: bool; images that the task was computed on, see `Term.images`.
        """
        if task in self.output.tags:
            return self.output.tags[task][chosen_B].float()
        last = self.output.final.get(task, self.output.initial[task])
        return last[chosen_B[self.output.rows[task]]].float()


class Term(Protocol):
    """Losses beside those of known labels, from the same forward pass.

    Attributes:
        suffix: of its losses' names, which are `task.suffix`.
    """

    suffix: str

    def images(self, known: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Dense task → bool B: the images whose predictions the term reads."""
        ...

    def losses(self, seen: Seen, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """`task.suffix` → loss, weighted by the term's own weight; nothing to say, no entry."""
        ...


def ramp(share: float, length: float) -> float:
    """How far a term is switched on after a share of the training, rising to 1.

    Source: exp(-5 (1 - p)^2) of Laine and Aila, Temporal Ensembling, 2017.

    Args:
        share: of the training that is done, in [0, 1].
        length: share of the training over which it rises; 0 is on at once.
    """
    done = 1.0 if length <= 0 else min(share / length, 1.0)
    return math.exp(-STEEPNESS * (1 - done) ** 2)


def union(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Task → images of either."""
    joined = dict(first)
    for task, chosen_B in second.items():
        joined[task] = joined[task] | chosen_B if task in joined else chosen_B
    return joined


def counted_mean(loss: Tensor, counted: Tensor) -> Tensor:
    """Mean over what counts in this process; 0, with zero gradient, when nothing does."""
    return torch.where(counted, loss, 0.0).sum() / counted.sum().clamp(min=1)
