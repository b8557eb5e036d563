"""Options of the pretrain stage."""

from typing import Literal

from goldseam.trainer.config import LearningConfig


class PretrainConfig(LearningConfig):
    """Options of `pretrain`.

    Attributes:
        task: the noisy task; a segmentation.
        objective: `cross_entropy`, or with a Dice term as in the remote-sensing literature.
    """

    task: str = "cover_map"
    objective: Literal["cross_entropy", "cross_entropy_dice"] = "cross_entropy_dice"
