"""Mean teacher: the moving average of the weights labels what nobody has labeled.

Shapes: B images of the batch, U images without a label of the task, C categories, H and W pixels.
Source: Tarvainen and Valpola, Mean teachers are better role models, 2017; confident predictions
only, and a stronger change for the student, as in Sohn et al., FixMatch, 2020.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from goldseam.dataset.batch import Batch
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig
from goldseam.models.multitask import MultitaskModel
from goldseam.multitask.mirror import can_mirror, mirrored_back
from goldseam.multitask.terms import Seen, ramp
from goldseam.trainer.objective import StepContext

if TYPE_CHECKING:
    from goldseam.multitask.config import TeacherConfig

CONTINUOUS = (Kind.REGRESSION, Kind.NORMALS)
RIGHT_ANGLE = 90.0  # degrees


def require_teachable(tasks: Mapping[str, Task]) -> None:
    """Refuse tasks of which the teacher cannot tell whether it is sure.

    Raises:
        InvalidConfig: normals whose x axis is not along the image's width: the mirrored image says
            nothing about them.
    """
    for name, task in tasks.items():
        if not can_mirror(task):
            raise InvalidConfig(
                f"the teacher checks normals on the mirrored image, and task '{name}' has the "
                f"camera axes {task.axes!r}.",
                remedy=f"Name the other tasks under teacher.tasks, or mend tasks.{name}.axes "
                "where x is along the width.",
            )


class MeanTeacher:
    """What the averaged model predicts of an image, where its label of a task is unknown.

    It teaches on the images of a batch; training draws those that carry a label of some task, so
    that images without any label teach nothing. The teacher sees the image as it is and gives no
    gradient. Of what it predicts counts what it is sure of, at confidence c: a category, boundary,
    salient pixel or tag of probability c or its absence of at most 1 - c; a value or normal that it
    finds again in the mirrored image, to within 1 - c of the spread of the labels, or of a right
    angle. The loss is a mean over all pixels of the unlabeled images, or over all unknown tags: few
    sure ones weigh little.

    Args:
        config: weight, confidence, tasks.
        tasks: of the model, by name.
        values: regression task → (center, spread) of its known values.

    Raises:
        InvalidConfig: see `require_teachable`.
    """

    suffix = "teacher"

    def __init__(
        self,
        config: "TeacherConfig",
        tasks: Mapping[str, Task],
        values: Mapping[str, tuple[float, float]],
    ) -> None:
        self.config = config
        self.tasks = {name: tasks[name] for name in config.tasks or tasks}
        self.values = values
        require_teachable(self.tasks)

    def images(self, known: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every image, for each of the teacher's tasks: with a label or for want of one."""
        return {task: torch.ones_like(known[task]) for task in self.tasks}

    def losses(self, seen: Seen, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """`task.teacher` for each task that some image has no label of.

        Raises:
            InvalidConfig: no moving average is kept.
        """
        if context.average is None:
            raise InvalidConfig(
                "a teacher is asked for, and no moving average of the weights is kept.",
                remedy="Set optimizer.average, such as to 0.99, or teacher.weight to 0.",
            )
        weight = self.config.weight * ramp(context.share, self.config.ramp)
        missing = {task: self._missing(task, batch) for task in self.tasks}
        if not any(bool(entries.any()) for entries in missing.values()):
            return {}
        with context.autocast():
            taught, mirrored = self._predictions(context.average, batch.images_BCHW)
        found: dict[str, Tensor] = {}
        for task, missing_B in missing.items():
            # of tags, single entries may be unknown
            chosen_B = missing_B.flatten(1).any(dim=1) if missing_B.ndim > 1 else missing_B
            if not bool(chosen_B.any()):
                continue
            logits = seen.logits(task, chosen_B)
            target = taught[task][chosen_B].float()
            other = mirrored[task][chosen_B].float() if task in mirrored else None
            loss, sure = self._difference(task, logits, target, other)
            if missing_B.ndim > 1:
                # known tags of an image neither count nor dilute
                unknown = missing_B[chosen_B]
                loss, sure = loss[unknown], sure[unknown]
            # the mean over all of them, not over the sure ones
            found[f"{task}.{self.suffix}"] = weight * torch.where(sure, loss, 0.0).mean()
        return found

    def _missing(self, task: str, batch: Batch) -> Tensor:
        """What nobody has labeled: bool B, or B C for tags."""
        known_B = batch.known[task]
        if self.tasks[task].kind is not Kind.TAGS:
            return ~known_B
        return ~known_B[:, None] | (batch.targets[task] < 0)

    @torch.no_grad()
    def _predictions(
        self, teacher: MultitaskModel, images_BCHW: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What the teacher predicts, and continuous tasks again from the mirrored images."""
        taught = teacher.predict(images_BCHW)
        continuous = [name for name, task in self.tasks.items() if task.kind in CONTINUOUS]
        if not continuous:
            return taught, {}
        again = teacher.predict(images_BCHW.flip(-1))
        return taught, {name: mirrored_back(self.tasks[name], again[name]) for name in continuous}

    def _difference(
        self, task: str, logits: Tensor, target: Tensor, mirrored: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Loss of each pixel or tag against the teacher, and where the teacher is sure."""
        sure_of, kind = self.config.confidence, self.tasks[task].kind
        if kind is Kind.SEGMENTATION:
            loss = -(target * logits.log_softmax(dim=1)).sum(dim=1)
            return loss, target.amax(dim=1) >= sure_of
        if mirrored is not None and kind is Kind.NORMALS:
            both = F.normalize(target + mirrored, dim=1)
            cosine = F.cosine_similarity(target, mirrored, dim=1).clamp(-1, 1)
            sure = cosine.arccos().rad2deg() <= (1 - sure_of) * RIGHT_ANGLE
            return 1 - F.cosine_similarity(logits, both, dim=1), sure
        if mirrored is not None:
            center, spread = self.values.get(task, (0.0, 1.0))
            both = ((target + mirrored) / 2 - center) / spread
            sure = (target - mirrored).abs() <= (1 - sure_of) * spread
            return (logits[:, 0] - both).abs(), sure
        logits = logits if kind is Kind.TAGS else logits[:, 0]
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return loss, torch.maximum(target, 1 - target) >= sure_of
