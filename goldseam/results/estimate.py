"""A number together with how sure of it one may be."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number with its bootstrap interval.

    Attributes:
        value: None when undefined on this split.
        low: lower end of the 95 % interval; None when undefined.
        high: upper end.
        unit: of `value`; empty for a ratio.
        better: which direction is better.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    better: Literal["higher", "lower"] = "higher"

    @property
    def verdict(self) -> Literal["better", "worse", "unclear"]:
        """What a paired difference says: unclear while its interval holds 0 or is undefined."""
        if self.value is None or self.low is None or self.high is None:
            return "unclear"
        if self.low <= 0 <= self.high:
            return "unclear"
        return "better" if (self.value > 0) == (self.better == "higher") else "worse"
