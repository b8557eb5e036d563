"""What a step of distillation minimizes: the distance to the teacher, and to the known labels."""

import torch
from torch import Tensor

from goldseam.dataset.batch import Batch
from goldseam.models.multitask import MultitaskModel
from goldseam.multitask.distillation.config import ImitationConfig
from goldseam.multitask.distillation.losses import imitation_losses
from goldseam.trainer.losses import MultitaskLoss
from goldseam.trainer.objective import StepContext

NOTHING = "nothing"


class Distillation:
    """The teacher predicts the very images that the student sees, changed as they are.

    Losses against the teacher are named `task.teacher`; those of known labels have the names that
    supervised learning gives them. Every image counts against the teacher, so that a mean over the
    images of one process is as good as one over all.

    Args:
        loss: of known labels.
        teacher: is frozen and put into evaluation mode; it must be on the batches' device.
        config: weights and temperature.
    """

    def __init__(
        self, loss: MultitaskLoss, teacher: MultitaskModel, config: ImitationConfig
    ) -> None:
        self.loss = loss
        self.teacher = teacher.eval().requires_grad_(False)
        self.config = config

    def __call__(
        self, model: MultitaskModel, batch: Batch, context: StepContext
    ) -> dict[str, Tensor]:
        """Losses of a step; those of labels only where some are known."""
        config = self.config
        given = model.draw_given(batch.targets, batch.known, context.generator)
        with context.autocast():
            with torch.no_grad():
                predictions = self.teacher.predict(batch.images_BCHW)
            output = model(batch.images_BCHW, None, context.generator, given=given)
        imitation = imitation_losses(
            {**output.initial, **output.final, **output.tags},
            predictions,
            self.loss.tasks,
            self.loss.values,
            config.temperature,
        )
        losses = {f"{task}.teacher": config.teacher_weight * x for task, x in imitation.items()}
        if config.label_weight:
            labeled = self.loss(
                output, batch.targets, batch.known, context.share, context.place(batch)
            )
            losses |= {
                name: config.label_weight * loss
                for name, loss in labeled.items()
                if name != NOTHING
            }
        return losses
