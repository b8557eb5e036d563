"""Category-wise fine-tuning of a linear classifier, each category alone, on its known labels only.

Convex form of Chong et al., "Category-wise Fine-Tuning" (arXiv 2401.16991): instead of descending
from the trained head until a validation set says stop, each category's head is the minimum of its
log-loss plus a ridge towards the trained head, with the strength chosen by cross-validation.
Legend: N rows, D features, C categories, M known rows of a category, K candidates.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from goldseam.errors import InvalidConfig, closest
from goldseam.finetuning.config import PENALTIES
from goldseam.finetuning.solving.blocks import block_fits, joint_is_cheaper
from goldseam.finetuning.solving.contest import simplest
from goldseam.finetuning.solving.folds import Integers
from goldseam.finetuning.solving.known import (
    FeatureRows,
    KnownLabels,
    ScaledRows,
    check_options,
    check_shapes,
    check_values,
    read_rows,
)
from goldseam.finetuning.solving.logistic import Floats, Minimum, minimize, minimize_dual
from goldseam.finetuning.solving.penalties import Coordinates, Found, refit, screen
from goldseam.progress import progress
from goldseam.results import ScoreChange

CONVERGED = 1e-6
Method = Literal["auto", "single", "joint"]
Head = tuple[Floats, float]


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
        known_present: known positives that count.
        known_absent: known negatives that count.
        log_loss_before: of the trained head, per known label; None without known labels.
        log_loss_after: cross-validated, per known label, of the head that was chosen. The least of
            all candidates, hence slightly optimistic.
        gradient_norm: of the objective at the minimum, in scaled features; None when kept.
        row_M: rows of the known labels that count.
        fold_M: fold of each in the cross-validation.
        margin_before_M: margin of each by the trained head.
        held_out_margin_M: margin of each by the chosen head, fit without its fold.
        ordering_M: the same, comparable between folds, for rankings; None where
            `held_out_margin_M` is.
        together: log-loss of the category fit alone, and with the others' help; None where nobody
            asked.
        judged: whether known labels sufficed to compare heads; where not, no margin speaks against
            a label.
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
    row_M: Integers
    fold_M: Integers
    margin_before_M: Floats
    held_out_margin_M: Floats
    judged: bool = True
    ordering_M: Floats | None = None
    together: ScoreChange | None = None

    @property
    def ranked_by_M(self) -> Floats:  # noqa: N802
        """By what known labels are ranked after the fit."""
        return self.held_out_margin_M if self.ordering_M is None else self.ordering_M


def minimize_ridge(
    feature_MD: Floats,
    present_M: Floats,
    offset_M: Floats,
    penalty: float,
    *,
    weight_M: Floats | None = None,
) -> Minimum:
    """The minimum of a single problem by the cheaper form: dual where rows are fewer than features.

    Args:
        feature_MD: rows of known labels.
        present_M: their labels, 0 to 1.
        offset_M: margin of the head that the penalty pulls towards.
        penalty: positive.
        weight_M: how much each row counts; 1 by default.
    """
    form = minimize_dual if len(feature_MD) < feature_MD.shape[1] else minimize
    return form(feature_MD, present_M, offset_M, penalty, weight_N=weight_M)


def fit_heads(
    features_ND: FeatureRows,
    labels_NC: npt.NDArray[np.int8],
    weight_CD: npt.NDArray[Any],
    bias_C: npt.NDArray[Any],
    *,
    categories: Sequence[str],
    penalties: Sequence[float] = PENALTIES,
    folds: int = 5,
    groups: Sequence[str] | None = None,
    sample_weight_NC: npt.NDArray[Any] | None = None,
    min_known: int = 10,
    seed: int = 0,
    method: Method = "auto",
    device: str = "cpu",
) -> list[HeadFit]:
    """Fit each category's head anew on its known labels, or keep it where that does not help.

    Candidates, from the simplest: the trained head; the trained head with slope and intercept
    re-scaled (Platt); and for each penalty p, from the largest, the minimum over (w, b) of
    sum of weighted log-losses + p / 2 * v * |w - w0|^2, where (w0, b0) is the re-scaled head and v
    the mean variance of the features over the category's known rows. The candidate with the least
    cross-validated log-loss is taken, the simplest of those within 1e-6 nats a label of it. The
    intercept is penalized by 1e-8 only. Cross-validation assumes that different groups are
    independent and that the known labels are a fair sample of those the head will meet.

    Args:
        features_ND: what the classifier reads, one row an image; any array, or `ShardedFeatures`.
        labels_NC: 1 present, 0 absent, -1 unknown. Rows that do not know a category are not read
            for it, neither label nor features.
        weight_CD: weights of the trained heads.
        bias_C: their intercepts.
        categories: names.
        penalties: candidates, positive.
        folds: of the cross-validation, at least 2.
        groups: group of each row; a group never stands in two folds. None: rows are independent.
        sample_weight_NC: how much each label counts, not negative; 0 is as good as unknown, and the
            weights of unknown labels are never read. None: each counts once. The penalty's scale
            and the counts of known labels go by labels, not by weights.
        min_known: known positives, and known negatives, that a category needs to be fit.
        seed: of the folds.
        method: `single` solves category by category, `joint` blocks of categories at once; `auto`
            takes what costs less, by a count of multiplications, and `joint` on a GPU. Both reach
            the same minimum; in a block, the order in which it is approached depends on the others.
        device: `cpu` or a CUDA device.

    Returns:
        A fit a category.

    Raises:
        InvalidConfig: shapes do not fit, or a value is outside what is declared.
    """
    labels_NC = np.asarray(labels_NC)
    weight_CD, bias_C = np.asarray(weight_CD, np.float64), np.asarray(bias_C, np.float64)
    if sample_weight_NC is not None:
        sample_weight_NC = np.asarray(sample_weight_NC)
    arrays = (features_ND, labels_NC, weight_CD, bias_C, sample_weight_NC)
    check_shapes(*arrays, categories=categories, groups=groups)
    check_values(labels_NC, sample_weight_NC)
    check_options(penalties, folds, min_known)
    if method not in get_args(Method):
        raise InvalidConfig(
            f"there is no method '{method}'.",
            remedy=f"Closest: {closest(method, get_args(Method))}.",
        )
    group_N = (
        np.arange(len(labels_NC)) if groups is None else np.unique(groups, return_inverse=True)[1]
    )
    known = [
        KnownLabels.of(
            name,
            labels_NC[:, c],
            None if sample_weight_NC is None else sample_weight_NC[:, c],
            group_N,
            folds=folds,
            min_known=min_known,
            rng=np.random.default_rng((seed, c)),
        )
        for c, name in enumerate(categories)
    ]
    strengths = sorted(set(penalties), reverse=True)
    if method == "auto":
        method = _cheaper(known, features_ND.shape[1], (folds + 1) * len(strengths), device)
    heads = [(weight_CD[c], float(bias_C[c])) for c in range(len(known))]
    if method == "joint":
        return _fit_jointly(features_ND, known, heads, strengths, device)
    fits = []
    with progress("fit heads", total=len(categories)) as step:
        for one, head in zip(known, heads, strict=True):
            fits.append(_fit_alone(features_ND, one, head, strengths))
            step(note=one.category)
    return fits


def _cheaper(
    known: Sequence[KnownLabels], features: int, problems: int, device: str
) -> Literal["single", "joint"]:
    fit = [one for one in known if not one.reason]
    if not fit:
        return "single"
    if device != "cpu":
        return "joint"
    rows = len(np.unique(np.concatenate([one.row_N for one in fit])))
    counts = [len(one.row_N) for one in fit]
    return "joint" if joint_is_cheaper(rows, features, counts, problems) else "single"


def _fit_alone(
    features: FeatureRows, known: KnownLabels, head: Head, penalties: list[float]
) -> HeadFit:
    """The best head of one category, from its own rows alone."""
    feature_MD = read_rows(features, known.row_N, known.category)
    margin_M = feature_MD @ head[0] + head[1]
    if known.reason:
        return _kept(known, head, margin_M, known.reason)
    scaled = ScaledRows.of(feature_MD)
    coordinates = Coordinates.of(scaled.feature_ND)
    screening = screen(known, margin_M, coordinates, penalties)
    best = simplest(screening.loss_K)
    weight_D, bias = screening.rescaled.head(*head)
    norm = screening.rescaled.gradient_norm
    if best > 1:
        offset_M = screening.rescaled.margins(margin_M)[:, -1]
        minimum = refit(
            scaled, known, offset_M, penalties[best - 2], coordinates, screening.start_LR[best - 2]
        )
        added_D, added = scaled.unscaled(minimum.weight_F, minimum.intercept)
        weight_D, bias, norm = weight_D + added_D, bias + added, minimum.gradient_norm
    found = Found(
        screening.held_out_KN, screening.loss_K, best, weight_D, bias, norm, screening.rescaled
    )
    return _conclude(known, head, found, penalties)


def _fit_jointly(
    features: FeatureRows,
    known: Sequence[KnownLabels],
    heads: Sequence[Head],
    penalties: list[float],
    device: str,
) -> list[HeadFit]:
    """The best heads of all categories, block by block."""
    ready = [c for c, one in enumerate(known) if not one.reason]
    found = block_fits(
        features, [known[c] for c in ready], [heads[c] for c in ready], penalties, device
    )
    fits = []
    with progress("fit heads", total=len(known)) as step:
        for one, head in zip(known, heads, strict=True):
            if one.reason:
                margin_M = read_rows(features, one.row_N, one.category) @ head[0] + head[1]
                fits.append(_kept(one, head, margin_M, one.reason))
            else:
                fits.append(_conclude(one, head, next(found), penalties))
            step(note=one.category)
    return fits


def _kept(known: KnownLabels, head: Head, margin_M: Floats, why: str) -> HeadFit:
    """The trained head, unchanged."""
    presents, loss = int(known.present_N.sum()), known.loss(margin_M)
    return HeadFit(
        category=known.category,
        weight_D=head[0].copy(),
        bias=head[1],
        penalty=None,
        kept=True,
        why=why,
        known_present=presents,
        known_absent=len(known.row_N) - presents,
        log_loss_before=loss,
        log_loss_after=loss,
        gradient_norm=None,
        row_M=known.row_N,
        fold_M=known.fold_N,
        margin_before_M=margin_M,
        held_out_margin_M=margin_M,
        judged=not known.reason,
    )


def _conclude(known: KnownLabels, head: Head, found: Found, penalties: list[float]) -> HeadFit:
    """The chosen head, or the trained one where none is better or the fit is not exact."""
    before = float(found.loss_K[0])
    kept = _kept(known, head, found.held_out_KN[0], "")
    if found.best == 0:
        return dataclasses.replace(kept, why=f"No candidate has a log-loss under {before:.4f}.")
    if not found.gradient_norm <= CONVERGED:
        why = f"The fit did not converge (gradient norm {found.gradient_norm:.1e})."
        return dataclasses.replace(kept, why=why)
    after = float(found.loss_K[found.best])
    held_out_M = found.held_out_KN[found.best]
    penalty = penalties[found.best - 2] if found.best > 1 else None
    how = "Slope and intercept re-scaled" if penalty is None else f"Refit with penalty {penalty:g}"
    return dataclasses.replace(
        kept,
        weight_D=found.weight_D,
        bias=found.bias,
        penalty=penalty,
        kept=False,
        why=f"{how}: cross-validated log-loss {before:.4f} before, {after:.4f} after.",
        log_loss_after=after,
        gradient_norm=found.gradient_norm,
        held_out_margin_M=held_out_M,
        ordering_M=found.rescaled.ordering(held_out_M, found.held_out_KN[0], known.fold_N),
    )
