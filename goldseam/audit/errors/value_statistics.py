"""What is measured on each regression or normals label, in one pass: a few numbers an image.

Legend: H and W pixels, S sampled pixels, N images. NaN pixels have no value.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from goldseam.audit.errors.value_config import ValuesConfig
from goldseam.dataset.codecs import Array
from goldseam.errors import InvalidArray

Statistics = dict[str, Array]  # name → N

REGRESSION = (
    "pixels", "valid", "compared", "low", "high", "at_low", "at_high", "log_size", "residual",
    "error", "log_ratio", "ratio_spread", "rank", "difference_spread", "sum_spread",
    "product_spread", "log_spread", "sum_center", "label_spread",
)  # fmt: skip
NORMALS = (
    "pixels", "valid", "compared", "angle", *(f"axis_{a}_positive" for a in "xyz"),
    *(f"cross_{a}{b}" for a in "xyz" for b in "xyz"),
)  # fmt: skip


def stack_statistics(rows: Sequence[Mapping[str, float]], names: tuple[str, ...]) -> Statistics:
    """One array a statistic; NaN where an image has none."""
    return {name: np.array([row.get(name, np.nan) for row in rows], np.float64) for name in names}


def _sample(valid_HW: Array, config: ValuesConfig) -> Array:
    """Flat positions of at most `sample_pixels` valid pixels, the same for the same picture."""
    at = np.flatnonzero(valid_HW)
    if len(at) > config.sample_pixels:
        random = np.random.default_rng(config.seed)
        at = at[random.choice(len(at), config.sample_pixels, replace=False)]
    return at


def _spread(value_S: Array) -> float:
    """Median absolute deviation from the median."""
    return float(np.median(np.abs(value_S - np.median(value_S))))


def check_shapes(row: int, label: Array, prediction: Array | None, dimensions: int) -> None:
    """Refuse arrays of another layout.

    Raises:
        InvalidArray: see `value_errors`.
    """
    layout = "H W" if dimensions == 2 else "3 H W"
    if label.ndim != dimensions or (dimensions == 3 and label.shape[0] != 3):
        raise InvalidArray(
            f"labels, image {row}", f"an array of shape {label.shape}", f"Give {layout}."
        )
    if prediction is not None and prediction.shape != label.shape:
        raise InvalidArray(
            f"predictions, image {row}",
            f"an array of shape {prediction.shape}, and the label has {label.shape}",
            "Resample the prediction to the label's size.",
        )


def measure_regression(
    label_HW: Array, prediction_HW: Array | None, config: ValuesConfig
) -> dict[str, float]:
    """Statistics of one image; those that cannot be had are left out.

    Of the label alone: extremes, how many pixels stand at them, the median log magnitude. With a
    prediction, on pixels that both know: median residual and error, the log ratio of magnitudes,
    Spearman's rank correlation, and how constant difference, sum and product are.
    """
    valid_HW = np.isfinite(label_HW)
    found: dict[str, float] = {"pixels": label_HW.size, "valid": int(valid_HW.sum())}
    if found["valid"] < config.minimum_pixels:
        return found
    value = label_HW[valid_HW].astype(np.float64)
    found["low"], found["high"] = float(value.min()), float(value.max())
    found["at_low"] = float((value == found["low"]).mean())
    found["at_high"] = float((value == found["high"]).mean())
    label_S = label_HW.ravel()[_sample(valid_HW, config)].astype(np.float64)
    magnitude_S = np.abs(label_S[label_S != 0])
    if 2 * len(magnitude_S) >= len(label_S):
        found["log_size"] = float(np.median(np.log(magnitude_S)))
    if prediction_HW is not None:
        both_HW = valid_HW & np.isfinite(prediction_HW)
        found["compared"] = int(both_HW.sum())
        if found["compared"] >= config.minimum_pixels:
            at_S = _sample(both_HW, config)
            seen_S = prediction_HW.ravel()[at_S].astype(np.float64)
            found |= _compared(label_HW.ravel()[at_S].astype(np.float64), seen_S)
    return found


def _compared(label_S: Array, seen_S: Array) -> dict[str, float]:
    from scipy import stats

    difference_S, sum_S = label_S - seen_S, label_S + seen_S
    found = {
        "residual": float(np.median(difference_S)),
        "error": float(np.median(np.abs(difference_S))),
        "difference_spread": _spread(difference_S),
        "sum_spread": _spread(sum_S),
        "sum_center": float(np.median(sum_S)),
        "label_spread": _spread(label_S),
    }
    ranks = stats.rankdata(label_S), stats.rankdata(seen_S)
    if np.ptp(ranks[0]) > 0 and np.ptp(ranks[1]) > 0:
        found["rank"] = float(np.corrcoef(*ranks)[0, 1])
    nonzero_S = (label_S != 0) & (seen_S != 0)
    if 2 * nonzero_S.sum() >= len(label_S):
        log_label_S = np.log(np.abs(label_S[nonzero_S]))
        log_seen_S = np.log(np.abs(seen_S[nonzero_S]))
        found["log_ratio"] = float(np.median(log_label_S - log_seen_S))
        found["ratio_spread"] = _spread(log_label_S - log_seen_S)
        found["product_spread"] = _spread(log_label_S + log_seen_S)
        found["log_spread"] = _spread(log_label_S)
    return found


def measure_normals(
    label_3HW: Array, prediction_3HW: Array | None, config: ValuesConfig
) -> dict[str, float]:
    """Statistics of one image: the share of each axis' positive side, angles, cross moments.

    The angle is `atan2(|n × p|, n · p)`, which is exact near 0 and 180 degrees where the arc cosine
    is not. `cross_ab` is the mean of unit label component a times unit predicted component b.
    """
    valid_HW = np.isfinite(label_3HW).all(axis=0) & (label_3HW != 0).any(axis=0)
    found: dict[str, float] = {"pixels": valid_HW.size, "valid": int(valid_HW.sum())}
    if found["valid"] < config.minimum_pixels:
        return found
    label_3S = label_3HW.reshape(3, -1)[:, _sample(valid_HW, config)].astype(np.float64)
    for axis, name in enumerate("xyz"):
        found[f"axis_{name}_positive"] = float((label_3S[axis] > 0).mean())
    if prediction_3HW is None:
        return found
    both_HW = valid_HW & np.isfinite(prediction_3HW).all(axis=0) & (prediction_3HW != 0).any(axis=0)
    found["compared"] = int(both_HW.sum())
    if found["compared"] < config.minimum_pixels:
        return found
    at_S = _sample(both_HW, config)
    label_3S = label_3HW.reshape(3, -1)[:, at_S].astype(np.float64)
    seen_3S = prediction_3HW.reshape(3, -1)[:, at_S].astype(np.float64)
    label_3S /= np.linalg.norm(label_3S, axis=0)
    seen_3S /= np.linalg.norm(seen_3S, axis=0)
    across_S = np.linalg.norm(np.cross(label_3S, seen_3S, axis=0), axis=0)
    angle_S = np.rad2deg(np.arctan2(across_S, (label_3S * seen_3S).sum(axis=0)))
    found["angle"] = float(np.median(angle_S))
    cross_33 = label_3S @ seen_3S.T / label_3S.shape[1]
    for row, a in enumerate("xyz"):
        for column, b in enumerate("xyz"):
            found[f"cross_{a}{b}"] = float(cross_33[row, column])
    return found
