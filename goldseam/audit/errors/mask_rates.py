"""Error rates and noise matrices from counted masks, with intervals.

Shapes: G groups of images, R resamples, C categories, P parts; the axis of 4 is that of
`mask_counts`: pixels, confident, contradicted, claimed.

The rates are those of confident learning (Northcutt et al. 2021): among the pixels of a given
category that are predicted confidently, the share that contradicts the mask stands for all. Unlike
there, a pixel contradicts the mask only where another category is likelier than the given one.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from goldseam.audit.errors.mask_counts import (
    CLAIMED,
    CONFIDENT,
    CONTRADICTED,
    PIXELS,
    UNIT,
    ImageCounts,
)
from goldseam.audit.statistics.bootstrap import draws_in_blocks, percentile_ends
from goldseam.audit.statistics.intervals import estimate
from goldseam.dataset.codecs import Array
from goldseam.results import Estimate

DRAWS_AT_ONCE = 20


@dataclasses.dataclass(frozen=True)
class MaskRates:
    """Shares of wrong pixels of some images.

    Attributes:
        whole: of all pixels.
        parts: of the interior and of the boundary band.
        categories: of the pixels that are given as each category.
    """

    whole: Estimate
    parts: tuple[Estimate, ...]
    categories: tuple[Estimate, ...]


def estimate_rates(images: Sequence[ImageCounts], resamples: int, seed: int) -> MaskRates:
    """Rates of the pixels of some images, with 95 % intervals.

    The upper end is the percentile of draws of whole groups. A prediction that errs by itself makes
    confident learning see too many errors; so the lower end is the percentile of the draws of that
    contradiction alone that the predictions' own doubt (1 - probability) does not explain. It is
    near 0 where predictions were made by a model that has learned the noise and doubts accordingly,
    and too high where they are surer than they are right. Thresholds are taken as fixed.

    Args:
        images: counted with the same thresholds.
        resamples: draws of groups.
        seed: of the draws.
    """
    sums_G = _by_group(images)
    groups = len(sums_G)
    values = _rates(sums_G.sum(axis=0)[None])
    if groups < 2:
        return _as_rates(values[:, 0], None, sums_G.shape[1])
    flat_GS = sums_G.reshape(groups, -1).astype(np.float64)
    drawn_2RK = np.concatenate(
        [
            _rates((weight_RG @ flat_GS).reshape(len(weight_RG), *sums_G.shape[1:]))
            for weight_RG in draws_in_blocks(groups, resamples, seed, at_once=DRAWS_AT_ONCE)
        ],
        axis=1,
    )
    return _as_rates(values[:, 0], drawn_2RK, sums_G.shape[1])


def _by_group(images: Sequence[ImageCounts]) -> Array:
    """Counts by group: int64 GPC4."""
    place: dict[str, int] = {}
    sums: list[Array] = []
    for each in images:
        if each.group not in place:
            place[each.group] = len(sums)
            sums.append(each.counts_PC4.copy())
        else:
            sums[place[each.group]] += each.counts_PC4
    # the order of groups must not depend on the order of shards
    return np.stack([sums[place[group]] for group in sorted(place)])


def _rates(sums_RPC4: Array) -> Array:
    """Whole, parts, categories one after the other: rate and lower end, shape 2 R (1 + P + C)."""
    pooled_RC4 = sums_RPC4.sum(axis=1)
    whole_2R = _mean(pooled_RC4)
    share_RC = _shares(pooled_RC4)[0]
    # doubt explains the same part of the contradiction in every category
    left_R = np.divide(
        whole_2R[1], whole_2R[0], out=np.ones(len(pooled_RC4)), where=whole_2R[0] > 0
    )
    category_2RC = np.stack([share_RC, share_RC * left_R[:, None]])
    return np.concatenate([whole_2R[..., None], _mean(sums_RPC4), category_2RC], axis=2)


def _shares(sums_C4: Array) -> tuple[Array, Array]:
    """By given category: contradicted share of the confident pixels, and their mean probability.

    NaN where no pixel is predicted confidently.
    """
    confident_C = sums_C4[..., CONFIDENT]
    sure_C = confident_C > 0
    share_C, claimed_C = np.full((2, *confident_C.shape), np.nan)
    np.divide(sums_C4[..., CONTRADICTED], confident_C, out=share_C, where=sure_C)
    np.divide(sums_C4[..., CLAIMED], confident_C * UNIT, out=claimed_C, where=sure_C)
    return share_C, claimed_C


def _mean(sums_C4: Array) -> Array:
    """Rate and lower end over the pixels of all categories that have one; NaN without any."""
    pixels_C = sums_C4[..., PIXELS] * (sums_C4[..., CONFIDENT] > 0)
    total = pixels_C.sum(axis=-1)
    rate, claimed = np.full((2, *total.shape), np.nan)
    for mean, share_C in zip((rate, claimed), _shares(sums_C4), strict=True):
        pixels = (pixels_C * np.nan_to_num(share_C)).sum(axis=-1)
        np.divide(pixels, total, out=mean, where=total > 0)
    # agreement = (1 - noise) x what the prediction claims, where it claims what is true
    return np.stack([rate, np.maximum(1 - (1 - rate) / claimed, 0)])


def _as_rates(values_2K: Array, draws_2RK: Array | None, parts: int) -> MaskRates:
    low_K, high_K = np.full((2, values_2K.shape[1]), np.nan)
    if draws_2RK is not None:
        low_K, high_K = percentile_ends(draws_2RK[1])[0], percentile_ends(draws_2RK[0])[1]
    rates = [
        estimate(value, min(low, value), max(high, value))
        for value, low, high in zip(values_2K[0], low_K, high_K, strict=True)
    ]
    return MaskRates(rates[0], tuple(rates[1 : 1 + parts]), tuple(rates[1 + parts :]))


def joint_matrix(joint_CC: Array, pixels_C: Array) -> Array:
    """P(true, given) from confident counts: rows true, columns given; sums to 1.

    A column whose category is given but never predicted confidently is NaN; the rest sums to 1.

    Args:
        joint_CC: confident counts, given category by predicted one.
        pixels_C: pixels by given category.
    """
    confident_C1 = joint_CC.sum(axis=1, keepdims=True)
    share_CC = np.full(joint_CC.shape, np.nan)
    np.divide(joint_CC, confident_C1, out=share_CC, where=confident_C1 > 0)
    share_CC[pixels_C == 0] = 0
    expected_CC = share_CC * pixels_C[:, None]
    total = np.nansum(expected_CC)
    joint: Array = expected_CC.T / total if total else np.full(joint_CC.shape, np.nan)
    return joint


def transition_matrix(joint_CC: Array) -> Array:
    """P(given | true): a joint matrix with rows that sum to 1; NaN for a category never true."""
    total_C1 = np.nansum(joint_CC, axis=1, keepdims=True)
    transition_CC = np.full(joint_CC.shape, np.nan)
    np.divide(joint_CC, total_C1, out=transition_CC, where=total_C1 > 0)
    return transition_CC
