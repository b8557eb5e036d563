"""The known labels of one category, ready to be fit: rows, margins, folds, and scaled features.

Legend: N known rows, D features, A all rows, C categories.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from goldseam.errors import InvalidConfig
from goldseam.finetuning.solving.folds import Integers, group_folds, one_sided_fold
from goldseam.finetuning.solving.logistic import Floats, log_loss


class FeatureRows(Protocol):
    """Features by row: an array, a memory-mapped one, or shards that are read when asked."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and features."""

    def __getitem__(self, rows: Any, /) -> npt.NDArray[Any]:
        """Some rows, by their numbers."""


@dataclasses.dataclass(frozen=True, eq=False)
class KnownLabels:
    """What is known of one category.

    Attributes:
        category: its name.
        row_N: the rows of known labels that count.
        present_N: their labels.
        weight_N: how much each counts.
        fold_N: its fold of the cross-validation.
        reason: why the category cannot be fit; empty when it can.
    """

    category: str
    row_N: Integers
    present_N: Floats
    weight_N: Floats
    fold_N: Integers
    reason: str

    @classmethod
    def of(
        cls,
        category: str,
        label_A: npt.NDArray[np.int8],
        weight_A: npt.NDArray[Any] | None,
        group_A: Integers,
        *,
        folds: int,
        min_known: int,
        rng: np.random.Generator,
    ) -> "KnownLabels":
        """Read a category's column of labels; a label of weight 0 is as good as unknown."""
        counts_A = label_A != -1
        if weight_A is not None:
            counts_A &= np.where(counts_A, weight_A, 0) > 0
        row_N = np.flatnonzero(counts_A)
        present_N = (label_A[row_N] == 1).astype(np.float64)
        weight_N = np.ones(len(row_N)) if weight_A is None else weight_A[row_N].astype(np.float64)
        fold_N = group_folds(present_N, group_A[row_N], folds, rng)
        reason = why_not_fit(present_N, fold_N, min_known)
        return cls(category, row_N, present_N, weight_N, fold_N, reason)

    def loss(self, margin_N: Floats) -> float | None:
        """Mean log-loss per known label, weighted; None without known labels."""
        if not len(self.row_N):
            return None
        return float(np.average(log_loss(margin_N, self.present_N), weights=self.weight_N))


def why_not_fit(present_N: Floats, fold_N: Integers, min_known: int) -> str:
    """Why known labels in these folds cannot be fit; empty where they can."""
    presents = int(present_N.sum())
    absents = len(present_N) - presents
    if min(presents, absents) < min_known:
        return (
            f"{presents} known present and {absents} known absent labels, "
            f"fewer than the {min_known} of each that a fit needs."
        )
    if one_sided_fold(present_N, fold_N):
        return "The known labels stand in too few groups to cross-validate."
    return ""


@dataclasses.dataclass(frozen=True, eq=False)
class ScaledRows:
    """Features of a category's known rows, centered and divided by one number.

    That number is the root of their mean variance, so that a penalty means the same whatever the
    unit of the features.
    """

    feature_ND: Floats
    center_D: Floats
    scale: float

    @classmethod
    def of(cls, feature_ND: Floats) -> "ScaledRows":
        """Scale the features of known rows."""
        center_D = feature_ND.mean(axis=0)
        centered_ND = feature_ND - center_D
        scale = float(np.sqrt(np.square(centered_ND).mean()))
        if scale <= 1e-12 * float(np.abs(center_D).max()):
            scale = 1.0  # features that differ by rounding only
        centered_ND /= scale
        return cls(centered_ND, center_D, scale)

    def unscaled(self, weight_D: Floats, intercept: float) -> tuple[Floats, float]:
        """Weights and intercept on the features as they were given."""
        weight_D = weight_D / self.scale
        return weight_D, intercept - float(weight_D @ self.center_D)


def read_rows(features: FeatureRows, row_N: Integers, category: str) -> Floats:
    """The features of some rows as float64.

    Raises:
        InvalidConfig: a value is NaN or infinite.
    """
    feature_ND = np.asarray(features[row_N], np.float64)
    finite_N = np.isfinite(feature_ND).all(axis=1)
    if not finite_N.all():
        row = int(row_N[np.flatnonzero(~finite_N)[0]])
        raise InvalidConfig(
            f"features, row {row} (known for category '{category}'): a value is NaN or infinite.",
            remedy="Look for a bad image, or for a model that has diverged.",
        )
    return feature_ND


def check_shapes(
    features: FeatureRows,
    labels_NC: npt.NDArray[Any],
    weight_CD: Floats,
    bias_C: Floats,
    sample_weight_NC: npt.NDArray[Any] | None,
    *,
    categories: Sequence[str],
    groups: Sequence[str] | None,
) -> None:
    """Refuse arrays that do not fit each other, and heads that are not finite.

    Raises:
        InvalidConfig: says which, with the shapes.
    """
    shape, count = tuple(features.shape), len(categories)
    fits = (
        len(shape) == 2
        and labels_NC.shape == (shape[0], count)
        and weight_CD.shape == (count, shape[1])
        and bias_C.shape == (count,)
        and (sample_weight_NC is None or sample_weight_NC.shape == labels_NC.shape)
        and (groups is None or len(groups) == shape[0])
    )
    if not fits:
        weights = "" if sample_weight_NC is None else f", sample weights {sample_weight_NC.shape}"
        raise InvalidConfig(
            f"features {shape}, labels {labels_NC.shape}, weight {weight_CD.shape}, "
            f"bias {bias_C.shape}{weights}, {count} categories"
            + ("" if groups is None else f" and {len(groups)} groups")
            + " do not fit; expected N D, N C, C D, C.",
            remedy="Hand over one row of features, labels and group an image.",
        )
    if not (np.isfinite(weight_CD).all() and np.isfinite(bias_C).all()):
        raise InvalidConfig(
            "a weight or bias of the trained heads is NaN or infinite.",
            remedy="Start from a model that has not diverged.",
        )


def check_values(labels_NC: npt.NDArray[Any], sample_weight_NC: npt.NDArray[Any] | None) -> None:
    """Refuse labels other than 1, 0 and -1, and weights of known labels that are no weights.

    Raises:
        InvalidConfig: names row, column and value.
    """
    wrong_NC = ~np.isin(labels_NC, (-1, 0, 1))
    if wrong_NC.any():
        row, column = np.argwhere(wrong_NC)[0]
        raise InvalidConfig(
            f"labels, row {row}, column {column}: {labels_NC[row, column]}, expected 1 (present), "
            "0 (absent) or -1 (unknown).",
            remedy="Mark unknown labels with -1.",
        )
    if sample_weight_NC is None:
        return
    # the weight of an unknown label is never read, so it may be anything
    weight_NC = np.where(labels_NC == -1, 0.0, sample_weight_NC)
    wrong_NC = ~((weight_NC >= 0) & np.isfinite(weight_NC))
    if wrong_NC.any():
        row, column = np.argwhere(wrong_NC)[0]
        raise InvalidConfig(
            f"sample weights, row {row}, column {column}: {weight_NC[row, column]}, expected a "
            "finite number of at least 0.",
            remedy="Give 0 to a label that is not to count, and 1 to one that counts once.",
        )


def check_options(penalties: Sequence[float], folds: int, min_known: int) -> None:
    """Refuse options outside what is declared.

    Raises:
        InvalidConfig: names the option and its value.
    """
    if not penalties or not all(np.isfinite(penalty) and penalty > 0 for penalty in penalties):
        raise InvalidConfig(
            f"penalties {tuple(penalties)} are not all positive and finite, or there is none.",
            remedy="Leave out 0: without a penalty a separable category has no best head.",
        )
    if folds < 2 or min_known < 1:
        raise InvalidConfig(
            f"folds is {folds} and min_known {min_known}, expected at least 2 and at least 1.",
            remedy="Raise them.",
        )
