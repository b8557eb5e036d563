"""Windows of a sample: labels stay in place, and nothing is known of what lies outside."""

import numpy as np
import pytest

from goldseam.dataset.augmentation import Augmentation, ColorChange, crop_record, scale_record
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig
from tests.unit.dataset.loading.test_augmentation import TASKS, full_record, make_record


def test_a_window_takes_image_and_labels_from_the_same_place():
    record = full_record(9, 11)
    cropped = crop_record(record, TASKS, (2, 3), (5, 6))
    np.testing.assert_array_equal(cropped.image_HWC, record.image_HWC[2:7, 3:9])
    for task in ("cover", "edge", "depth", "normals"):
        expected = record.labels[task][..., 2:7, 3:9]
        np.testing.assert_array_equal(cropped.labels[task], expected)
    assert cropped.labels["caption"] is record.labels["caption"]


def test_what_was_present_may_be_cut_off():
    record = make_record(9, 11, tags=np.array([1, 0, -1, -2], np.int8))
    window = crop_record(record, TASKS, (0, 0), (9, 10)).labels["tags"]
    assert window.tolist() == [-1, 0, -1, -1]
    assert window.dtype == np.int8
    assert crop_record(record, TASKS, (0, 0), (12, 11)).labels["tags"].tolist() == [1, 0, -1, -2]


def test_a_flip_needs_to_know_the_width_alone():
    pascal = Task(kind=Kind.NORMALS, axes="x along the image's width, y and z as published")
    Augmentation(symmetry="flip").require_tasks({"normals": pascal})
    with pytest.raises(InvalidConfig, match="turning an image"):
        Augmentation(symmetry="square").require_tasks({"normals": pascal})
    unknown = Task(kind=Kind.NORMALS, axes="as published")
    with pytest.raises(InvalidConfig, match="flipping an image"):
        Augmentation(symmetry="flip").require_tasks({"normals": unknown})
    Augmentation(symmetry="none").require_tasks({"normals": unknown})


def test_outside_the_photograph_nothing_is_known():
    record = full_record(4, 5)
    padded = crop_record(record, TASKS, (0, 0), (6, 8))
    outside = np.ones((6, 8), bool)
    outside[:4, :5] = False
    assert (padded.labels["cover"][outside] == 255).all()
    assert (padded.labels["edge"][outside] == 255).all()
    assert np.isnan(padded.labels["depth"][outside]).all()
    assert np.isnan(padded.labels["normals"][:, outside]).all()
    np.testing.assert_array_equal(padded.labels["depth"][:4, :5], record.labels["depth"])
    # the mean color: where pixels are standardized it is close to the middle of what is seen
    mean = (record.image_HWC / 255).mean(axis=(0, 1))
    np.testing.assert_allclose(padded.image_HWC[5, 7], mean, atol=1e-5)


def test_unknown_labels_stay_unknown():
    record = make_record(9, 9, **dict.fromkeys(TASKS))
    changed = scale_record(crop_record(record, TASKS, (1, 1), (12, 4)), TASKS, 0.5)
    assert set(changed.labels.values()) == {None}


def test_boxes_are_clipped_and_those_cut_in_half_are_ignored():
    corners = np.array([[0, 0, 4, 4], [3, 3, 7, 7], [4, 4, 8, 8], [9, 9, 11, 11]], np.float32)
    boxes = Boxes(np.arange(4, dtype=np.int32), corners, np.zeros(4, bool))
    record = make_record(12, 12, objects=boxes)
    found = crop_record(record, TASKS, (3, 3), (5, 5)).labels["objects"]
    assert found.category_N.tolist() == [0, 1, 2]
    assert found.corners_N4.tolist() == [[0, 0, 1, 1], [0, 0, 4, 4], [1, 1, 5, 5]]
    assert found.ignore_N.tolist() == [True, False, False]


def test_a_scene_that_is_enlarged_is_nearer():
    record = full_record(8, 8)
    larger = scale_record(record, TASKS, 2.0)
    assert larger.image_HWC.shape == (16, 16, 3)
    np.testing.assert_allclose(larger.labels["depth"][::2, ::2], record.labels["depth"] / 2)
    np.testing.assert_array_equal(larger.labels["cover"][1::2, 1::2], record.labels["cover"])
    assert larger.labels["objects"].corners_N4.tolist() == [[4, 2, 14, 6]]


@pytest.mark.parametrize(
    ("unit", "factor"), [("m", 0.5), ("mm", 0.5), ("ft", 0.5), ("px", 2.0), ("1", 1.0)]
)
def test_every_unit_of_length_follows_the_scale(unit, factor):
    record = full_record(8, 8)
    tasks = TASKS | {"depth": Task(kind=Kind.REGRESSION, unit=unit)}
    larger = scale_record(record, tasks, 2.0)
    np.testing.assert_allclose(
        larger.labels["depth"][::2, ::2], record.labels["depth"] * np.float32(factor)
    )


def test_every_window_of_every_scale_has_the_size_of_the_crop():
    record = full_record(20, 31)
    augment = Augmentation(symmetry="flip", scale=(0.5, 2.0), crop=(16, 24))
    shapes = {augment(record, TASKS, 0, key).labels["normals"].shape for key in range(40)}
    assert shapes == {(3, 16, 24)}


def test_windows_of_one_category_are_drawn_again():
    record = full_record(9, 40)
    mask_HW = np.zeros((9, 40), np.uint8)
    mask_HW[:, 30:] = 1
    record.labels["cover"] = mask_HW

    def uniform(limit):
        augment = Augmentation(symmetry="none", crop=(9, 12), largest_category=limit)
        windows = [augment(record, TASKS, 0, key).labels["cover"] for key in range(100)]
        return sum(len(np.unique(window)) == 1 for window in windows)

    assert uniform(1.0) > 40
    assert uniform(0.9) < 10


def test_flips_leave_up_where_it_is():
    record = make_record(4, 4)
    augment = Augmentation(symmetry="flip")
    seen = {augment(record, {}, 0, key).image_HWC.tobytes() for key in range(50)}
    assert seen == {record.image_HWC.tobytes(), record.image_HWC[:, ::-1].tobytes()}


def test_colors_turn_around_gray():
    gray_HWC = np.full((2, 2, 3), 0.4, np.float32)
    np.testing.assert_allclose(ColorChange(hue=70, saturation=1.4)(gray_HWC), gray_HWC, atol=1e-6)
    red_HWC = np.zeros((1, 1, 3), np.float32)
    red_HWC[..., 0] = 0.9
    np.testing.assert_allclose(ColorChange(hue=120)(red_HWC)[0, 0], [0, 0.9, 0], atol=1e-6)
    assert np.ptp(ColorChange(saturation=0.0)(red_HWC)) < 1e-6


@pytest.mark.parametrize(
    "options",
    [{"scale": (0.0, 1.0)}, {"scale": (0.5, 2.0)}, {"crop": (0, 4)}, {"largest_category": 2.0}],
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(InvalidConfig):
        Augmentation(**options)
