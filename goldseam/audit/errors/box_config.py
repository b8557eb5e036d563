"""Options of the search for wrong boxes."""

import pydantic

from goldseam.artifacts import StageConfig


class BoxConfig(StageConfig):
    """Options of the search for wrong boxes.

    Attributes:
        floor: predictions with a lower score are not looked at.
        touch: intersection over union from which a prediction speaks about a labeled box.
        match: intersection over union from which both mean the same object.
        loose: a box whose overlap is usual for its category and at least this is well placed.
        robust_z: how many robust deviations below the usual overlap of its category a box has to
            lie to be badly placed.
        tolerance_px: a box whose corners all lie this near to the predicted ones is well placed.
        ignored_share: predictions of which an ignore box covers this share are not looked at.
        minimum_score: estimated chance that a label is wrong below which nothing is said.
        least_found: share of labels of a size that the model has to find before a label it does not
            find counts as spurious.
        minimum_matches: matched boxes a category needs before anything is said about it.
    """

    floor: float = pydantic.Field(default=0.05, ge=0, lt=1)
    touch: float = pydantic.Field(default=0.1, gt=0, lt=1)
    match: float = pydantic.Field(default=0.5, gt=0, lt=1)
    loose: float = pydantic.Field(default=0.6, gt=0, le=1)
    robust_z: float = pydantic.Field(default=3.5, gt=0)
    tolerance_px: float = pydantic.Field(default=1.5, ge=0)
    ignored_share: float = pydantic.Field(default=0.5, gt=0, le=1)
    minimum_score: float = pydantic.Field(default=0.5, ge=0, le=1)
    least_found: float = pydantic.Field(default=0.7, ge=0.5, lt=1)
    minimum_matches: int = pydantic.Field(default=10, ge=2)

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> "BoxConfig":
        if not self.touch < self.match <= self.loose:
            raise ValueError("touch < match <= loose must hold")
        return self
