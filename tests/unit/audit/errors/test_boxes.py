"""Wrong, missing and misplaced boxes: found under their name, and none where nobody looked."""

import numpy as np
import pytest

from goldseam.audit.errors.boxes import (
    PARTS,
    BoxConfig,
    BoxErrors,
    PredictedBoxes,
    box_errors,
)
from goldseam.audit.errors.confirmation import confirmed_elsewhere
from goldseam.audit.findings import Issue
from goldseam.dataset.codecs import Boxes
from goldseam.errors import GoldseamError, InvalidArray
from tests.unit.audit.errors.zoo import NAMES, boxes, predicted, world


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


def test_a_bare_array_of_boxes_is_one_error():
    from goldseam import audit

    corners_N4 = np.array([[1.0, 1, 9, 9]], np.float32)
    labels = audit.Boxes(np.zeros(1, int), corners_N4, np.zeros(1, bool))
    predictions = audit.PredictedBoxes(corners_N4, np.zeros(1, int), np.full(1, 0.9))
    with pytest.raises(InvalidArray, match="labels: image 0 is a ndarray"):
        audit.box_errors([corners_N4], [predictions], categories=["a"])
    with pytest.raises(InvalidArray, match="predictions: image 0 is a ndarray"):
        audit.box_errors([labels], [corners_N4], categories=["a"])
