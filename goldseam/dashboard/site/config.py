"""Options of the site."""

from typing import Annotated

import pydantic

from goldseam.artifacts import StageConfig


class SiteConfig(StageConfig):
    """Options of the site.

    Attributes:
        title: heading of the overview.
        runs_shown: how many runs the page of runs lists, the newest first; `history.json` keeps
            them all.
    """

    title: str = "Label dashboards"
    runs_shown: Annotated[int, pydantic.Field(ge=1)] = 200
