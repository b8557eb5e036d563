"""Disagreement against numbers worked out by hand; what is unknown never counts."""

import numpy as np
import pytest

from goldseam.audit.noise.disagreement import (
    BOUNDARY,
    INTERIOR,
    PixelCounts,
    boundary_band,
    measure_disagreement,
    noisy_pairs,
)
from goldseam.dataset.codecs import encode_png
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import InvalidDataset
from tests.unit.audit.bays import COVER, INFO, SIZE, build, rewrite

IGNORE = 255


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


def dataset_of(path, rows, *, kind=Kind.SEGMENTATION):
    """One test image per (clean, noisy) pair of small label pictures; None is unknown."""
    clean = Task(kind=kind, categories=COVER if kind is Kind.SEGMENTATION else ())
    noisy = clean.model_copy(update={"noisy_version_of": "cover"})
    info = DatasetInfo(name="pairs", tasks={"cover": clean, "cover_map": noisy})

    def samples():
        for number, pair in enumerate(rows):
            labels = {
                name: np.array(label, np.uint8)
                for name, label in zip(("cover", "cover_map"), pair, strict=True)
                if label is not None
            }
            size = np.array(pair[0] or pair[1]).shape
            yield Sample(
                image_id=f"i{number}",
                image=np.zeros((*size, 3), np.uint8),
                group=f"g{number}",
                labels=labels,
                sources=dict.fromkeys(labels, "human"),
            )

    write_dataset(path, info, {"test": samples()})
    return open_dataset(path)


def test_rates_and_confusion_by_hand(tmp_path):
    """Band 2 of the clean row is its columns 2 to 5; the labels differ in columns 3 and 7."""
    clean, noisy = [[0, 0, 0, 0, 1, 1, 1, 1]], [[0, 0, 0, 1, 1, 1, 1, 0]]
    (one,) = measure_disagreement(
        dataset_of(tmp_path / "d", [(clean, noisy)]), "cover", "cover_map", 2
    )
    rates = one.rates
    assert (rates.images, rates.overall, rates.boundary, rates.interior) == (1, 2 / 8, 1 / 4, 1 / 4)
    assert rates.confusion == ((3 / 4, 1 / 4, 0.0), (1 / 4, 3 / 4, 0.0), (None, None, None))
    assert rates.categories == COVER
    assert one.boundary_share == 1 / 2


def test_ignored_and_unknown_pixels_count_for_nothing(tmp_path):
    clean, noisy = [[0, 0, IGNORE, 1]], [[0, IGNORE, 1, 0]]
    rows = [(clean, noisy), (None, [[2, 2, 2, 2]]), ([[1, 1, 1, 1]], None)]
    (one,) = measure_disagreement(dataset_of(tmp_path / "d", rows), "cover", "cover_map", 1)
    assert one.rates.images == 1
    assert one.counts.pixels() == 2
    assert one.rates.overall == 1 / 2
    assert one.rates.boundary is None  # the only boundary lies under an ignored pixel


def test_boundary_and_interior_add_up(dataset):
    for one in measure_disagreement(dataset, "cover", "cover_map", 2):
        counts = one.counts
        assert counts.pixels() == counts.pixels(BOUNDARY) + counts.pixels(INTERIOR)
        assert counts.pixels() == one.rates.images * SIZE**2
        assert counts.differing() == counts.differing(BOUNDARY) + counts.differing(INTERIOR)


def test_a_map_that_is_shifted_by_a_column(dataset):
    """One of 16 columns differs, and lies in the four columns of the band."""
    train, test = measure_disagreement(dataset, "cover", "cover_map", 2)
    assert (train.rates.split, train.rates.images) == ("train", 6)
    assert (test.rates.split, test.rates.images) == ("test", 4)
    for one in (train, test):
        assert one.rates.overall == 1 / 16
        assert (one.rates.boundary, one.rates.interior) == (1 / 4, 0.0)
        assert one.boundary_share == 1.0


def test_the_content_of_labels_without_a_counterpart_does_not_matter(dataset):
    before = [one.rates for one in measure_disagreement(dataset, "cover", "cover_map", 2)]
    random = np.random.default_rng(0)

    def scramble(rows):
        for row in rows:
            if row["cover"] is None:
                noise_HW = random.integers(0, 3, (SIZE, SIZE)).astype(np.uint8)
                row["cover_map"] = {"bytes": encode_png(noise_HW), "path": None}

    scrambled = rewrite(dataset, "train", scramble)
    assert [one.rates for one in measure_disagreement(scrambled, "cover", "cover_map", 2)] == before


def test_shards_and_row_groups_add_up(tmp_path):
    whole = build(tmp_path / "whole")
    parts = build(tmp_path / "parts", rows_per_shard=5)
    assert len(parts.info.shards) > len(whole.info.shards)
    found = [measure_disagreement(d, "cover", "cover_map", 2) for d in (whole, parts)]
    assert [one.rates for one in found[0]] == [one.rates for one in found[1]]


def test_boundaries_are_compared_as_absent_and_present(tmp_path):
    data = dataset_of(tmp_path / "d", [([[0, 1, 0, 255]], [[0, 0, 1, 1]])], kind=Kind.BOUNDARY)
    (one,) = measure_disagreement(data, "cover", "cover_map", 1)
    assert one.rates.categories == ("absent", "present")
    assert one.rates.overall == 2 / 3


def test_without_a_common_image_the_rates_are_unknown(tmp_path):
    data = dataset_of(tmp_path / "d", [([[0, 1]], None), (None, [[0, 1]])])
    (one,) = measure_disagreement(data, "cover", "cover_map", 2)
    assert (one.rates.images, one.rates.overall, one.boundary_share) == (0, None, None)
    assert one.rates.confusion == ((None,) * 3,) * 3


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (([[0, 1]], [[0, 1, 1]]), "image 'i0': a noisy label of 3 x 1 px"),
        (([[0, 9]], [[0, 1]]), "image 'i0': category id 9, expected ids of 0 to 2"),
        (([[0, 1]], [[0, 3]]), "image 'i0': category id 3, expected ids of 0 to 2"),
    ],
)
def test_labels_that_cannot_be_compared_are_named(tmp_path, pair, message):
    good = dataset_of(tmp_path / "d", [([[0, 1]], [[0, 1]])])

    def replace(rows):
        for name, label in zip(("cover", "cover_map"), pair, strict=True):
            rows[0][name] = {"bytes": encode_png(np.array(label, np.uint8)), "path": None}

    with pytest.raises(InvalidDataset, match=message):
        measure_disagreement(rewrite(good, "test", replace), "cover", "cover_map", 2)


def test_only_tasks_of_category_ids_are_measured():
    tags = Task(kind=Kind.TAGS, categories=("a",))
    noisy = tags.model_copy(update={"noisy_version_of": "tags"})
    info = INFO.model_copy(update={"tasks": {**INFO.tasks, "mined": noisy}})
    assert noisy_pairs(info) == [("cover", "cover_map")]


def test_an_image_without_a_counted_pixel_counts_as_no_pixel():
    counts = PixelCounts.none(2)
    ids_HW = np.zeros((2, 2), np.int64)
    nothing_HW = np.zeros((2, 2), bool)
    counts.add(ids_HW, ids_HW, nothing_HW, nothing_HW)
    assert (counts.images, counts.pixels(), counts.rate()) == (1, 0, None)
