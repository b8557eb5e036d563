"""How many unlabeled images show a category of which only presences were ever written down.

Legend: P labeled images, M unlabeled images, G groups, B resamples.
"""

import dataclasses

import numpy as np

from goldseam.audit.statistics.groups import Groups
from goldseam.dataset.codecs import Array

# labeled images below which no share is estimated
FEWEST = 20
RESAMPLES = 200


@dataclasses.dataclass(frozen=True)
class UnlabeledShare:
    """Share of unlabeled images that show the category, with its 95 % interval."""

    value: float
    low: float
    high: float


def best_bin(labeled_P: Array, unlabeled_M: Array, weights: tuple[Array, Array]) -> float:
    """Share of presences among unlabeled images, by Best Bin Estimation.

    Garg, Wu, Smola, Balakrishnan and Lipton (2021), Mixture proportion estimation and PU learning:
    a modern approach, algorithm 1 with delta = 0.1 and gamma = 0.01: where the scores are so high
    that (nearly) only presences reach them, the unlabeled share over the labeled share is the
    share of presences. The score is chosen where an upper confidence bound is least.

    Args:
        labeled_P: scores of labeled images, held out; higher is more likely present.
        unlabeled_M: scores of unlabeled images, held out.
        weights: how often each counts (P, M): 1, or a resample's counts.

    Returns:
        0 to 1.
    """
    count_P, count_M = weights
    edge_K = np.unique(labeled_P)
    reached_P = _reached(labeled_P, count_P, edge_K)
    reached_M = _reached(unlabeled_M, count_M, edge_K)
    size_P, size_M = float(count_P.sum()), float(count_M.sum())
    slack = np.sqrt(np.log(4 / 0.1) / 2) * (1 / np.sqrt(size_M) + 1 / np.sqrt(size_P))
    share_P, share_M = reached_P / size_P, reached_M / size_M
    usable_K = share_P > 0
    bound_K = (share_M[usable_K] + 1.01 * slack) / share_P[usable_K]
    best = int(np.argmin(bound_K))
    return float(min(share_M[usable_K][best] / share_P[usable_K][best], 1.0))


def _reached(score_N: Array, count_N: Array, edge_K: Array) -> Array:
    """How much weight has a score of at least each edge."""
    order_N = np.argsort(score_N, kind="stable")
    below_N = np.concatenate([[0.0], np.cumsum(count_N[order_N], dtype=np.float64)])
    reached_K: Array = below_N[-1] - below_N[np.searchsorted(score_N[order_N], edge_K, side="left")]
    return reached_K


def unlabeled_share(
    labeled_N: Array, score_N: Array, groups: Groups, random: np.random.Generator
) -> UnlabeledShare | None:
    """Best Bin Estimation with a percentile bootstrap over groups.

    Assumes that labeled images are a random sample of those that show the category (selected
    completely at random), and that some kind of image surely shows it; without the second, what
    comes out is an upper bound.

    Args:
        labeled_N: bool; every other image is unlabeled.
        score_N: held-out scores; images of NaN do not enter.
        groups: of the images.
        random: of the bootstrap.

    Returns:
        None below 20 labeled or unlabeled images, or with less than two groups.
    """
    scored_N = np.isfinite(score_N)
    labeled_P = np.flatnonzero(labeled_N & scored_N)
    unlabeled_M = np.flatnonzero(~labeled_N & scored_N)
    if min(len(labeled_P), len(unlabeled_M)) < FEWEST or len(groups) < 2:
        return None
    score_P, score_M = score_N[labeled_P], score_N[unlabeled_M]
    value = best_bin(score_P, score_M, (np.ones(len(score_P)), np.ones(len(score_M))))
    drawn = []
    for _ in range(RESAMPLES):
        count_G = np.bincount(random.integers(len(groups), size=len(groups)), minlength=len(groups))
        count_P = count_G[groups.code_N[labeled_P]]
        count_M = count_G[groups.code_N[unlabeled_M]]
        if count_P.sum() and count_M.sum():
            drawn.append(best_bin(score_P, score_M, (count_P, count_M)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return UnlabeledShare(value, min(float(low), value), max(float(high), value))
