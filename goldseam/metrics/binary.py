"""What boundary and saliency share: probabilities of pixels against many thresholds at once.

A probability is replaced by the number of thresholds that it reaches; comparing, counting and
taking maxima are then done once instead of once a threshold. Legend: K samples, H and W pixels,
T thresholds.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from goldseam.metrics.sums import Array, Floats, InvalidMetricInput, ratio

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]

BUCKETS = 4096


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
