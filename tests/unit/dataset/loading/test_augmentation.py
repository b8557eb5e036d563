"""Turning a sample turns everything that is tied to places in it, and nothing else."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from goldseam.dataset.augmentation import Augmentation, Turn, turn_record
from goldseam.dataset.batch import unit_image
from goldseam.dataset.codecs import Array, Boxes
from goldseam.dataset.reading import Record
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig

ALL_TURNS = [Turn(flip, quarters) for flip in (False, True) for quarters in range(4)]
SIZES = [(9, 9), (7, 11)]
TASKS = {
    "cover": Task(kind=Kind.SEGMENTATION, categories=("a", "b")),
    "edge": Task(kind=Kind.BOUNDARY),
    "depth": Task(kind=Kind.REGRESSION, unit="m"),
    "normals": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
    "objects": Task(kind=Kind.DETECTION, categories=("a",)),
    "tags": Task(kind=Kind.TAGS, categories=("a", "b")),
    "caption": Task(kind=Kind.CAPTION),
}


def surface_normals(height_HW: Array, *, y_up: bool = True) -> Array:
    """Normals of a height field, (x right, y up or down, z towards the viewer)."""
    down_HW, right_HW = np.gradient(height_HW.astype(np.float64))
    y_HW = down_HW if y_up else -down_HW
    normal_3HW = np.stack([-right_HW, y_HW, np.ones_like(y_HW)])
    return (normal_3HW / np.linalg.norm(normal_3HW, axis=0)).astype(np.float32)


def make_record(height: int, width: int, seed: int = 0, **labels: Any) -> Record:
    random = np.random.default_rng(seed)
    image_HWC = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Record("a", "g", image_HWC, labels, dict.fromkeys(labels, "human"))


def full_record(height: int, width: int) -> Record:
    """A record whose dense labels are functions of its image."""
    record = make_record(height, width)
    red_HW = record.image_HWC[:, :, 0]
    mask_HW = np.zeros((height, width), np.uint8)
    mask_HW[1:3, 2:7] = 1
    corners_N4 = np.array([[2, 1, 7, 3]], np.float32)
    labels = {
        "cover": mask_HW,
        "edge": (red_HW > 99).astype(np.uint8),
        "depth": red_HW.astype(np.float32),
        "normals": surface_normals(red_HW),
        "objects": Boxes(np.zeros(1, np.int32), corners_N4, np.array([True])),
        "tags": np.array([1, -1], np.int8),
        "caption": "left of the river",
    }
    return dataclasses.replace(record, labels=labels)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("turn", ALL_TURNS)
def test_labels_turn_with_the_image(turn: Turn, size: tuple[int, int]) -> None:
    record = full_record(*size)
    turned = turn_record(record, TASKS, turn)
    height, width = size if turn.quarters % 2 == 0 else size[::-1]
    assert turned.image_HWC.shape == (height, width, 3)
    red_HW = turned.image_HWC[:, :, 0]
    np.testing.assert_array_equal(turned.labels["edge"], red_HW > 99)
    np.testing.assert_array_equal(turned.labels["depth"], red_HW)
    # the normals of the turned surface are the turned normals of the surface
    np.testing.assert_allclose(turned.labels["normals"], surface_normals(red_HW), atol=1e-6)
    # the box still stands around its mask
    rows, columns = np.nonzero(turned.labels["cover"])
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_array_equal(turned.labels["objects"].corners_N4, [box])
    assert turned.labels["objects"].corners_N4.dtype == np.float32
    assert turned.labels["objects"].ignore_N.tolist() == [True]
    assert turned.labels["tags"] is record.labels["tags"]
    assert turned.labels["caption"] == record.labels["caption"]


@pytest.mark.parametrize("turn", ALL_TURNS)
@pytest.mark.parametrize("y_up", [True, False])
def test_a_plane_that_faces_right_turns(turn: Turn, y_up: bool) -> None:
    normal_3HW = np.zeros((3, 4, 4), np.float32)
    normal_3HW[0], normal_3HW[2] = 0.6, 0.8
    x, y, z = turn.normals(normal_3HW, y_up=y_up)[:, 0, 0]
    # where the arrow to the right points after the turn, seen by a person
    direction = turn.picture(np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0]]))
    row, column = (int(place[0]) for place in np.nonzero(direction))
    up = 1 - row
    np.testing.assert_allclose([x, y, z], [0.6 * (column - 1), 0.6 * (up if y_up else -up), 0.8])


@pytest.mark.parametrize("y_up", [True, False])
def test_axes_are_those_of_the_task(y_up: bool) -> None:
    height_HW = np.random.default_rng(0).normal(size=(6, 6))
    task = Task(kind=Kind.NORMALS, axes=f"X right, y {'up' if y_up else 'down'}, z forward")
    record = make_record(6, 6, normals=surface_normals(height_HW, y_up=y_up))
    turned = turn_record(record, {"normals": task}, Turn(flip=True, quarters=1))
    expected = surface_normals(np.rot90(height_HW[:, ::-1]), y_up=y_up)
    np.testing.assert_allclose(turned.labels["normals"], expected, atol=1e-6)


def test_axes_that_are_not_understood_are_refused() -> None:
    task = Task(kind=Kind.NORMALS, axes="x forward, y left, z up")
    with pytest.raises(InvalidConfig, match="x forward") as caught:
        Augmentation().require_tasks({"normals": task})
    assert "symmetry: none" in caught.value.remedy
    Augmentation(symmetry="none", contrast=0.1).require_tasks({"normals": task})
    Augmentation().require_tasks(TASKS)


def test_invalid_pixels_stay_invalid() -> None:
    record = full_record(9, 9)
    record.labels["normals"][:, 2, 5] = np.nan
    record.labels["depth"][2, 5] = np.nan
    turned = turn_record(record, TASKS, Turn(quarters=1))
    assert np.argwhere(np.isnan(turned.labels["depth"])).tolist() == [[3, 2]]
    assert np.argwhere(np.isnan(turned.labels["normals"]).all(axis=0)).tolist() == [[3, 2]]


def test_no_boxes_stay_no_boxes_and_unknown_stays_unknown() -> None:
    for turn in ALL_TURNS:
        record = make_record(9, 9, **{**dict.fromkeys(TASKS), "objects": Boxes.empty()})
        turned = turn_record(record, TASKS, turn)
        assert turned.labels["objects"].corners_N4.shape == (0, 4)
        assert {task for task, label in turned.labels.items() if label is None} == (
            set(TASKS) - {"objects"}
        )


def test_all_eight_turns_occur_equally() -> None:
    record = make_record(4, 4)
    augment = Augmentation()
    seen: dict[bytes, int] = {}
    for key in range(800):
        turned = augment(record, {}, 0, key).image_HWC.tobytes()
        seen[turned] = seen.get(turned, 0) + 1
    assert len(seen) == 8
    assert 70 < min(seen.values()) <= max(seen.values()) < 130


def test_images_that_are_not_square_keep_their_shape() -> None:
    record = make_record(4, 6)
    turned = [Augmentation()(record, {}, 0, key).image_HWC for key in range(100)]
    assert {image.shape for image in turned} == {(4, 6, 3)}
    assert len({image.tobytes() for image in turned}) == 4


def test_a_change_follows_from_seed_and_key() -> None:
    record = full_record(9, 9)
    augment = Augmentation(brightness=0.2, contrast=0.2)

    def image(*key: int) -> bytes:
        return augment(record, TASKS, *key).image_HWC.tobytes()

    assert image(1, 2) == image(1, 2)
    assert len({image(1, 2), image(1, 3), image(2, 2), image(1, 2, 1)}) == 4


def test_an_option_does_not_change_the_numbers_of_another() -> None:
    record = full_record(9, 9)
    for key in range(20):
        plain = Augmentation()(record, TASKS, 0, key)
        jittered = Augmentation(brightness=0.3, contrast=0.3)(record, TASKS, 0, key)
        np.testing.assert_array_equal(plain.labels["depth"], jittered.labels["depth"])


def test_brightness_and_contrast_change_the_image_only() -> None:
    record = full_record(9, 9)
    plain_HWC = unit_image(record)
    for key in range(50):
        bright = Augmentation(symmetry="none", brightness=0.2)(record, TASKS, 0, key)
        shift = bright.image_HWC - plain_HWC
        inside = (bright.image_HWC > 0) & (bright.image_HWC < 1)
        assert np.ptp(shift[inside]) < 1e-5
        assert abs(shift[inside]).max() <= 0.2
        assert bright.labels is record.labels

        sharp = Augmentation(symmetry="none", contrast=0.5)(record, TASKS, 0, key).image_HWC
        assert sharp.dtype == np.float32
        assert 0 <= sharp.min() < sharp.max() <= 1
        inside = (sharp > 0) & (sharp < 1)
        mean = plain_HWC.mean()
        factor = np.median((sharp - mean)[inside] / (plain_HWC - mean)[inside])
        assert 0.5 <= factor <= 1.5
        np.testing.assert_allclose(
            sharp[inside], ((plain_HWC - mean) * factor + mean)[inside], atol=1e-4
        )


def test_the_sample_itself_is_not_changed() -> None:
    record, untouched = full_record(9, 9), full_record(9, 9)
    for key in range(10):
        Augmentation(brightness=0.5, contrast=0.5)(record, TASKS, 0, key)
    np.testing.assert_array_equal(record.image_HWC, untouched.image_HWC)
    for task in ("cover", "edge", "depth", "normals", "tags"):
        np.testing.assert_array_equal(record.labels[task], untouched.labels[task])
    np.testing.assert_array_equal(
        record.labels["objects"].corners_N4, untouched.labels["objects"].corners_N4
    )


@pytest.mark.parametrize("options", [{"brightness": -0.1}, {"brightness": 1.5}, {"contrast": -1}])
def test_options_that_cannot_be(options: dict[str, float]) -> None:
    with pytest.raises(InvalidConfig, match=next(iter(options))):
        Augmentation(**options)  # type: ignore[arg-type]
