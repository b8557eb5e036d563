"""Shares whose intervals know that what stands in one cluster (an image, a group) is alike.

Two layouts of the same statistic: trials in a list, each with its cell and cluster (few of them are
hits, and a share may combine several kinds), and dense columns over images that come in groups.

Legend: K trials, C cells or columns, N images, G groups, U clusters within cells.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from goldseam.audit.statistics.groups import Groups
from goldseam.audit.statistics.intervals import effective_number, estimate, student_95, wilson
from goldseam.dataset.codecs import Array
from goldseam.results import Estimate

ERROR_CORRELATION = 0.05  # of wrong labels of one cluster, where none or all are wrong


def clustered_wilson(
    share_C: Array,
    variance_C: Array,
    trials_C: Array,
    clusters_C: Array,
    *,
    assumed_correlation: float,
) -> tuple[Array, Array]:
    """Wilson's 95 % interval at the number of independent trials that the trials are worth.

    That number is the one at which a binomial share would have the variance that is seen between
    clusters, at most the number of trials; the reference is Student's t of the clusters (Korn and
    Graubard 1998). A share of 0 or 1, or of a single cluster, shows no such variance; there the
    design effect is 1 + (mean size of a cluster - 1) times an assumed correlation (Kish 1965).

    Args:
        share_C: of hits.
        variance_C: of the share, between clusters.
        trials_C: number.
        clusters_C: that have a trial.
        assumed_correlation: between trials of one cluster; 1 takes each cluster for one trial.
    """
    size_C = trials_C / np.maximum(clusters_C, 1)
    blind_C = trials_C / (1 + assumed_correlation * np.maximum(size_C - 1, 0))
    mixed_C = (share_C > 0) & (share_C < 1) & (clusters_C > 1)
    number_C = np.where(mixed_C, effective_number(share_C, variance_C, trials_C), blind_C)
    return wilson(share_C, np.maximum(number_C, 1e-9), student_95(clusters_C))


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

    The 95 % interval is that of `clustered_wilson`, from the variance of the linearized share.
    Where nothing or everything is a hit, a correlation of 0.05 within clusters is assumed: labels
    of one image go wrong alike, but mostly one by one. Fewer than two clusters give no interval.

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
    low_C, high_C = clustered_wilson(
        any_C, variance_C, trials_C, clusters_C, assumed_correlation=ERROR_CORRELATION
    )
    single_C = clusters_C < 2
    low_C[single_C] = high_C[single_C] = np.nan
    any_C = np.where(trials_C > 0, any_C, np.nan)
    return [estimate(*ends) for ends in zip(any_C, low_C, high_C, strict=True)]


@dataclasses.dataclass(frozen=True, eq=False)
class Shares:
    """Shares of C columns with 95 % intervals; NaN where nothing was counted."""

    value_C: Array
    low_C: Array
    high_C: Array

    def estimate(self, column: int) -> Estimate:
        """One of them."""
        if np.isnan(self.value_C[column]):
            return Estimate(None)
        value, low, high = (float(part[column]) for part in (self.value_C, self.low_C, self.high_C))
        return Estimate(value, low, high)


def column_shares(part_NC: Array, whole_NC: Array, groups: Groups) -> Shares:
    """Share of `part` in `whole`, column by column, with the interval of `clustered_wilson`.

    Where all or none are part, each group is taken for one image: whether an image is looked at is
    often decided for its whole group. Where no image shares a group the interval is Wilson's own.

    Args:
        part_NC: bool, inside of `whole_NC`.
        whole_NC: bool.
        groups: of the images.
    """
    size_C = whole_NC.sum(axis=0).astype(np.float64)
    safe_C = np.maximum(size_C, 1)
    share_C = np.where(size_C > 0, part_NC.sum(axis=0) / safe_C, np.nan)
    if groups.single:
        return Shares(share_C, *wilson(share_C, size_C))
    whole_GC = groups.sums(whole_NC)
    residual_GC = groups.sums(part_NC) - np.nan_to_num(share_C) * whole_GC
    groups_C = (whole_GC > 0).sum(axis=0)
    correction_C = groups_C / np.maximum(groups_C - 1, 1)
    variance_C = correction_C * np.square(residual_GC).sum(axis=0) / safe_C**2
    low_C, high_C = clustered_wilson(share_C, variance_C, size_C, groups_C, assumed_correlation=1.0)
    return Shares(share_C, low_C, high_C)
