"""Options of the search for wrong values in regression and normals."""

import pydantic

from goldseam.artifacts import StageConfig


class ValuesConfig(StageConfig):
    """Options of the search for wrong depths, distances and normals.

    Attributes:
        robust_z: how many robust deviations from the other images an image has to lie to stand out.
        least_factor: values that are off by a smaller factor have no wrong unit.
        least_reversal: rank correlation with the prediction, negative, from which values count as
            reversed.
        least_alignment_gain: how much flipping or swapping axes has to raise the mean cosine
            between normals and their prediction.
        common_share: what holds for more than this share of the images is how the task is defined,
            and no error.
        minimum_images: fewer images are not compared with each other.
        minimum_pixels: images with fewer pixels that have a value are not compared.
        sample_pixels: of each image, drawn at random, of which medians and ranks are taken.
        seed: of that draw.
    """

    robust_z: float = pydantic.Field(default=5.0, gt=0)
    least_factor: float = pydantic.Field(default=1.5, gt=1)
    least_reversal: float = pydantic.Field(default=0.5, gt=0, le=1)
    least_alignment_gain: float = pydantic.Field(default=0.3, gt=0, le=2)
    common_share: float = pydantic.Field(default=0.2, gt=0, lt=1)
    minimum_images: int = pydantic.Field(default=8, ge=3)
    minimum_pixels: int = pydantic.Field(default=16, ge=2)
    sample_pixels: int = pydantic.Field(default=4096, ge=64)
    seed: int = 0
