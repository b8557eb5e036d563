"""How well predicted boundary probabilities match a boundary, within a tolerance in pixels.

Legend: K known samples, H and W pixels, T thresholds, R weightings.
"""

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

GRID = tuple(step / 50 for step in range(1, 50))


class BoundaryMetric(ThresholdSums):
    """`f1`, `precision` and `recall` at one threshold, and `ods_f`; pooled over images.

    A predicted pixel (probability at least the threshold) is right when a boundary pixel of the
    label lies within `tolerance_px`; a boundary pixel of the label is found when a predicted pixel
    does. Ignored pixels are neither predicted nor boundary. Without any boundary pixel in the
    labels `f1`, `ods_f` and `recall` are None; without any predicted pixel `precision` is None and
    `f1` is 0.

    `f1` is for comparing models honestly: its threshold is never chosen on the images that are
    scored. Take `best_threshold()` of a metric over the validation split and make the test metric
    with it. `ods_f` is what boundary benchmarks quote (optimal dataset scale: Martin, Fowlkes and
    Malik 2004): the highest F1 of one threshold for all images, chosen on the very images that are
    scored, and so never below `f1`. Those benchmarks thin predictions and match pixels one to one;
    here neither is done: a line as thick as the tolerance costs nothing, and several predicted
    pixels may match one boundary pixel. State the tolerance with either number, and do not set
    `ods_f` beside one from another program.

    With `tolerance_px=0` this is the plain F1 of pixels.

    Args:
        tolerance_px: distance within which two pixels match, in px.
        threshold: probability from which a pixel is predicted.
        ignore: target id of pixels that count for nothing.
        grid: thresholds among which `best_threshold` and `ods_f` choose.
    """

    primary = "f1"

    def __init__(
        self,
        tolerance_px: float = 1.0,
        threshold: float = 0.5,
        ignore: int = 255,
        grid: Sequence[float] = GRID,
    ) -> None:
        super().__init__(threshold, ignore, grid)
        self.tolerance_px = tolerance_px
        reach = int(tolerance_px)
        steps = range(-reach, reach + 1)
        self._disk = [(y, x) for y in steps for x in steps if y**2 + x**2 <= tolerance_px**2]

    def best_threshold(self) -> float | None:
        """The threshold with the highest F1 on what was seen; None when F1 is undefined.

        Of equal ones the lowest. Call it on the validation split, never on the test split.
        """
        states = [self._sums[group] for group in self.groups]
        if not states:
            return None
        f1_T = _f1(np.sum(states, axis=0))
        return None if np.isnan(f1_T).all() else self.thresholds[int(np.nanargmax(f1_T))]

    def _counts(self, number_KHW: Array, yes_KHW: Bools, counted_KHW: Bools) -> Counts:
        """Right predicted, predicted, found boundary, boundary pixels: `K T 4`."""
        # a boundary pixel is found at a threshold when the largest probability within reach passes
        # it: one maximum over the disk serves all thresholds
        count = len(self.thresholds)
        columns = (
            passing(number_KHW, self._spread(yes_KHW), count),
            passing(number_KHW, counted_KHW, count),
            passing(self._spread(number_KHW), yes_KHW, count),
            label_pixels(yes_KHW, count),
        )
        return np.stack(columns, axis=2)

    def _spread(self, values_KHW: Array) -> Array:
        """The largest value within the tolerance of each pixel."""
        reach = int(self.tolerance_px)
        height, width = values_KHW.shape[1:]
        padded = np.pad(values_KHW, ((0, 0), (reach, reach), (reach, reach)))
        largest_KHW = values_KHW.copy()
        for y, x in self._disk:
            shifted_KHW = padded[:, reach + y :, reach + x :][:, :height, :width]
            np.maximum(largest_KHW, shifted_KHW, out=largest_KHW)
        return largest_KHW

    def _settings(self) -> tuple[Any, ...]:
        return self.tolerance_px, self.threshold, self.ignore, self.thresholds

    def _shape(self) -> tuple[int, ...]:
        return len(self.thresholds), 4

    def _scores(self, sums_R: Floats) -> dict[str, Floats]:
        sums_R4 = sums_R[:, self.thresholds.index(self.threshold)]
        return {
            "f1": _f1(sums_R4),
            "precision": ratio(sums_R4[:, 0], sums_R4[:, 1]),
            "recall": ratio(sums_R4[:, 2], sums_R4[:, 3]),
            "ods_f": highest(_f1(sums_R)),
        }


def _f1(sums_4: Array) -> Floats:
    """F1 from the four sums on the last axis; NaN without boundary pixels."""
    return f_score(ratio(sums_4[..., 0], sums_4[..., 1]), ratio(sums_4[..., 2], sums_4[..., 3]))
