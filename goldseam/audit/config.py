"""Options of the two stages that look at labels before anything is trained on them."""

from typing import Any, Self

import pydantic

from goldseam.artifacts import StageConfig


class ValidateConfig(StageConfig):
    """Options of `validate`.

    Attributes:
        suite: content of an expectation suite in Great Expectations' JSON form, which replaces the
            one that is generated from `dataset.yaml`. Content, not a path: on a cluster no file of
            the submitting machine can be read.
        minimum_known: images of the training split on which each task, and each category of tags
            and boxes, must be known (present or absent).
        minimum_known_of: `task` or `task.category` → another minimum.
        sources: task → the sources that its labels may have; any for a task that is not named.
    """

    suite: dict[str, Any] | None = None
    minimum_known: int = pydantic.Field(default=1, ge=0)
    minimum_known_of: dict[str, int] = pydantic.Field(default_factory=dict)
    sources: dict[str, tuple[str, ...]] = pydantic.Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _one_suite(self) -> Self:
        # compared with the defaults, not with what was set: a resolved recipe spells all of it out
        shaping = {
            "minimum_known": self.minimum_known != 1,
            "minimum_known_of": bool(self.minimum_known_of),
            "sources": bool(self.sources),
        }
        if self.suite is not None and any(shaping.values()):
            named = ", ".join(name for name, is_set in shaping.items() if is_set)
            raise ValueError(
                f"{named}: this shapes the generated suite, which 'suite' replaces; write it into "
                "the suite, or leave 'suite' out"
            )
        return self


class AuditConfig(StageConfig):
    """Options of `audit`.

    Attributes:
        band: px; pixels at most so far from another category of the clean label count as boundary.
        decode_pictures: False leaves out the coverage of segmentation by category, for which every
            mask has to be decoded.
    """

    band: int = pydantic.Field(default=2, ge=1, le=64)
    decode_pictures: bool = True
