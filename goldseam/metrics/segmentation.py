"""Intersection over union of category masks, from one confusion matrix per group.

Legend: B batch, C categories, H and W pixels, R weightings.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from goldseam.errors import closest
from goldseam.metrics.sums import (
    Array,
    Floats,
    GroupSums,
    InvalidMetricInput,
    check_batch,
    mean_defined,
    ratio,
)


class SegmentationMetric(GroupSums):
    """`miou`, `iou.<category>` and `accuracy` over pixels that are known and not ignored.

    A category that no counted label pixel carries has no score (None) and is left out of the mean,
    so that two models on the same images are always compared over the same categories. Pixels that
    a model wrongly gives to such a category still count: as misses of the category they belong to.

    Args:
        categories: names by id.
        ignore: target id of pixels that count for nothing.
    """

    primary = "miou"

    def __init__(self, categories: Sequence[str], ignore: int = 255) -> None:
        super().__init__()
        self.categories = tuple(categories)
        self.ignore = ignore

    def update(
        self,
        prediction: npt.ArrayLike,
        target: npt.ArrayLike,
        known_B: Array,
        groups: Sequence[str],
    ) -> None:
        """Add a batch.

        Args:
            prediction: `B H W` category ids.
            target: `B H W` category ids or `ignore`.
            known_B: True where the sample's mask is known; others are never read.
            groups: group of each sample.

        Raises:
            InvalidMetricInput: the shapes do not fit, or an id is no category.
        """
        predicted_BHW, target_BHW, known = check_batch(prediction, target, known_B, groups, "B H W")
        size = len(self.categories)
        for index in known:
            counted_HW = target_BHW[index] != self.ignore
            target_P = self._ids(target_BHW[index][counted_HW], "target")
            predicted_P = self._ids(predicted_BHW[index][counted_HW], "prediction")
            cells = np.bincount(target_P * size + predicted_P, minlength=size * size)
            self._add(groups[index], cells.reshape(size, size).astype(np.int64))

    def confusion(self) -> npt.NDArray[np.int64]:
        """Pixels by target category (row) and predicted category (column), `C C`."""
        empty = np.zeros(self._shape(), np.int64)
        return empty + sum((self._sums[group] for group in self.groups), start=empty)

    def _ids(self, values_P: Array, name: str) -> npt.NDArray[np.int64]:
        outside_P = (values_P < 0) | (values_P >= len(self.categories)) | (values_P % 1 != 0)
        if outside_P.any():
            value = values_P[outside_P][0]
            raise InvalidMetricInput(
                f"{name} holds {value}, expected an id from 0 to {len(self.categories) - 1}"
                + (f" or {self.ignore}." if name == "target" else "."),
                remedy=f"Categories by id: {closest(value, self.categories)}; mark pixels that "
                "count for nothing with the ignore id.",
            )
        return values_P.astype(np.int64)

    def _settings(self) -> tuple[Any, ...]:
        return self.categories, self.ignore

    def _shape(self) -> tuple[int, ...]:
        return len(self.categories), len(self.categories)

    def _scores(self, sums_R: Floats) -> dict[str, Floats]:
        hit_RC = np.diagonal(sums_R, axis1=1, axis2=2)
        target_RC, predicted_RC = sums_R.sum(2), sums_R.sum(1)
        iou_RC = ratio(hit_RC, target_RC + predicted_RC - hit_RC)
        iou_RC[target_RC == 0] = np.nan
        scores = {"miou": mean_defined(iou_RC), "accuracy": ratio(hit_RC.sum(1), target_RC.sum(1))}
        return scores | {f"iou.{name}": iou_RC[:, c] for c, name in enumerate(self.categories)}
