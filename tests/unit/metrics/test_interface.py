"""What holds for every metric: merging, unknown labels, group weights, directions."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig
from goldseam.metrics import (
    InvalidMetricInput,
    SaliencyMetric,
    SegmentationMetric,
    TagsMetric,
    metric_for,
)
from tests.unit.metrics.samples import KINDS, make_batch, make_metric

pytestmark = pytest.mark.filterwarnings("error")


def same(first, second, exact=True):
    assert first.keys() == second.keys()
    for key, value in first.items():
        if value is None or second[key] is None or exact:
            assert value == second[key], key
        else:
            assert value == pytest.approx(second[key], rel=1e-12, abs=1e-12), key


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 12), max_size=3))
def test_merged_parts_equal_a_single_pass(kind, seed, cuts):
    batch = make_batch(kind, seed)
    whole = batch.into(make_metric(kind))
    edges = [0, *sorted(cuts), 12]
    merged = make_metric(kind)
    for start, end in itertools.pairwise(edges):
        before = merged.compute()
        part = batch.part(np.arange(start, end)).into(make_metric(kind))
        both = merged.merge(part)
        same(merged.compute(), before)
        merged = both
    assert merged.groups == whole.groups
    same(merged.compute(), whole.compute(), exact=False)
    if kind in ("segmentation", "boundary", "saliency"):
        same(merged.compute(), whole.compute())


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), other=st.integers(0, 10_000))
def test_what_stands_in_an_unknown_label_changes_nothing(kind, seed, other):
    batch, noise = make_batch(kind, seed), make_batch(kind, other)
    expected = batch.into(make_metric(kind)).compute()
    unknown = ~batch.known_B
    batch.target[unknown] = noise.target[unknown]
    batch.prediction[unknown] = noise.prediction[unknown]
    same(batch.into(make_metric(kind)).compute(), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_labels_may_hold_values_that_no_label_holds(kind):
    batch = make_batch(kind, 3)
    expected = batch.into(make_metric(kind)).compute()
    batch.prediction, batch.target = batch.prediction.astype(float), batch.target.astype(float)
    batch.target[~batch.known_B] = np.nan
    batch.prediction[~batch.known_B] = np.inf
    same(batch.into(make_metric(kind)).compute(), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_ignored_entries_change_nothing(kind):
    batch = make_batch(kind, 4)
    expected = batch.into(make_metric(kind)).compute()
    ignored = {"segmentation": 255, "boundary": 255, "saliency": 255, "tags": -1}
    batch.prediction = batch.prediction.astype(float)
    if kind == "normals":
        batch.prediction[np.isnan(batch.target)] = np.nan
        batch.target[np.isnan(batch.target)] = 0.0
    else:
        marked = np.isnan(batch.target) if kind == "regression" else batch.target == ignored[kind]
        assert marked.any()
        batch.prediction[marked] = np.nan
    same(batch.into(make_metric(kind)).compute(), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_known_gives_none(kind):
    batch = make_batch(kind, 5)
    batch.known_B[:] = False
    metric = batch.into(make_metric(kind))
    assert metric.groups == []
    scores = metric.compute()
    assert scores
    assert set(scores.values()) == {None}


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_counts_a_group_that_often(kind):
    batch = make_batch(kind, 6, size=20)
    metric = batch.into(make_metric(kind))
    weights = {"north": 2.0, "south": 1.0, "east": 3.0}
    repeated = make_metric(kind)
    for group, times in weights.items():
        chosen = np.array([i for i, name in enumerate(batch.groups) if name == group], int)
        for _ in range(int(times)):
            batch.part(chosen).into(repeated)
    same(metric.compute(weights), repeated.compute(), exact=False)
    assert metric.compute(weights) != metric.compute()


@pytest.mark.parametrize("kind", KINDS)
def test_many_weightings_at_once_equal_one_at_a_time(kind, monkeypatch):
    monkeypatch.setattr("goldseam.metrics.sums.BLOCK", 200)
    monkeypatch.setattr("goldseam.metrics.ranking.BLOCK", 20)
    metric = make_batch(kind, 7).into(make_metric(kind))
    weights_RG = np.random.default_rng(0).integers(0, 3, (7, len(metric.groups))).astype(float)
    many = metric.compute_many(weights_RG)
    for row, weight_G in enumerate(weights_RG):
        one = metric.compute(dict(zip(metric.groups, weight_G, strict=True)))
        for key, value in one.items():
            if value is None:
                assert np.isnan(many[key][row])
            else:
                assert many[key][row] == pytest.approx(value, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_every_score_has_a_unit_and_a_direction(kind):
    metric = make_batch(kind, 8).into(make_metric(kind))
    described = {key: metric.describe(key) for key in metric.compute()}
    assert metric.primary in described
    lower = {"mae", "rmse", "abs_rel", "mean", "median", "ece", "brier", "undefined_categories"}
    units = {"mae": "m", "rmse": "m", "mean": "degree", "median": "degree"}
    units["undefined_categories"] = "categories"
    for key, (unit, better) in described.items():
        assert better == ("lower" if key.split(".")[0] in lower else "higher")
        assert unit == units.get(key, "")


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_that_do_not_fit_are_refused(kind):
    batch = make_batch(kind, 9)
    with pytest.raises(InvalidMetricInput, match="do not fit"):
        make_metric(kind).update(batch.prediction, batch.target[1:], batch.known_B, batch.groups)
    with pytest.raises(InvalidMetricInput, match="11 groups do not fit"):
        make_metric(kind).update(batch.prediction, batch.target, batch.known_B, batch.groups[1:])


def test_metrics_of_other_settings_are_not_merged():
    with pytest.raises(InvalidMetricInput, match="cannot be merged"):
        SegmentationMetric(("sea", "land")).merge(SegmentationMetric(("land", "sea")))


def test_each_task_gets_its_metric():
    tags = metric_for(Task(kind=Kind.TAGS, categories=("sea", "land")))
    assert isinstance(tags, TagsMetric)
    assert tags.categories == ("sea", "land")
    meters = metric_for(Task(kind=Kind.REGRESSION, unit="m"))
    assert meters.describe("mae") == ("m", "lower")
    assert "abs_rel" in meters.compute()
    assert "abs_rel" not in metric_for(Task(kind=Kind.REGRESSION, unit="px")).compute()
    assert metric_for(Task(kind=Kind.BOUNDARY)).primary == "f1"
    saliency = metric_for(Task(kind=Kind.SALIENCY, ignore=7))
    assert isinstance(saliency, SaliencyMetric)
    assert (saliency.primary, saliency.ignore) == ("max_f", 7)
    assert metric_for(Task(kind=Kind.NORMALS, axes="x right")).primary == "mean"
    assert metric_for(Task(kind=Kind.SEGMENTATION, categories=("a", "b"))).primary == "miou"
    with pytest.raises(InvalidConfig, match="caption"):
        metric_for(Task(kind=Kind.CAPTION))
