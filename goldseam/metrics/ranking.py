"""Average precision and area under the ROC curve, exact with ties, over known labels only.

Many score vectors at once (`average_precision`, `roc_auc`), or one under many weightings
(`weighted_ranking`, for the bootstrap); both run through the same two curves.
Legend: N rows, P score vectors, R weightings, K steps of a curve, G groups.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from goldseam.metrics.sums import BLOCK, Array, Floats, InvalidMetricInput, ratio

Bools = npt.NDArray[np.bool_]


def average_precision(
    scores: npt.NDArray[Any], present: npt.ArrayLike, known: npt.ArrayLike | None = None
) -> Floats:
    """Sum of (recall step) x precision over distinct scores, without interpolation.

    Equal scores are one step of the curve, so the order of rows does not matter.

    Args:
        scores: `... N`: any number of score vectors, such as candidates by categories. float32 is
            ranked as it is, which is faster; everything else as float64.
        present: bool, of a shape that broadcasts to that of `scores`.
        known: likewise; all by default. What stands at unknown rows, even NaN, is never read.

    Returns:
        A number for each score vector; NaN without known positives or without known negatives.

    Raises:
        InvalidMetricInput: the shapes do not fit, or a known score is NaN or infinite.
    """
    return _scored(_average_precision, scores, present, known)


def roc_auc(
    scores: npt.NDArray[Any], present: npt.ArrayLike, known: npt.ArrayLike | None = None
) -> Floats:
    """Share of pairs of a positive and a negative in right order; a tied pair counts one half.

    Arguments, result and errors are those of `average_precision`.
    """
    return _scored(_roc_area, scores, present, known)


def weighted_ranking(
    score_N: Floats, target_N: Array, group_N: npt.NDArray[np.intp], weights_RG: Floats
) -> tuple[Floats, Floats]:
    """Average precision and area under the ROC curve of one category, for every weighting.

    Sorted once; equal scores are one step of the curves.

    Args:
        score_N: of known rows.
        target_N: 1 present, 0 absent.
        group_N: group of each row.
        weights_RG: how often each group counts.

    Returns:
        Two arrays of `R`; NaN without positives or negatives.
    """
    ap_R, auc_R = np.full((2, len(weights_RG)), np.nan)
    if not (target_N == 1).any() or not (target_N == 0).any():
        return ap_R, auc_R
    order = np.argsort(-score_N, kind="stable")
    sorted_N = score_N[order]
    last_K = np.append(np.flatnonzero(np.diff(sorted_N)), len(sorted_N) - 1)
    positive_N, group_N = target_N[order] == 1, group_N[order]
    rows = max(1, BLOCK // len(order))
    for start in range(0, len(weights_RG), rows):
        block = slice(start, start + rows)
        weight_RN = weights_RG[block][:, group_N]
        hit_RK = np.cumsum(weight_RN * positive_N, axis=1)[:, last_K]
        total_RK = np.cumsum(weight_RN, axis=1)[:, last_K]
        ap_R[block] = _average_precision(hit_RK, total_RK)
        auc_R[block] = _roc_area(hit_RK, total_RK)
    return ap_R, auc_R


def _average_precision(hit_RK: Floats, total_RK: Floats) -> Floats:
    """From the positives and the rows at or above each step, both never falling along K."""
    hits_R, totals_R = hit_RK[:, -1], total_RK[:, -1]
    step_RK = np.diff(hit_RK, axis=1, prepend=0.0)
    # a draw may leave the first scores without weight; their step is 0, so is their part
    precision_RK = np.divide(hit_RK, total_RK, out=np.zeros_like(hit_RK), where=total_RK > 0)
    defined_R = (hits_R > 0) & (totals_R - hits_R > 0)
    return np.where(defined_R, ratio((step_RK * precision_RK).sum(1), hits_R), np.nan)


def _roc_area(hit_RK: Floats, total_RK: Floats) -> Floats:
    """From the same two curves as `_average_precision`."""
    false_RK = total_RK - hit_RK
    hits_R, falses_R = hit_RK[:, -1], false_RK[:, -1]
    step_RK = np.diff(hit_RK, axis=1, prepend=0.0)
    area_R = (np.diff(false_RK, axis=1, prepend=0.0) * (hit_RK - step_RK / 2)).sum(1)
    defined_R = (hits_R > 0) & (falses_R > 0)
    return np.where(defined_R, ratio(area_R, hits_R * falses_R), np.nan)


def _scored(
    area: Callable[[Floats, Floats], Floats],
    scores: npt.NDArray[Any],
    present: npt.ArrayLike,
    known: npt.ArrayLike | None,
) -> Floats:
    scores = np.asarray(scores)
    if scores.dtype != np.float32:
        scores = scores.astype(np.float64)
    present, known = np.asarray(present, bool), np.asarray(True if known is None else known, bool)
    try:
        present, known = (np.broadcast_to(mask, scores.shape) for mask in (present, known))
    except ValueError as error:
        raise InvalidMetricInput(
            f"scores {scores.shape}, present {present.shape} and known {known.shape} do not fit; "
            "expected masks that broadcast to the scores.",
            remedy="Hand over one mark a row, or one a row and score vector.",
        ) from error
    rows = scores.shape[-1] if scores.ndim else 0
    if scores.ndim == 0 or rows == 0:
        return np.full(scores.shape[:-1], np.nan)
    score_PN = scores.reshape(-1, rows)
    present_PN, known_PN = present.reshape(-1, rows), known.reshape(-1, rows)
    found_P = np.empty(len(score_PN))
    # blocks keep the curves, eight bytes an entry, within the processor's caches
    size = max(1, BLOCK // (16 * rows))
    for start in range(0, len(score_PN), size):
        block = slice(start, start + size)
        found_P[block] = area(*_curves(score_PN[block], present_PN[block], known_PN[block]))
    return found_P.reshape(scores.shape[:-1])


def _curves(score_PN: Array, present_PN: Bools, known_PN: Bools) -> tuple[Floats, Floats]:
    """Positives, and rows, at or above each score, from the highest; flat inside a tie."""
    if not np.isfinite(score_PN, where=known_PN, out=np.ones(score_PN.shape, bool)).all():
        raise InvalidMetricInput(
            "the score of a known label is NaN or infinite.",
            remedy="Score every known label with a finite number, or mark it unknown.",
        )
    single = score_PN.dtype == np.float32
    hit_PN, tied_PN = (_sorted_keys if single else _sorted_order)(score_PN, present_PN, known_PN)
    hit_PN = np.cumsum(hit_PN, axis=1, dtype=np.float64)
    place_N = np.arange(1.0, score_PN.shape[1] + 1)
    count_P1 = known_PN.sum(axis=1)[:, None]
    total_PN = np.minimum(place_N, count_P1)
    # unknown rows stand last, where both curves are flat anyway
    tied_PN &= place_N[1:] <= count_P1
    if tied_PN.any():
        # inside a tie the curves stay where the last distinct score left them
        hit_PN[:, :-1][tied_PN] = 0.0
        total_PN[:, :-1][tied_PN] = 0.0
        np.maximum.accumulate(hit_PN, axis=1, out=hit_PN)
        np.maximum.accumulate(total_PN, axis=1, out=total_PN)
    return hit_PN, total_PN


def _sorted_order(score_PN: Array, present_PN: Bools, known_PN: Bools) -> tuple[Array, Bools]:
    """Whether each place, from the highest score, is a known positive and ties with the next."""
    down_PN = np.where(known_PN, -score_PN, np.inf)
    order_PN = np.argsort(down_PN, axis=1)
    down_PN = np.take_along_axis(down_PN, order_PN, axis=1)
    # unknown rows are last and tie with each other, never with a known one
    hit_PN = np.take_along_axis(present_PN & known_PN, order_PN, axis=1)
    return hit_PN, down_PN[:, :-1] == down_PN[:, 1:]


def _sorted_keys(score_PN: Array, present_PN: Bools, known_PN: Bools) -> tuple[Array, Bools]:
    """The same for float32: score and label fit one integer, so values are sorted, not places."""
    # adding 0 makes one zero of two; flipping a negative number's bits orders it as an integer
    bits_PN = (np.where(known_PN, -score_PN, 0) + np.float32(0)).view(np.int32)
    key_PN = (bits_PN ^ ((bits_PN >> 31) & np.int32(0x7FFFFFFF))).astype(np.int64)
    key_PN = np.where(known_PN, key_PN * 2 + present_PN, np.iinfo(np.int64).max - 1)
    key_PN.sort(axis=1)
    return key_PN & 1, key_PN[:, :-1] >> 1 == key_PN[:, 1:] >> 1
