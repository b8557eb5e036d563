"""Slips of regression labels: units, scale, order, constants, saturation, outliers.

N images. Every image is compared with the others of the dataset: what most do is the reference.
"""

import math
from collections.abc import Sequence

import numpy as np

from goldseam.audit.errors.outliers import MAD_TO_DEVIATION, outlier_score, robust_z
from goldseam.audit.errors.slip import Slip
from goldseam.audit.errors.value_config import ValuesConfig
from goldseam.audit.errors.value_statistics import Statistics
from goldseam.audit.findings import Action, Issue
from goldseam.dataset.codecs import Array
from goldseam.page import percent

METERS = {
    "mm": 0.001, "cm": 0.01, "dm": 0.1, "m": 1.0, "km": 1000.0,
    "in": 0.0254, "ft": 0.3048, "yd": 0.9144, "mi": 1609.344,
}  # fmt: skip
POWERS_OF_TEN = (0.001, 0.01, 0.1, 10.0, 100.0, 1000.0)
LEAST_LOG_SPREAD = 0.1  # a tenth of a scale is no slip
LEAST_GAP = math.log(5)  # between the magnitudes of two units, without a prediction
COMPARABLE_RANK = 0.3  # of the median image, for a reversed one to mean something
LEAST_SHARE = 0.5  # of invalid or saturated pixels


def value_slips(statistics: Statistics, unit: str, config: ValuesConfig) -> list[Slip]:
    """Everything that stands out, one slip an image at most.

    A reversed image has an odd ratio as well, and one in another unit a large residual, so what
    explains comes first.
    """
    few = int(np.isfinite(statistics["low"]).sum()) < config.minimum_images
    slips = [_empty(statistics, config)]
    if not few:
        slips += [
            _constant(statistics, config),
            _reversed(statistics, config),
            *_units(statistics, unit, config),
            *_units_alone(statistics, unit, config),
            _scale(statistics, config),
            _saturated(statistics, config),
            _invalid(statistics, config),
            _outliers(statistics, unit, config),
        ]
    return slips


def unit_factors(unit: str, least: float) -> dict[str, float]:
    """What a number of another unit would be multiplied by, by the name of that unit.

    A label written in `mm` under a task in `m` is 1000 times too large. Units that are no lengths
    have only powers of ten.
    """
    if unit in METERS:
        factors = {name: METERS[unit] / meters for name, meters in METERS.items()}
    else:
        factors = {f"{factor:g} {unit}".strip(): 1 / factor for factor in POWERS_OF_TEN}
    return {name: f for name, f in factors.items() if abs(math.log(f)) >= math.log(max(least, 2))}


def _rare(flag_N: Array, among_N: Array, config: ValuesConfig) -> Array:
    """The flagged images, or none where so many are that it is how the task is defined."""
    if flag_N.sum() > config.common_share * among_N.sum():
        return np.zeros(0, np.int64)
    return np.flatnonzero(flag_N)


def _outlying(
    name: str,
    image_M: Array,
    score_M: Array,
    evidence: Sequence[str],
    action: Action = Action.REVIEW,
) -> Slip:
    nothing = [None] * len(image_M)
    return Slip(name, Issue.OUTLYING_VALUES, action, image_M, score_M, evidence, nothing)


def _empty(statistics: Statistics, config: ValuesConfig) -> Slip:
    known_N = statistics["pixels"] > 0
    empty_N = known_N & (statistics["valid"] == 0)
    at = _rare(empty_N, known_N, config)
    text = "No pixel of this label has a value, though the label counts as known."
    return _outlying("empty", at, np.ones(len(at)), [text] * len(at))


def _constant(statistics: Statistics, config: ValuesConfig) -> Slip:
    known_N = np.isfinite(statistics["low"])
    at = _rare(known_N & (statistics["low"] == statistics["high"]), known_N, config)
    texts = [f"Every pixel has the value {value:.4g}." for value in statistics["low"][at]]
    return _outlying("constant", at, np.full(len(at), 0.9), texts)


def _invalid(statistics: Statistics, config: ValuesConfig) -> Slip:
    share_N = 1 - statistics["valid"] / statistics["pixels"]
    z_N = robust_z(share_N, 0.05)
    with np.errstate(invalid="ignore"):
        flag_N = (z_N >= config.robust_z) & (share_N >= LEAST_SHARE)
    at = _rare(flag_N, ~np.isnan(share_N), config)
    usual = percent(float(np.nanmedian(share_N)))
    texts = [
        f"{percent(float(s))} of the pixels have no value; {usual} is usual." for s in share_N[at]
    ]
    return _outlying("invalid", at, outlier_score(z_N[at], config.robust_z), texts)


def _saturated(statistics: Statistics, config: ValuesConfig) -> Slip:
    """Images in which most pixels stand at the smallest or largest value of the dataset."""
    low_N, high_N = statistics["low"], statistics["high"]
    share_N = np.fmax(
        np.where(low_N == np.nanmin(low_N), statistics["at_low"], 0.0),
        np.where(high_N == np.nanmax(high_N), statistics["at_high"], 0.0),
    )
    share_N = np.where(np.isnan(low_N), np.nan, share_N)
    z_N = robust_z(share_N, 0.05)
    with np.errstate(invalid="ignore"):
        flag_N = (z_N >= config.robust_z) & (share_N >= LEAST_SHARE)
    at = _rare(flag_N, ~np.isnan(share_N), config)
    usual = percent(float(np.nanmedian(share_N)))
    texts = [
        f"{percent(float(share))} of the pixels stand at the end of the range of values; {usual} is "
        "usual."
        for share in share_N[at]
    ]
    return _outlying("saturated", at, outlier_score(z_N[at], config.robust_z), texts)


def _reversed(statistics: Statistics, config: ValuesConfig) -> Slip:
    rank_N = statistics["rank"]
    usual = np.nanmedian(rank_N) if np.isfinite(rank_N).any() else 0.0
    flag_N = np.nan_to_num(rank_N) <= -config.least_reversal
    at = np.flatnonzero(flag_N & (usual >= COMPARABLE_RANK))
    how = [_mended(statistics, image) for image in at]
    texts = [
        f"Where the prediction is large this label is small (rank correlation {rank_N[image]:.2f}; "
        f"{usual:.2f} is usual){', as if it held ' + what if what else ''}."
        for image, (what, _) in zip(at, how, strict=True)
    ]
    mends = [mend for _, mend in how]
    return Slip(
        "reversed", Issue.INVERTED_VALUES, Action.CONVERT, at, np.abs(rank_N[at]), texts, mends
    )


def _mended(statistics: Statistics, image: int) -> tuple[str, str | None]:
    """What a reversed label holds, and what turns it back; nothing where neither fits well."""
    column = {name: float(values[image]) for name, values in statistics.items()}
    reversed_fit = column["sum_spread"] / max(column["label_spread"], 1e-12)
    product_fit = column["product_spread"] / max(column["log_spread"], 1e-12)
    if not min(reversed_fit, np.nan_to_num(product_fit, nan=np.inf)) < 0.5:
        return "", None
    if product_fit < reversed_fit:
        return "one divided by the value", "1 / value"
    if abs(column["sum_center"]) < column["label_spread"] / 2:
        return "the value with the other sign", "-value"
    return "the largest value minus the value", f"{column['sum_center']:.4g} - value"


def _deviations(statistics: Statistics) -> tuple[Array, float]:
    """Log ratio of label and prediction less that of most images, and its robust spread."""
    ratio_N = statistics["log_ratio"]
    off_N = ratio_N - np.nanmedian(ratio_N)
    spread = MAD_TO_DEVIATION * float(np.nanmedian(np.abs(off_N)))
    return off_N, max(spread, LEAST_LOG_SPREAD)


def _units(statistics: Statistics, unit: str, config: ValuesConfig) -> list[Slip]:
    """Images whose ratio to the prediction is off by the factor between two units."""
    if np.isfinite(statistics["log_ratio"]).sum() < config.minimum_images:
        return []
    off_N, spread = _deviations(statistics)
    z_N = np.nan_to_num(off_N / spread)
    factors = unit_factors(unit, config.least_factor)
    names, logs = list(factors), np.log(list(factors.values()))
    gap_NF = np.abs(np.nan_to_num(off_N)[:, None] - logs)
    best_N = gap_NF.argmin(axis=1)
    near_N = gap_NF.min(axis=1) <= 2 * spread
    at = np.flatnonzero(near_N & (np.abs(z_N) >= config.robust_z))
    score = 1 - gap_NF.min(axis=1)[at] / (4 * spread)
    texts = [
        f"The values are {_times(off_N[image])} those of the prediction, relative to the other "
        f"images: {_unit_guess(names[best_N[image]], unit)}."
        for image in at
    ]
    mends = [f"value / {factors[names[best_N[image]]]:.6g}" for image in at]
    return [Slip("unit", Issue.WRONG_UNIT, Action.CONVERT, at, score, texts, mends)]


def _unit_guess(name: str, unit: str) -> str:
    return f"they look like {name} instead of {unit}" if unit in METERS else "a slip of the point"


def _times(log_factor: float) -> str:
    factor = math.exp(abs(log_factor))
    return f"{factor:.3g} times" if log_factor > 0 else f"1/{factor:.3g} of"


def _units_alone(statistics: Statistics, unit: str, config: ValuesConfig) -> list[Slip]:
    """Images whose magnitudes stand apart from all others by the factor between two units.

    Needs no prediction: the log magnitudes of the images fall into two heaps, with a gap between
    them that is wider than the larger heap (its 5th to 95th percentile), and the heaps' medians
    differ by a unit's factor. Images compared with a prediction are left to `_units`.
    """
    size_N = np.where(np.isfinite(statistics["log_ratio"]), np.nan, statistics["log_size"])
    factors = unit_factors(unit, config.least_factor)
    names, logs = list(factors), np.log(list(factors.values()))
    left = np.flatnonzero(np.isfinite(size_N))
    slips = []
    while len(left) >= config.minimum_images:
        left = left[np.argsort(size_N[left], kind="stable")]
        gaps = np.diff(size_N[left])
        cut = int(gaps.argmax()) + 1
        few, many = sorted((left[:cut], left[cut:]), key=len)
        off = float(np.median(size_N[few]) - np.median(size_N[many]))
        width = float(np.ptp(np.percentile(size_N[many], (5, 95))))
        nearest = int(np.abs(logs - off).argmin())
        tolerance = max(math.log(2), width / 2)
        if gaps.max() < max(LEAST_GAP, width) or abs(logs[nearest] - off) > tolerance:
            break
        text = (
            f"The values are about {_times(off)} those of the other {len(many)} images, and none "
            f"lies between: {_unit_guess(names[nearest], unit)}."
        )
        score = np.full(len(few), 1 - abs(logs[nearest] - off) / (2 * tolerance))
        mends = [f"value / {factors[names[nearest]]:.6g}"] * len(few)
        slips.append(
            Slip("unit", Issue.WRONG_UNIT, Action.CONVERT, few, score, [text] * len(few), mends)
        )
        left = many
    return slips


def _scale(statistics: Statistics, config: ValuesConfig) -> Slip:
    """Images off by a constant factor that is no unit's: same shape, other scale."""
    off_N, spread = np.full(len(statistics["pixels"]), np.nan), 1.0
    if np.isfinite(statistics["log_ratio"]).sum() >= config.minimum_images:
        off_N, spread = _deviations(statistics)
    z_N = np.nan_to_num(off_N / spread)
    with np.errstate(invalid="ignore"):
        constant_N = MAD_TO_DEVIATION * statistics["ratio_spread"] < np.abs(off_N) / 4
    large_N = np.abs(np.nan_to_num(off_N)) >= math.log(config.least_factor)
    at = np.flatnonzero(constant_N & large_N & (np.abs(z_N) >= config.robust_z))
    texts = [
        f"The values are {_times(off_N[image])} those of the prediction all over the image, "
        "relative to the other images."
        for image in at
    ]
    mends = [f"value / {math.exp(off_N[image]):.3g}" for image in at]
    score = outlier_score(z_N[at], config.robust_z)
    return Slip("scale", Issue.WRONG_UNIT, Action.CONVERT, at, score, texts, mends)


def _outliers(statistics: Statistics, unit: str, config: ValuesConfig) -> Slip:
    """Images with a far larger error than most, or a far larger offset."""
    error_N, residual_N = statistics["error"], statistics["residual"]
    if np.isfinite(error_N).sum() < config.minimum_images:
        return _outlying("outlier", np.zeros(0, np.int64), np.zeros(0), [])
    usual = float(np.nanmedian(error_N))
    # an error below a tenth of the usual one is as good as none
    large_N = robust_z(np.log(error_N + usual / 10 + 1e-12), LEAST_LOG_SPREAD)
    offset_N = np.abs(robust_z(residual_N, max(usual / 2, 1e-12)))
    # an offset shows in the error as well; alone it must be larger than the usual error
    offset_N = np.where(np.abs(residual_N) > 2 * usual, offset_N, 0.0)
    z_N = np.fmax(large_N, offset_N)
    at = np.flatnonzero(np.nan_to_num(z_N) >= config.robust_z)
    texts = [
        f"The median distance from the prediction is {error_N[image]:.3g} {unit}".rstrip()
        + f"; {usual:.3g} is usual."
        for image in at
    ]
    return _outlying("outlier", at, outlier_score(z_N[at], config.robust_z), texts)
