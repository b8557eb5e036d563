"""What boundary and saliency share: probabilities of pixels against many thresholds at once.

A probability is replaced by the number of thresholds that it reaches; comparing, counting and
taking maxima are then done once instead of once a threshold. Legend: B batch, K known samples, H
and W pixels, T thresholds, S numbers of a sample at one threshold.
"""

import abc
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from goldseam.metrics.sums import (
    Array,
    Floats,
    GroupSums,
    InvalidMetricInput,
    blocks,
    check_batch,
    ratio,
)

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]

BUCKETS = 4096


class ThresholdSums(GroupSums):
    """A metric of pixels that are yes or no, from counts at many thresholds of a probability.

    Args:
        threshold: probability from which a pixel is predicted.
        ignore: target id of pixels that count for nothing.
        others: further thresholds at which pixels are counted.
    """

    def __init__(self, threshold: float, ignore: int, others: Iterable[float]) -> None:
        super().__init__()
        self.threshold = threshold
        self.ignore = ignore
        self.thresholds = tuple(sorted({*others, threshold}))

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
            target: `B H W`, 1 yes (a boundary, salient), 0 no, or `ignore`.
            known_B: True where the sample's label is known; others are never read.
            groups: group of each sample.

        Raises:
            InvalidMetricInput: the shapes do not fit, or a value is no probability or label.
        """
        predicted_BHW, target_BHW, known = check_batch(prediction, target, known_B, groups, "B H W")
        for block in blocks(known, predicted_BHW[0].size if len(known) else 0):
            probability_KHW, target_KHW = predicted_BHW[block], target_BHW[block]
            counted_KHW = counted_pixels(probability_KHW, target_KHW, self.ignore)
            number_KHW = reached_thresholds(probability_KHW, counted_KHW, self.thresholds)
            state_KTS = self._counts(number_KHW, counted_KHW & (target_KHW == 1), counted_KHW)
            for index, state_TS in zip(block.tolist(), state_KTS, strict=True):
                self._add(groups[index], state_TS)

    @abc.abstractmethod
    def _counts(self, number_KHW: Array, yes_KHW: Bools, counted_KHW: Bools) -> Counts:
        """What each sample adds at each threshold, `K T S`.

        Args:
            number_KHW: how many thresholds a pixel reaches; see `reached_thresholds`.
            yes_KHW: counted pixels that the label says yes of.
            counted_KHW: pixels that are not ignored.
        """


def counted_pixels(probability_KHW: Array, target_KHW: Array, ignore: int) -> Bools:
    """True where a pixel is not ignored.

    Raises:
        InvalidMetricInput: a counted pixel has no probability, or a label other than 0 and 1.
    """
    counted_KHW: Bools = target_KHW != ignore
    label_KHW = (target_KHW == 0) | (target_KHW == 1)
    valid_KHW = (probability_KHW >= 0) & (probability_KHW <= 1) & label_KHW
    wrong_KHW = counted_KHW & ~valid_KHW
    if wrong_KHW.any():
        raise InvalidMetricInput(
            f"a counted pixel has probability {probability_KHW[wrong_KHW][0]} and label "
            f"{target_KHW[wrong_KHW][0]}, expected a probability from 0 to 1 and a label 0, 1 or "
            f"{ignore}.",
            remedy="Apply a sigmoid to the logits; mark unlabeled pixels with the ignore id.",
        )
    return counted_KHW


def reached_thresholds(
    probability_KHW: Array, counted_KHW: Bools, thresholds: Sequence[float]
) -> Array:
    """How many of the ascending thresholds, from 0 to 1, a pixel reaches; 0 where not counted."""
    shown_KHW = np.where(counted_KHW, probability_KHW, 0.0)
    # in the precision of the probabilities, so that 0.7 reaches 0.7
    limits_T = np.asarray(thresholds, shown_KHW.dtype)
    number_KHW = _numbers(shown_KHW, limits_T).astype(
        np.uint8 if len(limits_T) < 256 else np.uint16
    )
    number_KHW[~counted_KHW] = 0
    return number_KHW


def _numbers(shown_KHW: Array, limits_T: Array) -> Array:
    """`searchsorted` from the right, by a table: four times as fast.

    Scaling by a power of two is exact, so a probability's bucket is too; within its bucket it is
    compared with the one limit that may stand there.
    """
    bucket_T = (limits_T * BUCKETS).astype(np.intp)
    alone = len(set(bucket_T.tolist())) == len(limits_T)
    if not alone or bucket_T[0] < 0 or bucket_T[-1] > BUCKETS:
        return np.searchsorted(limits_T, shown_KHW, side="right")
    limit_S = np.full(BUCKETS + 1, np.inf, shown_KHW.dtype)
    limit_S[bucket_T] = limits_T
    below_S = np.searchsorted(bucket_T, np.arange(BUCKETS + 1)).astype(np.uint16)
    bucket_KHW = (shown_KHW * BUCKETS).astype(np.intp)
    return below_S[bucket_KHW] + (shown_KHW >= limit_S[bucket_KHW])


def passing(number_KHW: Array, chosen_KHW: Bools, thresholds: int) -> Counts:
    """How many of the chosen pixels reach each threshold, `K T`."""
    samples, bins = len(number_KHW), thresholds + 1
    per_sample_K = chosen_KHW.reshape(samples, -1).sum(axis=1)
    first_M = np.repeat(np.arange(samples) * bins, per_sample_K)
    cells = np.bincount(first_M + number_KHW[chosen_KHW], minlength=samples * bins)
    # a pixel that reaches n thresholds counts for the n lowest
    return cells.reshape(samples, bins)[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]


def label_pixels(yes_KHW: Bools, thresholds: int) -> Counts:
    """Pixels that the label says yes of, the same at each threshold: `K T`."""
    pixels_K1: Counts = yes_KHW.sum(axis=(1, 2))[:, None]
    return np.broadcast_to(pixels_K1, (len(pixels_K1), thresholds))


def f_score(precision: Floats, recall: Floats, beta_squared: float = 1.0) -> Floats:
    """F of precision and recall; 0 where nothing is predicted, NaN where there is nothing to find.

    Args:
        precision: NaN where nothing is predicted.
        recall: NaN where there is nothing to find.
        beta_squared: how much more recall weighs than precision; 1 for F1.
    """
    precision, found = np.nan_to_num(precision), np.nan_to_num(recall)
    f = ratio((1 + beta_squared) * precision * found, beta_squared * precision + found)
    return np.where(np.isnan(recall), np.nan, np.nan_to_num(f))


def highest(f_T: Floats) -> Floats:
    """The highest F on the last axis; NaN where F is undefined, as it then is at all thresholds."""
    best: Floats = f_T.max(axis=-1)
    return best
