"""Segmentations of COCO as pixels: polygons, run lengths, and the semantic mask they make.

A pixel belongs to a polygon when its center does. H, W pixels of the image.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from goldseam.dataset.codecs import Array


class BadSegmentation(ValueError):
    """A segmentation that is neither polygons nor run lengths of its image."""


def draw_mask(shapes: Sequence[tuple[int, Array]], background: Array, ignore: int) -> Array:
    """A semantic mask: large objects first, so that small ones lie on top of them.

    Args:
        shapes: id and pixels (bool HW) of each object; the id `ignore` for what counts for nothing,
            which lies below all objects that are known.
        background: int64 HW, the mask before anything is drawn.
        ignore: id of pixels that count for nothing.

    Returns:
        int64 HW.
    """
    mask_HW = background.copy()
    areas = [int(pixels_HW.sum()) for _, pixels_HW in shapes]
    order = sorted(range(len(shapes)), key=lambda at: (shapes[at][0] != ignore, -areas[at]))
    for at in order:
        value, pixels_HW = shapes[at]
        mask_HW[pixels_HW] = value
    return mask_HW


def box_pixels(corners_4: Array, height: int, width: int) -> Array:
    """Bool HW: every pixel that a box touches."""
    x0, y0 = np.floor(corners_4[:2]).astype(int)
    x1, y1 = np.ceil(corners_4[2:]).astype(int)
    pixels_HW = np.zeros((height, width), bool)
    pixels_HW[max(y0, 0) : y1, max(x0, 0) : x1] = True
    return pixels_HW


def segmentation_pixels(segmentation: Any, height: int, width: int) -> Array:
    """Bool HW of a segmentation: a list of polygons, or run lengths.

    Raises:
        BadSegmentation: it is neither, or not of this image's size.
    """
    if isinstance(segmentation, dict):
        return _run_length_pixels(segmentation, height, width)
    if not isinstance(segmentation, list) or not segmentation:
        raise BadSegmentation("a segmentation that is neither polygons nor run lengths")
    pixels_HW = np.zeros((height, width), bool)
    for polygon in segmentation:
        pixels_HW |= polygon_pixels(polygon, height, width)
    return pixels_HW


def polygon_pixels(polygon: Any, height: int, width: int) -> Array:
    """Bool HW: pixels whose center lies inside, by the even-odd rule.

    Args:
        polygon: x, y, x, y … in px; pixel i covers [i, i + 1).
        height: px.
        width: px.

    Raises:
        BadSegmentation: it is no list of at least three corners.
    """
    try:
        corner_P2 = np.asarray(polygon, np.float64).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise BadSegmentation("a polygon that is no list of x, y, x, y …") from error
    if len(corner_P2) < 3 or not np.isfinite(corner_P2).all():
        raise BadSegmentation(f"a polygon of {len(corner_P2)} corners or of no numbers")
    start_P2, end_P2 = corner_P2, np.roll(corner_P2, -1, axis=0)
    center_H = np.arange(height) + 0.5
    # edges against lines of pixel centers: where they cross, and at which x
    above_PH = (start_P2[:, 1:] <= center_H) != (end_P2[:, 1:] <= center_H)
    edge, line = np.nonzero(above_PH)
    rise = end_P2[edge, 1] - start_P2[edge, 1]
    along = (center_H[line] - start_P2[edge, 1]) / rise
    x = start_P2[edge, 0] + along * (end_P2[edge, 0] - start_P2[edge, 0])
    # each crossing turns inside and outside for every center to its right
    first = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    turns_HW = np.zeros((height, width + 1), np.int64)
    np.add.at(turns_HW, (line, first), 1)
    inside_HW: Array = turns_HW[:, :width].cumsum(axis=1) % 2 == 1
    return inside_HW


def _run_length_pixels(segmentation: dict[str, Any], height: int, width: int) -> Array:
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [height, width]:
        raise BadSegmentation(f"run lengths of size {size}, not of [{height}, {width}]")
    if isinstance(counts, str):
        counts = _decompress(counts)
    try:
        count_R = np.asarray(counts, np.int64).reshape(-1)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadSegmentation("run lengths that are no whole numbers") from error
    if (count_R < 0).any() or count_R.sum() != height * width:
        raise BadSegmentation(f"run lengths of {count_R.sum()} px, not {height * width}")
    inside = np.repeat(np.arange(len(count_R)) % 2 == 1, count_R)
    pixels_HW: Array = inside.reshape(width, height).T  # runs go down the columns
    return pixels_HW


def _decompress(text: str) -> list[int]:
    """Run lengths from COCO's text: groups of five bits, lowest first, from the character '0' on.

    The sixth bit says that more groups follow, and the fifth of the last group is the sign. From
    the fourth number on, each is the difference to the one two places before.
    """
    counts: list[int] = []
    number = shift = 0
    for sign in text:
        group = ord(sign) - 48
        if not 0 <= group < 64:
            raise BadSegmentation(f"run lengths with the character {sign!r}")
        number |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            number -= 1 << shift
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number = shift = 0
    if shift:
        raise BadSegmentation("run lengths that break off")
    return counts
