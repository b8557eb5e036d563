"""Options of the train stage."""

from typing import Literal, Self

import pydantic

from goldseam.artifacts import StageConfig
from goldseam.dataset.schema import Derivation
from goldseam.models.config import DiffusionConfig
from goldseam.multitask.distillation.config import StudentConfig
from goldseam.trainer.config import LearningConfig


class TeacherConfig(StageConfig):
    """A moving average of the weights that teaches tasks on images without a label of them.

    Training draws images with a label of some task, and on these it teaches the others. It needs
    `optimizer.average`.

    Attributes:
        weight: of the loss against the teacher's predictions; 0 is off.
        ramp: share of the training over which the weight rises.
        confidence: how sure the teacher must be of a pixel; see `MeanTeacher`.
        tasks: that it teaches; all of the model's by default.
        strong: how strongly light and colors change for the student, 0 to 1.
    """

    weight: float = pydantic.Field(default=0.0, ge=0)
    ramp: float = pydantic.Field(default=0.3, ge=0, le=1)
    confidence: float = pydantic.Field(default=0.9, ge=0, le=1)
    tasks: tuple[str, ...] = ()
    strong: float = pydantic.Field(default=0.5, ge=0, le=1)


class ConsistencyConfig(StageConfig):
    """Agreement between tasks that derivations relate; see `Consistency`.

    Attributes:
        weight: of the losses; 0 is off.
        ramp: share of the training over which the weight rises.
        against: predictions of a task are held against labels of the other, against its
            predictions, or against both.
    """

    weight: float = pydantic.Field(default=0.0, ge=0)
    ramp: float = pydantic.Field(default=0.3, ge=0, le=1)
    against: Literal["labels", "predictions", "both"] = "labels"


class TrainConfig(LearningConfig):
    """Options of `train`.

    Attributes:
        tasks: what to predict; dense tasks and tags.
        diffusion: the denoiser; without it the plain multi-task model is trained.
        transfer: what is copied from the pretrained model, where one is given: its encoder, also
            its decoder, or also the heads (a clean task starts with those of its noisy version).
        derive: labels that are derived from labels of other tasks, where their own are unknown.
            `declared` takes the derivations of the dataset and those listed here, of which one with
            equal tasks and rule replaces the dataset's; `listed` takes those listed here.
        derivations: what the labels of one task say about another, beyond what the dataset
            declares; also for `consistency`.
        teacher: the mean teacher.
        consistency: between predictions of related tasks.
        student: a second model of the same form that learns from the first and is the result.
    """

    tasks: tuple[str, ...] = pydantic.Field(min_length=1)
    diffusion: DiffusionConfig | None = None
    transfer: Literal["encoder", "decoder", "heads"] = "encoder"
    derive: Literal["none", "declared", "listed"] = "declared"
    derivations: tuple[Derivation, ...] = ()
    teacher: TeacherConfig = TeacherConfig()
    consistency: ConsistencyConfig = ConsistencyConfig()
    student: StudentConfig = StudentConfig()

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Self:
        if self.teacher.weight and not self.optimizer.average:
            raise ValueError(
                "a teacher is the moving average of the weights: set optimizer.average, such as "
                "to 0.99, or teacher.weight to 0"
            )
        if strangers := set(self.teacher.tasks) - set(self.tasks):
            raise ValueError(f"teacher.tasks names {', '.join(sorted(strangers))}, not in tasks")
        if self.derivations and self.derive == "none" and not self.consistency.weight:
            raise ValueError(
                "derivations are listed and not used: set derive to declared or listed, or a "
                "consistency.weight"
            )
        if self.derive == "listed" and not self.derivations:
            raise ValueError("derive is 'listed', and no derivations are")
        return self
