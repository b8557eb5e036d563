"""Wrong tags: what is unknown never counts, and what is injected is found and counted."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from goldseam.audit.errors import tag_entries
from goldseam.audit.errors.config import ErrorsConfig
from goldseam.audit.errors.noise_curve import count_wrong, fit_noise_curves
from goldseam.audit.errors.tag_entries import LOGIT_B
from goldseam.audit.errors.tag_section import audit_tags
from goldseam.audit.errors.tags import tag_errors
from goldseam.audit.findings import SCHEMA
from goldseam.audit.label_side import read_label_side
from goldseam.errors import InvalidArray, InvalidConfig


def noisy_tags(seed=0, images=4000, categories=6, omission=0.1, invention=0.02, known=0.5):
    """Truth, labels with flips and gaps, and calibrated predictions of the truth."""
    random = np.random.default_rng(seed)
    logit_NC = random.normal(-1, 3, (images, categories))
    probability_NC = 1 / (1 + np.exp(-logit_NC))
    truth_NC = random.random(logit_NC.shape) < probability_NC
    slip_NC = random.random(logit_NC.shape) < np.where(truth_NC, omission, invention)
    given_NC = np.where(random.random(logit_NC.shape) < known, truth_NC ^ slip_NC, -1)
    return truth_NC.astype(np.int8), given_NC.astype(np.int8), probability_NC.astype(np.float32)


def assert_same(one, other):
    for name in ("row_M", "category_M", "given_M", "score_M", "joint_C22", "transition_C22"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.error_rates == other.error_rates
    assert one.error_rate == other.error_rate


@pytest.mark.parametrize("poison", [np.nan, 7.0, -np.inf, 0.0, 1.0])
def test_what_is_predicted_for_unknown_labels_changes_nothing(poison):
    _, given_NC, probability_NC = noisy_tags()
    poisoned_NC = np.where(given_NC == -1, np.float32(poison), probability_NC)
    found = tag_errors(given_NC, probability_NC)
    assert len(found)
    assert (given_NC[found.row_M, found.category_M] != -1).all()
    assert_same(found, tag_errors(given_NC, poisoned_NC))


def test_a_label_that_becomes_unknown_is_counted_no_more():
    _, given_NC, probability_NC = noisy_tags()
    found = tag_errors(given_NC, probability_NC)
    row, category = found.row_M[0], found.category_M[0]
    given_NC[row, category] = -1
    again = tag_errors(given_NC, probability_NC)
    assert again.known_C2.sum() == found.known_C2.sum() - 1
    assert not ((again.row_M == row) & (again.category_M == category)).any()


@pytest.mark.parametrize(
    ("omission", "invention"), [(0.0, 0.0), (0.02, 0.02), (0.3, 0.02), (0.1, 0.15), (0.5, 0.05)]
)
def test_injected_rates_are_estimated(omission, invention):
    truth_NC, given_NC, probability_NC = noisy_tags(
        1, images=20000, omission=omission, invention=invention
    )
    found = tag_errors(given_NC, probability_NC, ambiguous=0)
    known_NC = given_NC != -1
    wrong = (given_NC != truth_NC)[known_NC].mean()
    assert found.error_rate.value == pytest.approx(wrong, abs=0.012)
    lapses_C2 = found.transition_C22[:, [1, 0], [0, 1]]
    np.testing.assert_allclose(lapses_C2.mean(axis=0), [omission, invention], atol=0.02)
    np.testing.assert_allclose(lapses_C2 - [omission, invention], 0, atol=0.08)


def test_nine_of_ten_intervals_hold_the_injected_rate():
    inside = []
    for seed in range(12):
        truth_NC, given_NC, probability_NC = noisy_tags(seed, images=2000, known=1.0)
        found = tag_errors(given_NC, probability_NC, ambiguous=0)
        wrong_C = (given_NC != truth_NC).mean(axis=0)
        inside += [
            rate.low <= wrong <= rate.high
            for rate, wrong in zip(found.error_rates, wrong_C, strict=True)
        ]
    assert np.mean(inside) >= 0.9


def test_a_score_is_the_probability_to_be_wrong():
    truth_NC, given_NC, probability_NC = noisy_tags(2, images=40000, known=1.0, omission=0.2)
    found = tag_errors(given_NC, probability_NC, ambiguous=0)
    wrong_M = truth_NC[found.row_M, found.category_M] != found.given_M
    assert (np.diff(found.score_M) <= 0).all()
    for part in np.array_split(np.arange(len(found)), 4):
        assert wrong_M[part].mean() == pytest.approx(found.score_M[part].mean(), abs=0.08)


def test_predictions_need_no_calibration():
    truth_NC, given_NC, probability_NC = noisy_tags(3, images=20000)
    logit_NC = np.log(probability_NC / (1 - probability_NC))
    crooked_NC = 1 / (1 + np.exp(-(0.5 * logit_NC + 1.5)))
    found = tag_errors(given_NC, crooked_NC, ambiguous=0)
    wrong = (given_NC != truth_NC)[given_NC != -1].mean()
    assert found.error_rate.value == pytest.approx(wrong, abs=0.015)


def test_predictions_that_know_nothing_flag_nothing():
    random = np.random.default_rng(0)
    given_NC = (random.random((2000, 3)) < 0.3).astype(np.int8)
    found = tag_errors(given_NC, np.full((2000, 3), 0.3))
    assert len(found) == 0
    for rate in found.error_rates:
        assert rate.high - rate.low > 0.1  # and the interval says that little is known


def test_guesses_widen_the_interval_both_ways():
    _, given_NC, probability_NC = noisy_tags(4)
    without = tag_errors(given_NC, probability_NC, ambiguous=0).error_rate
    assumed = tag_errors(given_NC, probability_NC, ambiguous=0.1).error_rate
    twice = tag_errors(given_NC, probability_NC, ambiguous=0.2).error_rate
    assert without.value < assumed.value < twice.value
    assert assumed.low == pytest.approx(without.low)
    assert without.value < twice.value < assumed.high


def test_the_joint_keeps_what_was_counted():
    _, given_NC, probability_NC = noisy_tags()
    found = tag_errors(given_NC, probability_NC)
    np.testing.assert_allclose(found.joint_C22.sum(axis=(1, 2)), 1)
    np.testing.assert_allclose(found.transition_C22.sum(axis=2), 1)
    share_C2 = found.known_C2 / found.known_C2.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.joint_C22.sum(axis=1), share_C2)
    off_C = found.joint_C22[:, 0, 1] + found.joint_C22[:, 1, 0]
    np.testing.assert_allclose(off_C, [rate.value for rate in found.error_rates])


def test_no_more_flags_than_expected_errors():
    _, given_NC, probability_NC = noisy_tags()
    found = tag_errors(given_NC, probability_NC)
    known = found.known_C2.sum()
    assert 0 < len(found) <= round(found.error_rate.value * known)
    assert found.score_M.min() >= 0.3
    assert found.flagged_C.sum() == len(found)
    surer = tag_errors(given_NC, probability_NC, minimum_score=0.9)
    assert 0 < len(surer) < len(found)
    assert surer.score_M.min() >= 0.9
    few = tag_errors(given_NC, probability_NC, limit=7)
    np.testing.assert_array_equal(few.row_M, found.row_M[:7])
    many = tag_errors(given_NC, probability_NC, limit=len(found) + 99, minimum_score=1e-9)
    assert len(many) == len(found) + 99


def test_blocks_give_what_one_pass_gives(monkeypatch):
    _, given_NC, probability_NC = noisy_tags(images=999)
    raters = [None if number % 5 == 0 else f"a{number % 3}" for number in range(999)]
    whole = tag_errors(given_NC, probability_NC, annotators=raters)
    monkeypatch.setattr(tag_entries, "BLOCK", 700)
    cut = tag_errors(given_NC, probability_NC, annotators=raters)
    assert_same(whole, cut)
    assert whole.annotators == cut.annotators


def test_the_order_of_images_changes_nothing():
    _, given_NC, probability_NC = noisy_tags()
    order_N = np.random.default_rng(0).permutation(len(given_NC))
    found = tag_errors(given_NC, probability_NC)
    shuffled = tag_errors(given_NC[order_N], probability_NC[order_N])
    assert found.error_rates == shuffled.error_rates
    pairs = [set(zip(each.tolist(), one.category_M.tolist(), strict=True)) for each, one in (
        (found.row_M, found), (order_N[shuffled.row_M], shuffled))]  # fmt: skip
    assert pairs[0] == pairs[1]


def test_kinds_of_arrays(tmp_path):
    _, given_NC, probability_NC = noisy_tags()
    found = tag_errors(given_NC, probability_NC)
    np.save(tmp_path / "p.npy", probability_NC)
    mapped_NC = np.load(tmp_path / "p.npy", mmap_mode="r")
    assert_same(found, tag_errors(given_NC.astype(float), mapped_NC))
    assert_same(found, tag_errors(given_NC.astype(np.int64), np.asfortranarray(probability_NC)))
    half = tag_errors(given_NC, probability_NC.astype(np.float16))
    assert half.error_rate.value == pytest.approx(found.error_rate.value, abs=0.003)
    certain = tag_errors(given_NC, probability_NC.round() * -0.0 + probability_NC.round())
    assert (certain.score_M <= 1).all()
    assert not np.isnan(certain.score_M).any()


def test_a_category_without_both_states_is_undefined():
    _, given_NC, probability_NC = noisy_tags()
    found = tag_errors(given_NC, probability_NC)
    wider_NC = np.column_stack([given_NC, given_NC[:, 0], given_NC[:, 0]])
    wider_NC[:, -2] = np.where(wider_NC[:, -2] == 1, 1, -1)  # only presences known
    wider_NC[:, -1] = -1  # nothing known
    predictions_NC = np.column_stack([probability_NC, probability_NC[:, :2]])
    wider = tag_errors(wider_NC, predictions_NC, categories=list("abcdefgh"))
    assert [rate.value for rate in wider.error_rates[-2:]] == [None, None]
    assert np.isnan(wider.joint_C22[-2:]).all()
    assert wider.known_C2[-1].tolist() == [0, 0]
    assert wider.error_rates[:-2] == found.error_rates
    assert wider.error_rate == found.error_rate
    assert wider.category_M.max() < 6


def test_nothing_can_be_estimated_from_one_state():
    found = tag_errors(np.ones((50, 2), np.int8), np.full((50, 2), 0.2), annotators=["a"] * 50)
    assert found.error_rate.value is None
    assert len(found) == 0
    assert found.annotators[0].error_rate.value is None
    assert found.comparison is None


def test_a_careless_annotator_is_seen():
    truth_NC, given_NC, probability_NC = noisy_tags(5, images=9000, omission=0.02)
    names = np.array(["ada", "ben", "cleo"])[np.random.default_rng(1).integers(0, 3, 9000)]
    random = np.random.default_rng(2)
    slip_NC = (names == "ben")[:, None] & (random.random(given_NC.shape) < 0.15) & (given_NC != -1)
    given_NC = np.where(slip_NC, 1 - given_NC, given_NC).astype(np.int8)
    found = tag_errors(given_NC, probability_NC, annotators=list(names), ambiguous=0)
    known_NC = given_NC != -1
    for rater in found.annotators:
        own_N = names == rater.name
        wrong = (given_NC != truth_NC)[own_N][known_NC[own_N]].mean()
        assert rater.labels == known_NC[own_N].sum()
        assert rater.error_rate.value == pytest.approx(wrong, abs=0.015)
        assert rater.flagged == own_N[found.row_M].sum()
    assert found.comparison.startswith("ben is estimated to have 1")
    assert "more than every other annotator" in found.comparison


def test_one_annotator_has_a_rate_but_nobody_to_be_compared_with():
    _, given_NC, probability_NC = noisy_tags()
    found = tag_errors(given_NC, probability_NC, annotators=["ada"] * 3999 + [None])
    (ada,) = found.annotators
    assert ada.labels == (given_NC[:-1] != -1).sum()
    assert ada.error_rate.value > 0
    assert "nobody to compare with" in found.comparison


def test_annotators_alike_are_not_told_apart():
    _, given_NC, probability_NC = noisy_tags()
    found = tag_errors(given_NC, probability_NC, annotators=["ada", "ben"] * 2000)
    assert "not clearly more" in found.comparison


def test_a_frame_of_the_flagged_entries():
    _, given_NC, probability_NC = noisy_tags()
    found = tag_errors(given_NC, probability_NC, categories=list("uvwxyz"))
    frame = found.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == len(found)
    first = frame.iloc[0]
    column = "uvwxyz".index(first["category"])
    assert given_NC[first["row"], column] == first["given"]
    assert probability_NC[first["row"], column] == first["probability"]


def changed(array, at, value):
    array = array.astype(float)
    array[at] = value
    return array


KNOWN = np.tile(np.array([[1, 0], [0, 1]], np.int8), (20, 1))
HALF = np.full((40, 2), 0.5)


@pytest.mark.parametrize(
    ("labels", "predictions", "options", "message", "remedy"),
    [
        (KNOWN, changed(HALF, (3, 1), 1.2), {}, "row 3, category 'b': 1.2", "sigmoid"),
        (KNOWN, changed(HALF, (7, 0), -0.1), {}, "row 7, category 'a': -0.1", "sigmoid"),
        (KNOWN, changed(HALF, (3, 1), np.nan), {}, "row 3, category 'b': nan", "Predict every"),
        (KNOWN, changed(HALF, (3, 1), np.inf), {}, "row 3, category 'b': inf", "sigmoid"),
        (KNOWN, HALF[:, :1], {}, "other images or other categories", "in their order"),
        (KNOWN, HALF[:-1], {}, "(39, 2), but labels have (40, 2)", "same images"),
        (changed(KNOWN, (5, 0), 2), HALF, {}, "row 5, category 'a': 2.0", "map other codes"),
        ((changed(KNOWN, (5, 0), 3)).astype(np.int8), HALF, {}, "row 5, category 'a': 3", "-1"),
        (changed(KNOWN, (5, 0), np.nan), HALF, {}, "row 5, category 'a': nan", "-1"),
        (np.full((40, 2), -1), HALF, {}, "all 80 entries are unknown", "label some images"),
        (np.zeros((0, 2)), np.zeros((0, 2)), {}, "shape (0, 2)", "one row an image"),
        (KNOWN.ravel(), HALF.ravel(), {}, "shape (80,)", "one row an image"),
        (KNOWN.astype(str), HALF, {}, "expected numbers", "Convert"),
        (KNOWN, HALF.astype(str), {}, "expected numbers", "Convert"),
        (KNOWN, HALF, {"categories": ["a"]}, "1 names for 2 columns", "Name every"),
        (KNOWN, HALF, {"annotators": ["x"] * 3}, "3 names for 40 rows", "one name a row"),
    ],
)
def test_bad_input_is_named_with_what_to_do(labels, predictions, options, message, remedy):
    with pytest.raises(InvalidArray) as caught:
        tag_errors(labels, predictions, **{"categories": ["a", "b"], **options})
    assert message in caught.value.message
    assert remedy in caught.value.remedy


def test_a_fault_in_a_later_block_is_named_by_its_own_row(monkeypatch):
    monkeypatch.setattr(tag_entries, "BLOCK", 10)
    with pytest.raises(InvalidArray, match=r"row 33, category '1': 1\.5"):
        tag_errors(KNOWN, changed(HALF, (33, 1), 1.5))


def test_a_curve_is_fit_to_its_optimum():
    """Fisher scoring stops where no parameter can be moved to a likelier curve."""
    from goldseam.audit.errors.noise_curve import _posterior

    random = np.random.default_rng(0)
    counts_K2B = random.poisson(40, (5, 2, len(LOGIT_B))) * (LOGIT_B > 0)
    counts_K2B[:, 0] = random.poisson(40, (5, len(LOGIT_B))) * (LOGIT_B < 2)
    curves = fit_noise_curves(counts_K2B, LOGIT_B, 0.0)
    free_4 = np.ones(4, bool)
    counts_K2B = counts_K2B.astype(float)
    best_K, _, _ = _posterior(counts_K2B, LOGIT_B, curves.parameters_K4, free_4)
    for axis in range(4):
        for step in (-0.2, 0.2):
            moved_K4 = curves.parameters_K4 + step * np.eye(4)[axis]
            assert (_posterior(counts_K2B, LOGIT_B, moved_K4, free_4)[0] < best_K).all()
    assert (count_wrong(counts_K2B, LOGIT_B, curves).variance_2K > 0).all()


@pytest.fixture(scope="module")
def discs(disc_data):
    return read_label_side(disc_data)


def predictions_of(labels, seed=0):
    """Sure of the truth (a disk is always there), but for two entries that contradict it."""
    random = np.random.default_rng(seed)
    states_NC = labels.states["tags"]
    probability_NC = np.where(states_NC == 1, 0.97, 0.03)
    return probability_NC + random.uniform(-0.02, 0.02, states_NC.shape)


def test_the_section_names_image_category_and_evidence(discs):
    probability_NC = predictions_of(discs)
    row = int(np.flatnonzero(discs.states["tags"][:, 1] == 1)[3])
    probability_NC[row, 1] = 0.031
    section = audit_tags(discs, "tags", probability_NC, ErrorsConfig(minimum_known=5))
    assert section.findings.schema == SCHEMA
    (finding,) = section.findings.to_pylist()
    assert finding["image_id"] == discs.image_ids[row].as_py()
    assert (finding["category"], finding["given"], finding["suggested"]) == (
        "bar", "present", "absent",
    )  # fmt: skip
    assert finding["source"] == "human"
    assert finding["evidence"].startswith("Labeled present; predicted to be present with 3 %. Prob")
    whole, *rows = section.errors
    assert whole.labels == (discs.states["tags"] != -1).sum()
    assert whole.flagged == 1
    assert {each.category for each in rows} == {"disk", "bar", "big", None}
    # every disc image shows a disk, so nothing can be said about that category
    disk = next(each for each in rows if each.category == "disk")
    assert disk.error_rate.value is None
    matrices = {each.category: each for each in section.matrices}
    assert matrices["disk"].joint == ((None, None), (None, None))
    assert sum(map(sum, matrices["bar"].joint)) == pytest.approx(1)
    assert [each.source for each in rows if each.category is None] == ["human"]
    assert section.sentences == ()


def test_images_without_a_prediction_are_left_out_and_counted(discs):
    probability_NC = predictions_of(discs)
    states_NC = discs.states["tags"]
    known = np.flatnonzero((states_NC != -1).any(axis=1))
    probability_NC[known[:4]] = np.nan
    section = audit_tags(discs, "tags", probability_NC, ErrorsConfig(minimum_known=5))
    left = (states_NC != -1).sum() - (states_NC[known[:4]] != -1).sum()
    assert section.errors[0].labels == left
    assert section.sentences[-1].startswith("4 images with known labels of 'tags'")
    probability_NC[known[5], 0] = np.nan
    if states_NC[known[5], 0] != -1:
        with pytest.raises(InvalidArray, match="predictions of 'tags'"):
            audit_tags(discs, "tags", probability_NC, ErrorsConfig())
    with pytest.raises(InvalidArray, match=r"none of the \d+ images"):
        audit_tags(discs, "tags", np.full(states_NC.shape, np.nan), ErrorsConfig())
    with pytest.raises(InvalidArray, match="other images"):
        audit_tags(discs, "tags", probability_NC[:-1], ErrorsConfig())


def test_annotators_come_from_a_metadata_column(discs):
    import dataclasses

    names = pa.array(["ada", None] * (len(discs) // 2))
    named = dataclasses.replace(discs, meta={"meta_annotator": names})
    config = ErrorsConfig(annotator="meta_annotator", minimum_known=5)
    section = audit_tags(named, "tags", predictions_of(discs), config)
    (ada,) = [each for each in section.errors if each.annotator is not None]
    assert (ada.annotator, ada.source, ada.category) == ("ada", None, None)
    assert ada.labels == (discs.states["tags"][::2] != -1).sum()
    assert any("nobody to compare with" in sentence for sentence in section.sentences)
    with pytest.raises(InvalidConfig, match="no metadata column 'meta_anotator'") as caught:
        audit_tags(named, "tags", predictions_of(discs), ErrorsConfig(annotator="meta_anotator"))
    assert "meta_annotator" in caught.value.remedy
