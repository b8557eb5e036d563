"""From which probability a category is called present: by F-beta, or by what mistakes cost.

Legend: N known labels of one category, K cuts between distinct probabilities (the first calls
nothing present), G clusters of groups, R weightings of the bootstrap.
"""

import dataclasses
from typing import Literal

import numpy as np
import numpy.typing as npt

from goldseam.errors import InvalidConfig
from goldseam.finetuning.probabilities.calibration import folds_of_known
from goldseam.finetuning.probabilities.objectives import ExpectedCost, FBeta
from goldseam.finetuning.probabilities.reliability import known_probabilities
from goldseam.finetuning.resampling import Floats, Groups, KnownColumn, estimate, weightings
from goldseam.metrics.sums import BLOCK, ratio
from goldseam.page import amount, between, count, percent
from goldseam.results import Estimate, ScoreChange

Objective = FBeta | ExpectedCost


@dataclasses.dataclass(frozen=True)
class Threshold:
    """One category's decision threshold.

    Attributes:
        category: its name.
        threshold: call present from this probability on (`>=`); halfway between the probabilities
            of two images. Over 1, or 1 where no known probability is, means never. Its interval
            is that of the best threshold over draws of groups; None where it cannot be told.
        score: F-beta, or cost a label, of thresholds chosen by the other folds.
        score_at_half: the same at probability 0.5, for comparison.
        decisions: from the trained head at 0.5 to these thresholds, on the same labels and draws;
            None where the trained head was not handed over.
        known_present: known positives.
        known_absent: known negatives.
        sentence: what was chosen and what it brings, or why nothing could be.
    """

    category: str
    threshold: Estimate
    score: Estimate
    score_at_half: Estimate
    known_present: int
    known_absent: int
    sentence: str
    decisions: ScoreChange | None = None


def choose_threshold(
    probability_N: npt.ArrayLike,
    label_N: npt.ArrayLike,
    fold_N: npt.ArrayLike,
    *,
    objective: Objective,
    judged_N: npt.ArrayLike | None = None,
    trained_N: npt.ArrayLike | None = None,
    category: str = "",
    groups: Groups = None,
    prevalence: float | None = None,
    minimum_known: int = 10,
    resamples: int = 400,
    seed: int = 0,
) -> Threshold:
    """The best threshold of one category on its known labels; exact over all distinct cuts.

    Of equally good thresholds the highest is taken: it calls fewest images present.

    Assumed: known positives are like the positives that will be met, and known negatives like the
    negatives. Their proportion counts for F-beta and for cost: where it is not that of the images
    to come, give `prevalence`, and labels are weighted to it.

    Args:
        probability_N: of present, not seen by what predicted them.
        label_N: 1 present, 0 absent, -1 unknown; unknown rows are never read.
        fold_N: fold of each row, whole groups in one; only for the honest `score`.
        objective: what is best.
        judged_N: the same by a calibration that has not seen the label either, which decisions are
            judged by; None where `probability_N` is that already.
        trained_N: probabilities of the head before, whose decisions at 0.5 are compared.
        category: name.
        groups: group of each row; None where rows are independent.
        prevalence: share of images that show the category where the threshold will be used.
        minimum_known: positives, and negatives, without which nothing is chosen.
        resamples: draws of groups behind the intervals.
        seed: of the draws.

    Raises:
        InvalidArray: shapes or values are not as said.
        InvalidConfig: the prevalence is not between 0 and 1.
    """
    known = known_probabilities(probability_N, label_N, groups, category)
    fold_N = folds_of_known(fold_N, np.shape(label_N), known, category)
    if prevalence is not None and not 0 < prevalence < 1:
        raise InvalidConfig(
            f"category '{category}': prevalence {prevalence}, expected more than 0 and under 1.",
            remedy="Hand over a share, such as 0.03; None takes that of the known labels.",
        )
    better, unit = _direction(objective)
    found = Threshold(
        category=category,
        threshold=Estimate(None),
        score=Estimate(None, unit=unit, better=better),
        score_at_half=Estimate(None, unit=unit, better=better),
        known_present=known.presents,
        known_absent=known.absents,
        sentence="",
    )
    if min(known.presents, known.absents) < max(minimum_known, 1):
        sentence = (
            f"No threshold can be told for '{category}': {count(known.presents)} known present and "
            f"{count(known.absents)} known absent labels, fewer than {max(minimum_known, 1)} of "
            "each."
        )
        return dataclasses.replace(found, sentence=sentence)
    value_N = _label_weights(known, prevalence)
    weight_RG = weightings(known.clusters, resamples, seed)
    threshold = estimate(_best_cuts(known, value_N, weight_RG, objective))
    judge = known
    if judged_N is not None:
        judge = known_probabilities(judged_N, label_N, groups, category)
    chosen_N = _called_by_other_folds(judge, value_N, fold_N, objective)
    score_R = _scores(known, value_N, chosen_N, weight_RG, objective)
    found = dataclasses.replace(
        found,
        threshold=threshold,
        score=estimate(score_R, unit=unit, better=better),
        score_at_half=estimate(
            _scores(known, value_N, judge.score_N >= 0.5, weight_RG, objective),
            unit=unit,
            better=better,
        ),
    )
    if trained_N is not None:
        trained = known_probabilities(trained_N, label_N, groups, category)
        before_R = _scores(known, value_N, trained.score_N >= 0.5, weight_RG, objective)
        found = dataclasses.replace(
            found,
            decisions=ScoreChange(
                before=estimate(before_R, unit=unit, better=better),
                after=found.score,
                change=estimate(score_R - before_R, unit=unit, better=better),
            ),
        )
    return dataclasses.replace(found, sentence=_sentence(found, objective))


def _label_weights(known: KnownColumn, prevalence: float | None) -> Floats:
    """What a label counts, so that positives have the share `prevalence`."""
    if prevalence is None:
        return np.ones(len(known))
    share = known.presents / len(known)
    return np.where(known.present_N == 1, prevalence / share, (1 - prevalence) / (1 - share))


def _cuts(score_N: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]:
    """Labels from the highest score, the last of each distinct score, and the `K` thresholds."""
    order_N = np.argsort(-score_N, kind="stable")
    sorted_N = score_N[order_N]
    last_K = np.append(np.flatnonzero(np.diff(sorted_N)), len(sorted_N) - 1)
    above_K = sorted_N[last_K]
    below_K = np.append(above_K[1:], 0.0)
    middle_K = (above_K + below_K) / 2
    # between two neighboring floats there is no middle
    middle_K = np.where(middle_K > below_K, middle_K, above_K)
    never = 1.0 if above_K[0] < 1 else float(np.nextafter(1.0, 2.0))
    return order_N, last_K, np.append(never, middle_K)


def _best_cuts(
    known: KnownColumn, value_N: Floats, weight_RG: Floats, objective: Objective
) -> Floats:
    """The best threshold under every weighting; NaN where a draw lacks positives or negatives."""
    order_N, last_K, threshold_K = _cuts(known.score_N)
    cluster_N = known.cluster_N[order_N]
    positive_N = value_N[order_N] * known.present_N[order_N]
    negative_N = value_N[order_N] * (1 - known.present_N[order_N])
    best_R = np.full(len(weight_RG), np.nan)
    rows = max(1, BLOCK // len(order_N))
    for start in range(0, len(weight_RG), rows):
        block = slice(start, start + rows)
        weight_RN = weight_RG[block][:, cluster_N]
        hit_RK = _running(weight_RN * positive_N, last_K)
        false_RK = _running(weight_RN * negative_N, last_K)
        hits_R1, falses_R1 = hit_RK[:, -1:], false_RK[:, -1:]
        quality_RK = _quality(hit_RK, false_RK, hits_R1 - hit_RK, falses_R1, objective)
        defined_R = (hits_R1[:, 0] > 0) & (falses_R1[:, 0] > 0)
        # sums of weights differ by rounding where they are equal
        best_RK = np.round(np.nan_to_num(quality_RK, nan=-np.inf), 12)
        best_R[block] = np.where(defined_R, threshold_K[best_RK.argmax(axis=1)], np.nan)
    return best_R


def _running(value_RN: Floats, last_K: npt.NDArray[np.intp]) -> Floats:
    """Sums over all labels that a cut calls present; the first cut calls none."""
    sums_RK = np.cumsum(value_RN, axis=1)[:, last_K]
    return np.concatenate([np.zeros((len(sums_RK), 1)), sums_RK], axis=1)


def _quality(
    hit: Floats, false: Floats, missed: Floats, negatives: Floats, objective: Objective
) -> Floats:
    """F-beta, or minus the cost a label; NaN without a positive or without a label."""
    if isinstance(objective, FBeta):
        square = objective.beta**2
        quality = ratio((1 + square) * hit, (1 + square) * hit + square * missed + false)
        return np.where(hit + missed > 0, quality, np.nan)
    cost = objective.false_alarm * false + objective.miss * missed
    return -ratio(cost, hit + missed + negatives)


def _called_by_other_folds(
    known: KnownColumn, value_N: Floats, fold_N: npt.NDArray[np.intp], objective: Objective
) -> npt.NDArray[np.bool_] | None:
    """What thresholds of the other folds call present; None where one cannot be chosen."""
    called_N = np.zeros(len(known), bool)
    once_1G = np.ones((1, known.clusters))
    for fold in range(int(fold_N.max()) + 1):
        held, train = fold_N == fold, fold_N != fold
        rest = known.part(train)
        if not rest.presents or not rest.absents:
            return None
        cut = _best_cuts(rest, value_N[train], once_1G, objective)[0]
        called_N[held] = known.score_N[held] >= cut
    return called_N


def _scores(
    known: KnownColumn,
    value_N: Floats,
    called_N: npt.NDArray[np.bool_] | None,
    weight_RG: Floats,
    objective: Objective,
) -> Floats:
    """F-beta or cost of decisions, pooled over all labels, under every weighting.

    Thresholds are the same in every draw. NaN where it is undefined.
    """
    if called_N is None:
        return np.full(len(weight_RG), np.nan)
    positive_N = known.present_N == 1
    cells = (called_N & positive_N, called_N & ~positive_N, ~called_N & positive_N, ~positive_N)
    sums_GS = known.sums(np.stack([value_N * cell for cell in cells], axis=1))
    hit_R, false_R, missed_R, negatives_R = (weight_RG @ sums_GS).T
    quality_R = _quality(hit_R, false_R, missed_R, negatives_R, objective)
    return quality_R if isinstance(objective, FBeta) else -quality_R


def _direction(objective: Objective) -> tuple[Literal["higher", "lower"], str]:
    if isinstance(objective, FBeta):
        return "higher", ""
    return "lower", "per label"


def _sentence(found: Threshold, objective: Objective) -> str:
    cut = percent(found.threshold.value)
    if found.threshold.value is not None and found.threshold.value >= 1:
        said = f"'{found.category}' is best never called present"
    else:
        said = f"Call '{found.category}' present from a probability of {cut} on"
    span = between(found.threshold)
    said += f" (95 % interval {span})" if span else ""
    name = objective.title if isinstance(objective, FBeta) else "a cost"
    honest, at_half = (amount(each.value, each.unit) for each in (found.score, found.score_at_half))
    return (
        f"{said}: {name} of {honest} on labels that the choice had not seen, {at_half} from 50 % "
        "on."
    )
