"""Pseudo-labels against numbers worked out by hand, and against truths that only the test knows."""

import numpy as np
import pytest

from goldseam.audit.label_side import read_label_side
from goldseam.audit.pseudo_labels.config import PseudoLabelConfig
from goldseam.audit.pseudo_labels.masks import pseudo_mask_errors
from goldseam.audit.pseudo_labels.section import audit_pseudo_labels
from goldseam.audit.pseudo_labels.tags import pseudo_label_errors
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import InvalidArray, InvalidConfig

QUICK = {"resamples": 200, "seed": 1}


def test_shares_by_hand():
    pseudo_NC = np.array([[1, 1], [1, 0], [1, -1], [1, 0], [0, 0], [-1, 1]])
    labels_NC = np.array([[1, -1], [0, 0], [1, 1], [-1, 1], [0, 0], [1, -1]])
    found = pseudo_label_errors(pseudo_NC, labels_NC, categories=("sea", "lake"), **QUICK)
    assert found.compared_C2.tolist() == [[1, 3], [3, 0]]
    assert found.differing_C2.tolist() == [[0, 1], [1, 0]]
    assert found.total_C2.tolist() == [[1, 4], [3, 2]]
    assert found.wrong_present[0].value == pytest.approx(1 / 3)
    assert found.wrong_absent[0].value == 0
    assert found.expected_wrong[0].value == pytest.approx(4 / 3)
    # of "lake is present" nothing can be compared
    assert found.wrong_present[1].value is None
    assert found.expected_wrong[1].value is None
    assert found.unjudged == 2
    absent, present, number = found.overall
    assert absent.value == pytest.approx((0 + 3 * 1 / 3) / 4)
    assert present.value == pytest.approx(1 / 3)
    assert number.value == pytest.approx(4 / 3 + 1)


def test_rows_of_the_audit():
    pseudo_NC = np.array([[1, -1], [0, -1], [1, -1]])
    labels_NC = np.array([[0, 1], [0, 1], [1, 1]])
    found = pseudo_label_errors(pseudo_NC, labels_NC, categories=("sea", "lake"), **QUICK)
    whole, sea = found.rows("tags")  # no pseudo-label of a lake was made
    assert (whole.task, whole.category, whole.total, whole.compared) == ("tags", None, 3, 3)
    assert (sea.category, sea.total) == ("sea", 3)
    assert "about 1" in whole.sentence
    frame = found.to_frame()
    assert frame["total_present"].tolist() == [2, 0]
    assert frame["wrong_present"].tolist()[0] == 0.5


def test_unknown_labels_change_nothing():
    random = np.random.default_rng(0)
    pseudo_NC = random.integers(-1, 2, (200, 3))
    labels_NC = random.integers(-1, 2, (200, 3))
    probability_NC = random.random((200, 3))
    options = {"probabilities_NC": probability_NC, **QUICK}
    before = pseudo_label_errors(pseudo_NC, labels_NC, **options).to_frame()
    # where there is no pseudo-label, neither the label nor the probability matters
    without = pseudo_NC == -1
    labels_NC[without] = random.integers(-1, 2, without.sum())
    probability_NC[without] = np.nan
    assert pseudo_label_errors(pseudo_NC, labels_NC, **options).to_frame().equals(before)


def simulated(seed, images=6000):
    """A calibrated model, the truth, and labels bought where the model is unsure."""
    random = np.random.default_rng(seed)
    group_N = np.repeat(np.arange(images // 4), 4)
    logit_NC = random.normal(0, 2.5, (images, 2)) + random.normal(0, 0.7, (images // 4, 2))[group_N]
    probability_NC = 1 / (1 + np.exp(-logit_NC))
    truth_NC = (random.random((images, 2)) < probability_NC).astype(np.int8)
    pseudo_NC = (probability_NC > 0.5).astype(np.int8)
    return random, group_N, probability_NC, truth_NC, pseudo_NC


def test_labels_bought_where_the_model_is_unsure_do_not_mislead():
    covered, naive_off, corrected_off = 0, [], []
    for seed in range(12):
        random, group_N, probability_NC, truth_NC, pseudo_NC = simulated(seed)
        unsure = 1 - np.abs(2 * probability_NC - 1)
        known = random.random(truth_NC.shape) < 0.02 + 0.6 * unsure
        labels_NC = np.where(known, truth_NC, -1)
        wrong = (pseudo_NC != truth_NC).sum()
        options = {"groups": group_N.tolist(), **QUICK}
        naive = pseudo_label_errors(pseudo_NC, labels_NC, **options)
        found = pseudo_label_errors(
            pseudo_NC, labels_NC, probabilities_NC=probability_NC, **options
        )
        assert naive.assumption != found.assumption
        naive_off.append(naive.overall[2].value / wrong)
        corrected_off.append(found.overall[2].value / wrong)
        covered += found.overall[2].low <= wrong <= found.overall[2].high
    assert np.mean(naive_off) > 1.5
    assert np.mean(corrected_off) == pytest.approx(1, abs=0.03)
    assert covered >= 9


def test_noise_of_the_known_labels_is_taken_out():
    random, _, _, truth_NC, _ = simulated(3, 40_000)
    pseudo_NC = np.where(random.random(truth_NC.shape) < 0.1, 1 - truth_NC, truth_NC)
    noise_22 = np.array([[0.95, 0.05], [0.3, 0.7]])
    present = random.random(truth_NC.shape) < noise_22[truth_NC, 1]
    transition_C22 = np.stack([noise_22, np.eye(2)])
    labels_NC = np.stack([present[:, 0].astype(int), truth_NC[:, 1]], axis=1)
    found = pseudo_label_errors(pseudo_NC, labels_NC, transition_C22=transition_C22, **QUICK)
    for category in (0, 1):
        for state, shares in ((0, found.wrong_absent), (1, found.wrong_present)):
            made = pseudo_NC[:, category] == state
            wrong = (truth_NC[made, category] != state).mean()
            assert shares[category].value == pytest.approx(wrong, abs=0.02)
    assert found.differing_C2[0, 1] / found.compared_C2[0, 1] > 0.3


def test_labels_without_information_leave_the_share_unknown():
    pseudo_NC, labels_NC = np.ones((30, 1), int), np.ones((30, 1), int)
    coin = np.full((1, 2, 2), 0.5)
    found = pseudo_label_errors(pseudo_NC, labels_NC, transition_C22=coin, **QUICK)
    assert found.wrong_present[0].value is None
    assert found.overall[2].value is None
    assert found.unjudged == 30


def test_never_wrong_in_few_groups_is_not_certainty():
    pseudo_NC, labels_NC = np.ones((40, 1), int), np.ones((40, 1), int)
    found = pseudo_label_errors(pseudo_NC, labels_NC, groups=[n % 5 for n in range(40)], **QUICK)
    share = found.wrong_present[0]
    assert (share.value, share.low) == (0, 0)
    assert 0.2 < share.high < 0.6
    alone = pseudo_label_errors(pseudo_NC, labels_NC, groups=["g"] * 40, **QUICK)
    assert (alone.wrong_present[0].value, alone.wrong_present[0].high) == (0, None)


def test_many_categories_are_judged_in_blocks(monkeypatch):
    random = np.random.default_rng(0)
    pseudo_NC, labels_NC = random.integers(-1, 2, (2, 300, 7))
    before = pseudo_label_errors(pseudo_NC, labels_NC, **QUICK).to_frame()
    monkeypatch.setattr("goldseam.audit.pseudo_labels.strata.CATEGORIES_AT_ONCE", 2)
    monkeypatch.setattr("goldseam.audit.pseudo_labels.tags.ROWS_AT_ONCE", 37)
    after = pseudo_label_errors(pseudo_NC, labels_NC, **QUICK).to_frame()
    assert np.allclose(after.drop(columns="category"), before.drop(columns="category"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pseudo_NC": np.full((4, 2), 2)}, r"pseudo_NC: row 0, category 0 is 2"),
        ({"pseudo_NC": np.zeros(4)}, r"its shape is \(4,\)"),
        ({"pseudo_NC": np.zeros((0, 2))}, r"its shape is \(0, 2\)"),
        ({"labels_NC": np.zeros((4, 3))}, r"labels_NC: its shape is \(4, 3\)"),
        ({"labels_NC": np.full((4, 2), -1)}, "no pseudo-label stands on a known label"),
        ({"probabilities_NC": np.full((4, 2), 3.0)}, "row 0, category 0 is 3.0.*sigmoid"),
        ({"probabilities_NC": np.full((4, 2), np.nan)}, "row 0, category 0 is nan"),
        ({"groups": ["a"]}, "1 values for 4 images"),
        ({"categories": ["a"]}, "1 names for 2 columns"),
        ({"transition_C22": np.ones((2, 2, 2))}, "adding up to 1"),
    ],
)
def test_bad_input_is_named(change, message):
    given = {"pseudo_NC": np.ones((4, 2)), "labels_NC": np.ones((4, 2)), **change}
    with pytest.raises(InvalidArray, match=f"(?s){message}"):
        pseudo_label_errors(given.pop("pseudo_NC"), given.pop("labels_NC"), **given)


def blobs(random, size=40):
    rows, columns = np.mgrid[:size, :size]
    mask_HW = np.zeros((size, size), np.int64)
    for category in (1, 2):
        y, x = random.uniform(8, size - 8, 2)
        mask_HW[(rows - y) ** 2 + (columns - x) ** 2 < random.uniform(5, 9) ** 2] = category
    return mask_HW


def test_masks_by_hand():
    pseudo_HW = np.array([[0, 0, 1, 1], [0, 0, 1, 255]])
    label_HW = np.array([[0, 1, 1, 255], [0, 0, 0, 1]])
    pairs = [("a", pseudo_HW, label_HW), ("b", pseudo_HW, None)]
    found = pseudo_mask_errors(pairs, categories=("sea", "land"), band=8, **QUICK)
    assert found.compared_C2.tolist() == [[2, 4], [4, 2]]
    assert found.differing_C2.tolist() == [[1, 1], [1, 1]]
    assert found.total_C2.tolist() == [[6, 8], [8, 6]]
    assert found.wrong_present[0].value == 1 / 4
    assert found.wrong_present[1].value == 1 / 2
    assert found.wrong_absent[1].value == pytest.approx(1 / 4)
    assert found.expected_wrong[0].value == 2
    assert found.overall[1].value == pytest.approx(5 / 14)
    assert found.overall[2].value == 5
    assert found.overall[2].low is None  # known in one group only
    assert dict(found.by_part)["interior"].value is None
    whole, sea, land = found.rows("cover")
    assert (whole.total, sea.total, land.total) == (14, 8, 6)
    assert "pixels" in whole.sentence


def test_masks_near_and_away_from_boundaries():
    """Unlabeled images have longer boundaries, where the pseudo-labels are wrong."""
    random = np.random.default_rng(0)
    pairs, wrong, total = [], 0, 0
    for number in range(60):
        truth_HW = blobs(random) if number % 2 else np.zeros((40, 40), np.int64)
        if number % 2 == 0 and number % 4 == 0:
            truth_HW = blobs(random)
        edge_HW = truth_HW != np.roll(truth_HW, 1, axis=1)
        pseudo_HW = np.where(edge_HW, np.roll(truth_HW, 1, axis=1), truth_HW)
        labeled = number % 2 == 0
        pairs.append((f"g{number}", pseudo_HW, truth_HW if labeled else None))
        wrong += (pseudo_HW != truth_HW).sum()
        total += truth_HW.size
    found = pseudo_mask_errors(iter(pairs), categories=("sea", "land", "lake"), **QUICK)
    absent, present, number_wrong = found.overall
    assert absent.value is None
    assert number_wrong.value == pytest.approx(wrong, rel=0.1)
    assert number_wrong.low <= number_wrong.value <= number_wrong.high
    labeled_wrong = np.mean([(p != t).mean() for _, p, t in pairs if t is not None])
    assert abs(labeled_wrong - wrong / total) > 3 * abs(present.value - wrong / total)
    parts = dict(found.by_part)
    assert parts["boundary"].value > 10 * parts["interior"].value


def test_noise_of_known_masks_is_taken_out():
    random = np.random.default_rng(1)
    noise_33 = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.1, 0.1, 0.8]])
    pairs, differing, wrong, total = [], 0, 0, 0
    for number in range(40):
        truth_HW = blobs(random)
        pseudo_HW = np.where(random.random(truth_HW.shape) < 0.1, 1, truth_HW)
        cumulative = noise_33.cumsum(axis=1)[truth_HW]
        label_HW = (random.random(truth_HW.shape)[..., None] > cumulative).sum(axis=2)
        pairs.append((f"g{number}", pseudo_HW, label_HW))
        differing += (pseudo_HW != label_HW).sum()
        wrong += (pseudo_HW != truth_HW).sum()
        total += truth_HW.size
    found = pseudo_mask_errors(
        pairs, categories=("sea", "land", "lake"), transition_CC=noise_33, **QUICK
    )
    assert found.overall[1].value == pytest.approx(wrong / total, abs=0.01)
    assert abs(differing - wrong) / total > 0.05


def test_ignored_pixels_of_masks_change_nothing():
    random = np.random.default_rng(2)
    frames = []
    for fill in (0, 2):
        pairs = []
        random = np.random.default_rng(2)
        for number in range(6):
            pseudo_HW, label_HW = blobs(random), blobs(random)
            pseudo_HW[:10], label_HW[5:15] = 255, 255
            label_HW[:5] = fill  # under no pseudo-label
            pairs.append((f"g{number}", pseudo_HW, label_HW))
        frames.append(pseudo_mask_errors(pairs, categories=tuple("abc"), **QUICK).to_frame())
    assert frames[0].equals(frames[1])


@pytest.mark.parametrize(
    ("pseudo", "label", "more", "message"),
    [
        ([[0, 3]], [[0, 1]], {}, "pair 0: its pseudo-mask has the id 3"),
        ([[0, 1]], [[0, 7]], {}, "pair 0: its label has the id 7"),
        ([[0, 1]], [[0]], {}, r"a pseudo-mask of shape \(1, 2\)"),
        ([[0, 1]], None, {}, "no pixel carries both"),
        ([[0, 1]], [[255, 255]], {}, "no pixel carries both"),
        ([[0, 1]], [[0, 1]], {"transition_CC": np.full((2, 2), 0.5)}, "nearly singular"),
        ([[0, 1]], [[0, 1]], {"transition_CC": np.eye(3)}, "2 × 2 probabilities"),
    ],
)
def test_bad_masks_are_named(pseudo, label, more, message):
    pair = ("g", np.array(pseudo), None if label is None else np.array(label))
    with pytest.raises(InvalidArray, match=message):
        pseudo_mask_errors([pair], categories=("a", "b"), **more)


def tag_dataset(path, states_NC, groups):
    """Images of one pixel with tags."""
    info = DatasetInfo(
        name="tags",
        tasks={"tags": Task(kind=Kind.TAGS, categories=("sea", "lake", "ship"))},
    )
    samples = (
        Sample(
            image_id=f"i{number}",
            image=np.zeros((1, 1, 3), np.uint8),
            group=f"g{groups[number]}",
            labels={"tags": state_C},
            sources={"tags": "human"},
        )
        for number, state_C in enumerate(states_NC)
    )
    write_dataset(path, info, {"train": samples})
    return read_label_side(open_dataset(path))


def test_the_section_judges_what_thresholds_would_make(tmp_path):
    random = np.random.default_rng(0)
    images, groups = 3000, np.arange(3000) // 3
    logit_NC = random.normal(0, 3, (images, 3))
    probability_NC = 1 / (1 + np.exp(-logit_NC))
    truth_NC = (random.random((images, 3)) < probability_NC).astype(np.int8)
    # of ships the model knows nothing, and says so with confidence
    truth_NC[:, 2] = random.random(images) < 0.5
    known = random.random((images, 3)) < 0.4
    states_NC = np.where(known, truth_NC, -1).astype(np.int8)
    labels = tag_dataset(tmp_path / "d", states_NC, groups)
    probability_NC[:30] = np.nan  # no prediction
    config = PseudoLabelConfig(
        thresholds=(0.7, 0.95), maximum_wrong=0.06, resamples=100, minimum_compared=20
    )
    rows = audit_pseudo_labels(labels, "tags", probability_NC.astype(np.float32), config)
    low, high, sea, lake, ship = rows
    for row, threshold in ((low, 0.7), (high, 0.95)):
        confident = np.nan_to_num(np.maximum(probability_NC, 1 - probability_NC)) >= threshold
        made = confident & ~known
        wrong = (made & ((probability_NC > 0.5) != truth_NC)).sum()
        assert row.total == made.sum()
        assert row.compared == (confident & known).sum()
        assert row.expected_wrong.value == pytest.approx(wrong, rel=0.15)
        assert f"{100 * threshold:g} %" in row.sentence
    for row in (sea, lake):
        assert row.total > 200
        assert row.wrong_present.high <= 0.06
        assert row.wrong_absent.high <= 0.06
        assert "to stay below 6.0 % wrong" in row.sentence
    assert (ship.category, ship.total, ship.wrong_present.value) == ("ship", 0, None)
    assert "no pseudo-labels of ship" in ship.sentence


def test_the_section_says_nothing_where_nothing_is_unknown(tmp_path):
    labels = tag_dataset(tmp_path / "all", np.ones((4, 3), np.int8), np.arange(4))
    assert audit_pseudo_labels(labels, "tags", np.full((4, 3), 0.5), PseudoLabelConfig()) == ()
    labels = tag_dataset(tmp_path / "none", np.full((4, 3), -1, np.int8), np.arange(4))
    assert audit_pseudo_labels(labels, "tags", np.full((4, 3), 0.5), PseudoLabelConfig()) == ()


def test_the_section_names_bad_predictions(tmp_path):
    labels = tag_dataset(tmp_path / "d", np.ones((4, 3), np.int8), np.arange(4))
    with pytest.raises(InvalidConfig, match="pseudo-labels of 'cover' cannot be judged"):
        audit_pseudo_labels(labels, "cover", np.zeros((4, 3)), PseudoLabelConfig())
    with pytest.raises(InvalidArray, match="predictions of 'tags'"):
        audit_pseudo_labels(labels, "tags", np.zeros((4, 2)), PseudoLabelConfig())
    with pytest.raises(InvalidArray, match=r"row 0, category 0 is 1\.5"):
        audit_pseudo_labels(labels, "tags", np.full((4, 3), 1.5), PseudoLabelConfig())
