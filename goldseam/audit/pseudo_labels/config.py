"""Options of the pseudo-label audit."""

from typing import Annotated

import pydantic

from goldseam.artifacts import StageConfig


class PseudoLabelConfig(StageConfig):
    """Which pseudo-labels would be made of unknown tags, and how wrong they may be.

    Attributes:
        thresholds: confidences; a tag becomes "present" where the model gives it at least so much,
            "absent" where it gives it at most 1 minus that.
        maximum_wrong: share of wrong pseudo-labels that the advised thresholds keep to, by the
            upper end of the interval.
        minimum_compared: known labels in each bin of confidence that pseudo-labels are compared in.
        resamples: bootstrap draws of groups behind each interval.
        seed: of the draws.
    """

    thresholds: tuple[Annotated[float, pydantic.Field(ge=0.5, le=1)], ...] = (0.9,)
    maximum_wrong: float = pydantic.Field(default=0.05, gt=0, lt=1)
    minimum_compared: int = pydantic.Field(default=20, ge=1)
    resamples: int = pydantic.Field(default=1000, ge=20, le=100_000)
    seed: int = 0
