"""Options of the noise measurements."""

import pydantic

from goldseam.artifacts import StageConfig


class NoiseConfig(StageConfig):
    """How a noisy label is compared with its clean version.

    Attributes:
        band: px; pixels at most so far from another category of the clean label count as boundary.
        reach: px; shifts and distances between outlines are looked for up to here.
        minimum_pixels: a category's outlines are compared on images where the clean and the noisy
            label both show at least so many pixels of it.
        minimum_object: px; smaller connected regions are specks, not objects that can be left out.
        minimum_overlap: intersection over union from which two boxes are taken for one object.
        resamples: bootstrap draws of groups behind each interval.
        seed: of the draws.
    """

    band: int = pydantic.Field(default=2, ge=1, le=64)
    reach: int = pydantic.Field(default=8, ge=1, le=64)
    minimum_pixels: int = pydantic.Field(default=32, ge=1)
    minimum_object: int = pydantic.Field(default=4, ge=1)
    minimum_overlap: float = pydantic.Field(default=0.3, gt=0, le=1)
    resamples: int = pydantic.Field(default=1000, ge=20, le=100_000)
    seed: int = 0
