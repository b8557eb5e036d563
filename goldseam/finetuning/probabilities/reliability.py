"""What predicted probabilities are worth: log-loss, calibration error, Brier score, and the curve.

Legend: N known labels, G clusters of groups, R weightings, E bins, S summed columns.
"""

import dataclasses
from typing import Literal

import numpy as np
import numpy.typing as npt

from goldseam.errors import InvalidArray
from goldseam.finetuning.resampling import Floats, Groups, KnownColumn, estimate, wilson
from goldseam.finetuning.solving.logistic import log_loss
from goldseam.metrics.sums import ratio
from goldseam.metrics.tags import BINS
from goldseam.results import Estimate


@dataclasses.dataclass(frozen=True)
class ProbabilityScores:
    """How good probabilities are on known labels; lower is better for each.

    Attributes:
        log_loss: mean negative log-likelihood, nats a label.
        ece: expected calibration error in 15 bins of equal width, as `TagsMetric` has it; biased
            upwards where bins hold few labels.
        brier: mean squared difference of probability and label.
    """

    log_loss: Estimate
    ece: Estimate
    brier: Estimate


@dataclasses.dataclass(frozen=True)
class ReliabilityBin:
    """Predictions of about the same probability.

    Attributes:
        low: least probability that falls into the bin.
        high: probability at which the next bin starts.
        labels: known labels.
        confidence: mean predicted probability; None in an empty bin.
        frequency: share that is present, with its interval; None in an empty bin.
    """

    low: float
    high: float
    labels: int
    confidence: float | None
    frequency: Estimate


def expit(logit_N: Floats) -> Floats:
    """Probability of a logit, kept strictly between 0 and 1 where rounding would leave them."""
    from scipy import special

    least = np.finfo(np.float64).tiny
    return np.asarray(np.clip(special.expit(logit_N), least, 1 - 2.0**-53), np.float64)


def score_draws(
    logit_N: Floats, known: KnownColumn, weight_RG: Floats
) -> tuple[Floats, Floats, Floats]:
    """Log-loss, calibration error and Brier score under every weighting; `R` each.

    Args:
        logit_N: of the probabilities that are scored. Log-loss is computed from it, so that it is
            exact where the probability rounds to 0 or 1.
        known: the labels; its own scores are not read.
        weight_RG: how often each cluster counts.
    """
    probability_N = expit(logit_N)
    state_GS = known.sums(
        np.stack(
            [
                np.ones(len(known)),
                log_loss(logit_N, known.present_N),
                (probability_N - known.present_N) ** 2,
            ],
            axis=1,
        )
    )
    gap_GE = _gap_sums(probability_N, known)
    count_R, loss_R, square_R = (weight_RG @ state_GS).T
    gap_R = np.abs(weight_RG @ gap_GE).sum(axis=1)
    return ratio(loss_R, count_R), ratio(gap_R, count_R), ratio(square_R, count_R)


def scores_of(draws: tuple[Floats, Floats, Floats]) -> ProbabilityScores:
    """The scores with their intervals, from `score_draws` or a difference of two of them."""
    loss_R, ece_R, brier_R = draws
    return ProbabilityScores(
        log_loss=estimate(loss_R, unit="nats", better="lower"),
        ece=estimate(ece_R, better="lower"),
        brier=estimate(brier_R, better="lower"),
    )


def _gap_sums(probability_N: Floats, known: KnownColumn) -> Floats:
    """Sum of (probability - label) in each cluster and bin of equal width; `G E`."""
    bin_N = np.minimum((probability_N * BINS).astype(np.intp), BINS - 1)
    gap = np.bincount(
        known.cluster_N * BINS + bin_N,
        probability_N - known.present_N,
        known.clusters * BINS,
    )
    return np.asarray(gap.reshape(known.clusters, BINS), np.float64)


def reliability(
    probability_N: npt.ArrayLike,
    label_N: npt.ArrayLike,
    *,
    groups: Groups = None,
    bins: int = BINS,
    spacing: Literal["equal_width", "equal_mass"] = "equal_width",
    category: str = "",
) -> tuple[ReliabilityBin, ...]:
    """The reliability diagram of one category as data.

    Known labels are taken for a random sample of the images that get these probabilities; where
    annotators chose what to label, the curve holds for what they chose. Intervals are Wilson's. In
    groups they go by the number of independent labels that vary as much (linearized variance over
    groups), at most the labels; where all or none of a bin are present, by the number of groups.

    Args:
        probability_N: predicted probability of present.
        label_N: 1 present, 0 absent, -1 unknown; unknown rows are never read.
        groups: group of each row; None where rows are independent.
        bins: how many, at least 1. Of equal mass there are fewer where probabilities repeat.
        spacing: bins of equal width from 0 to 1, or with about as many labels each.
        category: name, for messages.

    Raises:
        InvalidArray: shapes or values are not as said.
    """
    known = known_probabilities(probability_N, label_N, groups, category)
    if bins < 1:
        raise InvalidArray("bins", f"{bins}, expected at least 1", "Ask for more bins.")
    edges = np.linspace(0.0, 1.0, bins + 1)
    if spacing == "equal_mass" and len(known):
        inner = np.quantile(known.score_N, edges[1:-1])
        edges = np.unique(np.concatenate([[0.0], inner, [1.0]]))
    count_E = len(edges) - 1
    bin_N = np.clip(np.searchsorted(edges, known.score_N, side="right") - 1, 0, count_E - 1)
    labels_E = np.bincount(bin_N, minlength=count_E)
    confidence_E = ratio(np.bincount(bin_N, known.score_N, count_E), labels_E)
    frequency_E = ratio(np.bincount(bin_N, known.present_N, count_E), labels_E)
    trials_E = _independent_labels(known, bin_N, labels_E, frequency_E, independent=groups is None)
    low_E, high_E = wilson(np.nan_to_num(frequency_E), trials_E)
    return tuple(
        ReliabilityBin(
            low=float(edges[e]),
            high=float(edges[e + 1]),
            labels=int(labels_E[e]),
            confidence=_plain(confidence_E[e]),
            frequency=Estimate(_plain(frequency_E[e]), _plain(low_E[e]), _plain(high_E[e])),
        )
        for e in range(count_E)
    )


def _independent_labels(
    known: KnownColumn,
    bin_N: npt.NDArray[np.intp],
    labels_E: npt.NDArray[np.intp],
    frequency_E: Floats,
    *,
    independent: bool,
) -> Floats:
    """How many independent labels each bin is worth; 0 where fewer than two groups can tell."""
    if independent or not len(known):
        return labels_E.astype(np.float64)
    bins = len(labels_E)
    cell_N = bin_N * known.clusters + known.cluster_N
    size = bins * known.clusters
    residual_N = known.present_N - frequency_E[bin_N]
    residual_EG = np.bincount(cell_N, residual_N, size).reshape(bins, -1)
    groups_E = (np.bincount(cell_N, minlength=size).reshape(bins, -1) > 0).sum(axis=1)
    correction_E = groups_E / np.maximum(groups_E - 1, 1)
    variance_E = correction_E * ratio((residual_EG**2).sum(axis=1), labels_E.astype(float) ** 2)
    spread_E = frequency_E * (1 - frequency_E)
    # no spread between groups says nothing against independence
    worth_E = np.where(variance_E > 0, ratio(spread_E, variance_E), labels_E)
    worth_E = np.where(spread_E > 0, np.minimum(worth_E, labels_E), groups_E)
    return np.where(groups_E >= 2, worth_E, 0.0)


def known_probabilities(
    probability_N: npt.ArrayLike, label_N: npt.ArrayLike, groups: Groups, category: str
) -> KnownColumn:
    """The known rows of a column of probabilities.

    Raises:
        InvalidArray: as `KnownColumn.of`, or a value is no probability.
    """
    known = KnownColumn.of(probability_N, label_N, groups, category)
    wrong_N = (known.score_N < 0) | (known.score_N > 1)
    if wrong_N.any():
        at = int(wrong_N.argmax())
        raise InvalidArray(
            f"predictions of category '{category}'",
            f"row {known.row_N[at]}: {known.score_N[at]:g}, expected a probability from 0 to 1",
            "Apply the category's calibration, or a sigmoid, to margins.",
        )
    return known


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
