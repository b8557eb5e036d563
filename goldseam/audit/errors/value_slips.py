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
LEAST_RANK_SPREAD = 0.1
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
        f"{percent(float(share))} of the pixels stand at the end of the range of values; "
        f"{usual} is usual."
        for share in share_N[at]
    ]
    return _outlying("saturated", at, outlier_score(z_N[at], config.robust_z), texts)


def _reversed(statistics: Statistics, config: ValuesConfig) -> Slip:
    rank_N = statistics["rank"]
    usual = np.nanmedian(rank_N) if np.isfinite(rank_N).any() else 0.0
    flag_N = np.nan_to_num(rank_N) <= -config.least_reversal
    flag_N &= np.nan_to_num(robust_z(rank_N, LEAST_RANK_SPREAD)) <= -config.robust_z
    at = np.flatnonzero(flag_N & (usual >= COMPARABLE_RANK))
    how = [_mended(statistics, int(image)) for image in at]
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

    Needs no prediction: wide gaps cut the log magnitudes of the images into heaps. A heap is in
    another unit where its median differs from that of the largest heap by a unit's factor, and the
    gaps are wider than the largest heap (its 5th to 95th percentile), so that variety alone does
    not make them. Images compared with a prediction are left to `_units`.
    """
    size_N = np.where(np.isfinite(statistics["log_ratio"]), np.nan, statistics["log_size"])
    at = np.flatnonzero(np.isfinite(size_N))
    if len(at) < config.minimum_images:
        return []
    at = at[np.argsort(size_N[at], kind="stable")]
    heaps = np.split(at, np.flatnonzero(np.diff(size_N[at]) >= LEAST_GAP) + 1)
    main = max(heaps, key=len)
    width = float(np.ptp(np.percentile(size_N[main], (5, 95))))
    tolerance = max(math.log(2), width / 2)
    factors = unit_factors(unit, config.least_factor)
    names, logs = list(factors), np.log(list(factors.values()))
    slips = []
    for heap in heaps:
        gap = max(size_N[heap].min() - size_N[main].max(), size_N[main].min() - size_N[heap].max())
        off = float(np.median(size_N[heap]) - np.median(size_N[main]))
        nearest = int(np.abs(logs - off).argmin())
        distance = abs(float(logs[nearest]) - off)
        if gap < max(LEAST_GAP, width) or distance > tolerance:
            continue
        text = (
            f"The values are about {_times(off)} those of most images, with a wide gap between: "
            f"{_unit_guess(names[nearest], unit)}."
        )
        score = np.full(len(heap), 1 - distance / (2 * tolerance))
        mends = [f"value / {factors[names[nearest]]:.6g}"] * len(heap)
        texts = [text] * len(heap)
        slips.append(Slip("unit", Issue.WRONG_UNIT, Action.CONVERT, heap, score, texts, mends))
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
    """Images with a far larger median error than most (on a log scale), or of another shape."""
    error_N = statistics["error"]
    if np.isfinite(error_N).sum() < config.minimum_images:
        return _outlying("outlier", np.zeros(0, np.int64), np.zeros(0), [])
    usual = float(np.nanmedian(error_N))
    # an error below a tenth of the usual one is as good as none
    large_N = robust_z(np.log(error_N + usual / 10 + 1e-12), LEAST_LOG_SPREAD)
    unlike_N = -robust_z(statistics["rank"], LEAST_RANK_SPREAD)
    z_N = np.fmax(large_N, unlike_N)
    at = np.flatnonzero(np.nan_to_num(z_N) >= config.robust_z)
    rank = np.nanmedian(statistics["rank"]) if np.isfinite(unlike_N).any() else np.nan
    texts = []
    for image in at:
        if np.nan_to_num(large_N[image]) >= config.robust_z:
            distance = f"{error_N[image]:.3g} {unit}".rstrip()
            texts.append(
                f"The median distance from the prediction is {distance}; {usual:.3g} is usual."
            )
        else:
            texts.append(
                "The values do not rise and fall with the prediction: rank correlation "
                f"{statistics['rank'][image]:.2f}; {rank:.2f} is usual."
            )
    return _outlying("outlier", at, outlier_score(z_N[at], config.robust_z), texts)
