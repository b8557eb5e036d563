"""How values (depth, distance) and directions (normals) differ from their clean version.

Robust within an image: a minority of wild pixels changes none of these numbers much. H and W
pixels, P pixels at which both are known.
"""

import dataclasses
import math

import numpy as np

from goldseam.dataset.codecs import Array

MINIMUM_PIXELS = 16
TRIMMED = 3.0
STEPS = 5
# of normally distributed values, standard deviation over median absolute deviation
NORMAL_SCALE = 1.4826


@dataclasses.dataclass(frozen=True)
class ValueDifference:
    """One image's noisy values beside the clean ones; NaN where undefined.

    Attributes:
        pixels: at which both are known.
        bias: median of noisy minus clean, in the unit of the task.
        scale: slope of noisy over clean.
        spread: robust standard deviation about that line, in the unit of the task.
        angle: of normals, median between the two directions, in degrees.
    """

    pixels: int
    bias: float = math.nan
    scale: float = math.nan
    spread: float = math.nan
    angle: float = math.nan


def compare_values(clean_HW: Array, noisy_HW: Array) -> ValueDifference:
    """Bias, scale and spread of a regression label.

    The line is fitted by least squares, again and again on the pixels within three robust standard
    deviations of it. It takes the clean values to be exact; noise on them would lower the slope.

    Args:
        clean_HW: float, NaN where unknown.
        noisy_HW: the same.
    """
    known_HW = np.isfinite(clean_HW) & np.isfinite(noisy_HW)
    clean_P = clean_HW[known_HW].astype(np.float64)
    noisy_P = noisy_HW[known_HW].astype(np.float64)
    if len(clean_P) < MINIMUM_PIXELS:
        return ValueDifference(len(clean_P))
    difference_P = noisy_P - clean_P
    bias = float(np.median(difference_P))
    kept_P = np.ones(len(clean_P), bool)
    slope, rest_P = math.nan, difference_P - bias
    for _ in range(STEPS):
        centered_P = clean_P - clean_P[kept_P].mean()
        variation = float((centered_P[kept_P] ** 2).sum())
        if variation < 1e-12 * max(1.0, float((clean_P[kept_P] ** 2).sum())):
            slope, rest_P = math.nan, difference_P - bias
            break
        slope = float(centered_P[kept_P] @ noisy_P[kept_P]) / variation
        rest_P = noisy_P - slope * centered_P
        rest_P -= np.median(rest_P[kept_P])
        deviation = NORMAL_SCALE * float(np.median(np.abs(rest_P)))
        kept_P = np.abs(rest_P) <= TRIMMED * deviation
        if kept_P.sum() < MINIMUM_PIXELS:
            break
    spread = NORMAL_SCALE * float(np.median(np.abs(rest_P)))
    return ValueDifference(len(clean_P), bias=bias, scale=slope, spread=spread)


def compare_normals(clean_3HW: Array, noisy_3HW: Array) -> ValueDifference:
    """Median angle between two fields of unit vectors, as atan2(|a × b|, a · b).

    Args:
        clean_3HW: float, NaN where unknown.
        noisy_3HW: the same.
    """
    known_HW = np.isfinite(clean_3HW).all(axis=0) & np.isfinite(noisy_3HW).all(axis=0)
    clean_3P = clean_3HW[:, known_HW].astype(np.float64)
    noisy_3P = noisy_3HW[:, known_HW].astype(np.float64)
    if clean_3P.shape[1] < MINIMUM_PIXELS:
        return ValueDifference(clean_3P.shape[1])
    across_P = np.linalg.norm(np.cross(clean_3P, noisy_3P, axis=0), axis=0)
    angle_P = np.degrees(np.arctan2(across_P, (clean_3P * noisy_3P).sum(axis=0)))
    return ValueDifference(clean_3P.shape[1], angle=float(np.median(angle_P)))
