"""Shares with intervals that know that what stands in one image (or group) is alike.

K trials: each a hit or not, of one cell (a category, a source) and one cluster (an image, a group).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from goldseam.dataset.codecs import Array
from goldseam.results import Estimate

ASSUMED_CORRELATION = 0.05  # between trials of one cluster, where nothing differs
NORMAL_QUANTILE = 1.959964  # of a two-sided 95 % interval


@dataclasses.dataclass(frozen=True, eq=False)
class Trials:
    """What a share is made of.

    Attributes:
        hit_K: bool.
        cell_K: which share each trial belongs to, from 0.
        cluster_K: trials of one cluster are not independent.
    """

    hit_K: Array
    cell_K: Array
    cluster_K: Array

    def of(self, keep_K: Array) -> "Trials":
        """Some of the trials."""
        return Trials(self.hit_K[keep_K], self.cell_K[keep_K], self.cluster_K[keep_K])

    def into(self, cell_K: Array) -> "Trials":
        """The same trials in other cells."""
        return dataclasses.replace(self, cell_K=cell_K)

    def together(self) -> "Trials":
        """The same trials in one cell."""
        return self.into(np.zeros_like(self.cell_K))


def shares(parts: Sequence[Trials], cells: int) -> list[Estimate]:
    """For each cell, the chance that at least one of several kinds of hits happens.

    With one part this is the plain share of hits. With several it is `1 - prod(1 - share)`, which
    takes the kinds as independent of each other. A part without a trial in a cell does not count
    there; a cell without any is None.

    The 95 % interval is Wilson's at the effective number of trials: the one at which a binomial
    share would have the variance that the linearized share has between clusters (Korn and Graubard
    1998, with their correction for few clusters). Where that variance is zero, as it is without a
    single hit, it tells nothing, and an intra-cluster correlation of 0.05 is assumed. Fewer than
    two clusters give no interval.

    Args:
        parts: each with trials of its own.
        cells: how many shares.
    """
    intact_C, trials_C = np.ones(cells), np.zeros(cells)
    linear, keys = [], []
    clusters = 1 + max((int(part.cluster_K.max(initial=0)) for part in parts), default=0)
    for part in parts:
        total_C = np.bincount(part.cell_K, minlength=cells).astype(np.float64)
        hits_C = np.bincount(part.cell_K, part.hit_K, minlength=cells)
        share_C = np.divide(hits_C, total_C, out=np.zeros(cells), where=total_C > 0)
        weight_C = np.divide(
            1, total_C * (1 - share_C), out=np.zeros(cells), where=hits_C < total_C
        )
        linear.append((part.hit_K - share_C[part.cell_K]) * weight_C[part.cell_K])
        keys.append(part.cell_K.astype(np.int64) * clusters + part.cluster_K)
        intact_C *= 1 - share_C
        trials_C = np.maximum(trials_C, total_C)
    if not parts or not trials_C.any():
        return [Estimate(None, better="lower")] * cells
    key_U, at_K = np.unique(np.concatenate(keys), return_inverse=True)
    sum_U = np.bincount(at_K.ravel(), np.concatenate(linear), minlength=len(key_U))
    clusters_C = np.bincount(key_U // clusters, minlength=cells)
    spread_C = np.bincount(key_U // clusters, sum_U**2, minlength=cells)
    variance_C = intact_C**2 * spread_C * clusters_C / np.maximum(clusters_C - 1, 1)
    # of one part the share itself, free of rounding
    any_C = share_C if len(parts) == 1 else 1 - intact_C
    return _wilson(any_C, variance_C, trials_C, clusters_C)


def _wilson(
    share_C: Array, variance_C: Array, trials_C: Array, clusters_C: Array
) -> list[Estimate]:
    from scipy import stats

    binomial_C = share_C * (1 - share_C)
    size_C = trials_C / np.maximum(clusters_C, 1)
    assumed_C = trials_C / (1 + ASSUMED_CORRELATION * np.maximum(size_C - 1, 0))
    effective_C = np.divide(binomial_C, variance_C, out=assumed_C, where=variance_C > 1e-15)
    few_C = NORMAL_QUANTILE / stats.t.ppf(0.975, np.maximum(clusters_C - 1, 1))
    effective_C = np.clip(np.minimum(effective_C, trials_C) * few_C**2, 1e-9, None)
    z2 = NORMAL_QUANTILE**2
    middle_C = (share_C + z2 / (2 * effective_C)) / (1 + z2 / effective_C)
    half_C = np.sqrt(binomial_C / effective_C + z2 / (4 * effective_C**2)) * NORMAL_QUANTILE
    half_C /= 1 + z2 / effective_C
    # rounding must not put the share itself outside
    low_C = np.minimum(np.clip(middle_C - half_C, 0, 1), share_C)
    high_C = np.maximum(np.clip(middle_C + half_C, 0, 1), share_C)
    return [
        Estimate(
            float(share) if trials else None,
            float(low) if clusters > 1 else None,
            float(high) if clusters > 1 else None,
            better="lower",
        )
        for share, low, high, trials, clusters in zip(
            share_C, low_C, high_C, trials_C, clusters_C, strict=True
        )
    ]
