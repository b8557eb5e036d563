"""Intervals of shares: Wilson's, at the number of observations that dependence leaves.

Legend: K quantities.
"""

import numpy as np

from goldseam.dataset.codecs import Array
from goldseam.results import Estimate

NORMAL_95 = 1.959964  # quantile of a two-sided 95 % interval


def student_95(clusters_K: Array) -> Array:
    """Student's quantile of a two-sided 95 % interval from so many clusters; one counts as two."""
    from scipy.special import stdtrit

    quantile_K: Array = stdtrit(np.maximum(np.asarray(clusters_K, np.float64) - 1, 1), 0.975)
    return quantile_K


def wilson(
    share_K: Array, count_K: Array, quantile: Array | float = NORMAL_95
) -> tuple[Array, Array]:
    """Wilson's interval (1927) of shares of `count_K` independent observations.

    Args:
        share_K: 0 to 1; NaN gives NaN.
        count_K: how many observations, or how many they are worth.
        quantile: of the reference distribution; of the normal one at 95 % by default.

    Returns:
        Lower and upper ends; the share is never outside.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        square_K = quantile**2 / count_K
        center_K = (share_K + square_K / 2) / (1 + square_K)
        half_K = np.sqrt(share_K * (1 - share_K) * square_K + square_K**2 / 4) / (1 + square_K)
    # rounding must not put the share itself outside
    low_K = np.minimum(np.clip(center_K - half_K, 0, 1), share_K)
    return low_K, np.maximum(np.clip(center_K + half_K, 0, 1), share_K)


def effective_number(share_K: Array, variance_K: Array, count_K: Array) -> Array:
    """The number of independent observations of which a share would have such a variance.

    Korn and Graubard (1998); never more than the observations there are.

    Args:
        share_K: of hits.
        variance_K: of the share, between clusters.
        count_K: observations.
    """
    number_K = np.divide(
        share_K * (1 - share_K),
        variance_K,
        out=np.full(np.shape(share_K), np.inf),
        where=variance_K > 0,
    )
    capped_K: Array = np.minimum(number_K, count_K)
    return capped_K


def estimate(value: float, low: float, high: float, unit: str = "") -> Estimate:
    """An `Estimate` of a rate; NaN becomes None."""
    defined = not np.isnan(value)
    bounded = defined and not (np.isnan(low) or np.isnan(high))
    return Estimate(
        value=float(value) if defined else None,
        low=float(low) if bounded else None,
        high=float(high) if bounded else None,
        unit=unit,
        better="lower",
    )
