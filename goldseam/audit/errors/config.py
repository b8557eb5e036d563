"""Options of the search for label errors in tags and masks."""

import pydantic

from goldseam.artifacts import StageConfig


class ErrorsConfig(StageConfig):
    """Options of the search for wrong tags and wrong masks.

    Attributes:
        annotator: metadata column that names who labeled an image; empty for none.
        minimum_known: of a category of tags, labels of either state that are needed to examine it.
        minimum_score: a tag is a finding when it is wrong with at least this probability.
        ambiguous: share of the tags without a slip of which is assumed that they were guessed
            where the image is ambiguous. Such guesses cannot be measured; intervals run from none
            to twice as many.
        band: px; mask pixels so near to another category are counted apart from the interior.
        minimum_region: px; a mask is a finding when one suspicious region has at least so many
            pixels outside the boundary band.
        resamples: draws of whole groups of images for the intervals of masks.
        seed: of the draws.
    """

    annotator: str = ""
    minimum_known: int = pydantic.Field(default=10, ge=1)
    minimum_score: float = pydantic.Field(default=0.3, gt=0, le=1)
    ambiguous: float = pydantic.Field(default=0.1, ge=0, le=0.5)
    band: int = pydantic.Field(default=2, ge=1, le=64)
    minimum_region: int = pydantic.Field(default=25, ge=1)
    resamples: int = pydantic.Field(default=200, ge=20)
    seed: int = 0
