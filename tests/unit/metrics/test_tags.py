"""Tags against scikit-learn (with ties and weights) and against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

from goldseam.metrics import InvalidMetricInput, TagsMetric
from tests.unit.metrics.samples import GROUPS, TAGS, make_batch

pytestmark = pytest.mark.filterwarnings("error")


def scored(prediction, target, categories=("a",), weights=None, thresholds=None):
    metric = TagsMetric(categories, thresholds)
    prediction, target = np.array(prediction, float), np.array(target)
    metric.update(prediction, target, np.ones(len(target), bool), ["g"] * len(target))
    return metric.compute(weights)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([2, 5, 10**6]))
def test_ranking_equals_scikit_learn_with_group_weights(seed, levels):
    rng = np.random.default_rng(seed)
    batch = make_batch("tags", seed, size=60)
    batch.prediction = rng.integers(0, levels, batch.prediction.shape) / levels
    metric = batch.into(TagsMetric(TAGS))
    weights = {group: float(rng.choice([0.0, 1.0, 2.0, 0.7])) for group in GROUPS}
    weight_B = np.array([weights[group] for group in batch.groups])
    scores = metric.compute(weights)
    for c, name in enumerate(TAGS):
        known = batch.known_B & (batch.target[:, c] != -1) & (weight_B > 0)
        labels, ranks = batch.target[known, c], batch.prediction[known, c]
        if len(set(labels)) < 2:
            assert scores[f"ap.{name}"] is None
            assert scores[f"auc.{name}"] is None
            continue
        weight = weight_B[known]
        expected = average_precision_score(labels, ranks, sample_weight=weight)
        assert scores[f"ap.{name}"] == pytest.approx(expected, abs=1e-12)
        expected = roc_auc_score(labels, ranks, sample_weight=weight)
        assert scores[f"auc.{name}"] == pytest.approx(expected, abs=1e-12)
        expected = brier_score_loss(labels, ranks, sample_weight=weight)
        assert scores[f"brier.{name}"] == pytest.approx(expected, abs=1e-12)
    undefined = sum(scores[f"ap.{name}"] is None for name in TAGS)
    assert scores["undefined_categories"] in (undefined, None)
    assert (scores["undefined_categories"] is None) == (scores["brier"] is None)
    for mean, part in (("map", "ap."), ("auc", "auc.")):
        defined = [scores[part + name] for name in TAGS if scores[part + name] is not None]
        if defined:
            assert scores[mean] == pytest.approx(np.mean(defined), abs=1e-12)
        else:
            assert scores[mean] is None


def test_a_category_with_one_kind_of_label_has_no_ranking():
    scores = scored([[0.9, 0.2, 0.5], [0.4, 0.6, 0.5]], [[1, 1, -1], [0, 1, -1]], ("a", "b", "c"))
    assert scores["ap.a"] == scores["map"] == scores["auc"] == 1.0
    assert scores["ap.b"] is None
    assert scores["auc.b"] is None
    assert scores["brier.b"] == pytest.approx((0.8**2 + 0.4**2) / 2)
    assert scores["brier.c"] is None
    assert scores["ece.c"] is None
    assert scores["undefined_categories"] == 2


def test_all_scores_tied_give_the_share_of_positives():
    scores = scored([[0.5]] * 4, [[1], [0], [0], [0]])
    assert scores["map"] == pytest.approx(0.25)
    assert scores["auc"] == pytest.approx(0.5)


def test_calibration_worked_by_hand():
    # bins of width 1/15: 0.95 and 1.0 share the last one, 0.1 is in the second, 0.5 in the eighth
    scores = scored([[0.95], [1.0], [0.1], [0.5]], [[1], [0], [0], [1]])
    assert scores["ece"] == pytest.approx((abs(1.95 - 1) + 0.1 + 0.5) / 4)
    assert scores["brier"] == pytest.approx((0.05**2 + 1 + 0.1**2 + 0.5**2) / 4)


def test_pooled_calibration_lets_categories_share_bins():
    # each category alone is 0.5 off; together the bin is right on average
    scores = scored([[0.5, 0.5]], [[1, 0]], ("a", "b"))
    assert scores["ece.a"] == scores["ece.b"] == pytest.approx(0.5)
    assert scores["ece"] == pytest.approx(0.0)


def test_decisions_equal_scikit_learn():
    batch = make_batch("tags", 11, size=80)
    scores = batch.into(TagsMetric(TAGS)).compute()
    precision, recall, pooled_labels, pooled_said = [], [], [], []
    for c in range(len(TAGS)):
        known = batch.known_B & (batch.target[:, c] != -1)
        label, said = batch.target[known, c] == 1, batch.prediction[known, c] >= 0.5
        precision.append((label & said).sum() / said.sum())
        recall.append((label & said).sum() / label.sum())
        pooled_labels.append(label)
        pooled_said.append(said)
    p, r = np.mean(precision), np.mean(recall)
    assert scores["cf1"] == pytest.approx(2 * p * r / (p + r), abs=1e-12)
    expected = f1_score(np.concatenate(pooled_labels), np.concatenate(pooled_said))
    assert scores["of1"] == pytest.approx(expected, abs=1e-12)


def test_nothing_predicted_is_a_zero_and_nothing_to_find_is_none():
    scores = scored([[0.1], [0.2]], [[1], [0]])
    assert scores["cf1"] == scores["of1"] == 0.0
    scores = scored([[0.1], [0.9]], [[0], [0]])
    assert scores["cf1"] is None
    assert scores["of1"] is None


def test_each_category_is_called_present_from_its_own_threshold_on():
    # a: said 1 1 0 0 against 1 0 1 0; b is not named, so 0.5: said 0 1 against 1 1; c is never said
    prediction = [[0.3, 0.4, 1.0], [0.2, 0.5, 1.0], [0.19, 0.9, 0.9], [0.1, 0.9, 0.9]]
    target = [[1, 1, 1], [0, 1, 0], [1, -1, 0], [0, -1, 0]]
    scores = scored(prediction, target, ("a", "b", "c"), thresholds={"a": 0.2, "c": 1.0})
    precision, recall = (1 / 2 + 1 + 0) / 3, (1 / 2 + 1 / 2 + 0) / 3
    assert scores["cf1"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert scores["of1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 3))


def test_a_threshold_that_nobody_could_choose_counts_at_one_half():
    batch = make_batch("tags", 5, size=40)
    usual = batch.into(TagsMetric(TAGS)).compute()
    assert batch.into(TagsMetric(TAGS, dict.fromkeys(TAGS))).compute() == usual
    other = batch.into(TagsMetric(TAGS, dict.fromkeys(TAGS, 0.2))).compute()
    assert {key for key in usual if other[key] != usual[key]} == {"cf1", "of1"}


def test_thresholds_are_a_setting():
    batch = make_batch("tags", 5, size=40)
    cut = dict.fromkeys(TAGS, 0.2)
    whole, half = (batch.into(TagsMetric(TAGS, cut)) for _ in range(2))
    merged = half.merge(batch.into(TagsMetric(TAGS, cut)))
    assert merged.compute()["of1"] == whole.compute()["of1"]
    with pytest.raises(InvalidMetricInput, match="cannot be merged"):
        whole.merge(TagsMetric(TAGS))
    for wrong, said in (({"z": 0.5}, "'z', which is no"), ({TAGS[0]: np.nan}, "is nan")):
        with pytest.raises(InvalidMetricInput, match=said):
            TagsMetric(TAGS, wrong)


def test_draws_of_groups_are_scored_by_the_same_thresholds():
    metric = TagsMetric(("a",), {"a": 0.2})
    score, label, groups = [[0.3], [0.1], [0.25]], [[1], [1], [0]], ["g", "h", "i"]
    metric.update(np.array(score), np.array(label), np.ones(3, bool), groups)
    weights_RG = np.array([[1.0, 1, 1], [2, 0, 1], [0, 1, 0]])
    many = metric.compute_many(weights_RG)
    np.testing.assert_allclose(many["of1"], [2 / 4, 4 / 5, 0])
    np.testing.assert_array_equal(many["undefined_categories"], [0, 0, 1])
    assert metric.describe("undefined_categories") == ("categories", "lower")


def test_values_outside_what_is_declared_are_refused():
    with pytest.raises(InvalidMetricInput, match=r"probability 1\.2 and tag 1"):
        scored([[1.2]], [[1]])
    with pytest.raises(InvalidMetricInput, match="tag 3"):
        scored([[0.5]], [[3]])
    with pytest.raises(InvalidMetricInput, match="2 categories, expected 1"):
        scored([[0.5, 0.5]], [[1, 0]])
    assert scored([[np.nan]], [[-1]])["map"] is None
