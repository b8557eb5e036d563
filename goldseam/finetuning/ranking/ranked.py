"""What a method that searches for a better ranking hands back, whichever method it was.

Legend: D features, N labels that are compared, M known training labels of a category.
"""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from goldseam.finetuning.ranking.options import RankingScore
from goldseam.finetuning.resampling import clusters_of, estimate, weightings
from goldseam.finetuning.solving.logistic import Floats
from goldseam.metrics.ranking import Bools, average_precision, roc_auc, weighted_ranking
from goldseam.results import ScoreChange

SCORE_NAMES: dict[RankingScore, str] = {
    "ap": "Average precision",
    "auc": "Area under the ROC curve",
}


@dataclasses.dataclass(frozen=True, eq=False)
class RankedHead:
    """One category's head after a search.

    Attributes:
        category: its name.
        weight_D: weights; the given ones where nothing was accepted.
        bias: intercept, likewise.
        accepted: whether the head is a new one.
        why: one sentence.
        score: what was raised.
        change: before and after, on labels that the search has not seen (`search`) or on the clean
            validation labels that also selected the head (the published methods; hence too good).
        steps: generations of the search on all rows, or of the longest one where none was
            accepted; or epochs; 0 where nothing was run.
        seconds: wall time; of a search in batches an equal share.
        known_present: known positives of the training rows.
        known_absent: known negatives.
        held_out_margin_M: margin of each known training label by a head that has not seen its fold,
            in the order of `HeadFit.row_M`; None where the method is not cross-fitted.
        log_loss_after: per known training label, of these margins; None likewise.
    """

    category: str
    weight_D: Floats
    bias: float
    accepted: bool
    why: str
    score: RankingScore
    change: ScoreChange
    steps: int
    seconds: float
    known_present: int
    known_absent: int
    held_out_margin_M: Floats | None = None
    log_loss_after: float | None = None


def fitness(score: RankingScore, scores: npt.NDArray[Any], present: Bools, known: Bools) -> Floats:
    """The chosen score of every candidate; arguments as `average_precision`."""
    function = average_precision if score == "ap" else roc_auc
    return function(scores, present, known)


def compare(
    score: RankingScore,
    before_N: Floats,
    after_N: Floats,
    present_N: Floats,
    groups_N: npt.NDArray[Any],
    *,
    resamples: int,
    seed: int,
) -> ScoreChange:
    """Two rankings of the same labels, with paired bootstrap intervals over groups.

    Args:
        score: which.
        before_N: margins of one head.
        after_N: margins of the other.
        present_N: 1 present, 0 absent.
        groups_N: group of each label.
        resamples: draws.
        seed: of the draws.
    """
    cluster_N = clusters_of(groups_N)
    weight_RG = weightings(int(cluster_N.max(initial=-1)) + 1, resamples, seed)
    column = ("ap", "auc").index(score)
    before_R, after_R = (
        weighted_ranking(margin_N, present_N, cluster_N, weight_RG)[column]
        for margin_N in (before_N, after_N)
    )
    return ScoreChange(estimate(before_R), estimate(after_R), estimate(after_R - before_R))


def undefined() -> ScoreChange:
    """Where nothing was compared."""
    none = estimate(np.full(1, np.nan))
    return ScoreChange(none, none, none)
