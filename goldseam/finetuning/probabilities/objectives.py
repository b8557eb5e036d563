"""What a decision threshold is chosen for; options that a recipe may name."""

from typing import Literal

import pydantic

from goldseam.artifacts import StageConfig


class FBeta(StageConfig):
    """Maximize F-beta, the weighted harmonic mean of precision and recall.

    Attributes:
        kind: names this objective.
        beta: recall weighs beta times as much as precision.
    """

    kind: Literal["f_beta"] = "f_beta"
    beta: float = pydantic.Field(default=1.0, gt=0, allow_inf_nan=False)

    @property
    def score(self) -> str:
        """What it is called in results, such as `f1`."""
        return f"f{self.beta:g}"

    @property
    def title(self) -> str:
        """What it is called in words."""
        return f"F{self.beta:g}"


class ExpectedCost(StageConfig):
    """Minimize the expected cost of a decision; only the ratio of the two moves the threshold.

    Attributes:
        kind: names this objective.
        false_alarm: cost of calling present what is absent, in any unit.
        miss: cost of calling absent what is present, in the same unit.
    """

    kind: Literal["cost"] = "cost"
    false_alarm: float = pydantic.Field(default=1.0, gt=0, allow_inf_nan=False)
    miss: float = pydantic.Field(default=1.0, gt=0, allow_inf_nan=False)

    @property
    def score(self) -> str:
        """What it is called in results."""
        return "cost"

    @property
    def title(self) -> str:
        """What it is called in words."""
        return "Cost a label"
