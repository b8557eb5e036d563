"""Options of learning from a teacher's predictions."""

from typing import Literal

import pydantic

from goldseam.artifacts import StageConfig
from goldseam.models.config import DiffusionConfig
from goldseam.trainer.config import LearningConfig


class ImitationConfig(StageConfig):
    """How a student learns from a teacher's predictions.

    Attributes:
        teacher_weight: of the losses against the teacher's predictions.
        label_weight: of the losses against known labels; 0 learns from the teacher alone.
        temperature: flattens the category probabilities of teacher and student before they are
            compared; above 1 the teacher's second choices count more.
    """

    teacher_weight: float = pydantic.Field(default=1.0, gt=0)
    label_weight: float = pydantic.Field(default=0.5, ge=0)
    temperature: float = pydantic.Field(default=2.0, gt=0)


class StudentConfig(ImitationConfig):
    """A second model of the same form that learns from the first, on every image of the split.

    It starts from new weights, sees labels of its own and derived ones, and is the result: the
    first model, its teacher, is thrown away.

    Attributes:
        steps: of its training; 0 is off.
        label_weight: of the losses against known labels.
    """

    steps: int = pydantic.Field(default=0, ge=0)
    label_weight: float = pydantic.Field(default=1.0, ge=0)


class DistilConfig(ImitationConfig, LearningConfig):
    """Options of `distil`, beside those of `ImitationConfig`.

    Attributes:
        tasks: what the student predicts; empty for all that the teacher does.
        student: `teacher` has the teacher's network and begins with its weights (then `network` may
            be left out), also of its denoiser where both have one of the same form; `own` is the
            `network` section, from scratch.
        diffusion: the student's denoiser; without it the student is the plain multi-task model,
            which predicts in one pass.
    """

    tasks: tuple[str, ...] = ()
    student: Literal["teacher", "own"] = "teacher"
    diffusion: DiffusionConfig | None = None
