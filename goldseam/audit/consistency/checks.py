"""Single comparisons of two labels of one image.

Legend: H and W pixels, B boxes. A comparison is made once an object (or once an image), and falls
into a stratum of objects of similar size: what is a contradiction for a large object may be the
rule for a small one.
"""

import dataclasses
import math
from collections.abc import Iterator
from enum import StrEnum

import numpy as np

from goldseam.audit.consistency.config import ConsistencyConfig
from goldseam.audit.regions import Regions
from goldseam.dataset.codecs import PRESENT, UNKNOWN, Array, Boxes

Region = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax in px
AT_EDGE = 64  # added to the stratum of objects that touch the edge of the image
NO_STRATUM = -1


class Check(StrEnum):
    """What is compared."""

    EMPTY_BOX = "empty_box"
    UNBOXED_OBJECT = "unboxed_object"
    BOX_SIZE = "box_size"
    OUTLINE = "outline"
    VALUE_EDGE = "value_edge"
    ABSENT_BUT_SHOWN = "absent_but_shown"
    PRESENT_BUT_NOT_SHOWN = "present_but_not_shown"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One comparison.

    Attributes:
        check: which.
        category: a name; None where it is about no single one.
        agreement: 1 where the two labels say the same, 0 where they contradict each other.
        failed: whether it is an outright contradiction; None where only an agreement far below
            that of other images tells.
        stratum: class of size; see `size_class`.
        size: pixels of the object; NaN where it is about none.
        region: where.
    """

    check: Check
    category: str | None
    agreement: float
    failed: bool | None = None
    stratum: int = NO_STRATUM
    size: float = math.nan
    region: Region | None = None


def size_class(pixels: float, *, at_edge: bool = False) -> int:
    """Each doubling of the number of pixels is a class; objects cut by the edge are apart."""
    return int(math.log2(max(pixels, 1))) + (AT_EDGE if at_edge else 0)


def _span(corners: Array, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the pixels that a box touches."""
    left, top = np.floor(corners[:2] + 1e-3).astype(int).clip(0)
    right, bottom = np.ceil(corners[2:] - 1e-3).astype(int)
    bottom, right = min(max(bottom, top + 1), shape[0]), min(max(right, left + 1), shape[1])
    return slice(top, bottom), slice(left, right)


def compare_boxes(
    mask_HW: Array,
    category_id: int,
    ignore: int,
    boxes: Boxes,
    box_category: int,
    *,
    name: str,
    exhaustive: bool,
    config: ConsistencyConfig,
) -> Iterator[Comparison]:
    """Boxes of a category and the pieces of that category in a mask.

    Not compared: boxes marked ignore, boxes more than half of whose pixels are ignored, pieces
    that touch an ignored pixel (they may be larger) or lie under a box marked ignore.
    """
    pieces = Regions.of(mask_HW == category_id)
    ignored_HW = mask_HW == ignore
    covered_HW = np.zeros(mask_HW.shape, bool)
    hidden_HW = ignored_HW.copy()
    for number in np.flatnonzero(np.asarray(boxes.category_N) == box_category):
        corners = np.asarray(boxes.corners_N4[number], np.float64)
        span = _span(corners, mask_HW.shape)
        if boxes.ignore_N[number]:
            hidden_HW[span] = True
            continue
        covered_HW[span] = True
        known = ~ignored_HW[span]
        if 2 * known.sum() < known.size:
            continue
        yield from _compare_box(pieces, span, known, corners, name, config)
    if exhaustive:
        yield from _unboxed(pieces, covered_HW, hidden_HW, name, config)


def _compare_box(
    pieces: Regions,
    span: tuple[slice, slice],
    known: Array,
    corners: Array,
    name: str,
    config: ConsistencyConfig,
) -> Iterator[Comparison]:
    inside = pieces.label_HW[span]
    share = float((inside[known] > 0).mean())
    left, top, right, bottom = (float(side) for side in corners)
    height, width = pieces.label_HW.shape
    at_edge = left <= 0 or top <= 0 or right >= width or bottom >= height
    area = (right - left) * (bottom - top)
    stratum = size_class(area, at_edge=at_edge)
    region = (left, top, right, bottom)
    failed = share <= config.empty_share
    yield Comparison(Check.EMPTY_BOX, name, share, failed, stratum, area, region)
    if failed:
        return
    # the piece that fills most of the box
    piece = int(np.bincount(inside.ravel(), minlength=2)[1:].argmax()) + 1
    x0, y0, x1, y1 = pieces.box(piece)
    shared = max(0.0, min(x1, right) - max(x0, left)) * max(0.0, min(y1, bottom) - max(y0, top))
    overlap = shared / ((x1 - x0) * (y1 - y0) + area - shared)
    yield Comparison(Check.BOX_SIZE, name, overlap, None, NO_STRATUM, area, region)


def _unboxed(
    pieces: Regions, covered_HW: Array, hidden_HW: Array, name: str, config: ConsistencyConfig
) -> Iterator[Comparison]:
    from scipy import ndimage

    boxed = pieces.pixels(covered_HW)
    near_hidden_HW = hidden_HW
    if hidden_HW.any():
        near_hidden_HW = ndimage.binary_dilation(hidden_HW, structure=np.ones((3, 3), bool))
    hidden = pieces.pixels(near_hidden_HW)
    whole = (pieces.area_M >= config.smallest_px) & (hidden == 0)
    for piece in (np.flatnonzero(whole[1:]) + 1).tolist():
        share = float(boxed[piece] / pieces.area_M[piece])
        stratum = size_class(int(pieces.area_M[piece]), at_edge=pieces.at_edge(piece))
        failed = share <= config.empty_share
        area, region = float(pieces.area_M[piece]), pieces.box(piece)
        yield Comparison(Check.UNBOXED_OBJECT, name, share, failed, stratum, area, region)


def compare_tag(
    state: int, shown_px: float, certain: bool, region: Region | None, name: str, smallest_px: int
) -> Iterator[Comparison]:
    """A tag and what a mask or boxes show of its category.

    Args:
        state: of the tag.
        shown_px: pixels of the category, or area of its boxes.
        certain: whether there can be none but what is shown: no ignored pixel or box, every object
            boxed.
        region: around what is shown.
        name: of the category.
        smallest_px: less than this is not enough for a contradiction.
    """
    if state == UNKNOWN:
        return
    if shown_px >= smallest_px:
        failed, stratum = state != PRESENT, size_class(shown_px)
        yield Comparison(
            Check.ABSENT_BUT_SHOWN, name, float(not failed), failed, stratum, shown_px, region
        )
    elif shown_px == 0 and certain:
        failed = state == PRESENT
        yield Comparison(Check.PRESENT_BUT_NOT_SHOWN, name, float(not failed), failed)


def region_of(mask_HW: Array) -> Region | None:
    """The tight box of the pixels that are set; None without one."""
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def mask_edges(mask_HW: Array, known_HW: Array) -> Array:
    """Pixels on both sides of every edge between two categories that are known."""
    edge_HW = np.zeros(mask_HW.shape, bool)
    across = (mask_HW[:, 1:] != mask_HW[:, :-1]) & known_HW[:, 1:] & known_HW[:, :-1]
    down = (mask_HW[1:] != mask_HW[:-1]) & known_HW[1:] & known_HW[:-1]
    edge_HW[:, 1:] |= across
    edge_HW[:, :-1] |= across
    edge_HW[1:] |= down
    edge_HW[:-1] |= down
    return edge_HW


def compare_outline(
    mask_HW: Array, mask_ignore: int, boundary_HW: Array, ignore: int, config: ConsistencyConfig
) -> Comparison | None:
    """F-measure of a mask's edges and a boundary, within a tolerance; None with too few pixels.

    Pixels that either label ignores count for nothing, nor do those within the tolerance of one.
    """
    from scipy import ndimage

    ignored_HW = (mask_HW == mask_ignore) | (boundary_HW == ignore)
    reach = config.tolerance_px
    counted_HW = ~ignored_HW
    if ignored_HW.any():
        counted_HW &= ndimage.distance_transform_edt(~ignored_HW) > reach
    edge_HW = mask_edges(mask_HW, mask_HW != mask_ignore) & counted_HW
    line_HW = (boundary_HW == 1) & counted_HW
    if max(edge_HW.sum(), line_HW.sum()) < config.least_edge_px:
        return None
    lone_edge_HW, lone_line_HW = edge_HW, line_HW
    if edge_HW.any() and line_HW.any():
        lone_edge_HW = edge_HW & (ndimage.distance_transform_edt(~line_HW) > reach)
        lone_line_HW = line_HW & (ndimage.distance_transform_edt(~edge_HW) > reach)
    precision = 1 - lone_line_HW.sum() / max(line_HW.sum(), 1)
    recall = 1 - lone_edge_HW.sum() / max(edge_HW.sum(), 1)
    both = bool(edge_HW.any() and line_HW.any())
    score = 2 * precision * recall / (precision + recall) if both and precision + recall else 0.0
    region = region_of(lone_edge_HW | lone_line_HW)
    return Comparison(Check.OUTLINE, None, float(score), region=region)


def compare_value_edge(
    value_HW: Array, boundary_HW: Array, ignore: int, config: ConsistencyConfig
) -> Comparison | None:
    """How well the slope of values tells boundary pixels from others; None with too few pixels.

    The area under the ROC curve of the gradient's length: 0.5 by chance, 1 where every boundary
    pixel is steeper than every other. Pixels within the tolerance of a boundary count as neither.
    """
    from scipy import ndimage, stats

    line_HW = boundary_HW == 1
    if min(value_HW.shape) < 2 or not line_HW.any():
        return None
    slope_HW = np.hypot(*np.gradient(value_HW.astype(np.float64)))
    known_HW = np.isfinite(slope_HW) & (boundary_HW != ignore)
    far_HW = ndimage.distance_transform_edt(~line_HW) > config.tolerance_px
    on, off = slope_HW[known_HW & line_HW], slope_HW[known_HW & far_HW]
    if min(len(on), len(off)) < config.least_edge_px:
        return None
    ranks = stats.rankdata(np.concatenate([on, off]))
    above = ranks[: len(on)].sum() - len(on) * (len(on) + 1) / 2
    return Comparison(
        Check.VALUE_EDGE, None, float(above / (len(on) * len(off))), region=region_of(line_HW)
    )
