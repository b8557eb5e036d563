"""What a measure of pictures sees, and what it leaves."""

import dataclasses
from typing import Any, Protocol

import pyarrow as pa

from goldseam.dataset.codecs import Array


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """One image of the pass.

    Attributes:
        image_HWC: uint8; None where the dataset stores no picture.
        labels: task → decoded label (see `goldseam.dataset.codecs`); None where unknown.
    """

    image_id: str
    split: str
    group: str
    image_HWC: Array | None
    labels: dict[str, Any]


class Measure(Protocol):
    """Something that is measured on every image."""

    def update(self, seen: Seen) -> None:
        """Take in one image."""

    def tables(self) -> dict[str, pa.Table]:
        """What was measured so far: name → table, unique among all measures.

        A table holds rows of single images (`image_id` first), or integer counts whose rows with
        equal keys are added up by whoever reads it.
        """
