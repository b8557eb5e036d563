"""What a training step minimizes: from a model and a batch to named losses.

The loop knows nothing of tasks. An objective runs the model and returns one loss a name; a balance
makes them one number. Supervised learning, a teacher and distillation are three objectives.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from goldseam.dataset.batch import Batch
from goldseam.models.multitask import MultitaskModel
from goldseam.trainer.losses import MultitaskLoss, Place


@dataclasses.dataclass(frozen=True)
class StepContext:
    """Where in a run a step stands.

    Attributes:
        step: steps done before this one.
        steps: of the whole run.
        generator: source of the denoiser's noise, a function of (seed, step); None for none.
        average: the moving average of the weights, in evaluation mode; None where none is kept.
        autocast: makes the context in which forward passes run.
    """

    step: int
    steps: int
    generator: torch.Generator | None = None
    average: MultitaskModel | None = None
    autocast: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext

    @property
    def share(self) -> float:
        """Share of the run that is done, in [0, 1)."""
        return self.step / self.steps

    def place(self, batch: Batch) -> Place:
        """Where in the run a batch stands, for label strategies."""
        return Place(self.step, self.steps, batch.image_ids)


class Objective(Protocol):
    """Runs the model on a batch and gives its losses, before any weight.

    A name is a task, or a task with a suffix after a dot (`depth.initial`, `depth.teacher`): the
    task's weight counts for both. Losses of nothing known are left out.

    Where several processes train together, gradients are averaged over them. A loss that is to be
    the one of the whole batch takes its means by `goldseam.trainer.reduction.mean_over`; then each
    process must come to it, also one that has nothing to add. A plain mean is one of the process.
    Balances compare gradients over all processes: each process returns losses of the same names.
    """

    def __call__(
        self, model: MultitaskModel, batch: Batch, context: StepContext
    ) -> dict[str, Tensor]:
        """Losses of a step, each a scalar."""
        ...


class Supervised:
    """The labels, and nothing else."""

    def __init__(self, loss: MultitaskLoss) -> None:
        self.loss = loss

    def __call__(
        self, model: MultitaskModel, batch: Batch, context: StepContext
    ) -> dict[str, Tensor]:
        """Losses of the known labels of a batch."""
        given = model.draw_given(batch.targets, batch.known, context.generator)
        with context.autocast():
            output = model(batch.images_BCHW, batch.known, context.generator, given=given)
        return self.loss(output, batch.targets, batch.known, context.share, context.place(batch))
