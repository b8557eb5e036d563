"""Trust in known labels: what is ranked, what it weighs, and whose labels they are."""

import hashlib

import numpy as np
import pytest

from goldseam.audit.findings import SCHEMA, Action, Issue, join_findings, make_findings
from goldseam.errors import InvalidArray, InvalidConfig
from goldseam.finetuning.evidence.trust import (
    KnownEntries,
    annotator_trust,
    annotator_weights,
    label_weights,
    rank_for_review,
)

pytestmark = pytest.mark.filterwarnings("error")
NAMES = ("a", "b", "c")


def make_labels(seed=0, rows=1200, clarity=4.0, known=0.7):
    rng = np.random.default_rng(seed)
    probability_NC = 1 / (1 + np.exp(-clarity * rng.normal(size=(rows, 3))))
    label_NC = (rng.random((rows, 3)) < probability_NC).astype(np.int8)
    label_NC[rng.random((rows, 3)) > known] = -1
    return probability_NC, label_NC, rng


def where(rows):
    names = [f"image{n}" for n in range(rows)]
    return {"image_ids": names, "groups": [f"g{n // 4}" for n in range(rows)], "task": "tags"}


def test_rows_are_the_audits_own():
    probability_NC, label_NC, _ = make_labels()
    entries = KnownEntries.of(probability_NC, label_NC, NAMES)
    table = rank_for_review(entries, **where(1200), splits="train", share=0.02)
    assert table.schema == SCHEMA
    rows = table.to_pylist()
    theirs = make_findings(
        image_id=[row["image_id"] for row in rows],
        split="train",
        group=[row["group"] for row in rows],
        task="tags",
        issue=Issue(rows[0]["issue"]),
        action=Action(rows[0]["action"]),
        score=[row["score"] for row in rows],
        evidence=[row["evidence"] for row in rows],
        category=[row["category"] for row in rows],
        given=[row["given"] for row in rows],
        suggested=[row["suggested"] for row in rows],
    )
    assert table.equals(join_findings([theirs]))
    # the id of a label, written out: findings that were stored earlier keep theirs
    for row in rows[:3]:
        identity = (row["image_id"], "tags", row["category"], "wrong_tag", "", "", "", "")
        digest = hashlib.sha256("\x1f".join(identity).encode()).hexdigest()
        assert row["finding"] == digest[:12]


def test_the_most_contradicted_of_each_category_are_flagged():
    probability_NC, label_NC, _ = make_labels(1)
    entries = KnownEntries.of(probability_NC, label_NC, NAMES)
    table = rank_for_review(entries, **where(1200), splits="train", share=0.05)
    rows = table.to_pylist()
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    for c, name in enumerate(NAMES):
        known = np.flatnonzero(label_NC[:, c] != -1)
        agreement = np.abs(probability_NC[known, c] + label_NC[known, c] - 1)
        most = int(np.ceil(0.05 * len(known)))
        worst = known[np.argsort(agreement, kind="stable")[:most]]
        worst = [n for n in worst if abs(probability_NC[n, c] + label_NC[n, c] - 1) <= 0.5]
        flagged = {row["image_id"] for row in rows if row["category"] == name}
        assert flagged == {f"image{n}" for n in worst}
    one = rows[0]
    assert one["given"] != one["suggested"]
    assert one["evidence"].startswith(f"Labeled {one['given']};")


def test_flipped_labels_are_found():
    probability_NC, label_NC, rng = make_labels(2, known=1.0)
    flipped = rng.choice(label_NC.size, 60, replace=False)
    label_NC.flat[flipped] = 1 - label_NC.flat[flipped]
    entries = KnownEntries.of(probability_NC, label_NC, NAMES)
    weight_NC = label_weights(entries, 60 / label_NC.size)
    right = np.delete(weight_NC, flipped)
    assert weight_NC.flat[flipped].mean() < 0.8
    assert right.mean() > 0.95
    table = rank_for_review(entries, **where(1200), splits="train", share=0.02)
    found = {(row["image_id"], row["category"]) for row in table.to_pylist()}
    true = {(f"image{n // 3}", NAMES[n % 3]) for n in flipped}
    assert len(found & true) > 0.4 * len(found)


def test_what_is_unknown_changes_nothing_and_weighs_nothing():
    probability_NC, label_NC, _ = make_labels(3)
    options = {**where(1200), "splits": "train", "sources": [None, "human"] * 600}
    people = ["ann", "bob", None] * 400

    def everything():
        entries = KnownEntries.of(probability_NC, label_NC, NAMES)
        return (
            rank_for_review(entries, **options),
            label_weights(entries),
            annotator_trust(entries, people, groups=options["groups"], resamples=50),
        )

    table, weight_NC, trusts = everything()
    probability_NC[label_NC == -1] = np.nan
    again = everything()
    assert again[0].equals(table)
    np.testing.assert_array_equal(again[1], weight_NC)
    assert again[2] == trusts
    assert (weight_NC[label_NC == -1] == 0).all()
    assert (weight_NC[label_NC != -1] > 0).all()


def test_weights_are_the_probability_that_a_label_is_right():
    probability_NC = np.array([[0.9, 0.1, np.nan], [0.5, 1.0, 0.3]])
    label_NC = np.array([[1, 1, 0], [0, 0, -1]])
    entries = KnownEntries.of(probability_NC, label_NC, NAMES)
    weight_NC = label_weights(entries, [0.1, 0.2, 0.3])
    expected = [
        [0.9 * 0.9 / (0.9 * 0.9 + 0.1 * 0.1), 0.8 * 0.1 / (0.8 * 0.1 + 0.2 * 0.9), 1.0],
        [0.9, 0.0, 0.0],
    ]
    np.testing.assert_allclose(weight_NC, expected, atol=1e-12)
    every = label_weights(entries, 0.0)
    np.testing.assert_array_equal(every, (label_NC != -1).astype(float))
    for rate in (0.5, -0.1, np.nan, [0.1, 0.1]):
        with pytest.raises(InvalidConfig, match="noise_rate"):
            label_weights(entries, rate)


def test_annotators_are_judged_by_flips_not_by_hard_images():
    probability_NC, label_NC, rng = make_labels(4, rows=6000, known=1.0)
    # bob flips a fifth; hal has the unclear images and flips none
    order = np.argsort(np.abs(probability_NC - 0.5).sum(axis=1))
    people = np.full(6000, "ann", object)
    people[order[:2000]] = "hal"
    people[rng.choice(order[2000:], 2000, replace=False)] = "bob"
    flip = (people == "bob")[:, None] & (rng.random(label_NC.shape) < 0.2)
    label_NC = np.where(flip, 1 - label_NC, label_NC)
    entries = KnownEntries.of(probability_NC, label_NC, NAMES)
    ann, bob, hal = annotator_trust(entries, people.tolist(), resamples=200)
    assert (ann.name, bob.name, hal.name) == ("ann", "bob", "hal")
    assert bob.excess_error.low < 0.2 < bob.excess_error.high
    assert bob.weight == pytest.approx((1 - 2 * bob.excess_error.low) ** 2)
    for fair in (ann, hal):
        assert fair.excess_error.low < 0.01
        assert fair.weight > 0.95
    # agreement alone would blame the one with the unclear images
    assert hal.agreement.value < bob.agreement.value
    assert (bob.labels, ann.labels) == (6000, 6000)
    weight_N = annotator_weights([ann, bob, hal], ["bob", None, "zoe"])
    np.testing.assert_array_equal(weight_N, [bob.weight, 1, 1])


def test_nobody_is_blamed_on_a_single_group():
    probability_NC, label_NC, _ = make_labels(5, rows=20, known=1.0)
    entries = KnownEntries.of(probability_NC, 1 - label_NC, NAMES)
    (only,) = annotator_trust(entries, ["ann"] * 20, groups=["g"] * 20)
    assert only.excess_error.low is None
    assert only.weight == 1


def test_nothing_known_gives_no_row():
    entries = KnownEntries.of(np.full((4, 3), np.nan), np.full((4, 3), -1), NAMES)
    assert rank_for_review(entries, **where(4), splits="train").num_rows == 0
    assert annotator_trust(entries, [None] * 4) == ()
    assert annotator_trust(entries, ["ann"] * 4)[0].excess_error.value is None


def test_bad_arrays_are_named():
    probability_NC, label_NC, _ = make_labels(6, rows=10, known=1.0)
    with pytest.raises(InvalidArray, match="3 categories"):
        KnownEntries.of(probability_NC[:, :2], label_NC, NAMES)
    with pytest.raises(InvalidArray, match="category 'a': 2"):
        KnownEntries.of(np.where(label_NC >= 0, 2.0, 0.0), label_NC, NAMES)
    entries = KnownEntries.of(probability_NC, label_NC, NAMES)
    with pytest.raises(InvalidArray, match="9 values for 10 images"):
        rank_for_review(entries, **{**where(10), "groups": ["g"] * 9}, splits="train")
    with pytest.raises(InvalidConfig, match="share is 0"):
        rank_for_review(entries, **where(10), splits="train", share=0)
    with pytest.raises(InvalidArray, match="2 for 10 images"):
        annotator_trust(entries, ["ann", "bob"])
