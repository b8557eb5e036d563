"""Options of the search for labels that are not missing at random."""

from typing import Literal

import pydantic

from goldseam.artifacts import StageConfig


class MissingnessConfig(StageConfig):
    """Options of `audit_missingness`.

    Attributes:
        level: share of false findings that is accepted among all findings.
        control: how that share is kept: `benjamini_hochberg` holds for independent and positively
            dependent tests, `benjamini_yekutieli` for all, with less power.
        resamples: random permutations or sign flips of a test on few images or groups.
        most_resamples: of a test that is significant after `resamples`, so that its p-value
            survives the control over many tests.
        categories: of each task of tags or boxes whose gaps are tested one by one.
        label_categories: of each task whose presence the gaps of the others are tested against.
        levels: of a metadata column of texts; the rarer ones are pooled.
        grouped_images: that enter the tests where images come in groups; whole groups at random.
        embedding_images: that enter the test against embeddings; whole groups at random.
        modeled_images: of the sample on which corrected priors are estimated; whole groups.
        fitted_images: that the models behind corrected priors are fit to, for each fold.
        enough: labeled and unlabeled images below which nothing is called safe.
        seed: of the resampling and of the folds.
    """

    level: float = pydantic.Field(default=0.05, gt=0, lt=1)
    control: Literal["benjamini_hochberg", "benjamini_yekutieli"] = "benjamini_hochberg"
    resamples: int = pydantic.Field(default=999, ge=99)
    most_resamples: int = pydantic.Field(default=20_000, ge=99)
    categories: int = pydantic.Field(default=100, ge=0)
    label_categories: int = pydantic.Field(default=10, ge=0)
    levels: int = pydantic.Field(default=12, ge=2)
    grouped_images: int = pydantic.Field(default=200_000, ge=1000)
    embedding_images: int = pydantic.Field(default=4000, ge=100)
    modeled_images: int = pydantic.Field(default=50_000, ge=1000)
    fitted_images: int = pydantic.Field(default=5000, ge=100)
    enough: int = pydantic.Field(default=30, ge=2)
    seed: int = pydantic.Field(default=0, ge=0)
