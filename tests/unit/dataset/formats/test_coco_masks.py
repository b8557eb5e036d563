"""Polygons and run lengths cover the pixels whose centers they cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldseam.dataset.formats.coco_masks import (
    BadSegmentation,
    draw_mask,
    polygon_pixels,
    segmentation_pixels,
)


@pytest.mark.parametrize("at", [(0, 0, 4, 3), (2, 1, 9, 7), (0, 0, 12, 8)])
def test_a_rectangle_covers_its_pixels_and_no_other(at: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = at
    expected = np.zeros((8, 12), bool)
    expected[y0:y1, x0:x1] = True
    polygon = [x0, y0, x1, y0, x1, y1, x0, y1]
    np.testing.assert_array_equal(polygon_pixels(polygon, 8, 12), expected)
    backwards = [x0, y1, x1, y1, x1, y0, x0, y0]
    np.testing.assert_array_equal(polygon_pixels(backwards, 8, 12), expected)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(st.floats(-5, 25, width=32), st.floats(-5, 20, width=32)), min_size=3, max_size=8
    )
)
def test_pixels_are_those_whose_center_is_inside(corners: list[tuple[float, float]]) -> None:
    polygon = [value for corner in corners for value in corner]
    found_HW = polygon_pixels(polygon, 15, 20)
    for y, x in ((0, 0), (7, 3), (14, 19), (5, 12)):
        assert found_HW[y, x] == inside(corners, x + 0.5, y + 0.5)


def inside(corners: list[tuple[float, float]], x: float, y: float) -> bool:
    """Even-odd rule, a ray at a time."""
    crossings = 0
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if (y0 <= y) != (y1 <= y):
            crossings += x0 + (y - y0) / (y1 - y0) * (x1 - x0) <= x
    return crossings % 2 == 1


def test_a_hole_is_cut_by_the_path_and_parts_are_joined() -> None:
    ring = [0, 0, 8, 0, 8, 8, 0, 8, 0, 0, 2, 2, 2, 6, 6, 6, 6, 2, 2, 2]
    assert segmentation_pixels([ring], 8, 8).sum() == 64 - 16
    halves = [[0, 0, 4, 0, 4, 8, 0, 8], [4, 0, 8, 0, 8, 8, 4, 8]]
    assert segmentation_pixels(halves, 8, 8).all()


def test_run_lengths_agree_with_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = pytest.importorskip("faster_coco_eval.core.mask")
    random = np.random.default_rng(0)
    for density in (0.02, 0.5, 0.98):
        pixels_HW = random.random((31, 47)) < density
        encoded = mask.encode(np.asfortranarray(pixels_HW.astype(np.uint8)))
        text = encoded["counts"]
        text = text.decode() if isinstance(text, bytes) else text
        found = segmentation_pixels({"size": [31, 47], "counts": text}, 31, 47)
        np.testing.assert_array_equal(found, pixels_HW)


BAD = [
    [],
    "polygon",
    [[1, 2, 3, 4]],
    [[1, 2, 3, 4, 5]],
    [[1, 2, 3, 4, "a", 6]],
    [[1, 2, 3, 4, 5, float("nan")]],
    {"size": [8, 9], "counts": [72]},
    {"size": [8, 8], "counts": [60]},
    {"size": [8, 8], "counts": [-4, 68]},
    {"size": [8, 8], "counts": "\x7f"},
    {"size": [8, 8], "counts": "P"},
    {"size": [8, 8]},
]


@pytest.mark.parametrize("segmentation", BAD)
def test_what_is_no_segmentation_is_refused(segmentation: object) -> None:
    with pytest.raises(BadSegmentation):
        segmentation_pixels(segmentation, 8, 8)


def test_small_objects_lie_on_large_ones_and_all_on_what_is_ignored() -> None:
    shapes = []
    for value, side in ((1, 2), (2, 6), (255, 4)):
        pixels_HW = np.zeros((8, 8), bool)
        pixels_HW[:side, :side] = True
        shapes.append((value, pixels_HW))
    mask_HW = draw_mask(shapes, np.zeros((8, 8), np.int64), 255)
    assert mask_HW[0, 0] == 1
    assert mask_HW[3, 3] == 2
    assert mask_HW[7, 7] == 0
    shapes[2][1][:] = True
    assert draw_mask(shapes, np.zeros((8, 8), np.int64), 255)[7, 7] == 255
