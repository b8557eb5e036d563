"""The replay says what came out, also where choosing at random wins."""

import numpy as np
import pytest

from goldseam.audit.plan.config import PlanConfig
from goldseam.audit.plan.replay import Curve
from goldseam.audit.plan.section import audit_plan
from goldseam.audit.plan.simulation import compare, verdict_sentence
from tests.unit.audit.missingness.made import label_side

CONFIG = PlanConfig(seeds=3, steps=3, listed=5)


def tags(seed, images=240, slope=3.0, groups=60):
    random = np.random.default_rng(seed)
    feature_ND = random.normal(size=(images, 5)).astype(np.float32)
    p_NC = 1 / (1 + np.exp(-slope * feature_ND[:, :3]))
    state_NC = (random.random(p_NC.shape) < p_NC).astype(np.int8)
    state_NC[random.random(images) < 0.2] = -1
    group_N = random.integers(0, groups, images)
    return label_side({}, {"tags": state_NC}, group_N=group_N), feature_ND


def curves(ours, other, seeds=5, spread=0.001):
    random = np.random.default_rng(0)

    def curve(level):
        loss_S = np.r_[1.0, np.full(4, level + spread * random.normal())]
        return Curve(np.arange(5), np.arange(5.0), loss_S, loss_S)

    return [{"gain_per_cost": curve(ours), "random": curve(other)} for _ in range(seeds)]


def test_rows_of_a_replay():
    labels, feature_ND = tags(0)
    plan = audit_plan(labels, {}, CONFIG, embeddings_ND=feature_ND).plan
    orders = ("gain_per_cost", "random", "uncertainty", "scarcity")
    assert {row.strategy for row in plan.simulation} == set(orders)
    assert {row.metric for row in plan.simulation} == {"log-loss", "mean average precision"}
    assert all(row.seeds == 3 and row.task == "tags" for row in plan.simulation)
    for order in orders:
        rows = [r for r in plan.simulation if (r.strategy, r.metric) == (order, "log-loss")]
        assert len(rows) == 4
        assert rows[0].labels == 0
        assert [row.labels for row in rows] == sorted(row.labels for row in rows)
        # every order starts from the same labels, and spends about the same
        assert rows[0].mean == plan.simulation[0].mean
        assert rows[-1].seconds == pytest.approx(plan.simulation[3].seconds, rel=0.05)
        assert rows[-1].mean < rows[0].mean
    assert "replay on your own labels" in plan.sentence


def test_where_nothing_can_be_learned_random_choice_is_as_good():
    labels, _ = tags(1, slope=0.0)
    noise_ND = np.random.default_rng(9).normal(size=(240, 5)).astype(np.float32)
    plan = audit_plan(labels, {}, CONFIG, embeddings_ND=noise_ND).plan
    assert "random choice was as good" in plan.sentence
    assert "buy at random" in plan.sentence


@pytest.mark.parametrize(
    ("ours", "other", "spread", "verdict", "words"),
    [
        (0.4, 0.5, 0.001, "better", "this order left a prediction error (log-loss) 20."),
        (0.5, 0.4, 0.001, "worse", "buy at random"),
        (0.5, 0.5, 0.05, "equal", "random choice was as good"),
    ],
)
def test_the_verdict_follows_from_the_curves(ours, other, spread, verdict, words):
    found = compare("tags", curves(ours, other, spread=spread))
    assert found.verdict == verdict
    assert found.low <= found.saved <= found.high
    assert words in verdict_sentence([found])


def test_unknown_labels_have_no_part_in_a_replay():
    labels, feature_ND = tags(0)
    unknown_N = (labels.states["tags"] == -1).all(axis=1)
    before = audit_plan(labels, {}, CONFIG, embeddings_ND=feature_ND).plan.simulation
    p_NC = np.full((240, 3), np.nan)
    p_NC[unknown_N] = np.random.default_rng(0).random((int(unknown_N.sum()), 3))
    after = audit_plan(labels, {"tags": p_NC}, CONFIG, embeddings_ND=feature_ND).plan.simulation
    assert after == before


@pytest.mark.parametrize(
    ("embedded", "images", "words"),
    [(False, 240, "there are no embeddings"), (True, 40, "no task of tags has 60 labeled images")],
)
def test_why_nothing_was_replayed(embedded, images, words):
    labels, feature_ND = tags(0, images=images, groups=20)
    plan = audit_plan(labels, {}, CONFIG, embeddings_ND=feature_ND if embedded else None).plan
    assert plan.simulation == ()
    assert words in plan.sentence
