"""Shift and dilation of regions that were moved and grown by a known amount."""

import numpy as np
import pytest

from goldseam.audit.noise.objects import is_speckled, left_out, smoothed
from goldseam.audit.noise.outlines import compare_outlines, gains, translation
from goldseam.audit.regions import Regions, moved

SIZE = 96
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]
ALL_HW = np.ones((SIZE, SIZE), bool)


def disk(x, y, radius):
    return (COLUMNS - x) ** 2 + (ROWS - y) ** 2 <= radius**2


def fit(clean_HW, noisy_HW, known_HW=ALL_HW, reach=8):
    clean_HW, noisy_HW = clean_HW & known_HW, noisy_HW & known_HW
    start = translation(gains(clean_HW, noisy_HW, known_HW, reach))
    return compare_outlines(clean_HW, noisy_HW, known_HW, start, reach)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, -2), (-7, 5), (8, 8)])
def test_whole_pixel_shifts_are_found_exactly(dx, dy):
    clean_HW = disk(40, 45, 16) | disk(60, 60, 9)
    noisy_HW = moved(clean_HW, dx, dy)
    assert translation(gains(clean_HW, noisy_HW, ALL_HW, 8)) == (dx, dy)
    found = fit(clean_HW, noisy_HW)
    assert (found.dx, found.dy) == pytest.approx((dx, dy), abs=1e-6)
    assert found.dilation == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("dx", "dy", "grown"), [(1.5, 0.0, 0.0), (0.5, -2.5, 2.0), (-3.3, 1.2, -2.0)]
)
def test_subpixel_shift_and_dilation_at_once(dx, dy, grown):
    clean_HW = disk(45, 48, 18)
    noisy_HW = disk(45 + dx, 48 + dy, 18 + grown)
    found = fit(clean_HW, noisy_HW)
    assert (found.dx, found.dy) == pytest.approx((dx, dy), abs=0.15)
    # pixels make a disk a little larger or smaller than its radius says
    drawn = np.sqrt(noisy_HW.sum() / np.pi) - np.sqrt(clean_HW.sum() / np.pi)
    assert found.dilation == pytest.approx(drawn, abs=0.2)


def test_a_straight_edge_tells_neither_shift_nor_dilation():
    found = fit(COLUMNS < 40, COLUMNS < 43)
    assert np.isnan([found.dx, found.dy, found.dilation]).all()
    assert found.shift_weight == found.dilation_weight == 0


def test_a_corner_tells_a_shift_but_hardly_a_dilation():
    clean_HW = (COLUMNS < 40) & (ROWS < 50)
    found = fit(clean_HW, moved(clean_HW, 0, 0) | ((COLUMNS < 43) & (ROWS < 52)))
    assert found is not None
    assert found.dilation_weight < 0.05 * found.shift_weight or np.isnan(found.dx)


def test_objects_left_out_and_put_in_do_not_move_outlines():
    clean_HW = disk(30, 30, 12) | disk(75, 75, 9)
    noisy_HW = disk(32, 30, 12) | disk(20, 80, 9)
    found = fit(clean_HW, noisy_HW)
    assert (found.dx, found.dy, found.dilation) == pytest.approx((2, 0, 0), abs=0.05)


def test_speckles_do_not_move_outlines():
    clean_HW = disk(45, 48, 18)
    noisy_HW = disk(47, 48, 20) ^ (np.random.default_rng(0).random(clean_HW.shape) < 0.02)
    found = fit(clean_HW, noisy_HW)
    assert (found.dx, found.dy, found.dilation) == pytest.approx((2, 0, 2), abs=0.35)


def test_what_lies_under_unknown_pixels_changes_nothing():
    clean_HW, noisy_HW = disk(45, 48, 18), disk(47, 48, 20)
    known_HW = COLUMNS < 55
    before = fit(clean_HW, noisy_HW, known_HW)
    assert fit(clean_HW | ~known_HW, noisy_HW ^ ~known_HW, known_HW) == before
    assert before.dilation == pytest.approx(2, abs=0.3)


def test_objects_rimmed_by_ignored_pixels_tell_nothing():
    clean_HW, noisy_HW = disk(45, 48, 18), disk(45, 48, 24)
    rim_HW = disk(45, 48, 20) & ~disk(45, 48, 17)
    assert fit(clean_HW, noisy_HW, ~rim_HW) is None


def test_translations_beyond_reach_are_not_looked_for():
    clean_HW = disk(30, 48, 12)
    dx, dy = translation(gains(clean_HW, moved(clean_HW, 12, 0), ALL_HW, 4))
    assert abs(dx) <= 4
    assert abs(dy) <= 4


def test_moving_a_mask():
    mask_HW = np.array([[True, False, False], [False, True, False]])
    assert moved(mask_HW, 1, 0).tolist() == [[False, True, False], [False, False, True]]
    assert moved(mask_HW, 0, -1).tolist() == [[False, True, False], [False, False, False]]
    assert not moved(mask_HW, 5, 0).any()


def test_objects_by_hand():
    clean_HW = disk(20, 20, 6) | disk(60, 60, 6) | disk(20, 70, 6)
    clean_HW[90, 90] = True  # a speck
    noisy_HW = disk(26, 20, 6)
    known_HW = ~disk(20, 70, 4)  # most of the third is unknown

    def found(other_HW, known_HW, minimum):
        return left_out(Regions.of(clean_HW), Regions.of(other_HW), known_HW, minimum)

    assert found(noisy_HW, known_HW, 4) == (2, 1)
    assert found(noisy_HW, ALL_HW, 1) == (4, 3)
    assert found(noisy_HW | disk(60, 60, 3), ALL_HW, 4) == (3, 1)
    # whether an object counts does not depend on what the other mask shows of it
    assert found(noisy_HW | disk(20, 70, 6), known_HW, 4) == (2, 1)


def test_a_neighbor_that_grew_and_a_speck_show_nothing():
    clean_HW = disk(30, 30, 8)
    speck_HW, neighbor_HW = disk(30, 30, 1), disk(55, 30, 19)
    smaller_HW, larger_HW = disk(30, 30, 3), disk(40, 30, 30)
    pieces_HW = clean_HW & ((COLUMNS + ROWS) % 4 != 0) & (COLUMNS % 3 != 0)
    for other_HW, shown in (
        (speck_HW, False),
        (neighbor_HW, False),
        (smaller_HW, True),
        (larger_HW, True),
        (pieces_HW, True),
        (ALL_HW & False, False),
    ):
        found = left_out(Regions.of(clean_HW), Regions.of(other_HW), ALL_HW, 4)
        assert found == (1, 0 if shown else 1)


def test_single_wrong_pixels_are_noticed_and_voted_down():
    label_HW = disk(45, 48, 18).astype(np.uint8)
    assert not is_speckled(label_HW, ALL_HW)
    wrong_HW = np.random.default_rng(0).random(label_HW.shape) < 0.03
    assert is_speckled(label_HW ^ wrong_HW, ALL_HW)
    assert not is_speckled(label_HW ^ wrong_HW, ALL_HW & ~wrong_HW)
    assert (smoothed((label_HW ^ wrong_HW) == 1) != (label_HW == 1)).mean() < 0.003


def test_a_part_that_was_left_out_is_no_shift():
    """Moving it off the picture would make the rest agree better."""
    islands_HW = disk(20, 20, 4) | disk(40, 60, 3) | disk(15, 75, 2)
    mainland_HW = COLUMNS + ROWS // 3 > 100
    assert translation(gains(islands_HW | mainland_HW, islands_HW, ALL_HW, 8)) == (0, 0)
    found = fit(islands_HW | mainland_HW, islands_HW)
    assert (found.dx, found.dy, found.dilation) == pytest.approx((0, 0, 0), abs=1e-6)
