"""Options of the comparison of two versions of a dataset."""

import pydantic

from goldseam.artifacts import StageConfig


class DriftConfig(StageConfig):
    """Options of `audit_drift`: how much has to change before it is worth a look.

    A difference counts as changed when it is significant and at least as large as its minimum here.

    Attributes:
        significance: largest q-value (expected share of false alarms among what is called changed).
        minimum_rows: change of a number of images, relative to before.
        minimum_share: change of a share: of known labels, of a category, of a source.
        minimum_distance: largest gap between the cumulative shares of a number's two distributions
            (Kolmogorov-Smirnov distance).
        minimum_auc: how often a new embedding is told from an old one, 0.5 by guessing.
        minimum_noise: change of a noise rate; for a rate with a unit, relative to the larger one.
        minimum_flips: share of the known labels of shared images that say something else now.
        embedding_images: images of each version, at most, whose embeddings are compared.
        seed: of what is drawn at random: those images, and the folds.
    """

    significance: float = pydantic.Field(default=0.05, gt=0, lt=1)
    minimum_rows: float = pydantic.Field(default=0.05, ge=0)
    minimum_share: float = pydantic.Field(default=0.02, ge=0, le=1)
    minimum_distance: float = pydantic.Field(default=0.1, ge=0, le=1)
    minimum_auc: float = pydantic.Field(default=0.55, ge=0.5, le=1)
    minimum_noise: float = pydantic.Field(default=0.02, ge=0)
    minimum_flips: float = pydantic.Field(default=0.01, ge=0, le=1)
    embedding_images: int = pydantic.Field(default=4000, ge=100)
    seed: int = 0
