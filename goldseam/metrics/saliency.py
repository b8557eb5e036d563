"""How well predicted saliency probabilities separate what stands out from the rest.

Legend: K known samples, H and W pixels, T thresholds, R weightings.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from goldseam.metrics.binary import (
    Bools,
    Counts,
    ThresholdSums,
    f_score,
    highest,
    label_pixels,
    passing,
)
from goldseam.metrics.sums import Array, Floats, ratio

BETA_SQUARED = 0.3
GRID = tuple(step / 20 for step in range(1, 20))
# thresholds on sigmoid(probability), as thresholds on the probability: up to one half every pixel
# passes, and from sigmoid(1) = 0.731 on none does
LEGACY_GRID = tuple(
    max(0.0, math.log(step / (1 - step))) for step in GRID if math.log(step / (1 - step)) <= 1
)


class SaliencyMetric(ThresholdSums):
    """`max_f`, `max_f_legacy`, and `f1`, `precision` and `recall` at one threshold.

    `max_f` is the highest F with beta squared 0.3 (Achanta et al. 2009) over the thresholds .05,
    .10, … .95, one for all images; precision and recall are of pixels pooled over all images, not
    means of images. As its threshold is chosen on the images that are scored, it is never below the
    F of a threshold that was chosen elsewhere.

    `max_f_legacy` is what the program published with DiffusionMTL computes: it applies a sigmoid to
    what is a probability already, so that only .50 to .70 of its thresholds tell pixels apart; they
    stand for the probabilities 0, .20, .41, .62 and .85. It is for comparing with published tables
    and for nothing else.

    Without any salient pixel in the labels the F's and `recall` are None; without any predicted
    pixel `precision` is None and `f1` is 0.

    Args:
        threshold: probability from which a pixel is predicted, for `f1`, `precision` and `recall`.
        ignore: target id of pixels that count for nothing.
    """

    primary = "max_f"

    def __init__(self, threshold: float = 0.5, ignore: int = 255) -> None:
        super().__init__(threshold, ignore, (*GRID, *LEGACY_GRID))

    def _counts(self, number_KHW: Array, yes_KHW: Bools, counted_KHW: Bools) -> Counts:
        """Right predicted, predicted, salient pixels: `K T 3`."""
        count = len(self.thresholds)
        columns = (
            passing(number_KHW, yes_KHW, count),
            passing(number_KHW, counted_KHW, count),
            label_pixels(yes_KHW, count),
        )
        return np.stack(columns, axis=2)

    def _settings(self) -> tuple[Any, ...]:
        return self.threshold, self.ignore

    def _shape(self) -> tuple[int, ...]:
        return len(self.thresholds), 3

    def _scores(self, sums_R: Floats) -> dict[str, Floats]:
        precision_RT = ratio(sums_R[..., 0], sums_R[..., 1])
        recall_RT = ratio(sums_R[..., 0], sums_R[..., 2])
        f_RT = f_score(precision_RT, recall_RT, BETA_SQUARED)
        at = self.thresholds.index(self.threshold)
        return {
            "max_f": highest(f_RT[:, self._positions(GRID)]),
            "max_f_legacy": highest(f_RT[:, self._positions(LEGACY_GRID)]),
            "f1": f_score(precision_RT[:, at], recall_RT[:, at]),
            "precision": precision_RT[:, at],
            "recall": recall_RT[:, at],
        }

    def _positions(self, grid: Sequence[float]) -> list[int]:
        return [self.thresholds.index(threshold) for threshold in grid]
