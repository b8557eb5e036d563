"""Options of the publish stage."""

from typing import Annotated

import pydantic

from goldseam.artifacts import StageConfig


class PublishConfig(StageConfig):
    """Options of `publish`.

    Attributes:
        title: heading of the page; by default the dataset's name.
        examples: how many images are shown at most.
        embed_kib: pictures up to this size stand in the page itself, larger ones beside it.
        left_out: stages that this pipeline does not have; nobody misses what they would leave.
    """

    title: str | None = None
    examples: Annotated[int, pydantic.Field(ge=0)] = 12
    embed_kib: Annotated[int, pydantic.Field(ge=0)] = 256
    left_out: tuple[str, ...] = ()
