"""Options of the comparison of an image's labels with each other."""

import pydantic

from goldseam.artifacts import StageConfig


class ConsistencyConfig(StageConfig):
    """Options of the cross-task checks.

    Attributes:
        smallest_px: objects of a mask with fewer pixels are not looked for in boxes and tags.
        empty_share: a box with at most this share of pixels of its category is empty, and an
            object of which boxes cover at most this share is unboxed.
        tolerance_px: how far apart an edge of a mask and a boundary may lie.
        least_edge_px: images with fewer pixels of edges or boundaries are not compared.
        common_share: two tasks that contradict each other more often than this differ in their
            definition; it is said once, and no label is reported.
        minimum_trials: comparisons of objects of similar size that are needed to tell a rare
            contradiction from a common one.
        robust_z: how many robust deviations an image's agreement has to lie below that of the
            others to stand out.
        least_usual: where the median image agrees less than this, the two tasks show different
            things, and no image stands out.
    """

    smallest_px: int = pydantic.Field(default=4, ge=1)
    empty_share: float = pydantic.Field(default=0.02, ge=0, lt=1)
    tolerance_px: float = pydantic.Field(default=2.0, ge=0)
    least_edge_px: int = pydantic.Field(default=8, ge=1)
    common_share: float = pydantic.Field(default=0.2, gt=0, lt=1)
    minimum_trials: int = pydantic.Field(default=10, ge=1)
    robust_z: float = pydantic.Field(default=5.0, gt=0)
    least_usual: float = pydantic.Field(default=0.6, gt=0, le=1)
