"""Robust distances of images from the other images, and what a distance is worth as a score.

N images; NaN where an image has no value.
"""

import numpy as np

from goldseam.dataset.codecs import Array

MAD_TO_DEVIATION = 1.4826  # of a normal distribution


def robust_z(value_N: Array, floor: float) -> Array:
    """Distance from the median in robust deviations; NaN stays NaN.

    The deviation is 1.4826 times the median absolute deviation, and at least `floor`: where most
    images are equal, a difference below the floor is not remarkable.
    """
    known_N = ~np.isnan(value_N)
    if not known_N.any():
        return np.full(len(value_N), np.nan)
    median = np.median(value_N[known_N])
    deviation = MAD_TO_DEVIATION * np.median(np.abs(value_N[known_N] - median))
    z_N: Array = (value_N - median) / max(deviation, floor)
    return z_N


def outlier_score(z_N: Array, limit: float) -> Array:
    """0.5 at the limit, towards 1 far beyond it: `1 - limit / (2 z)`; 0 below."""
    beyond_N = np.nan_to_num(np.abs(z_N)) >= limit
    score_N: Array = np.where(beyond_N, 1 - limit / (2 * np.maximum(np.abs(z_N), limit)), 0.0)
    return score_N
