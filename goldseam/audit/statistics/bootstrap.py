"""Bootstrap intervals of ratios of sums and of medians, where whole groups are drawn.

Legend: N observations, G clusters (groups, or bundles of groups where there are very many), K
quantities, R draws.
"""

import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from goldseam.audit.statistics.intervals import estimate, wilson
from goldseam.dataset.codecs import Array
from goldseam.results import Estimate

# groups are named by a hash, so that counts of a million groups stay small and shards agree
BUNDLES = 1 << 16
CLUSTERS = 1000
QUANTITIES_AT_ONCE = 512


def bundle_of(group: str) -> int:
    """The bundle, 0 to 65,535, that a group's counts are added to.

    Two groups rarely share one (1 in 300 datasets of 20 groups); then they are drawn together,
    which is valid, since groups are taken to be independent.
    """
    return zlib.crc32(group.encode()) % BUNDLES


def bundles_of(groups: Sequence[str]) -> Array:
    """The bundle of each of a dataset's groups."""
    return np.array([bundle_of(group) for group in groups], np.int64)


def clusters_of(bundle_N: Array) -> tuple[Array, int]:
    """Each observation's cluster, and how many clusters there are: at most 1,000.

    More bundles than that are drawn together, several at a time: sums over independent bundles are
    independent too, and a thousand of them are plenty for an interval.
    """
    bundles, rank_N = np.unique(bundle_N, return_inverse=True)
    return rank_N % CLUSTERS, min(len(bundles), CLUSTERS)


def sum_by_cluster(cluster_N: Array, clusters: int, value_NK: Array) -> Array:
    """Sums over the observations of each cluster: float64 `G K`."""
    columns = [np.bincount(cluster_N, value_N, minlength=clusters) for value_N in value_NK.T]
    return np.stack(columns, axis=1) if columns else np.zeros((clusters, 0))


def draws(clusters: int, resamples: int, seed: int) -> Array:
    """How often each cluster counts in each draw, with replacement: float64 `R G`."""
    return next(draws_in_blocks(clusters, resamples, seed, at_once=resamples))


def draws_in_blocks(clusters: int, resamples: int, seed: int, *, at_once: int) -> Iterator[Array]:
    """The same draws, so many at a time, where all of them together would be too large."""
    random = np.random.default_rng(seed)
    chance_G = np.full(clusters, 1 / clusters)
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        yield random.multinomial(clusters, chance_G, count).astype(np.float64)


def ratio_estimates(
    numerator_GK: Array,
    denominator_GK: Array,
    *,
    resamples: int,
    seed: int,
    unit: str = "",
    share: bool = True,
) -> list[Estimate]:
    """Ratios of sums with percentile bootstrap intervals (Efron 1979) over clusters.

    Clusters are taken to be independent and alike. The interval is None with fewer than two
    clusters that have a denominator, and where fewer than half of the draws have one. Every draw
    of a share that is 0 or 1 in all clusters is the same; there Wilson's interval stands instead,
    with clusters as observations: as cautious as if a group were worth one label.

    Args:
        numerator_GK: sums by cluster.
        denominator_GK: sums by cluster, at least 0.
        resamples: number of draws.
        seed: of the draws.
        unit: of the ratios.
        share: whether the ratios are shares, between 0 and 1.
    """
    clusters, quantities = numerator_GK.shape
    counted_K = (denominator_GK > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        value_K = numerator_GK.sum(axis=0) / denominator_GK.sum(axis=0)
    low_K, high_K = np.full((2, quantities), np.nan)
    if clusters >= 2:
        drawn_RG = draws(clusters, resamples, seed)
        for first in range(0, quantities, QUANTITIES_AT_ONCE):
            some = slice(first, first + QUANTITIES_AT_ONCE)
            with np.errstate(invalid="ignore", divide="ignore"):
                drawn_RK = (drawn_RG @ numerator_GK[:, some]) / (drawn_RG @ denominator_GK[:, some])
            low_K[some], high_K[some] = percentile_ends(drawn_RK)
    if share:
        constant_K = (value_K == 0) | (value_K == 1)
        low_W, high_W = wilson(value_K, counted_K)
        low_K = np.where(constant_K, low_W, low_K)
        high_K = np.where(constant_K, high_W, high_K)
    single_K = counted_K < 2
    low_K[single_K] = high_K[single_K] = np.nan
    return [
        estimate(value, low, high, unit)
        for value, low, high in zip(value_K, low_K, high_K, strict=True)
    ]


def percentile_ends(drawn_RK: Array) -> tuple[Array, Array]:
    """2.5th and 97.5th percentile of each column; NaN where under half of the draws are defined."""
    defined_RK = np.isfinite(drawn_RK)
    usable_K = 2 * defined_RK.sum(axis=0) >= len(drawn_RK)
    low_K, high_K = np.full((2, drawn_RK.shape[1]), np.nan)
    if usable_K.any():
        chosen = np.where(defined_RK, drawn_RK, np.nan)[:, usable_K]
        quantile = np.nanpercentile if np.isnan(chosen).any() else np.percentile
        low_K[usable_K], high_K[usable_K] = quantile(chosen, (2.5, 97.5), axis=0)
    return low_K, high_K


def drawn_estimate(value_R: Array, clusters: int, whole: float = 1.0) -> Estimate:
    """A share, or a number out of `whole`, from its estimate and its draws.

    Where all draws are alike since nothing is counted, or everything, they would claim certainty:
    there Wilson's interval stands, with clusters as observations.

    Args:
        value_R: the estimate, then the draws; a draw of NaN is left out.
        clusters: that were drawn; less than two give no interval.
        whole: the largest number there can be.
    """
    value = float(value_R[0])
    if np.isnan(value) or clusters < 2:
        return estimate(value, np.nan, np.nan)
    if value in (0, whole) and (value_R == value).all():
        low_1, high_1 = wilson(np.array([value / whole]), np.array([clusters]))
        return estimate(value, float(low_1[0]) * whole, float(high_1[0]) * whole)
    low_1, high_1 = percentile_ends(value_R[1:, None])
    # the draws may miss an estimate that lies at the edge of what is possible
    return estimate(value, min(float(low_1[0]), value), max(float(high_1[0]), value))


def median_estimate(
    value_N: Array, cluster_N: Array, clusters: int, *, resamples: int, seed: int, unit: str = ""
) -> Estimate:
    """The median over observations with its percentile bootstrap interval over clusters.

    Args:
        value_N: NaN where undefined.
        cluster_N: of each observation.
        clusters: how many there are.
        resamples: number of draws.
        seed: of the draws.
        unit: of the values.
    """
    defined_N = np.isfinite(value_N)
    value_M, cluster_M = value_N[defined_N], cluster_N[defined_N]
    if not len(value_M):
        return Estimate(None, unit=unit, better="lower")
    middle = float(np.median(value_M))
    if len(np.unique(cluster_M)) < 2:
        return Estimate(middle, unit=unit, better="lower")
    order = np.argsort(value_M, kind="stable")
    value_M, cluster_M = value_M[order], cluster_M[order]
    drawn = []
    for weight_G in draws(clusters, resamples, seed):
        total_M = np.cumsum(weight_G[cluster_M])
        if total_M[-1] > 0:
            # the mean of the lower and the upper median, as `np.median` has it
            half = total_M[-1] / 2
            ends = np.searchsorted(total_M, half), np.searchsorted(total_M, half, side="right")
            drawn.append(value_M[list(ends)].mean())
    low_1, high_1 = percentile_ends(np.array(drawn)[:, None])
    return estimate(middle, low_1[0], high_1[0], unit)
