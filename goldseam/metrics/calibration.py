"""Whether predicted probabilities mean what they say: expected calibration error, per pixel or tag.

Legend: B batch, C categories, P counted entries, K bins, R weightings; `…` stands for any axes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from goldseam.metrics.sums import Array, Floats, GroupSums, InvalidMetricInput, ratio

UNDER, OVER = -1e-6, 1 + 1e-6  # what float32 rounding may add to a probability


class CalibrationMetric(GroupSums):
    """`ece`, the expected calibration error over equal-width bins, pooled over entries.

    With categories an entry's confidence is the probability of its most likely category, and it is
    right when that is the label. Without, an entry has one probability, of being positive, and what
    is compared is the share of positives: the confidence of "no boundary" would say little where
    almost nothing is one. An entry in bin k counts with |mean confidence of k - share right in k|.
    Source: Naeini, Cooper and Hauskrecht 2015; Guo et al., On Calibration, 2017, eq. 5.

    The estimate is biased upwards where bins hold few entries, and depends on the number of bins:
    compare models with equal bins on equal images only.

    Args:
        categories: number of categories; 0 for one probability of being positive.
        ignore: target id of entries that count for nothing; -1 for tags.
        bins: of equal width from 0 to 1.
    """

    primary = "ece"
    lower_is_better = frozenset({"ece"})

    def __init__(self, categories: int = 0, ignore: int = 255, bins: int = 15) -> None:
        super().__init__()
        self.categories = categories
        self.ignore = ignore
        self.bins = bins

    def update(
        self,
        prediction: npt.ArrayLike,
        target: npt.ArrayLike,
        known_B: Array,
        groups: Sequence[str],
    ) -> None:
        """Add a batch.

        Args:
            prediction: probabilities, `B C …` with categories and `B …` without.
            target: `B …`; category ids, or 1 positive and 0 negative, or `ignore`.
            known_B: True where the sample's label is known; others are never read.
            groups: group of each sample.

        Raises:
            InvalidMetricInput: the shapes do not fit, or a value is no probability or label.
        """
        predicted, labeled, known_B = map(np.asarray, (prediction, target, known_B))
        self._require_shapes(predicted, labeled, known_B, groups)
        for index in np.flatnonzero(known_B.astype(bool)).tolist():
            counted = labeled[index] != self.ignore
            target_P = labeled[index][counted]
            confidence_P, right_P = self._judge(predicted[index][..., counted], target_P)
            place_P = np.minimum((confidence_P * self.bins).astype(np.int64), self.bins - 1)
            columns = (np.ones_like(confidence_P), confidence_P, right_P)
            sums = [np.bincount(place_P, weights=c, minlength=self.bins) for c in columns]
            self._add(groups[index], np.stack(sums, axis=1))

    def reliability(self) -> dict[str, Floats]:
        """The curve behind `ece`, `K` each: `share` of the entries, `confidence` and `right`.

        `confidence` and `right` are NaN in empty bins.
        """
        sums_K3 = sum((self._sums[g] for g in self.groups), start=np.zeros(self._shape()))
        count_K, confidence_K, right_K = np.asarray(sums_K3).T
        return {
            "share": ratio(count_K, count_K.sum()),
            "confidence": ratio(confidence_K, count_K),
            "right": ratio(right_K, count_K),
        }

    def _require_shapes(
        self, predicted: Array, labeled: Array, known_B: Array, groups: Sequence[str]
    ) -> None:
        given = predicted.shape[:1] + predicted.shape[2:] if self.categories else predicted.shape
        fits = (
            given == labeled.shape
            and predicted.ndim > 1
            and (not self.categories or predicted.shape[1] == self.categories)
            and known_B.shape == labeled.shape[:1]
            and len(groups) == len(labeled)
        )
        if not fits:
            axes = f"B {self.categories} …" if self.categories else "B …"
            raise InvalidMetricInput(
                f"prediction {predicted.shape}, target {labeled.shape}, known {known_B.shape} and "
                f"{len(groups)} groups do not fit; expected prediction {axes}, target B …, known "
                "B.",
                remedy="Hand over one probability a category, or one for tasks without any.",
            )

    def _judge(self, predicted: Array, target_P: Array) -> tuple[Floats, Floats]:
        """Confidence of each counted entry, and 1.0 where it is right (or positive)."""
        highest = max(self.categories, 2) - 1
        wrong_P = (target_P < 0) | (target_P > highest) | (target_P % 1 != 0)
        # NaN fails both comparisons
        if wrong_P.any() or not ((predicted >= UNDER) & (predicted <= OVER)).all():
            found = f"a label {target_P[wrong_P][0]}" if wrong_P.any() else "no probability"
            raise InvalidMetricInput(
                f"a counted entry has {found}; expected probabilities from 0 to 1 and labels from "
                f"0 to {highest} or {self.ignore}.",
                remedy="Apply softmax or sigmoid to the logits; mark unlabeled entries as ignored.",
            )
        if not self.categories:
            return predicted.astype(np.float64).clip(0, 1), target_P.astype(np.float64)
        confidence_P = predicted.max(axis=0).astype(np.float64).clip(0, 1)
        return confidence_P, (predicted.argmax(axis=0) == target_P).astype(np.float64)

    def _settings(self) -> tuple[Any, ...]:
        return self.categories, self.ignore, self.bins

    def _shape(self) -> tuple[int, ...]:
        return self.bins, 3

    def _scores(self, sums_R: Floats) -> dict[str, Floats]:
        count_RK, confidence_RK, right_RK = np.moveaxis(sums_R, 2, 0)
        gap_R = np.abs(confidence_RK - right_RK).sum(axis=1)
        return {"ece": ratio(gap_R, count_RK.sum(axis=1))}
