"""A smaller sample keeps what is ignored, invalid and unknown, and thin lines."""

import numpy as np
import pytest

from goldseam.dataset.codecs import Boxes
from goldseam.dataset.reading import Record
from goldseam.dataset.resizing import resize_record, stretch
from goldseam.dataset.schema import Kind, Task

TASKS = {
    "cover": Task(kind=Kind.SEGMENTATION, categories=("a", "b")),
    "edge": Task(kind=Kind.BOUNDARY),
    "relief": Task(kind=Kind.REGRESSION, unit="m"),
    "normal": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
    "objects": Task(kind=Kind.DETECTION, categories=("cup",)),
    "tags": Task(kind=Kind.TAGS, categories=("a",)),
}


def record() -> Record:
    """40 x 80 px: the left half of everything is one thing, the right half another."""
    right_HW = np.zeros((40, 80), bool)
    right_HW[:, 40:] = True
    edge_HW = np.zeros((40, 80), np.uint8)
    edge_HW[:, 17] = 1
    edge_HW[:, 60:] = 255
    relief_HW = np.where(right_HW, np.nan, 3.0).astype(np.float32)
    return Record(
        image_id="i",
        group="g",
        image_HWC=np.repeat((255 * right_HW).astype(np.uint8)[:, :, None], 3, axis=2),
        labels={
            "cover": np.where(right_HW, 255, 1).astype(np.uint8),
            "edge": edge_HW,
            "relief": relief_HW,
            "normal": np.stack([0 * relief_HW, 0 * relief_HW, relief_HW / 3]),
            "objects": Boxes(np.zeros(1, np.int32), np.array([[0, 0, 40, 20]]), np.zeros(1, bool)),
            "tags": np.array([1], np.int8),
        },
        sources=dict.fromkeys(TASKS, "human"),
    )


@pytest.mark.parametrize("size", [(10, 20), (16, 16), (80, 160)])
def test_halves_stay_halves(size):
    resized = resize_record(record(), TASKS, size)
    half = size[1] // 2
    assert resized.image_HWC.shape == (*size, 3)
    assert resized.image_HWC.dtype == np.uint8
    assert (resized.image_HWC[:, : half - 1] == 0).all()
    assert (resized.image_HWC[:, half + 1 :] == 255).all()
    assert (resized.labels["cover"][:, :half] == 1).all()
    assert (resized.labels["cover"][:, half:] == 255).all()
    for task in ("relief", "normal"):
        assert np.isfinite(resized.labels[task][..., :half]).all()
        assert np.isnan(resized.labels[task][..., half:]).all()
    assert resized.labels["normal"].shape == (3, *size)
    np.testing.assert_allclose(resized.labels["objects"].corners_N4, [[0, 0, half, size[0] / 2]])
    assert resized.labels["tags"].tolist() == [1]


def test_thin_lines_and_ignored_pixels_stay():
    edge_HW = resize_record(record(), TASKS, (10, 20)).labels["edge"]
    assert (edge_HW[:, 4] == 1).all()
    assert (edge_HW[:, :15] == 1).sum() == 10
    assert (edge_HW[:, 15:] == 255).all()


def test_lines_of_a_larger_sample_are_as_much_larger():
    whole = record().labels["edge"]
    larger_HW = resize_record(record(), TASKS, (80, 160)).labels["edge"]
    np.testing.assert_array_equal(larger_HW, whole.repeat(2, axis=0).repeat(2, axis=1))
    # one side grows, the other shrinks: a line across the one stays, along the other it is wider
    mixed_HW = resize_record(record(), TASKS, (80, 40)).labels["edge"]
    assert np.flatnonzero(mixed_HW[0] == 1).tolist() == [8]
    assert (mixed_HW == mixed_HW[0]).all()


def test_unknown_stays_unknown_and_nothing_is_done_without_need():
    whole = record()
    assert resize_record(whole, TASKS, (40, 80)) is whole
    unknown = Record("i", "g", whole.image_HWC, dict.fromkeys(TASKS), dict.fromkeys(TASKS))
    assert resize_record(unknown, TASKS, (10, 20)).labels == dict.fromkeys(TASKS)


@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
def test_pictures_of_a_few_channels_are_stretched(channels):
    array = np.random.default_rng(0).random((12, 9, *channels)).astype(np.float32)
    assert stretch(array, (5, 7)).shape == (5, 7, *channels)
    np.testing.assert_allclose(stretch(array, (6, 3)).mean(), array.mean(), atol=1e-5)
