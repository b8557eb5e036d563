"""How well predicted boundary probabilities match a boundary, within a tolerance in pixels.

Legend: B batch, K known samples, H and W pixels, T thresholds, R weightings.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from goldseam.metrics.binary import (
    Counts,
    counted_pixels,
    f_score,
    highest,
    passing,
    reached_thresholds,
)
from goldseam.metrics.sums import Array, Floats, GroupSums, blocks, check_batch, ratio

GRID = tuple(step / 50 for step in range(1, 50))


class BoundaryMetric(GroupSums):
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
        super().__init__()
        self.tolerance_px = tolerance_px
        self.threshold = threshold
        self.ignore = ignore
        self.thresholds = tuple(sorted({*grid, threshold}))
        reach = int(tolerance_px)
        steps = range(-reach, reach + 1)
        self._disk = [(y, x) for y in steps for x in steps if y**2 + x**2 <= tolerance_px**2]

    def update(
        self,
        prediction: npt.ArrayLike,
        target: npt.ArrayLike,
        known_B: Array,
        groups: Sequence[str],
    ) -> None:
        """Add a batch.

        Args:
            prediction: `B H W` probabilities.
            target: `B H W`, 1 boundary, 0 none, or `ignore`.
            known_B: True where the sample's boundary is known; others are never read.
            groups: group of each sample.

        Raises:
            InvalidMetricInput: the shapes do not fit, or a value is no probability or label.
        """
        predicted_BHW, target_BHW, known = check_batch(prediction, target, known_B, groups, "B H W")
        for block in blocks(known, predicted_BHW[0].size if len(known) else 0):
            state_KT4 = self._matches(predicted_BHW[block], target_BHW[block])
            for index, state_T4 in zip(block.tolist(), state_KT4, strict=True):
                self._add(groups[index], state_T4)

    def best_threshold(self) -> float | None:
        """The threshold with the highest F1 on what was seen; None when F1 is undefined.

        Of equal ones the lowest. Call it on the validation split, never on the test split.
        """
        states = [self._sums[group] for group in self.groups]
        if not states:
            return None
        f1_T = _f1(np.sum(states, axis=0))
        return None if np.isnan(f1_T).all() else self.thresholds[int(np.nanargmax(f1_T))]

    def _matches(self, probability_KHW: Array, target_KHW: Array) -> Counts:
        """Per threshold: right predicted, predicted, found boundary, boundary pixels; `K T 4`."""
        counted_KHW = counted_pixels(probability_KHW, target_KHW, self.ignore)
        boundary_KHW = counted_KHW & (target_KHW == 1)
        number_KHW = reached_thresholds(probability_KHW, counted_KHW, self.thresholds)
        # a boundary pixel is found at a threshold when the largest probability within reach passes
        # it: one maximum over the disk serves all thresholds
        count = len(self.thresholds)
        pixels_K1 = boundary_KHW.sum(axis=(1, 2))[:, None]
        columns = (
            passing(number_KHW, self._spread(boundary_KHW), count),
            passing(number_KHW, counted_KHW, count),
            passing(self._spread(number_KHW), boundary_KHW, count),
            np.broadcast_to(pixels_K1, (len(pixels_K1), count)),
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
