import dataclasses
from pathlib import Path

import numpy as np
import pytest

from goldseam.audit.box_overlap import (
    Pairs,
    covered_share,
    match_greedily,
    overlapping_pairs,
    paired_iou,
)
from goldseam.audit.errors.box_section import audit_boxes
from goldseam.audit.errors.boxes import (
    PARTS,
    BoxConfig,
    BoxErrors,
    PredictedBoxes,
    box_errors,
)
from goldseam.audit.errors.confirmation import confirmed_elsewhere
from goldseam.audit.findings import SCHEMA, Issue
from goldseam.audit.label_side import read_label_side
from goldseam.audit.statistics.shares import Trials, shares
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import GoldseamError, InvalidArray

NAMES = ("cat", "dog", "owl")


@dataclasses.dataclass
class World:
    """Labels with known faults, predictions, and what was done to each label."""

    labels: list[Boxes | None]
    predictions: list[PredictedBoxes | None]
    fates: list[list[str]]
    omitted: int


def boxes(corners, category, ignore=None) -> Boxes:
    corners_N4 = np.asarray(corners, np.float32).reshape(-1, 4)
    ignored = np.zeros(len(corners_N4), bool) if ignore is None else np.asarray(ignore, bool)
    return Boxes(np.asarray(category, np.int32).reshape(-1), corners_N4, ignored)


def predicted(corners, category, score) -> PredictedBoxes:
    return PredictedBoxes(
        np.asarray(corners, np.float64).reshape(-1, 4),
        np.asarray(category, np.int64).reshape(-1),
        np.asarray(score, np.float64).reshape(-1),
    )


def world(
    seed: int, images: int = 600, *, omit=0.1, invent=0.05, shift=0.05, rename=0.05, found=0.98
) -> World:
    """Objects apart from each other in a 3 x 3 grid of cells of 100 px."""
    random = np.random.default_rng(seed)
    made = World([], [], [], 0)
    for _ in range(images):
        cells = random.permutation(9)[: random.integers(1, 6)]
        size = random.uniform(25, 60, (len(cells), 2))
        place = np.stack([cells % 3, cells // 3], axis=1) * 100 + random.uniform(5, 35, size.shape)
        true_N4 = np.concatenate([place, place + size], axis=1)
        category = random.integers(0, 3, len(cells))
        fate = random.choice(
            ["omit", "invent", "shift", "rename", "fine"],
            len(cells),
            p=[omit, invent, shift, rename, 1 - omit - invent - shift - rename],
        )
        shown = (random.random(len(cells)) < found) & (fate != "invent")
        noise = random.normal(0, 1, true_N4.shape)
        made.predictions.append(
            predicted((true_N4 + noise)[shown], category[shown], random.beta(8, 2, shown.sum()))
        )
        given_N4, given = true_N4.copy(), category.copy()
        moved = fate == "shift"
        given_N4[moved] += np.tile(size[moved] * 0.45, 2)
        given[fate == "rename"] = (given[fate == "rename"] + 1) % 3
        kept = fate != "omit"
        made.labels.append(boxes(given_N4[kept], given[kept]))
        made.fates.append(list(fate[kept]))
        made.omitted += int((fate == "omit").sum())
    return made


def flagged(errors: BoxErrors, issue: Issue) -> list[tuple[int, int]]:
    at = np.flatnonzero(errors.issue_M == issue)
    return [(int(errors.image_M[row]), int(errors.label_M[row])) for row in at]


FATES = {
    Issue.SPURIOUS_BOX: "invent",
    Issue.MISPLACED_BOX: "shift",
    Issue.WRONG_CATEGORY: "rename",
}


@pytest.mark.parametrize("issue", FATES)
def test_injected_faults_are_found_under_their_name(issue):
    made = world(0)
    errors = box_errors(made.labels, made.predictions, categories=NAMES)
    found = flagged(errors, issue)
    right = sum(made.fates[image][label] == FATES[issue] for image, label in found)
    total = sum(fates.count(FATES[issue]) for fates in made.fates)
    assert total > 50
    assert right / total > 0.85
    # an object that the model overlooks looks like an invented one
    assert right / len(found) > (0.6 if issue is Issue.SPURIOUS_BOX else 0.9)


def test_left_out_objects_are_found_where_they_are():
    made = world(1)
    errors = box_errors(made.labels, made.predictions, categories=NAMES)
    missing = errors.issue_M == Issue.MISSING_BOX
    assert missing.sum() == pytest.approx(made.omitted, rel=0.15)
    assert (errors.label_M[missing] == -1).all()
    for image, at, corners in zip(
        errors.image_M[missing],
        errors.prediction_M[missing],
        errors.corners_M4[missing],
        strict=True,
    ):
        prediction = made.predictions[image]
        np.testing.assert_allclose(corners, prediction.corners_M4[at])


def test_rates_cover_what_was_injected():
    made = world(2, images=1500)
    total = errors = box_errors(made.labels, made.predictions, categories=NAMES)
    total = errors.rates[0]
    fates = [fate for image in made.fates for fate in image]
    objects = len(fates) + made.omitted - fates.count("invent")
    assert total.omission.value == pytest.approx(made.omitted / objects, abs=0.02)
    for part, fate in (("misplacement", "shift"), ("wrong_category", "rename")):
        estimate = getattr(total, part)
        assert estimate.value == pytest.approx(
            fates.count(fate) / (len(fates) - fates.count("invent")), abs=0.015
        )
        assert estimate.low < estimate.value < estimate.high
    # the model overlooks 2 %, which adds to what is invented
    assert total.invention.value == pytest.approx(
        fates.count("invent") / len(fates) + 0.02, abs=0.02
    )


def test_clean_labels_raise_no_alarm():
    made = world(3, omit=0, invent=0, shift=0, rename=0, found=1.0)
    errors = box_errors(made.labels, made.predictions, categories=NAMES)
    assert len(errors) == 0
    assert all(getattr(errors.rates[0], part).value == 0 for part in PARTS)


def test_a_label_and_a_prediction_are_in_one_finding_at_most():
    made = world(4)
    errors = box_errors(made.labels, made.predictions, categories=NAMES)
    for column in (errors.label_M, errors.prediction_M):
        pairs = [(i, n) for i, n in zip(errors.image_M, column, strict=True) if n >= 0]
        assert len(pairs) == len(set(pairs))
    assert ((errors.score_M >= 0) & (errors.score_M <= 1)).all()
    assert (np.diff(errors.score_M) <= 0).all()


def test_what_nobody_looked_at_changes_nothing():
    made = world(5, images=200)
    unseen = [*made.labels, None, None]
    wild = predicted([[0, 0, 50, 50], [5, 5, 90, 90]], [0, 1], [1.0, 0.99])
    poisoned = [*made.predictions, wild, None]
    errors = box_errors(unseen, poisoned, categories=NAMES)
    plain = box_errors(made.labels, made.predictions, categories=NAMES)
    assert errors.rates == plain.rates
    np.testing.assert_array_equal(errors.image_M, plain.image_M)
    assert errors.image_M.max() < 200
    # nor do labels of an image that nobody predicted
    more = [*made.labels, boxes([[0, 0, 9, 9]], [1])]
    assert box_errors(more, [*made.predictions, None], categories=NAMES).rates == plain.rates


def test_an_empty_label_differs_from_an_unknown_one():
    made = world(6, images=300, omit=0, invent=0, shift=0, rename=0, found=1.0)
    sure = predicted([[10, 10, 60, 60]], [0], [0.95])
    looked = box_errors([*made.labels, Boxes.empty()], [*made.predictions, sure], categories=NAMES)
    assert flagged(looked, Issue.MISSING_BOX) == [(300, -1)]
    unknown = box_errors([*made.labels, None], [*made.predictions, sure], categories=NAMES)
    assert len(unknown) == 0


def test_nothing_is_missing_where_boxes_are_not_exhaustive():
    made = world(7)
    errors = box_errors(
        made.labels, made.predictions, categories=NAMES, exhaustive=(True, False, True)
    )
    missing = errors.issue_M == Issue.MISSING_BOX
    assert set(errors.category_M[missing].tolist()) == {0, 2}
    assert errors.rates[2].omission.value is None
    assert errors.rates[1].omission.value is not None
    assert np.isnan(errors.confusion_CC[1, 3])


def test_nothing_is_missing_under_an_ignore_box_and_it_is_no_label():
    made = world(8, images=300, omit=0, invent=0, shift=0, rename=0, found=1.0)
    sure = predicted([[10, 10, 60, 60]], [0], [0.95])
    crowd = boxes([[0, 0, 100, 100]], [1], [True])
    errors = box_errors([*made.labels, crowd], [*made.predictions, sure], categories=NAMES)
    assert len(errors) == 0
    assert errors.rates[0].labels == sum(len(part) for part in made.labels)


def test_a_second_box_around_one_object_is_spurious():
    made = world(9, images=300, omit=0, invent=0, shift=0, rename=0, found=1.0)
    twice = boxes([[10, 10, 60, 60], [11, 10, 61, 60]], [0, 0])
    once = predicted([[10, 10, 60, 60]], [0], [0.9])
    errors = box_errors([*made.labels, twice], [*made.predictions, once], categories=NAMES)
    assert flagged(errors, Issue.SPURIOUS_BOX) == [(300, 1)]


def test_a_second_prediction_of_a_labeled_object_is_not_missing():
    made = world(9, images=300, omit=0, invent=0, shift=0, rename=0, found=1.0)
    once = boxes([[10, 10, 60, 60]], [0])
    twice = predicted([[10, 10, 60, 60], [11, 10, 61, 60]], [0, 0], [0.95, 0.94])
    errors = box_errors([*made.labels, once], [*made.predictions, twice], categories=NAMES)
    assert len(errors) == 0


def test_a_weak_model_accuses_nobody():
    made = world(10, invent=0, found=0.5)
    errors = box_errors(made.labels, made.predictions, categories=NAMES)
    assert not flagged(errors, Issue.SPURIOUS_BOX)
    assert errors.rates[0].invention.value is None


def test_too_few_boxes_give_no_estimate():
    made = world(11, images=3)
    errors = box_errors(made.labels, made.predictions, categories=NAMES)
    assert len(errors) == 0
    assert all(getattr(errors.rates[0], part).value is None for part in PARTS)


def test_the_frame_names_categories():
    made = world(12)
    errors = box_errors(made.labels, made.predictions, categories=NAMES)
    frame = errors.to_frame()
    assert len(frame) == len(errors)
    assert set(frame.category) <= set(NAMES)
    assert (frame.suggested[frame.issue == "spurious_box"] == "").all()
    renamed = frame[frame.issue == "wrong_category"]
    assert (renamed.suggested != renamed.category).all()


GOOD = boxes([[0, 0, 9, 9]], [0])


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (predicted([[0, 0, 9, 9]], [0], [1.5]), "score 1.5 of box 0 in image 0"),
        (predicted([[0, 0, 9, 9]], [0], [np.nan]), "score nan"),
        (predicted([[0, 0, 9, 9]], [7], [0.5]), "category id 7"),
        (predicted([[5, 5, 2, 2]], [0], [0.5]), "5, 5, 2, 2"),
        (predicted([[np.nan, 5, 9, 9]], [0], [0.5]), "nan, 5, 9, 9"),
        (predicted([[0, 0, 0.5, 0.5]] * 10, [0] * 10, [0.5] * 10), "inside the first pixel"),
        (PredictedBoxes(np.zeros((2, 3)), np.zeros(2, int), np.zeros(2)), r"shape \(2, 3\)"),
        (PredictedBoxes(GOOD.corners_N4, GOOD.category_N, np.zeros(2)), "2 scores for 1 boxes"),
    ],
)
def test_bad_predictions_are_named(prediction, message):
    with pytest.raises(InvalidArray, match=message) as caught:
        box_errors([GOOD], [prediction], categories=NAMES)
    assert isinstance(caught.value, GoldseamError)
    assert caught.value.remedy


def test_other_faults_are_named():
    one = predicted([[0, 0, 9, 9]], [0], [0.5])
    with pytest.raises(InvalidArray, match="2 images, and the labels have 1"):
        box_errors([GOOD], [one, one], categories=NAMES)
    with pytest.raises(InvalidArray, match="no image that carries both"):
        box_errors([None, GOOD], [one, None], categories=NAMES)
    with pytest.raises(InvalidArray, match="2 groups for 1 images"):
        box_errors([GOOD], [one], categories=NAMES, groups=["a", "b"])
    with pytest.raises(ValueError, match="touch < match"):
        BoxConfig(touch=0.6)


# --- the parts -------------------------------------------------------------------------------


def random_boxes(random, count, images):
    image = np.sort(random.integers(0, images, count))
    low = random.uniform(0, 30, (count, 2))
    return image, np.concatenate([low, low + random.uniform(5, 30, (count, 2))], axis=1)


def test_pairs_are_those_of_a_loop(monkeypatch):
    monkeypatch.setattr("goldseam.audit.box_overlap.PAIRS_AT_ONCE", 50)
    random = np.random.default_rng(0)
    image_A, corners_A4 = random_boxes(random, 60, 12)
    image_B, corners_B4 = random_boxes(random, 80, 12)
    pairs = overlapping_pairs(image_A, corners_A4, image_B, corners_B4, 0.1)
    expected = set()
    for a in range(60):
        for b in range(80):
            iou = paired_iou(corners_A4[a : a + 1], corners_B4[b : b + 1])[0]
            if image_A[a] == image_B[b] and iou >= 0.1:
                expected.add((a, b, round(float(iou), 9)))
    found = zip(pairs.first_K, pairs.second_K, np.round(pairs.iou_K, 9), strict=True)
    assert {(int(a), int(b), float(iou)) for a, b, iou in found} == expected
    covered = covered_share(image_A, corners_A4, image_B, corners_B4)
    assert covered.max() <= 1
    assert (covered > 0).sum() >= len({b for _, b, _ in expected})


def test_greedy_matching_is_that_of_a_loop():
    random = np.random.default_rng(1)
    pairs = Pairs(
        random.integers(0, 30, 300), random.integers(0, 30, 300), random.random(300).round(1)
    )
    score_K = random.random(300).round(1)
    matched = match_greedily(pairs, score_K, pairs.iou_K)
    order = np.lexsort((pairs.second_K, pairs.first_K, -pairs.iou_K, -score_K))
    first, second, expected = set(), set(), set()
    for at in order:
        a, b = int(pairs.first_K[at]), int(pairs.second_K[at])
        if a not in first and b not in second:
            first.add(a)
            second.add(b)
            expected.add((a, b))
    assert set(zip(matched.first_K.tolist(), matched.second_K.tolist(), strict=True)) == expected


def test_confirmation_never_looks_at_the_own_image():
    random = np.random.default_rng(2)
    value = random.random(400)
    confirmed = random.random(400) < value
    category, image = random.integers(0, 2, 400), np.arange(400) // 2
    share = confirmed_elsewhere(confirmed, value, category, image)
    assert ((share >= 0) & (share <= 1)).all()
    assert np.corrcoef(share, value)[0, 1] > 0.9
    one_image = confirmed_elsewhere(confirmed, value, category, np.zeros(400, int))
    assert np.isnan(one_image).all()


def test_shares_of_single_trials_are_wilsons():
    from scipy import stats

    hit_K = np.arange(200) < 30
    trials = Trials(hit_K, np.zeros(200, int), np.arange(200))
    estimate = shares([trials], 1)[0]
    expected = stats.binomtest(30, 200).proportion_ci(method="wilson")
    assert estimate.value == 0.15
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=0.002)


def test_intervals_of_clustered_trials_cover():
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        share_G = random.beta(2, 8, 40)
        cluster_K = np.repeat(np.arange(40), 25)
        hit_K = random.random(1000) < share_G[cluster_K]
        estimate = shares([Trials(hit_K, np.zeros(1000, int), cluster_K)], 1)[0]
        covered += estimate.low <= 0.2 <= estimate.high
    assert covered >= 180


def test_shares_without_trials_or_clusters():
    nothing = np.zeros(0, int)
    assert shares([Trials(nothing.astype(bool), nothing, nothing)], 2)[1].value is None
    alone = shares([Trials(np.array([True, False]), np.zeros(2, int), np.zeros(2, int))], 1)[0]
    assert (alone.value, alone.low, alone.high) == (0.5, None, None)
    # two kinds of hits, each of a half: three quarters have at least one
    half = Trials(np.arange(100) % 2 == 0, np.zeros(100, int), np.arange(100))
    both = shares([half, half], 1)[0]
    assert both.value == pytest.approx(0.75)


# --- the section -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    made = world(20, images=120)
    info = DatasetInfo(
        name="zoo",
        tasks={"animals": Task(kind=Kind.DETECTION, categories=NAMES)},
    )
    blank = np.zeros((310, 310, 3), np.uint8)

    def samples():
        for number, label in enumerate(made.labels):
            known = number % 10 > 0
            corners = np.clip(label.corners_N4, 0, 310)
            yield Sample(
                image_id=f"zoo-{number:03d}",
                image=blank,
                group=f"g{number // 4}",
                labels={"animals": boxes(corners, label.category_N)} if known else {},
                sources={"animals": "human" if number % 2 else "model"} if known else {},
            )

    out = tmp_path_factory.mktemp("zoo") / "zoo"
    write_dataset(out, info, {"train": samples()})
    return out, made


def test_the_section_speaks_of_known_images_only(boxed):
    folder, made = boxed
    labels = read_label_side(open_dataset(folder))
    predictions = list(enumerate(made.predictions))
    section = audit_boxes(labels, "animals", predictions, BoxConfig())
    assert section.findings.schema == SCHEMA
    assert section.findings.num_rows > 20
    names = np.array(labels.image_ids.to_pylist())
    known = set(names[labels.known["animals"]].tolist())
    rows = section.findings.to_pylist()
    assert {row["image_id"] for row in rows} <= known
    actions = {row["issue"]: row["action"] for row in rows}
    assert actions["missing_box"] == "add"
    assert actions["wrong_category"] == "relabel"
    assert all(row["evidence"].endswith(".") and row["xmax"] > row["xmin"] for row in rows)
    misplaced = [row for row in rows if row["issue"] == "misplaced_box"]
    assert all(row["suggested"].count(",") == 3 for row in misplaced)
    # what is predicted where nobody looked changes nothing
    wild = predicted([[0, 0, 100, 100]], [2], [1.0])
    poisoned = [(n, wild if n % 10 == 0 else p) for n, p in predictions]
    again = audit_boxes(labels, "animals", poisoned, BoxConfig())
    assert again.findings.equals(section.findings)
    assert again.errors == section.errors


def test_the_section_counts_by_category_and_source(boxed):
    folder, made = boxed
    labels = read_label_side(open_dataset(folder))
    section = audit_boxes(labels, "animals", enumerate(made.predictions), BoxConfig())
    total = section.errors[0]
    assert (total.category, total.source) == (None, None)
    assert total.labels == len(labels.boxes["animals"].image_M)
    assert total.flagged == section.findings.num_rows
    by_category = [row for row in section.errors if row.category]
    by_source = [row for row in section.errors if row.source]
    assert [row.category for row in by_category] == list(NAMES)
    assert [row.source for row in by_source] == ["human", "model"]
    for rows in (by_category, by_source):
        assert sum(row.labels for row in rows) == total.labels
        assert sum(row.flagged for row in rows) == total.flagged
    assert 0.15 < total.error_rate.value < 0.4
    (matrix,) = section.matrices
    assert matrix.categories == (*NAMES, "nothing")
    assert sum(value for row in matrix.joint for value in row if value) == pytest.approx(1)
    for row in matrix.transition[:-1]:
        assert sum(row) == pytest.approx(1)
    assert matrix.transition[-1] == (None,) * 4


def test_a_section_without_predictions_says_nothing(boxed):
    folder, _ = boxed
    labels = read_label_side(open_dataset(folder))
    section = audit_boxes(labels, "animals", [], BoxConfig())
    assert section.findings.num_rows == 0
    assert section.errors[0].error_rate.value is None
    assert section.matrices == ()


def test_a_bare_array_of_boxes_is_one_error():
    from goldseam import audit

    corners_N4 = np.array([[1.0, 1, 9, 9]], np.float32)
    labels = audit.Boxes(np.zeros(1, int), corners_N4, np.zeros(1, bool))
    predictions = audit.PredictedBoxes(corners_N4, np.zeros(1, int), np.full(1, 0.9))
    with pytest.raises(InvalidArray, match="labels: image 0 is a ndarray"):
        audit.box_errors([corners_N4], [predictions], categories=["a"])
    with pytest.raises(InvalidArray, match="predictions: image 0 is a ndarray"):
        audit.box_errors([labels], [corners_N4], categories=["a"])
