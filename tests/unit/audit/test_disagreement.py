"""The boundary band and the disagreement by part; what is unknown never counts."""

import numpy as np
import pytest

from goldseam.audit.label_side import read_label_side
from goldseam.audit.noise.audit import audit_noise
from goldseam.audit.noise.disagreement import BOUNDARY, INTERIOR, PixelCounts, boundary_band
from goldseam.dataset.codecs import encode_png
from tests.unit.audit.bays import SIZE, build, rewrite
from tests.unit.audit.noise.pairs import QUICK, measured


def brute_force_band(label_HW, known_HW, band):
    height, width = label_HW.shape
    within_HW = np.zeros((height, width), bool)
    for y, x in np.ndindex(height, width):
        for other_y, other_x in np.ndindex(height, width):
            near = (y - other_y) ** 2 + (x - other_x) ** 2 <= band**2
            both = known_HW[y, x] and known_HW[other_y, other_x]
            if near and both and label_HW[y, x] != label_HW[other_y, other_x]:
                within_HW[y, x] = True
    return within_HW


@pytest.mark.parametrize("band", [1, 2, 3])
def test_the_band_is_every_pixel_with_another_category_in_reach(band):
    random = np.random.default_rng(band)
    label_HW = np.kron(random.integers(0, 3, (3, 4)), np.ones((4, 4), int)).astype(np.uint8)
    known_HW = random.random(label_HW.shape) > 0.1
    found_HW = boundary_band(label_HW, known_HW, band)
    assert (found_HW == brute_force_band(label_HW, known_HW, band)).all()
    assert found_HW.any()
    assert not found_HW.all()


def test_the_largest_16_bit_id_has_boundaries_too():
    label_HW = np.array([[65534, 65534, 0, 0]], np.uint16)
    known_HW = np.array([[True, True, False, True]])
    assert boundary_band(label_HW, known_HW, 2).tolist() == [[False, True, False, True]]


def disagreements(dataset):
    section = audit_noise(read_label_side(dataset), measured(dataset), QUICK)
    return section.disagreements


def test_a_map_that_is_shifted_by_a_column(dataset):
    """One of 16 columns differs, and lies in the four columns of the band."""
    train, test = disagreements(dataset)
    assert (train.split, train.images) == ("train", 6)
    assert (test.split, test.images) == ("test", 4)
    for one in (train, test):
        assert (one.task, one.noisy_task, one.band) == ("cover", "cover_map", 2)
        assert one.overall == 1 / 16
        assert (one.boundary, one.interior) == (1 / 4, 0.0)


def test_the_content_of_labels_without_a_counterpart_does_not_matter(dataset):
    before = disagreements(dataset)
    random = np.random.default_rng(0)

    def scramble(rows):
        for row in rows:
            if row["cover"] is None:
                noise_HW = random.integers(0, 3, (SIZE, SIZE)).astype(np.uint8)
                row["cover_map"] = {"bytes": encode_png(noise_HW), "path": None}

    assert disagreements(rewrite(dataset, "train", scramble)) == before


def test_shards_and_row_groups_add_up(tmp_path):
    whole = build(tmp_path / "whole")
    parts = build(tmp_path / "parts", rows_per_shard=5)
    assert len(parts.info.shards) > len(whole.info.shards)
    assert disagreements(whole) == disagreements(parts)


def test_boundary_and_interior_add_up():
    confusion_2CC = np.array([[[50, 2], [3, 45]], [[5, 5], [0, 10]]])
    counts = PixelCounts(2, confusion_2CC)
    assert counts.pixels() == counts.pixels(BOUNDARY) + counts.pixels(INTERIOR) == 120
    assert counts.differing() == counts.differing(BOUNDARY) + counts.differing(INTERIOR) == 10
    assert (counts.rate(INTERIOR), counts.rate(BOUNDARY)) == (5 / 100, 5 / 20)


def test_without_a_counted_pixel_there_is_no_rate():
    counts = PixelCounts(1, np.zeros((2, 2, 2), np.int64))
    assert (counts.pixels(), counts.rate(), counts.rate(BOUNDARY)) == (0, None, None)
