"""Noise of tags, boxes, values and normals against numbers worked out by hand."""

import numpy as np
import pytest

from goldseam.audit.label_side import BoxTable
from goldseam.audit.noise.audit import audit_noise
from goldseam.audit.noise.box_matching import covered, match
from goldseam.audit.noise.values import compare_normals, compare_values
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.schema import Kind, Task
from tests.unit.audit.noise.pairs import (
    QUICK,
    SIZE,
    dataset_of,
    info_of,
    label_side,
    measured,
    rates_of,
)

TAGS = Task(kind=Kind.TAGS, categories=("sea", "lake"))
OBJECTS = Task(kind=Kind.DETECTION, categories=("island", "ship"))
DEPTH = Task(kind=Kind.REGRESSION, unit="m", scale=0.01, offset=-10)


def tags(*state):
    return np.array(state, np.int8)


def boxes(*rows):
    """(category, xmin, ymin, width, height) and maybe True for ignored."""
    corners = [(x, y, x + w, y + h) for _, x, y, w, h, *_ in rows]
    return Boxes(
        np.array([row[0] for row in rows], np.int32),
        np.array(corners, np.float32).reshape(-1, 4),
        np.array([len(row) > 5 for row in rows], bool),
    )


def test_tags_by_hand(tmp_path):
    pairs = [
        (tags(1, 1), tags(1, 0)),
        (tags(1, 0), tags(0, 0)),
        (tags(0, 0), tags(1, -1)),
        (tags(0, -1), tags(0, 1)),
        (tags(1, 1), None),
    ]
    dataset = dataset_of(tmp_path / "d", info_of(TAGS), {"train": pairs}, groups=2)
    section = audit_noise(label_side(dataset), {}, QUICK)
    rates = rates_of(section)
    assert rates["flip", "sea"].rate.value == 2 / 4
    assert rates["omission", "sea"].rate.value == 1 / 2
    assert rates["invention", "sea"].rate.value == 1 / 2
    assert rates["flip", "lake"].rate.value == 1 / 2
    assert rates["omission", "lake"].rate.value == 1
    assert rates["invention", "lake"].rate.value == 0
    assert rates["flip", None].rate.value == 3 / 6
    assert (rates["flip", "sea"].images, rates["flip", "lake"].images) == (4, 2)
    sea, lake = section.matrices
    assert (sea.category, sea.labels, sea.categories) == ("sea", 4, ("absent", "present"))
    assert sea.transition == ((1 / 2, 1 / 2), (1 / 2, 1 / 2))
    assert lake.joint == ((1 / 2, 0), (1 / 2, 0))
    assert section.sentences[0] == rates["flip", None].sentence


def test_tags_that_one_side_does_not_know_change_nothing(tmp_path):
    sections = []
    for state in (0, 1):
        pairs = [
            (tags(1, state), tags(0, -1)),
            (tags(-1, 0), tags(state, 0)),
            (None, tags(state, state)),
        ]
        dataset = dataset_of(tmp_path / str(state), info_of(TAGS), {"train": pairs})
        sections.append(audit_noise(label_side(dataset), {}, QUICK))
    assert sections[0] == sections[1]


def test_without_a_common_tag_the_rate_is_unknown(tmp_path):
    pairs = [(tags(1, -1), tags(-1, 1)), (tags(1, 1), None)]
    dataset = dataset_of(tmp_path / "d", info_of(TAGS), {"train": pairs})
    (rate,) = audit_noise(label_side(dataset), {}, QUICK).rates
    assert rate.rate.value is None


def test_boxes_by_hand(tmp_path):
    clean = boxes((0, 5, 5, 10, 10), (0, 30, 30, 8, 8), (1, 30, 5, 10, 10), (1, 2, 30, 6, 6))
    noisy = boxes((0, 7, 5, 10, 10), (1, 30, 30, 8, 8), (1, 28, 3, 14, 14), (0, 20, 40, 5, 5))
    pairs = [(clean, noisy), (boxes(), boxes()), (clean, None), (None, noisy)]
    dataset = dataset_of(tmp_path / "d", info_of(OBJECTS), {"train": pairs}, groups=2)
    section = audit_noise(label_side(dataset), {}, QUICK)
    rates = rates_of(section)
    assert rates["omission", None].rate.value == 1 / 4
    assert rates["omission", "ship"].rate.value == 1 / 2
    assert rates["omission", "island"].rate.value == 0
    assert rates["invention", None].rate.value == 1 / 4
    assert rates["invention", "island"].rate.value == 1 / 2
    assert rates["flip", None].rate.value == 1 / 3
    assert rates["flip", "island"].rate.value == 1 / 2
    assert rates["shift", None].rate.value == pytest.approx(2 / 3)
    assert rates["dilation", None].rate.value == pytest.approx(2 / 3)
    assert rates["scale", None].rate.value == pytest.approx(1.4 ** (1 / 3))
    (matrix,) = section.matrices
    assert matrix.labels == 3
    assert matrix.transition == ((1 / 2, 1 / 2), (0, 1))
    assert rates["omission", None].images == 2


def test_ignored_places_and_unlisted_objects_are_excused(tmp_path):
    clean = boxes((0, 5, 5, 10, 10), (1, 20, 20, 20, 20, "ignored"))
    noisy = boxes((0, 25, 25, 6, 6), (1, 4, 4, 12, 12, "ignored"))
    dataset = dataset_of(tmp_path / "d", info_of(OBJECTS), {"train": [(clean, noisy)]})
    assert audit_noise(label_side(dataset), {}, QUICK).rates == ()
    clean, noisy = boxes((0, 5, 5, 10, 10)), boxes((0, 25, 25, 6, 6))
    info = info_of(OBJECTS, exhaustive=False)
    dataset = dataset_of(tmp_path / "partial", info, {"train": [(clean, noisy)]})
    found = rates_of(audit_noise(label_side(dataset), {}, QUICK))
    # the noisy task need not box everything, so nothing was left out; the clean one does
    assert set(found) == {("invention", "island"), ("invention", None)}


def table(rows):
    """(image, category, xmin, ymin, xmax, ymax)."""
    array = np.array(rows, float).reshape(-1, 6)
    return BoxTable(
        array[:, 0].astype(int), array[:, 1].astype(int), array[:, 2:], np.zeros(len(array), bool)
    )


def greedy(a, b, minimum):
    """The same by the book: the best pair that is left, again and again."""
    partner = np.full(len(a.image_M), -1)
    scored = []
    for i, (one, corner) in enumerate(zip(a.image_M, a.corners_M4, strict=True)):
        for j, (other, against) in enumerate(zip(b.image_M, b.corners_M4, strict=True)):
            side = np.minimum(corner[2:], against[2:]) - np.maximum(corner[:2], against[:2])
            common = np.prod(side.clip(0))
            union = np.prod(corner[2:] - corner[:2]) + np.prod(against[2:] - against[:2]) - common
            if one == other and common / union >= minimum:
                scored.append((common / union + 0.1 * (a.category_M[i] == b.category_M[j]), i, j))
    for _, i, j in sorted(scored, reverse=True):
        if partner[i] < 0 and j not in partner:
            partner[i] = j
    return partner


@pytest.mark.parametrize("at_once", [1, 40, 1 << 21])
def test_matching_is_greedy_by_overlap(monkeypatch, at_once):
    monkeypatch.setattr("goldseam.audit.box_overlap.PAIRS_AT_ONCE", at_once)
    random = np.random.default_rng(at_once)
    sides = []
    for count in (60, 50):
        low = random.uniform(0, 30, (count, 2))
        rows = np.concatenate(
            [
                np.sort(random.integers(0, 8, count))[:, None],
                random.integers(0, 2, (count, 1)),
                low,
                low + random.uniform(5, 20, (count, 2)),
            ],
            axis=1,
        )
        sides.append(table(rows))
    found = match(*sides, 0.2)
    assert (found == greedy(*sides, 0.2)).all()
    assert (found >= 0).sum() > 10
    assert match(table([]), sides[1], 0.2).shape == (0,)


def test_boxes_inside_an_ignored_one_are_covered():
    one, other = table([(0, 0, 0, 0, 4, 4), (1, 0, 0, 0, 4, 4)]), table([(0, 0, 0, 0, 20, 2)])
    assert covered(one, other).tolist() == [True, False]


def test_values_by_hand(tmp_path):
    random = np.random.default_rng(0)
    pairs = []
    for _ in range(6):
        clean_HW = random.uniform(5, 50, (SIZE, SIZE)).astype(np.float32)
        noisy_HW = (1.1 * clean_HW + 0.5 + random.normal(0, 0.2, clean_HW.shape)).astype(np.float32)
        noisy_HW[:4] = 60  # wild pixels
        noisy_HW[20:] = np.nan
        pairs.append((clean_HW, noisy_HW))
    pairs.append((pairs[0][0], None))
    dataset = dataset_of(tmp_path / "d", info_of(DEPTH), {"train": pairs}, groups=3)
    rates = rates_of(audit_noise(label_side(dataset), measured(dataset), QUICK))
    assert rates["scale", None].rate.value == pytest.approx(1.1, abs=0.005)
    assert rates["shift", None].rate.unit == "m"
    assert rates["shift", None].rate.value == pytest.approx(4, abs=1.5)
    assert rates["shift", None].images == 6
    assert rates["shift", None].rate.low <= rates["shift", None].rate.value


def test_an_image_without_variation_has_a_bias_but_no_scale():
    clean_HW = np.full((8, 8), 7.0)
    found = compare_values(clean_HW, clean_HW + 2)
    assert (found.bias, found.spread) == (2, 0)
    assert np.isnan(found.scale)
    assert np.isnan(compare_values(clean_HW, np.full((8, 8), np.nan)).bias)


def test_values_under_unknown_pixels_change_nothing():
    random = np.random.default_rng(0)
    clean_HW, noisy_HW = random.uniform(1, 9, (2, 20, 20))
    clean_HW[:10] = np.nan
    before = compare_values(clean_HW, noisy_HW)
    noisy_HW[:10] = 1e6
    assert compare_values(clean_HW, noisy_HW) == before
    assert before.pixels == 200


def test_normals_are_turned_by_an_angle(tmp_path):
    tilt = np.radians(20)
    clean_3HW = np.zeros((3, SIZE, SIZE), np.float32)
    clean_3HW[2] = 1
    noisy_3HW = np.zeros_like(clean_3HW)
    noisy_3HW[0], noisy_3HW[2] = np.sin(tilt), np.cos(tilt)
    assert compare_normals(clean_3HW, -noisy_3HW).angle == pytest.approx(160, abs=1e-3)
    noisy_3HW[:, 10:] = np.nan
    task = Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer")
    dataset = dataset_of(tmp_path / "d", info_of(task), {"train": [(clean_3HW, noisy_3HW)]})
    (rate,) = audit_noise(label_side(dataset), measured(dataset), QUICK).rates
    assert (rate.kind, rate.rate.unit) == ("shift", "°")
    assert rate.rate.value == pytest.approx(20, abs=0.01)


def test_values_without_a_common_image_are_unknown(tmp_path):
    depth_HW = np.full((SIZE, SIZE), 3, np.float32)
    pairs = [(depth_HW, None), (None, depth_HW)]
    dataset = dataset_of(tmp_path / "d", info_of(DEPTH), {"train": pairs})
    (rate,) = audit_noise(label_side(dataset), measured(dataset), QUICK).rates
    assert rate.rate.value is None
