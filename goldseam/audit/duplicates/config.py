"""Options of the search for duplicates."""

import pydantic

from goldseam.artifacts import StageConfig


class DuplicatesConfig(StageConfig):
    """Options of `audit_duplicates`.

    Attributes:
        bits: fingerprints (of 63 bits) that differ in at most so many make two images candidates.
        color_distance: a candidate pair is confirmed when the color layouts of both differ by at
            most so much (root mean square over 4 x 4 cells in CIE Lab, after a change of light is
            taken out).
        flips: whether mirrored and turned copies count as duplicates.
        embedding_quantile: where embeddings are given, a pair must also lie as close together as
            the closest of this share of random pairs.
        listed: how many groups the summary lists.
        seed: of the random pairs.
    """

    bits: int = pydantic.Field(default=8, ge=0, le=12)
    color_distance: float = pydantic.Field(default=6.0, gt=0)
    flips: bool = False
    embedding_quantile: float = pydantic.Field(default=0.01, gt=0, lt=1)
    listed: int = pydantic.Field(default=100, ge=1)
    seed: int = 0
