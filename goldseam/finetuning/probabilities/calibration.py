"""Margins of a category into probabilities: the form that cross-validation likes best.

Legend: N known labels of one category, K forms, R weightings of the bootstrap.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from goldseam.errors import InvalidArray
from goldseam.finetuning.probabilities.reliability import (
    ProbabilityScores,
    expit,
    score_draws,
    scores_of,
)
from goldseam.finetuning.resampling import Floats, Groups, KnownColumn, weightings
from goldseam.finetuning.solving.contest import simplest
from goldseam.finetuning.solving.logistic import log_loss, rescale
from goldseam.page import between, count, percent

Form = Literal["identity", "temperature", "platt", "isotonic"]
FORMS: tuple[Form, ...] = ("identity", "temperature", "platt", "isotonic")  # simplest first
FORM_NAMES: dict[Form, str] = {
    "identity": "left as they are",
    "temperature": "divided by a temperature",
    "platt": "re-scaled with slope and intercept",
    "isotonic": "mapped by a monotone step curve",
}
ISOTONIC_MINIMUM = 50


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A non-decreasing map from margins to probabilities; plain numbers, so JSON holds all of it.

    `pydantic.TypeAdapter(Calibration)` writes and reads it without loss.

    Attributes:
        form: what kind of map it is.
        slope: of the margin, at least 0; 1 but for `temperature` and `platt`. At 0 the margins tell
            nothing and every image has the same probability.
        intercept: 0 but for `platt`.
        margins: of `isotonic`: ascending knots; beyond them the ends hold, between them a line.
        probabilities: at the knots, non-decreasing, strictly between 0 and 1.

    Raises:
        InvalidArray: a number is not as said.
    """

    form: Form = "identity"
    slope: float = 1.0
    intercept: float = 0.0
    margins: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        margin, share = np.asarray(self.margins, float), np.asarray(self.probabilities, float)
        fits = (
            math.isfinite(self.slope)
            and self.slope >= 0
            and math.isfinite(self.intercept)
            and margin.shape == share.shape
            and (len(margin) > 0) == (self.form == "isotonic")
            and bool(np.isfinite(margin).all() and (np.diff(margin) > 0).all())
            and bool(((share > 0) & (share < 1)).all() and (np.diff(share) >= 0).all())
        )
        if not fits:
            raise InvalidArray(
                "calibration",
                f"form '{self.form}' with slope {self.slope}, intercept {self.intercept} and "
                f"{len(margin)} margins for {len(share)} probabilities is no non-decreasing map "
                "into probabilities between 0 and 1",
                "Fit the calibration again.",
            )

    def logit(self, margin_N: npt.ArrayLike) -> Floats:
        """Calibrated margins: the logits of the probabilities."""
        margin_N = np.asarray(margin_N, np.float64)
        if self.form != "isotonic":
            return np.asarray(self.slope * margin_N + self.intercept, np.float64)
        share_N = np.interp(margin_N, self.margins, self.probabilities)
        return np.asarray(np.log(share_N) - np.log1p(-share_N), np.float64)

    def apply(self, margin_N: npt.ArrayLike) -> Floats:
        """Probabilities of present, strictly between 0 and 1, of any shape of margins."""
        return expit(self.logit(margin_N))


@dataclasses.dataclass(frozen=True)
class FormLoss:
    """A candidate and its cross-validated log-loss; None where it was not tried."""

    form: Form
    log_loss: float | None


@dataclasses.dataclass(frozen=True)
class CategoryCalibration:
    """One category's calibration and what it is worth.

    Attributes:
        category: its name.
        calibration: the map, fitted on all known labels.
        known_present: known positives.
        known_absent: known negatives.
        candidates: forms from the simplest, with cross-validated log-loss.
        before: of the margins as they are, or of the head that is replaced.
        after: cross-validated: a label is scored by a map that was fitted without its fold, of a
            form chosen by the losses of the other folds.
        change: after minus before, on the same draws of groups.
        sentence: what was done and what it brought.
        held_out_logit_M: of the known labels, by the maps behind `after`; empty where margins stay.
    """

    category: str
    calibration: Calibration
    known_present: int
    known_absent: int
    candidates: tuple[FormLoss, ...]
    before: ProbabilityScores
    after: ProbabilityScores
    change: ProbabilityScores
    sentence: str
    held_out_logit_M: Floats = dataclasses.field(
        default_factory=lambda: np.empty(0), repr=False, compare=False
    )


def calibrate(
    margin_N: npt.ArrayLike,
    label_N: npt.ArrayLike,
    fold_N: npt.ArrayLike,
    *,
    replaced_N: npt.ArrayLike | None = None,
    category: str = "",
    groups: Groups = None,
    minimum_known: int = 10,
    resamples: int = 1000,
    seed: int = 0,
) -> CategoryCalibration:
    """Choose and fit the calibration of one category by cross-validated log-loss.

    Candidates, from the simplest: identity; temperature (slope); Platt (slope and intercept);
    isotonic, with at least 50 known positives and 50 known negatives. The least log-loss wins, the
    simplest of those within 1e-6 nats of it. With fewer than `minimum_known` of either label, or
    where a fold leaves only one of them, margins stay as they are.

    Assumed: margins did not see the labels they are compared with (out of fold, where a head was
    fitted on them), and known labels are a sample of the images that the map will serve. Where they
    were chosen by what they show, correct the intercept afterwards (`priors.shift_by_audit`).

    Args:
        margin_N: of the head, before the sigmoid.
        label_N: 1 present, 0 absent, -1 unknown; unknown rows are never read.
        fold_N: fold of each row, whole groups in one.
        replaced_N: margins of the head that this one replaces, which `before` is about; the same
            margins by default.
        category: name.
        groups: group of each row, for the intervals; None where rows are independent.
        minimum_known: of positives, and of negatives.
        resamples: draws of groups behind the intervals.
        seed: of the draws.

    Raises:
        InvalidArray: shapes do not fit, a label is none of 1, 0, -1, or a known margin not finite.
    """
    known = KnownColumn.of(margin_N, label_N, groups, category)
    fold_N = folds_of_known(fold_N, np.shape(label_N), known, category)
    weight_RG = weightings(known.clusters, resamples, seed)
    replaced = known
    if replaced_N is not None:
        replaced = KnownColumn.of(replaced_N, label_N, groups, category)
    before = score_draws(replaced.score_N, known, weight_RG)
    reason = _too_few(known, fold_N, minimum_known)
    if reason:
        same = scores_of(before)
        none = scores_of((before[0] * np.nan, before[1] * np.nan, before[2] * np.nan))
        return CategoryCalibration(
            category=category,
            calibration=Calibration(),
            known_present=known.presents,
            known_absent=known.absents,
            candidates=tuple(FormLoss(form, None) for form in FORMS),
            before=same,
            after=same,
            change=none,
            sentence=f"Probabilities of '{category}' are left as they are: {reason}",
        )
    form, loss_by_form, logit_N = _choose(known, fold_N)
    after = score_draws(logit_N, known, weight_RG)
    scores = scores_of(before), scores_of(after)
    return CategoryCalibration(
        category=category,
        calibration=FITS[form](known.score_N, known.present_N),
        known_present=known.presents,
        known_absent=known.absents,
        candidates=tuple(FormLoss(each, loss_by_form.get(each)) for each in FORMS),
        before=scores[0],
        after=scores[1],
        change=scores_of((after[0] - before[0], after[1] - before[1], after[2] - before[2])),
        sentence=_sentence(category, form, len(known), *scores),
        held_out_logit_M=logit_N,
    )


def fit_temperature(margin_N: Floats, present_N: Floats) -> Calibration:
    """The slope, at least 0, with the least log-loss; labels are smoothed as for `fit_platt`.

    Guo et al., On Calibration of Modern Neural Networks (2017); the slope is 1 / temperature.
    """
    from scipy.optimize import brentq

    target_N = _smoothed(present_N)

    def derivative(slope: float) -> float:
        return float(((expit(slope * margin_N) - target_N) * margin_N).sum())

    if derivative(0.0) >= 0:
        return Calibration("temperature", slope=0.0)
    # smoothed labels make the log-loss grow again with the slope, so the end of the search exists
    end = 1.0 / max(float(np.abs(margin_N).max()), np.finfo(np.float64).tiny)
    while derivative(end) < 0:
        end *= 2
    slope = brentq(derivative, 0.0, end, xtol=1e-12 * end, rtol=1e-12)
    return Calibration("temperature", slope=float(slope))


def fit_platt(margin_N: Floats, present_N: Floats) -> Calibration:
    """Slope, at least 0, and intercept with the least log-loss (Platt 1999).

    Labels are smoothed to (N+ + 1) / (N+ + 2) and 1 / (N- + 2), which keeps the slope finite where
    margins separate them. The log-loss is convex: where the free slope is negative, the best one
    that is not is 0.
    """
    slope, intercept, _ = rescale(margin_N, present_N)
    if slope < 0:
        share = float(_smoothed(present_N).mean())
        slope, intercept = 0.0, math.log(share) - math.log1p(-share)
    return Calibration("platt", slope=float(slope), intercept=float(intercept))


def fit_isotonic(margin_N: Floats, present_N: Floats) -> Calibration:
    """Isotonic regression (pool adjacent violators) of the labels, smoothed as for `fit_platt`.

    Since smoothing is one line through 0 and 1, this is the regression of the labels themselves,
    moved inside: a share s becomes low + (high - low) s, with low = 1 / (N- + 2) and high =
    (N+ + 1) / (N+ + 2). It is monotone and strictly between 0 and 1.
    """
    from scipy.optimize import isotonic_regression

    margin_K, which_N = np.unique(margin_N, return_inverse=True)
    labels_K = np.bincount(which_N).astype(np.float64)
    target_K = np.bincount(which_N, _smoothed(present_N)) / labels_K
    share_K = isotonic_regression(target_K, weights=labels_K).x
    # rounding in the means of blocks must not make a later one smaller
    share_K = np.maximum.accumulate(share_K)
    # inside a block knots tell nothing that its ends do not
    rises_K = np.diff(share_K) > 0
    end_K = np.append(True, rises_K) | np.append(rises_K, True)
    return Calibration(
        "isotonic",
        margins=tuple(margin_K[end_K].tolist()),
        probabilities=tuple(share_K[end_K].tolist()),
    )


FITS: dict[Form, Callable[[Floats, Floats], Calibration]] = {
    "identity": lambda _margin_N, _present_N: Calibration(),
    "temperature": fit_temperature,
    "platt": fit_platt,
    "isotonic": fit_isotonic,
}


def folds_of_known(
    fold_N: npt.ArrayLike, shape: tuple[int, ...], known: KnownColumn, category: str
) -> npt.NDArray[np.intp]:
    """The folds of the known rows, numbered from 0.

    Raises:
        InvalidArray: there is not one fold a row.
    """
    folds = np.asarray(fold_N)
    if folds.shape != shape:
        raise InvalidArray(
            f"folds of category '{category}'",
            f"shape {folds.shape}, expected {shape}",
            "Hand over one fold an image.",
        )
    return np.asarray(np.unique(folds[known.row_N], return_inverse=True)[1].ravel(), np.intp)


def _choose(
    known: KnownColumn, fold_N: npt.NDArray[np.intp]
) -> tuple[Form, dict[Form, float], Floats]:
    """The best form, the loss of each, and cross-validated logits of the choice itself."""
    enough = min(known.presents, known.absents) >= ISOTONIC_MINIMUM
    forms = FORMS if enough else FORMS[:-1]
    folds = int(fold_N.max()) + 1
    logit_KN = np.empty((len(forms), len(known)))
    for fold in range(folds):
        held, train = fold_N == fold, fold_N != fold
        for k, form in enumerate(forms):
            fitted = FITS[form](known.score_N[train], known.present_N[train])
            logit_KN[k, held] = fitted.logit(known.score_N[held])
    loss_KN = log_loss(logit_KN, known.present_N)
    # a fold's form is chosen by the other folds: the least of several losses would be too good
    logit_N = np.empty(len(known))
    for fold in range(folds):
        held = fold_N == fold
        logit_N[held] = logit_KN[simplest(loss_KN[:, ~held].mean(axis=1)), held]
    mean_K = loss_KN.mean(axis=1)
    losses = dict(zip(forms, mean_K.tolist(), strict=True))
    return forms[simplest(mean_K)], losses, logit_N


def _smoothed(present_N: Floats) -> Floats:
    presents = present_N.sum()
    high, low = (presents + 1) / (presents + 2), 1 / (len(present_N) - presents + 2)
    return np.asarray(np.where(present_N == 1, high, low), np.float64)


def _too_few(known: KnownColumn, fold_N: npt.NDArray[np.intp], minimum_known: int) -> str:
    """Why nothing can be fitted; empty where it can."""
    if min(known.presents, known.absents) < max(minimum_known, 1):
        return (
            f"{count(known.presents)} known present and {count(known.absents)} known absent "
            f"labels, fewer than the {max(minimum_known, 1)} of each that a fit needs."
        )
    total = np.bincount(fold_N)
    presents = np.bincount(fold_N, known.present_N)
    if len(total) < 2 or (presents == known.presents).any():
        return "the known present labels stand in one fold."
    if (total - presents == known.absents).any():
        return "the known absent labels stand in one fold."
    return ""


def _sentence(
    category: str, form: Form, labels: int, before: ProbabilityScores, after: ProbabilityScores
) -> str:
    said = f"Probabilities of '{category}' are {FORM_NAMES[form]}."
    if form == "identity":
        return (
            f"{said} No map did better on {count(labels)} known labels; predicted and true share "
            f"differ by {percent(after.ece.value)} on average."
        )
    span = between(after.ece)
    interval = f" (95 % interval {span})" if span else ""
    return (
        f"{said} Predicted and true share differed by {percent(before.ece.value)} on average "
        f"before and by {percent(after.ece.value)}{interval} after, on {count(labels)} known "
        "labels that the map had not seen."
    )
