"""What a search is worth on labels that it has not seen, and how far its head should move.

Legend: M known rows of a category, F folds, S shares of the way.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from goldseam.finetuning.ranking.directions import Surroundings
from goldseam.finetuning.ranking.evolution import Summit
from goldseam.finetuning.ranking.options import RankingScore
from goldseam.finetuning.ranking.ranked import fitness
from goldseam.finetuning.solving.known import KnownLabels
from goldseam.finetuning.solving.logistic import Floats, rescale

# of the way to the best candidate on the training rows, which overshoots
SHARES = (0.0, 0.125, 0.25, 0.5, 1.0)


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOut:
    """Margins of each label by heads that have not seen its fold.

    Attributes:
        before_M: of the convex optimum, on the folds' common scale; see `aligned`.
        after_M: of the chosen share of the way, likewise.
        share: of the way from the convex optimum to the best candidate, for the search on all rows.
        margin_M: of that share, with slope and intercept re-fitted on the training rows.
        slope: the least of these slopes.
        generations: of the longest search.
    """

    before_M: Floats
    after_M: Floats
    share: float
    margin_M: Floats
    slope: float
    generations: int

    @classmethod
    def of(cls, around: Surroundings, summits: list[Summit], score: RankingScore) -> "HeldOut":
        """Judge what was found without each fold (`summits`, in order) on that fold."""
        known = around.known
        folds = list(zip(around.folds[:-1], summits, strict=True))
        aligned_SM = np.empty((len(SHARES), len(known.row_N)))
        for fold, (place, summit) in enumerate(folds):
            held_M = known.fold_N == fold
            for s, share in enumerate(SHARES):
                moved_M = place.moved(share * summit.point_K)
                aligned_SM[s, held_M] = aligned(moved_M, place.train_N)[held_M]
        best_F = best_shares(aligned_SM, known, score)
        share = SHARES[best_F[-1]]
        margin_M, slopes = np.empty(len(known.row_N)), []
        for fold, (place, summit) in enumerate(folds):
            held_M, moved_M = known.fold_N == fold, place.moved(share * summit.point_K)
            columns = (moved_M, known.present_N, known.weight_N)
            slope, intercept, _ = rescale(*(column_M[place.train_N] for column_M in columns))
            margin_M[held_M] = slope * moved_M[held_M] + intercept
            slopes.append(slope)
        return cls(
            before_M=aligned_SM[0],
            after_M=aligned_SM[best_F[known.fold_N], np.arange(len(known.row_N))],
            share=share,
            margin_M=margin_M,
            slope=min(slopes),
            generations=max(summit.generations for summit in summits),
        )


def best_shares(
    aligned_SM: Floats, known: KnownLabels, score: RankingScore
) -> npt.NDArray[np.intp]:
    """The share that ranks best, the least of equal ones: for each fold by the others, last by all.

    A share chosen by the labels that it is judged on would be too good.
    """
    folds = int(known.fold_N.max()) + 1
    other_F1M = known.fold_N != np.arange(folds + 1)[:, None, None]
    shape = (folds + 1, *aligned_SM.shape)
    score_FS = fitness(score, np.broadcast_to(aligned_SM, shape), known.present_N == 1, other_F1M)
    return np.asarray(np.argmax(score_FS, axis=1), np.intp)


def aligned(margin_M: Floats, train_T: npt.NDArray[np.intp]) -> Floats:
    """Margins over their spread on the training rows, from their middle.

    Heads of different folds differ in slope and intercept, which a search leaves free; without a
    common scale their margins could not be ranked together. No label is asked.
    """
    middle = np.median(margin_M[train_T])
    spread = np.abs(margin_M[train_T] - middle).mean()
    return np.asarray((margin_M - middle) / (spread if spread > 0 else 1.0), np.float64)
