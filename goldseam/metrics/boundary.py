"""How well predicted boundary probabilities match a boundary, within a tolerance in pixels.

Legend: B batch, H and W pixels, T thresholds, R weightings.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from goldseam.metrics.sums import Array, Floats, GroupSums, InvalidMetricInput, check_batch, ratio

GRID = tuple(step / 50 for step in range(1, 50))


class BoundaryMetric(GroupSums):
    """`f1`, `precision` and `recall` at one threshold, pooled over images.

    A predicted pixel (probability at least the threshold) is right when a boundary pixel of the
    label lies within `tolerance_px`; a boundary pixel of the label is found when a predicted pixel
    does. Predictions are not thinned, so a line as thick as the tolerance costs nothing. Ignored
    pixels are neither predicted nor boundary. Without any boundary pixel in the labels `f1` and
    `recall` are None; without any predicted pixel `precision` is None and `f1` is 0.

    The threshold is never chosen on the images that are scored: take `best_threshold()` of a metric
    over the validation split (the optimal dataset scale, ODS) and make the test metric with it.
    With `tolerance_px=0` this is the plain F1 of pixels, which suits saliency.

    Args:
        tolerance_px: distance within which two pixels match, in px.
        threshold: probability from which a pixel is predicted.
        ignore: target id of pixels that count for nothing.
        grid: thresholds among which `best_threshold` chooses.
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
        step = np.arange(-reach, reach + 1)
        self._disk = step[:, None] ** 2 + step[None] ** 2 <= tolerance_px**2

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
        for index in known:
            state_T4 = self._matches(predicted_BHW[index], target_BHW[index])
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

    def _matches(self, probability_HW: Array, target_HW: Array) -> npt.NDArray[np.int64]:
        """Per threshold: right predicted, predicted, found boundary, boundary pixels."""
        from scipy import ndimage

        counted_HW = target_HW != self.ignore
        boundary_HW = counted_HW & (target_HW == 1)
        valid_HW = (probability_HW >= 0) & (probability_HW <= 1) & ((target_HW == 0) | boundary_HW)
        if not valid_HW[counted_HW].all():
            raise InvalidMetricInput(
                f"a counted pixel has probability {probability_HW[counted_HW & ~valid_HW][0]} and "
                f"label {target_HW[counted_HW & ~valid_HW][0]}, expected a probability from 0 to 1 "
                f"and a label 0, 1 or {self.ignore}.",
                remedy="Apply a sigmoid to the logits; mark unlabeled pixels with the ignore id.",
            )
        # a boundary pixel is found at a threshold when the largest probability within reach passes
        # it: one maximum filter serves all thresholds, and equals a distance transform for each
        shown_HW = np.where(counted_HW, probability_HW, -1.0)
        reached_HW = ndimage.maximum_filter(
            shown_HW, footprint=self._disk, mode="constant", cval=-1.0
        )
        near_HW = np.zeros_like(boundary_HW)
        if boundary_HW.any():
            near_HW = ndimage.distance_transform_edt(~boundary_HW) <= self.tolerance_px
        columns = (
            shown_HW[counted_HW & near_HW],
            shown_HW[counted_HW],
            reached_HW[boundary_HW],
            np.ones(int(boundary_HW.sum())),
        )
        return np.stack([self._passing(values) for values in columns], axis=1)

    def _passing(self, values_P: Array) -> npt.NDArray[np.int64]:
        """How many values reach each threshold."""
        below_T = np.searchsorted(np.sort(values_P), np.asarray(self.thresholds, values_P.dtype))
        return np.asarray(values_P.size - below_T, np.int64)

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
        }


def _f1(sums_4: Array) -> Floats:
    """F1 from the four sums on the last axis; NaN without boundary pixels."""
    precision = np.nan_to_num(ratio(sums_4[..., 0], sums_4[..., 1]))
    recall = ratio(sums_4[..., 2], sums_4[..., 3])
    f1 = np.nan_to_num(ratio(2 * precision * recall, precision + recall))
    return np.where(np.isnan(recall), np.nan, f1)
