"""Limits that an audit holds labels to."""

from typing import Any

import pydantic

from goldseam.artifacts import StageConfig


class GateConfig(StageConfig):
    """Limits that the labels have to keep; what breaks one closes the gate.

    Attributes:
        suite: content of an expectation suite in Great Expectations' JSON form, which is held
            against the audit's tables; empty for none. A recipe may name a file instead.
        min_coverage: `task` or `task.category` → smallest share of known training images.
        max_noise: `task` → largest rate of wrong labels.
        max_missingness_effect: largest dependence of a gap on anything; 0 for no limit.
        leaks: whether a group or a near-duplicate may not stand in two splits.
    """

    suite: dict[str, Any] = pydantic.Field(default_factory=dict)
    min_coverage: dict[str, float] = pydantic.Field(default_factory=dict)
    max_noise: dict[str, float] = pydantic.Field(default_factory=dict)
    max_missingness_effect: float = pydantic.Field(default=0.0, ge=0, le=1)
    leaks: bool = True
