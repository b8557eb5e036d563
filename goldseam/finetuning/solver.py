"""Category-wise fine-tuning of a linear classifier, each category alone, on its known labels only.

Convex form of Chong et al., "Category-wise Fine-Tuning" (arXiv 2401.16991): instead of descending
from the trained head until a validation set says stop, each category's head is the minimum of its
log-loss plus a ridge towards the trained head, with the strength chosen by cross-validation.
Legend: N rows, D features, C categories, F features of the reduced problem, K candidates.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from goldseam.errors import InvalidConfig
from goldseam.finetuning.config import PENALTIES
from goldseam.finetuning.logistic import Floats, Minimum, log_loss, minimize, rescale
from goldseam.progress import progress

# in cross-validation the objective need only be right to the digits by which candidates differ
SCREENING_TOLERANCE = 1e-3
CONVERGED = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class HeadFit:
    """One category's head after the fit, in the space of the features that were given.

    Attributes:
        category: its name.
        weight_D: weights.
        bias: intercept.
        penalty: ridge penalty chosen by cross-validation; None when the head was kept or only
            re-scaled.
        kept: True when this is the trained head, unchanged.
        why: one sentence.
        known_present: known positives.
        known_absent: known negatives.
        log_loss_before: of the trained head, per known label; None without known labels.
        log_loss_after: cross-validated, per known label, of the head that was chosen. The least of
            all candidates, hence slightly optimistic.
        gradient_norm: of the objective at the minimum, in scaled features; None when kept.
    """

    category: str
    weight_D: Floats
    bias: float
    penalty: float | None
    kept: bool
    why: str
    known_present: int
    known_absent: int
    log_loss_before: float | None
    log_loss_after: float | None
    gradient_norm: float | None


@dataclasses.dataclass(frozen=True, eq=False)
class KnownRows:
    """The known labels of one category, with features that are cheap to solve in.

    Features are centered and divided by one number, the root of their mean variance, so that a
    penalty means the same whatever their unit. With fewer rows than features the minimum lies in
    the span of the rows: there the problem is solved, exactly, in as many dimensions as rows.
    """

    feature_NF: Floats
    present_N: Floats
    margin_N: Floats
    center_D: Floats
    scale: float
    basis_DF: Floats | None

    @classmethod
    def of(cls, feature_ND: Floats, present_N: Floats, margin_N: Floats) -> "KnownRows":
        """Prepare a category's known rows: features, labels, margins of the trained head."""
        center_D = feature_ND.mean(axis=0)
        scale = float(np.sqrt(feature_ND.var(axis=0).mean()))
        if scale <= 1e-12 * float(np.abs(center_D).max()):
            scale = 1.0  # features that differ by rounding only
        scaled_ND = (feature_ND - center_D) / scale
        if len(scaled_ND) >= scaled_ND.shape[1]:
            return cls(scaled_ND, present_N, margin_N, center_D, scale, None)
        basis_DF, triangle_FN = np.linalg.qr(scaled_ND.T)
        return cls(triangle_FN.T, present_N, margin_N, center_D, scale, basis_DF)

    def in_feature_space(self, minimum: Minimum) -> tuple[Floats, float]:
        """What a minimum adds to weights and intercept of the head on unscaled features."""
        weight_D = minimum.weight_F if self.basis_DF is None else self.basis_DF @ minimum.weight_F
        weight_D = weight_D / self.scale
        return weight_D, minimum.intercept - float(weight_D @ self.center_D)


def fit_heads(
    features_ND: npt.NDArray[Any],
    labels_NC: npt.NDArray[np.int8],
    weight_CD: npt.NDArray[Any],
    bias_C: npt.NDArray[Any],
    *,
    categories: Sequence[str],
    penalties: Sequence[float] = PENALTIES,
    folds: int = 5,
    groups: Sequence[str] | None = None,
    min_known: int = 10,
    seed: int = 0,
) -> list[HeadFit]:
    """Fit each category's head anew on its known labels, or keep it where that does not help.

    Candidates, from the simplest: the trained head; the trained head with slope and intercept
    re-scaled (Platt); and for each penalty p, from the largest, the minimum over (w, b) of
    sum of log-losses + p / 2 * v * |w - w0|^2, where (w0, b0) is the re-scaled head and v the mean
    variance of the features over the category's known rows. The candidate with the least
    cross-validated log-loss is taken, the simplest of equal ones. The intercept is penalized by
    1e-8 only.

    Args:
        features_ND: what the classifier reads, one row an image.
        labels_NC: 1 present, 0 absent, -1 unknown. Rows that do not know a category are not read
            for it, neither label nor features.
        weight_CD: weights of the trained heads.
        bias_C: their intercepts.
        categories: names.
        penalties: candidates, positive.
        folds: of the cross-validation, at least 2.
        groups: group of each row; a group never stands in two folds. None: rows are independent.
        min_known: known positives, and known negatives, that a category needs to be fit.
        seed: of the folds.

    Returns:
        A fit a category.

    Raises:
        InvalidConfig: shapes do not fit, or a value is outside what is declared.
    """
    labels_NC = np.asarray(labels_NC)
    weight_CD, bias_C = np.asarray(weight_CD, np.float64), np.asarray(bias_C, np.float64)
    _check_shapes(features_ND, labels_NC, weight_CD, bias_C, categories=categories, groups=groups)
    _check_options(labels_NC, penalties, folds, min_known)
    group_N = (
        np.arange(len(labels_NC)) if groups is None else np.unique(groups, return_inverse=True)[1]
    )
    fits = []
    with progress("fit heads", total=len(categories)) as step:
        for c, name in enumerate(categories):
            known = np.flatnonzero(labels_NC[:, c] != -1)
            feature_ND = _known_features(features_ND, known, name)
            present_N = (labels_NC[known, c] == 1).astype(np.float64)
            fold_N = _folds(present_N, group_N[known], folds, np.random.default_rng((seed, c)))
            head = (weight_CD[c], float(bias_C[c]))
            fit = _fit(
                name, feature_ND, present_N, fold_N, head, penalties=penalties, min_known=min_known
            )
            fits.append(fit)
            step(note=name)
    return fits


def _fit(
    category: str,
    feature_ND: Floats,
    present_N: Floats,
    fold_N: npt.NDArray[np.intp],
    head: tuple[Floats, float],
    *,
    penalties: Sequence[float],
    min_known: int,
) -> HeadFit:
    """The best head of one category, whose known rows are given."""
    weight_D, bias = head
    margin_N = feature_ND @ weight_D + bias
    presents = int(present_N.sum())
    before = float(log_loss(margin_N, present_N).mean()) if len(present_N) else None
    kept = HeadFit(
        category=category,
        weight_D=weight_D.copy(),
        bias=bias,
        penalty=None,
        kept=True,
        why="",
        known_present=presents,
        known_absent=len(present_N) - presents,
        log_loss_before=before,
        log_loss_after=before,
        gradient_norm=None,
    )
    reason = _too_few(kept, present_N, fold_N, min_known)
    if reason or before is None:
        return dataclasses.replace(kept, why=reason)
    known = KnownRows.of(feature_ND, present_N, margin_N)
    strengths = sorted(set(penalties), reverse=True)
    loss_K = _cross_validate(known, fold_N, strengths)
    best = int(np.argmin(loss_K))
    if best == 0:
        return dataclasses.replace(kept, why=f"No candidate has a log-loss under {before:.4f}.")
    penalty = strengths[best - 2] if best > 1 else None
    weight_D, bias, gradient_norm = _refit(known, head, penalty)
    if gradient_norm > CONVERGED:
        why = f"The fit did not converge (gradient norm {gradient_norm:.1e})."
        return dataclasses.replace(kept, why=why)
    after = float(loss_K[best])
    how = "Slope and intercept re-scaled" if penalty is None else f"Refit with penalty {penalty:g}"
    return dataclasses.replace(
        kept,
        weight_D=weight_D,
        bias=bias,
        penalty=penalty,
        kept=False,
        why=f"{how}: cross-validated log-loss {before:.4f} before, {after:.4f} after.",
        log_loss_after=after,
        gradient_norm=gradient_norm,
    )


def _refit(
    known: KnownRows, head: tuple[Floats, float], penalty: float | None
) -> tuple[Floats, float, float]:
    """Weights, intercept and gradient norm on all known rows; only re-scaled without a penalty."""
    slope, intercept, gradient_norm = rescale(known.margin_N, known.present_N)
    weight_D, bias = slope * head[0], slope * head[1] + intercept
    if penalty is None:
        return weight_D, bias, gradient_norm
    offset_N = slope * known.margin_N + intercept
    minimum = minimize(known.feature_NF, known.present_N, offset_N, penalty)
    added_D, added = known.in_feature_space(minimum)
    return weight_D + added_D, bias + added, minimum.gradient_norm


def _cross_validate(
    known: KnownRows, fold_N: npt.NDArray[np.intp], penalties: list[float]
) -> Floats:
    """Mean held-out log-loss of the trained head, the re-scaled head, and each penalty; `K`."""
    loss_KN = np.empty((2 + len(penalties), len(fold_N)))
    loss_KN[0] = log_loss(known.margin_N, known.present_N)
    for fold in range(int(fold_N.max()) + 1):
        held, train = fold_N == fold, fold_N != fold
        slope, intercept, _ = rescale(known.margin_N[train], known.present_N[train])
        offset_N = slope * known.margin_N + intercept
        loss_KN[1, held] = log_loss(offset_N[held], known.present_N[held])
        minimum = None
        for k, penalty in enumerate(penalties, start=2):
            minimum = minimize(
                known.feature_NF[train],
                known.present_N[train],
                offset_N[train],
                penalty,
                start=minimum,
                tolerance=SCREENING_TOLERANCE,
            )
            margin_N = offset_N[held] + known.feature_NF[held] @ minimum.weight_F
            loss_KN[k, held] = log_loss(margin_N + minimum.intercept, known.present_N[held])
    return np.asarray(loss_KN.mean(axis=1), np.float64)


def _folds(
    present_N: Floats, group_N: npt.NDArray[np.intp], folds: int, rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """A fold for each row: groups whole, positives and negatives spread evenly.

    Groups are dealt from the heaviest to the fold that holds least, where a group weighs its share
    of the positives plus its share of the negatives; equal ones in random order.
    """
    _, group_N = np.unique(group_N, return_inverse=True)
    presents_G = np.bincount(group_N, weights=present_N)
    absents_G = np.bincount(group_N, weights=1 - present_N)
    weight_G = presents_G / max(1, presents_G.sum()) + absents_G / max(1, absents_G.sum())
    order = rng.permutation(len(weight_G))
    order = order[np.argsort(-weight_G[order], kind="stable")]
    load_K = np.zeros(min(folds, len(order)))
    fold_G = np.zeros(len(order), np.intp)
    for group in order:
        fold_G[group] = load_K.argmin()
        load_K[fold_G[group]] += weight_G[group]
    return fold_G[group_N]


def _too_few(kept: HeadFit, present_N: Floats, fold_N: npt.NDArray[np.intp], min_known: int) -> str:
    """Why the category cannot be fit; empty when it can."""
    if min(kept.known_present, kept.known_absent) < min_known:
        return (
            f"{kept.known_present} known present and {kept.known_absent} known absent labels, "
            f"fewer than the {min_known} of each that a fit needs."
        )
    train_parts = [present_N[fold_N != fold] for fold in range(int(fold_N.max()) + 1)]
    if any(part.size == 0 or part.min() == part.max() for part in train_parts):
        return "The known labels stand in too few groups to cross-validate."
    return ""


def _known_features(
    features_ND: npt.NDArray[Any], known: npt.NDArray[np.intp], name: str
) -> Floats:
    feature_ND = np.asarray(features_ND[known], np.float64)
    finite_N = np.isfinite(feature_ND).all(axis=1)
    if not finite_N.all():
        row = int(known[np.flatnonzero(~finite_N)[0]])
        raise InvalidConfig(
            f"features, row {row} (known for category '{name}'): a value is NaN or infinite.",
            remedy="Look for a bad image, or for a model that has diverged.",
        )
    return feature_ND


def _check_shapes(
    features_ND: npt.NDArray[Any],
    labels_NC: npt.NDArray[Any],
    weight_CD: Floats,
    bias_C: Floats,
    *,
    categories: Sequence[str],
    groups: Sequence[str] | None,
) -> None:
    count = len(categories)
    fits = (
        features_ND.ndim == 2
        and labels_NC.shape == (len(features_ND), count)
        and weight_CD.shape == (count, features_ND.shape[1])
        and bias_C.shape == (count,)
        and (groups is None or len(groups) == len(features_ND))
    )
    if not fits:
        raise InvalidConfig(
            f"features {features_ND.shape}, labels {labels_NC.shape}, weight {weight_CD.shape}, "
            f"bias {bias_C.shape}, {count} categories"
            + ("" if groups is None else f" and {len(groups)} groups")
            + " do not fit; expected N D, N C, C D, C.",
            remedy="Hand over one row of features, labels and group an image.",
        )
    if not (np.isfinite(weight_CD).all() and np.isfinite(bias_C).all()):
        raise InvalidConfig(
            "a weight or bias of the trained heads is NaN or infinite.",
            remedy="Start from a model that has not diverged.",
        )


def _check_options(
    labels_NC: npt.NDArray[Any], penalties: Sequence[float], folds: int, min_known: int
) -> None:
    wrong_NC = ~np.isin(labels_NC, (-1, 0, 1))
    if wrong_NC.any():
        row, column = np.argwhere(wrong_NC)[0]
        raise InvalidConfig(
            f"labels, row {row}, column {column}: {labels_NC[row, column]}, expected 1 (present), "
            "0 (absent) or -1 (unknown).",
            remedy="Mark unknown labels with -1.",
        )
    if not all(np.isfinite(penalty) and penalty > 0 for penalty in penalties):
        raise InvalidConfig(
            f"penalties {tuple(penalties)} are not all positive and finite.",
            remedy="Leave out 0: without a penalty a separable category has no best head.",
        )
    if folds < 2 or min_known < 1:
        raise InvalidConfig(
            f"folds is {folds} and min_known {min_known}, expected at least 2 and at least 1.",
            remedy="Raise them.",
        )
