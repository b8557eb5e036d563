"""Options of the train stage."""

from typing import Literal

import pydantic

from goldseam.models.config import DiffusionConfig
from goldseam.trainer.config import LearningConfig


class TrainConfig(LearningConfig):
    """Options of `train`.

    Attributes:
        tasks: what to predict; dense tasks and tags.
        diffusion: the denoiser; without it the plain multi-task model is trained.
        transfer: what is copied from the pretrained model, where one is given: its encoder, also
            its decoder, or also the heads (a clean task starts with those of its noisy version).
    """

    tasks: tuple[str, ...] = pydantic.Field(min_length=1)
    diffusion: DiffusionConfig | None = None
    transfer: Literal["encoder", "decoder", "heads"] = "encoder"
