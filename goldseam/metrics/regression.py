"""Errors of predicted values (depth, distance) and of predicted surface normals.

Legend: B batch, H and W pixels (P both), N counted pixels, K histogram bins, R weightings.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from goldseam.metrics.sums import Array, Floats, GroupSums, InvalidMetricInput, check_batch, ratio


class RegressionMetric(GroupSums):
    """`mae` and `rmse` in the task's unit, pooled over valid pixels; `abs_rel` when asked for.

    Args:
        unit: of the values, such as `m` or `px`.
        relative: also give the mean of |error| / target over pixels with a positive target.
    """

    primary = "mae"
    lower_is_better = frozenset({"mae", "rmse", "abs_rel"})

    def __init__(self, unit: str, *, relative: bool = False) -> None:
        super().__init__()
        self.unit = unit
        self.relative = relative

    def update(
        self,
        prediction: npt.ArrayLike,
        target: npt.ArrayLike,
        known_B: Array,
        groups: Sequence[str],
    ) -> None:
        """Add a batch.

        Args:
            prediction: `B H W` values.
            target: `B H W` values, NaN where invalid.
            known_B: True where the sample's label is known; others are never read.
            groups: group of each sample.

        Raises:
            InvalidMetricInput: the shapes do not fit, or a counted prediction is not finite.
        """
        predicted_BHW, target_BHW, known = check_batch(prediction, target, known_B, groups, "B H W")
        for index in known:
            counted_HW = np.isfinite(target_BHW[index])
            predicted_N = predicted_BHW[index][counted_HW].astype(np.float64)
            target_N = target_BHW[index][counted_HW].astype(np.float64)
            _finite(predicted_N)
            error_N = np.abs(predicted_N - target_N)
            positive_N = target_N > 0
            relative = (error_N[positive_N] / target_N[positive_N]).sum()
            sums = (error_N.size, error_N.sum(), (error_N**2).sum(), positive_N.sum(), relative)
            self._add(groups[index], np.asarray(sums, np.float64))

    def _unit(self, key: str) -> str:
        return "" if key == "abs_rel" else self.unit

    def _settings(self) -> tuple[Any, ...]:
        return self.unit, self.relative

    def _shape(self) -> tuple[int, ...]:
        return (5,)

    def _scores(self, sums_R: Floats) -> dict[str, Floats]:
        pixels, absolute, squared, positive, relative = sums_R.T
        scores = {"mae": ratio(absolute, pixels), "rmse": np.sqrt(ratio(squared, pixels))}
        return scores | ({"abs_rel": ratio(relative, positive)} if self.relative else {})


class NormalsMetric(GroupSums):
    """Angle between predicted and true normals: `mean` and `median` in degrees, and shares.

    The median comes from a histogram of 0.05 degree bins, so that parts can be merged; it is exact
    to half a bin. `within_11_25`, `within_22_5` and `within_30` are the shares of pixels with an
    angle under so many degrees. All are pooled over pixels. A prediction of length 0 has no
    direction and counts as the worst, 180 degrees.
    """

    primary = "mean"
    lower_is_better = frozenset({"mean", "median"})
    bin_degrees = 0.05
    limits = (11.25, 22.5, 30.0)

    def update(
        self,
        prediction: npt.ArrayLike,
        target: npt.ArrayLike,
        known_B: Array,
        groups: Sequence[str],
    ) -> None:
        """Add a batch.

        Args:
            prediction: `B 3 H W` vectors of any length.
            target: `B 3 H W` vectors; NaN or (0, 0, 0) where invalid.
            known_B: True where the sample's label is known; others are never read.
            groups: group of each sample.

        Raises:
            InvalidMetricInput: the shapes do not fit, or a counted prediction is not finite.
        """
        predicted, labeled, known = check_batch(prediction, target, known_B, groups, "B 3 H W")
        if labeled.shape[1] != 3:
            raise InvalidMetricInput(
                f"normals have the shape {labeled.shape}, expected B 3 H W.",
                remedy="Put the vector's components on the second axis.",
            )
        for index in known:
            target_3P = labeled[index].reshape(3, -1)
            counted_N = np.flatnonzero(np.isfinite(target_3P).all(axis=0) & target_3P.any(axis=0))
            predicted_3N, target_3N = (
                vectors_3P.take(counted_N, axis=1).astype(np.float64)
                for vectors_3P in (predicted[index].reshape(3, -1), target_3P)
            )
            _finite(predicted_3N)
            angle_N = angles(predicted_3N, target_3N)
            bins = self._bins
            bin_N = np.minimum((angle_N / self.bin_degrees).astype(np.int64), bins - 1)
            within = [(angle_N < limit).sum() for limit in self.limits]
            sums = (angle_N.size, angle_N.sum(), *within)
            histogram_K = np.bincount(bin_N, minlength=bins)
            self._add(groups[index], np.concatenate([sums, histogram_K]).astype(np.float64))

    @property
    def _bins(self) -> int:
        return round(180 / self.bin_degrees)

    def _unit(self, key: str) -> str:
        return "" if key.startswith("within") else "degree"

    def _settings(self) -> tuple[Any, ...]:
        return (self.bin_degrees,)

    def _shape(self) -> tuple[int, ...]:
        return (2 + len(self.limits) + self._bins,)

    def _scores(self, sums_R: Floats) -> dict[str, Floats]:
        first = 2 + len(self.limits)
        pixels_R, angle_R, *within = sums_R[:, :first].T
        shares = {
            # a dot in a metric's name would set off a category
            f"within_{limit:g}".replace(".", "_"): ratio(near_R, pixels_R)
            for limit, near_R in zip(self.limits, within, strict=True)
        }
        return {
            "mean": ratio(angle_R, pixels_R),
            "median": self._median(sums_R[:, first:]),
            **shares,
        }

    def _median(self, histogram_RK: Floats) -> Floats:
        """The mean of the centers of the bins that hold the two middle pixels."""
        cumulative_RK = histogram_RK.cumsum(axis=1)
        pixels_R = cumulative_RK[:, -1]
        half_R1 = pixels_R[:, None] / 2
        lower_R = (cumulative_RK < half_R1).sum(axis=1)
        upper_R = (cumulative_RK <= half_R1).sum(axis=1)
        median_R = (lower_R + upper_R + 1) / 2 * self.bin_degrees
        return np.where(pixels_R > 0, median_R, np.nan)


def angles(first_3N: Floats, second_3N: Floats) -> Floats:
    """Angle between vectors in degrees, exact for small and for straight angles.

    The arc cosine of a dot product loses half the digits there; the arc tangent does not. A vector
    of length 0 is at 180 degrees of everything.
    """
    (ax, ay, az), (bx, by, bz) = first_3N, second_3N
    # written out: numpy's cross and norm take three times as long
    cross_N = np.sqrt(
        (ay * bz - az * by) ** 2 + (az * bx - ax * bz) ** 2 + (ax * by - ay * bx) ** 2
    )
    angle_N = np.degrees(np.arctan2(cross_N, ax * bx + ay * by + az * bz))
    nowhere_N = ~(first_3N.any(axis=0) & second_3N.any(axis=0))
    return np.where(nowhere_N, 180.0, angle_N)


def _finite(predicted: Array) -> None:
    wrong = predicted[~np.isfinite(predicted)]
    if wrong.size:
        raise InvalidMetricInput(
            f"a prediction is {wrong[0]}, expected a finite value.",
            remedy="The model has diverged: lower the learning rate, or look for bad inputs.",
        )
