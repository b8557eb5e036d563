"""Options of the affinity stage."""

from typing import Literal

import pydantic

from goldseam.artifacts import StageConfig


class AffinityConfig(StageConfig):
    """Options of `affinity`.

    Attributes:
        split: labeled images on which the model is scored. Validation, since what is found here may
            change which tasks are trained together, and the test split decides nothing.
        smallest: difference, as a share of the score, below which nobody need care: it may be
            beyond doubt and still too small to matter.
        resamples: draws of the bootstrap; whole groups are drawn.
        seed: of the draws.
        batch_size: images predicted at once.
        device: where predictions are computed.
    """

    split: str = "validation"
    smallest: float = pydantic.Field(default=0.01, ge=0)
    resamples: int = pydantic.Field(default=1000, ge=10)
    seed: int = 0
    batch_size: int = pydantic.Field(default=32, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
