"""Each check on masks and boxes that fit on a page."""

from collections.abc import Iterator

import numpy as np

from goldseam.audit.consistency.checks import (
    Check,
    Comparison,
    compare_boxes,
    compare_outline,
    compare_tag,
    compare_value_edge,
    size_class,
)
from goldseam.dataset.codecs import Boxes
from tests.unit.audit.ponds import CONFIG, SIZE, boxes


def by_check(comparisons: Iterator[Comparison]) -> dict[Check, list[Comparison]]:
    sorted_: dict[Check, list[Comparison]] = {}
    for one in comparisons:
        sorted_.setdefault(one.check, []).append(one)
    return sorted_


def pond_boxes(mask_HW: np.ndarray, given: Boxes, *, exhaustive: bool = True):
    return by_check(
        compare_boxes(mask_HW, 1, 255, given, 1, name="pond", exhaustive=exhaustive, config=CONFIG)
    )


def test_boxes_are_compared_with_the_piece_they_cover():
    mask_HW = np.zeros((SIZE, SIZE), np.uint8)
    mask_HW[4:8, 4:8] = 1
    mask_HW[20:24, 20:30] = 1
    result = pond_boxes(mask_HW, boxes((1, (4, 4, 8, 8), False), (0, (20, 20, 30, 24), False)))
    assert [one.agreement for one in result[Check.BOX_SIZE]] == [1.0]
    # a box of another category covers nothing of this one
    assert [(one.failed, one.region) for one in result[Check.UNBOXED_OBJECT]] == [
        (False, (4, 4, 8, 8)),
        (True, (20, 20, 30, 24)),
    ]
    assert Check.UNBOXED_OBJECT not in pond_boxes(mask_HW, boxes(), exhaustive=False)


def test_what_an_ignored_region_hides_is_not_compared():
    mask_HW = np.zeros((SIZE, SIZE), np.uint8)
    mask_HW[4:8, 4:8] = 1
    assert pond_boxes(mask_HW, boxes((1, (0, 0, 10, 10), True))) == {}
    mask_HW[4:8, 8] = 255  # the piece may go on
    assert pond_boxes(mask_HW, boxes()) == {}
    mask_HW[10:20, 10:20] = 255
    assert pond_boxes(mask_HW, boxes((1, (10, 10, 20, 20), False))) == {}


def test_objects_at_the_edge_are_a_class_of_their_own():
    mask_HW = np.zeros((SIZE, SIZE), np.uint8)
    mask_HW[0:4, 4:8] = 1
    mask_HW[20:24, 4:8] = 1
    strata = [one.stratum for one in pond_boxes(mask_HW, boxes())[Check.UNBOXED_OBJECT]]
    assert strata == [size_class(16, at_edge=True), size_class(16)]
    assert strata[0] != strata[1]


def test_tags_are_compared_where_both_sides_are_certain():
    def tag(state: int, shown: float, *, certain: bool = True) -> list[bool | None]:
        return [one.failed for one in compare_tag(state, shown, certain, None, "pond", 4)]

    assert tag(-1, 100) == tag(-1, 0) == []
    assert tag(0, 100) == [True]
    assert tag(1, 100) == [False]
    assert tag(1, 0) == [True]
    assert tag(0, 0) == [False]
    assert tag(1, 0, certain=False) == []
    assert tag(0, 3) == tag(1, 3) == []  # too little to contradict


def test_outlines_agree_within_the_tolerance():
    mask_HW = np.zeros((SIZE, SIZE), np.uint8)
    mask_HW[:, 10:] = 1
    line_HW = np.zeros((SIZE, SIZE), np.uint8)

    def agreement(column: int, ignore: slice = slice(0)) -> float | None:
        boundary_HW = line_HW.copy()
        boundary_HW[:, column] = 1
        boundary_HW[:, ignore] = 255
        one = compare_outline(mask_HW, 255, boundary_HW, 255, CONFIG)
        return None if one is None else one.agreement

    assert agreement(9) == agreement(10) == agreement(11) == 1
    assert agreement(20) == 0
    assert agreement(20, slice(0, 16)) == 0  # the line alone is left
    assert agreement(20, slice(0, SIZE)) is None
    empty = compare_outline(np.zeros_like(mask_HW), 255, line_HW, 255, CONFIG)
    assert empty is None


def test_slopes_are_ranked_against_boundaries():
    value_HW = np.zeros((SIZE, SIZE), np.float32)
    value_HW[:, 16:] = 5
    line_HW = np.zeros((SIZE, SIZE), np.uint8)
    line_HW[:, 15:17] = 1
    assert compare_value_edge(value_HW, line_HW, 255, CONFIG).agreement == 1
    away_HW = np.roll(line_HW, 9, axis=1)
    assert compare_value_edge(value_HW, away_HW, 255, CONFIG).agreement < 0.5
    value_HW[:, 10:22] = np.nan
    assert compare_value_edge(value_HW, line_HW, 255, CONFIG) is None
    assert compare_value_edge(value_HW, np.zeros_like(line_HW), 255, CONFIG) is None
