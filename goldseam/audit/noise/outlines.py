"""How far the outline of a noisy region lies from the clean one: moved as a whole, or grown.

First the whole-pixel translation that takes away most disagreement, by cross-correlation. Then
robust least squares on the distances between the two outlines: a point of the noisy outline lies
`n · shift + dilation` px outside of the clean one, where n is the normal there. Both are fitted at
once, since along a straight edge a shift looks like a dilation: there neither is identified, and
its weight (what is left of its information beside the other) is 0.

Legend: H and W pixels, P points on outlines, 3 unknowns (dx, dy, dilation).
"""

import dataclasses

import numpy as np

from goldseam.audit.regions import Regions, moved
from goldseam.dataset.codecs import Array

STEPS = 4
CAUCHY_PX = 1.0
# pixels, per px of length: of translations that gain as much, the shortest is taken
SHORTEST_FIRST = 0.05
# eigenvalues of the normal equations below this share of the largest count as zero
FLAT = 1e-2
# in px of outline; less says nothing about a region
MINIMUM_WEIGHT = 4.0
MINIMUM_POINTS = 8
# share of the clean outline that must not border on ignored pixels
MINIMUM_KNOWN_OUTLINE = 0.5


@dataclasses.dataclass(frozen=True)
class OutlineFit:
    """How a noisy region lies beside the clean one.

    Attributes:
        dx: px to the right; NaN where no direction or not both are identified.
        dy: px down.
        shift_weight: information on the shift in its worse direction, in px of outline.
        dilation: px that the noisy outline lies outside of the clean one; NaN where not identified.
        dilation_weight: information on the dilation, in px of outline.
    """

    dx: float
    dy: float
    shift_weight: float
    dilation: float
    dilation_weight: float


def gains(clean_HW: Array, noisy_HW: Array, known_HW: Array, reach: int) -> Array:
    """By how many pixels fewer two masks differ when the clean one is moved: float `Y X`.

    Counted over the pixels that meet after the translation. (Over all pixels, moving a part that
    was left out off the picture would pass for agreement.) The counts at all translations of -reach
    to reach px down and to the right come from correlations by the fast Fourier transform. Minus
    infinity where less than half of the known pixels meet.

    Args:
        clean_HW: bool.
        noisy_HW: bool.
        known_HW: where both are known.
        reach: px.
    """
    from scipy import fft

    size = [fft.next_fast_len(length + reach, real=True) for length in clean_HW.shape]
    steps = np.arange(-reach, reach + 1)
    window = np.ix_(steps % size[0], steps % size[1])

    def spectrum(value_HW: Array) -> Array:
        result: Array = fft.rfft2(value_HW.astype(np.float32), size)
        return result

    def correlated(here: Array, there: Array) -> Array:
        found: Array = fft.irfft2(np.conj(here) * there, size)[window]
        return found

    clean, noisy = (
        spectrum(np.where(known_HW, np.where(mask_HW, 1, -1), 0))
        for mask_HW in (clean_HW, noisy_HW)
    )
    known, apart = spectrum(known_HW), spectrum(known_HW & (clean_HW != noisy_HW))
    met_YX = correlated(known, known)
    differing_YX = (met_YX - correlated(clean, noisy)) / 2
    # at the pixels that meet, as the clean and as the noisy mask has them: what is left out of one,
    # or put into the other, must not count as gain once it is off the picture
    in_place_YX = np.minimum(correlated(apart, known), correlated(known, apart))
    gain_YX: Array = in_place_YX - differing_YX
    gain_YX[met_YX < 0.5 * known_HW.sum()] = -np.inf
    return gain_YX


def translation(gain_YX: Array) -> tuple[int, int]:
    """The (dx, dy) that gains most; the shorter of two that gain alike.

    Args:
        gain_YX: of `gains`, or a sum of several.
    """
    reach = len(gain_YX) // 2
    steps = np.arange(-reach, reach + 1)
    score_YX = gain_YX - SHORTEST_FIRST * np.hypot(steps[:, None], steps[None, :])
    y, x = np.unravel_index(int(score_YX.argmax()), score_YX.shape)
    return int(steps[x]), int(steps[y])


def compare_outlines(
    clean_HW: Array, noisy_HW: Array, known_HW: Array, start: tuple[int, int], reach: int
) -> OutlineFit | None:
    """Fit shift and dilation of one region; None where the outlines are not both known.

    Parts and holes of one mask that meet none of the other (after the translation) are objects
    left out or put in, not outlines that moved; they are taken out first.

    Args:
        clean_HW: bool; False where unknown.
        noisy_HW: bool; False where unknown.
        known_HW: where both are known.
        start: (dx, dy) of `translation`.
        reach: px; points further from the other outline count for nothing.
    """
    if not _mostly_known(clean_HW, known_HW):
        return None
    clean_there_HW, noisy_back_HW = (
        moved(clean_HW, *start),
        moved(noisy_HW, -start[0], -start[1]),
    )
    clean_kept_HW = _matched(clean_HW, noisy_back_HW, known_HW)
    noisy_kept_HW = _matched(noisy_HW, clean_there_HW, known_HW)
    points = [_outline(mask_HW, known_HW) for mask_HW in (clean_kept_HW, noisy_kept_HW)]
    if min(len(point_2P[0]) for point_2P in points) < MINIMUM_POINTS:
        return None
    clean_field = _distance_field(clean_kept_HW, known_HW)
    noisy_field = _distance_field(noisy_kept_HW, known_HW)
    shift_2, dilation = np.array(start, np.float64), np.nan
    normal_matrix_33 = np.zeros((3, 3))
    for _ in range(STEPS):
        # signs: outside of the clean outline is further out, outside of the noisy one further in
        rows = [
            _sampled(clean_field, points[1] - shift_2[:, None]),
            _sampled(-noisy_field, points[0] + shift_2[:, None]) * np.array([[1], [-1], [-1]]),
        ]
        distance_P, *normal_2P = np.concatenate(rows, axis=1)
        near_P = np.abs(distance_P) <= reach  # NaN is not
        if near_P.sum() < MINIMUM_POINTS:
            return None
        design_P3 = np.stack([*normal_2P, np.ones(len(distance_P))], axis=1)[near_P]
        distance_P = distance_P[near_P]
        if np.isnan(dilation):
            dilation = float(np.median(distance_P))
        # outlines that have no counterpart lie anywhere: the further off, the less they count
        weight_P = 1 / (1 + ((distance_P - dilation) / CAUCHY_PX) ** 2)
        normal_matrix_33 = design_P3.T @ (weight_P[:, None] * design_P3)
        right_3 = design_P3.T @ (weight_P * (distance_P - dilation))
        step_3 = np.linalg.pinv(normal_matrix_33, rcond=FLAT, hermitian=True) @ right_3
        shift_2 += np.clip(step_3[:2], -reach, reach)
        dilation += float(step_3[2])
    return _fit(shift_2, dilation, normal_matrix_33)


def _fit(shift_2: Array, dilation: float, normal_matrix_33: Array) -> OutlineFit:
    """Each point stands for half a pixel of the two outlines together."""
    information = normal_matrix_33 / 2
    beside = information[:2, 2]
    shift_22 = information[:2, :2] - np.outer(beside, beside) / max(information[2, 2], 1e-9)
    shift_weight = float(np.linalg.eigvalsh(shift_22)[0])
    inverse_22 = np.linalg.pinv(information[:2, :2], rcond=FLAT, hermitian=True)
    dilation_weight = float(information[2, 2] - beside @ inverse_22 @ beside)
    moved_well, grown_well = (w >= MINIMUM_WEIGHT for w in (shift_weight, dilation_weight))
    return OutlineFit(
        dx=float(shift_2[0]) if moved_well else np.nan,
        dy=float(shift_2[1]) if moved_well else np.nan,
        shift_weight=shift_weight if moved_well else 0.0,
        dilation=dilation if grown_well else np.nan,
        dilation_weight=dilation_weight if grown_well else 0.0,
    )


def _matched(mask_HW: Array, other_HW: Array, known_HW: Array) -> Array:
    """The mask without parts, and without holes, that share no pixel with their counterpart."""
    kept_HW = Regions.of(mask_HW).touching(other_HW)
    outside_HW = known_HW & ~kept_HW
    matched_HW: Array = known_HW & ~Regions.of(outside_HW).touching(~other_HW)
    return matched_HW


def _pairs(array_HW: Array) -> list[tuple[Array, Array]]:
    """Neighbors beside and below each other."""
    return [(array_HW[:, :-1], array_HW[:, 1:]), (array_HW[:-1], array_HW[1:])]


def _outline(mask_HW: Array, known_HW: Array) -> Array:
    """(x, y) of the middle between each two known neighbors that the mask parts: `2 P`."""
    found = []
    for (here, there), (known_here, known_there), half in zip(
        _pairs(mask_HW), _pairs(known_HW), ((0.5, 0.0), (0.0, 0.5)), strict=True
    ):
        y_P, x_P = np.nonzero((here != there) & known_here & known_there)
        found.append(np.stack([x_P + half[0], y_P + half[1]]))
    return np.concatenate(found, axis=1)


def _mostly_known(mask_HW: Array, known_HW: Array) -> bool:
    """Whether most of the mask's outline borders on pixels that are known.

    Where objects are rimmed by ignored pixels, the only outline that is known is the one that is
    far off, and would pass for the whole.
    """
    known = rimmed = 0
    for (here, there), (known_here, known_there) in zip(
        _pairs(mask_HW), _pairs(known_HW), strict=True
    ):
        parted = here != there
        both = known_here & known_there
        known += int((parted & both).sum())
        rimmed += int((parted & ~both).sum())
    return known > 0 and known >= MINIMUM_KNOWN_OUTLINE * (known + rimmed)


def _distance_field(mask_HW: Array, known_HW: Array) -> Array:
    """Signed distance to the outline, px, positive outside, and its gradient: `3 H W`."""
    import cv2

    def distance_to(zone_HW: Array) -> Array:
        away = (~zone_HW).astype(np.uint8)
        return np.asarray(cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))

    # pixel centers lie half a pixel from the outline between them
    out_HW, in_HW = distance_to(known_HW & mask_HW), distance_to(known_HW & ~mask_HW)
    signed_HW = np.where(out_HW > 0, out_HW - 0.5, 0) - np.where(in_HW > 0, in_HW - 0.5, 0)
    smooth_HW = cv2.GaussianBlur(signed_HW.astype(np.float32), (0, 0), 1.0)
    slope_y_HW, slope_x_HW = np.gradient(smooth_HW)
    return np.stack([signed_HW, slope_x_HW, slope_y_HW])


def _sampled(field_KHW: Array, point_2P: Array) -> Array:
    """Bilinear values at points (x, y): `K P`; NaN outside of the picture."""
    _, height, width = field_KHW.shape
    x_P, y_P = point_2P
    inside_P = (x_P >= 0) & (x_P <= width - 1) & (y_P >= 0) & (y_P <= height - 1)
    left_P = np.clip(np.floor(x_P), 0, max(width - 2, 0)).astype(np.int64)
    top_P = np.clip(np.floor(y_P), 0, max(height - 2, 0)).astype(np.int64)
    right_P, bottom_P = np.minimum(left_P + 1, width - 1), np.minimum(top_P + 1, height - 1)
    along_P, down_P = x_P - left_P, y_P - top_P
    above_KP = field_KHW[:, top_P, left_P] * (1 - along_P) + field_KHW[:, top_P, right_P] * along_P
    below_KP = (
        field_KHW[:, bottom_P, left_P] * (1 - along_P) + field_KHW[:, bottom_P, right_P] * along_P
    )
    value_KP: Array = np.where(inside_P, above_KP * (1 - down_P) + below_KP * down_P, np.nan)
    return value_KP
