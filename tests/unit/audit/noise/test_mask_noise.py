"""Noise of masks against numbers worked out by hand; what is unknown never counts."""

import numpy as np
import pytest

from goldseam.audit.measuring import Seen
from goldseam.audit.noise.audit import audit_noise
from goldseam.audit.noise.config import NoiseConfig
from goldseam.audit.noise.counts import Counted, CountTable, added_up
from goldseam.audit.noise.measure import NOISE_COUNTS, NOISE_IMAGES, NoiseMeasure
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidDataset
from tests.unit.audit.noise.pairs import (
    QUICK,
    SIZE,
    dataset_of,
    info_of,
    label_side,
    measured,
    rates_of,
)

IGNORE = 255
COVER = Task(kind=Kind.SEGMENTATION, categories=("sea", "land", "lake"))
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]


def disks(*at):
    mask_HW = np.zeros((SIZE, SIZE), np.uint8)
    for x, y, radius, category in at:
        mask_HW[(COLUMNS - x) ** 2 + (ROWS - y) ** 2 <= radius**2] = category
    return mask_HW


def section_of(dataset, config=QUICK):
    return audit_noise(label_side(dataset), measured(dataset, config), config)


def test_rates_and_confusion_by_hand(tmp_path):
    """Band 2 of the clean row is its columns 2 to 5; the labels differ in columns 3 and 7."""
    clean_HW = np.array([[0, 0, 0, 0, 1, 1, 1, 1]], np.uint8)
    noisy_HW = np.array([[0, 0, 0, 1, 1, 1, 1, 0]], np.uint8)
    dataset = dataset_of(tmp_path / "d", info_of(COVER), {"test": [(clean_HW, noisy_HW)]})
    section = section_of(dataset)
    (one,) = section.disagreements
    assert (one.task, one.noisy_task, one.split, one.images) == ("clean", "noisy", "test", 1)
    assert (one.overall, one.boundary, one.interior) == (2 / 8, 1 / 4, 1 / 4)
    assert one.confusion == ((3 / 4, 1 / 4, 0.0), (1 / 4, 3 / 4, 0.0), (None, None, None))
    rates = rates_of(section)
    assert rates["flip", None].rate.value == 2 / 8
    assert rates["flip", None].rate.low is None  # a single group
    assert rates["flip", "land"].rate.value == 1 / 4
    assert ("flip", "lake") not in rates
    matrices = {matrix.part: matrix for matrix in section.matrices}
    assert matrices["all"].labels == 8
    assert matrices["all"].joint[0] == (3 / 8, 1 / 8, 0.0)
    assert matrices["interior"].transition[1] == (1 / 2, 1 / 2, 0.0)
    assert matrices["boundary"].transition[2] == (None, None, None)


def test_shift_dilation_omission_and_invention(tmp_path):
    places = [(12, 12), (14, 34), (34, 14), (33, 33)]
    pairs = []
    for number in range(6):
        kept = [place for at, place in enumerate(places) if at != number % 4]
        clean_HW = disks(*((x, y, 6, 1) for x, y in places))
        noisy_HW = disks(*((x + 2, y - 1, 7, 1) for x, y in kept), (24, 42, 2, 2))
        pairs.append((clean_HW, noisy_HW))
    dataset = dataset_of(tmp_path / "d", info_of(COVER), {"train": pairs}, groups=3)
    rates = rates_of(section_of(dataset))
    shift = rates["shift", None]
    assert shift.rate.value == pytest.approx(5**0.5, abs=0.1)
    assert shift.rate.unit == "px"
    assert shift.rate.low <= shift.rate.value <= shift.rate.high
    assert "to the right" in shift.sentence
    assert "up" in shift.sentence
    assert rates["dilation", "land"].rate.value == pytest.approx(1, abs=0.3)
    assert rates["dilation", "sea"].rate.value == pytest.approx(-1, abs=0.3)
    assert "outside" in rates["dilation", "land"].sentence
    assert rates["omission", "land"].rate.value == 1 / 4
    assert rates["invention", "lake"].rate.value == 1
    assert rates["invention", "land"].rate.value == 0
    assert ("omission", "lake") not in rates  # there was none to leave out


def test_small_objects_that_are_moved_are_not_left_out(tmp_path):
    clean_HW = disks((15, 15, 2, 1), (33, 30, 9, 1))
    noisy_HW = disks((20, 15, 2, 1), (38, 30, 9, 1))
    dataset = dataset_of(tmp_path / "d", info_of(COVER), {"train": [(clean_HW, noisy_HW)]})
    rates = rates_of(section_of(dataset))
    assert rates["shift", None].rate.value == pytest.approx(5, abs=0.1)
    assert rates["omission", "land"].rate.value == 0
    assert rates["invention", "land"].rate.value == 0


def test_what_is_unknown_changes_nothing(tmp_path):
    clean_HW, noisy_HW = disks((20, 20, 9, 1)), disks((22, 20, 9, 1))
    ignored_HW = (slice(30, None), slice(None))
    sections, random = [], np.random.default_rng(0)
    for run in range(2):
        filled = [clean_HW.copy(), noisy_HW.copy()]
        filled[0][ignored_HW] = IGNORE
        # the noisy label may say anything where the clean one is unknown
        filled[1][ignored_HW] = random.integers(0, 3, filled[1][ignored_HW].shape) if run else 2
        alone_HW = random.integers(0, 3, (SIZE, SIZE)).astype(np.uint8)
        pairs = [tuple(filled), (None, alone_HW), (alone_HW, None)]
        dataset = dataset_of(tmp_path / f"d{run}", info_of(COVER), {"train": pairs})
        sections.append(section_of(dataset))
    first, second = sections
    assert first.disagreements == second.disagreements
    assert first.matrices == second.matrices
    assert first.disagreements[0].images == 1
    assert first.matrices[0].labels == 30 * SIZE
    # how far a noisy object reaches is known to the noisy label alone: it decides what is counted
    kinds = ("flip", "shift", "dilation", "omission")
    assert [rate for rate in first.rates if rate.kind in kinds] == [
        rate for rate in second.rates if rate.kind in kinds
    ]


def test_shards_give_the_numbers_of_one_pass(tmp_path):
    random = np.random.default_rng(1)
    pairs = []
    for _ in range(11):
        (x, y), radius = random.integers(12, 36, 2), int(random.integers(5, 10))
        dx, dy = random.integers(-3, 4, 2)
        pairs.append(
            (disks((x, y, radius, 1)), disks((x + dx, y + dy, radius + 1, 1), (5, 5, 2, 2)))
        )
    splits = {"train": pairs, "test": pairs[:3]}
    info = info_of(COVER)
    whole = dataset_of(tmp_path / "whole", info, splits)
    parts = dataset_of(tmp_path / "parts", info, splits, rows_per_shard=2)
    assert len(parts.info.shards) > 6
    labels, tables = label_side(parts), measured(whole)
    for shards in (
        [(shard,) for shard in parts.info.shards],
        [(shard,) for shard in reversed(parts.info.shards)],
    ):
        joined = measured(parts, shards=shards)
        assert len(joined[NOISE_COUNTS]) > len(tables[NOISE_COUNTS])
        assert added_up(joined[NOISE_COUNTS]).equals(added_up(tables[NOISE_COUNTS]))
        assert audit_noise(labels, joined, QUICK) == audit_noise(labels, tables, QUICK)
    section = audit_noise(labels, tables, QUICK)
    assert [one.images for one in section.disagreements] == [11, 3]


def test_boundaries_are_compared_as_absent_and_present(tmp_path):
    line_HW, moved_HW = np.zeros((2, SIZE, SIZE), np.uint8)
    line_HW[10, 5:40] = line_HW[10:40, 5] = 1
    moved_HW[12, 6:41] = moved_HW[12:42, 6] = 1
    dataset = dataset_of(
        tmp_path / "d", info_of(Task(kind=Kind.BOUNDARY)), {"train": [(line_HW, moved_HW)]}
    )
    section = section_of(dataset)
    assert section.disagreements[0].categories == ("absent", "present")
    rates = rates_of(section)
    assert rates["shift", None].rate.value == pytest.approx(5**0.5, abs=0.1)
    assert ("omission", "absent") not in rates


def test_without_a_common_image_the_rate_is_unknown(tmp_path):
    mask_HW = disks((20, 20, 5, 1))
    pairs = [(mask_HW, None), (None, mask_HW)]
    dataset = dataset_of(tmp_path / "d", info_of(COVER), {"train": pairs})
    section = section_of(dataset)
    (rate,) = section.rates
    assert (rate.kind, rate.rate.value, rate.images) == ("flip", None, 0)
    assert "unknown" in rate.sentence
    assert section.disagreements[0].overall is None
    assert section.matrices == ()
    assert section.sentences == (rate.sentence,)


def test_without_tables_masks_are_left_out(tmp_path):
    mask_HW = disks((20, 20, 5, 1))
    dataset = dataset_of(tmp_path / "d", info_of(COVER), {"train": [(mask_HW, mask_HW)]})
    section = audit_noise(label_side(dataset), {}, QUICK)
    assert (section.rates, section.disagreements) == ((), ())


@pytest.mark.parametrize(
    ("clean", "noisy", "message"),
    [
        ([[0, 1]], [[0, 1, 1]], "a noisy label of 3 x 1 px"),
        ([[0, 9]], [[0, 1]], "category id 9, expected ids of 0 to 2"),
    ],
)
def test_labels_that_cannot_be_compared_are_named(clean, noisy, message):
    measure = NoiseMeasure(info_of(COVER), NoiseConfig())
    labels = {"clean": np.array(clean, np.uint8), "noisy": np.array(noisy, np.uint8)}
    with pytest.raises(InvalidDataset, match=f"image 'i', 'noisy' beside 'clean': {message}"):
        measure.update(Seen("i", "train", "g", None, labels))


def test_a_dataset_without_noisy_tasks_leaves_no_table():
    info = info_of(COVER)
    alone = info.model_copy(update={"tasks": {"clean": info.tasks["clean"]}})
    assert NoiseMeasure(alone, NoiseConfig()).tables() == {}
    assert set(NoiseMeasure(info, NoiseConfig()).tables()) == {NOISE_COUNTS, NOISE_IMAGES}


def test_counts_are_summed_up_while_they_grow(monkeypatch):
    monkeypatch.setattr("goldseam.audit.noise.counts.ROWS_AT_ONCE", 10)
    counts = CountTable()
    for number in range(100):
        counts.add(
            ("noisy", "train", number % 3),
            Counted.INTERIOR,
            np.array([1, 0, 2]),
            np.array([0, 1, 2]),
            np.array([0, 0, 0]),
        )
    table = counts.table()
    assert len(table) == 6
    assert sum(table.column("count").to_pylist()) == 300
