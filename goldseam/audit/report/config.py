"""Options of an audit's page."""

import pydantic

from goldseam.artifacts import StageConfig


class ReportConfig(StageConfig):
    """Options of the page that an audit leaves.

    Attributes:
        findings_embedded: findings that can be searched on the page, the most suspicious ones of
            every task and kind; all of them stand in `findings.parquet`.
        pictures: images that the page carries; the gallery and the duplicates share them.
        picture_px: longest side of a picture; smaller images keep their size.
        picture_mib: room for all pictures together, MiB; pictures beyond it are left out.
    """

    findings_embedded: int = pydantic.Field(default=2000, ge=1, le=20_000)
    pictures: int = pydantic.Field(default=96, ge=0, le=500)
    picture_px: int = pydantic.Field(default=160, ge=32, le=1024)
    picture_mib: float = pydantic.Field(default=4.0, gt=0, le=64)
