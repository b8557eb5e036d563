"""Δm: the published tables from their own task scores, and what pairing over seeds changes."""

import numpy as np
import pytest
from scipy import stats

from goldseam.metrics import InvalidMetricInput, delta_m, paired_delta

# DiffusionMTL (CVPR 2024), tables 1 and 3, ResNet-18: the reference is the single-task row
CITYSCAPES = ("segmentation", "depth")
PASCAL = ("segmentation", "parsing", "saliency", "normals", "boundary")
NYUD = ("segmentation", "depth", "normals")
LOWER = {"depth", "normals"}
PUBLISHED = [
    (
        CITYSCAPES,
        (75.82, 0.0125),
        {
            "MTL": ((73.19, 0.0168), -18.81),
            "XTC*": ((73.36, 0.0158), -14.74),
            "Prediction": ((74.90, 0.0131), -2.79),
            "Feature": ((75.67, 0.0130), -2.13),
        },
        # 0.0125 is printed with three significant digits
        0.22,
    ),
    (
        PASCAL,
        (50.34, 59.05, 77.43, 16.59, 64.40),
        {
            "MTL": ((49.71, 56.00, 74.50, 16.85, 62.80), -2.85),
            "XTC*": ((55.08, 56.72, 77.06, 16.93, 63.70), 0.37),
            "Prediction": ((59.43, 56.79, 77.57, 16.20, 64.00), 3.23),
            "Feature": ((57.78, 58.98, 77.82, 16.11, 64.50), 3.65),
        },
        0.02,
    ),
    (
        NYUD,
        (45.28, 0.4802, 25.93),
        {
            "MTL": ((43.92, 0.5138, 26.44), -3.99),
            "XTC*": ((43.97, 0.5140, 26.30), -3.79),
            "Prediction": ((44.97, 0.5137, 26.17), -2.86),
            "Feature": ((44.47, 0.5059, 25.84), -2.27),
        },
        0.02,
    ),
    (
        PASCAL,
        (51.51, 57.90, 80.30, 15.24, 67.80),
        {
            "MTL": ((62.23, 55.88, 78.67, 15.47, 66.70), 2.44),
            "XTC*": ((62.44, 55.81, 78.56, 15.45, 66.80), 2.52),
            "Prediction": ((63.68, 55.84, 79.87, 15.38, 66.80), 3.44),
            "Feature": ((62.55, 56.84, 80.44, 14.85, 67.10), 4.27),
        },
        0.02,
    ),
    (
        NYUD,
        (48.25, 0.4792, 24.65),
        {
            "MTL": ((45.93, 0.4839, 25.53), -3.12),
            "XTC*": ((46.03, 0.4811, 25.97), -3.44),
            "Prediction": ((47.44, 0.4803, 25.26), -1.45),
            "Feature": ((46.82, 0.4743, 24.75), -0.77),
        },
        0.02,
    ),
]
ROWS = [
    (tasks, references, scores, printed, tolerance)
    for tasks, references, rows, tolerance in PUBLISHED
    for scores, printed in rows.values()
]


def named(tasks, values):
    return dict(zip(tasks, values, strict=True))


@pytest.mark.parametrize(("tasks", "references", "scores", "printed", "tolerance"), ROWS)
def test_published_tables_are_reproduced(tasks, references, scores, printed, tolerance):
    found = delta_m(named(tasks, scores), named(tasks, references), LOWER & set(tasks))
    assert 100 * found.mean == pytest.approx(printed, abs=tolerance)


def test_worked_by_hand():
    found = delta_m({"a": 0.6, "b": 3.0}, {"a": 0.5, "b": 4.0}, {"b"})
    assert found.per_task == pytest.approx({"a": 0.2, "b": 0.25})
    assert found.mean == pytest.approx(0.225)
    worse = delta_m({"b": 5.0}, {"b": 4.0}, {"b"})
    assert worse.mean == pytest.approx(-0.25)


def test_the_reference_itself_is_at_zero():
    tasks, references, *_ = PUBLISHED[1]
    scores = named(tasks, references)
    assert delta_m(scores, scores, LOWER & set(tasks)).mean == 0.0


def test_a_task_without_a_score_leaves_the_mean_undefined():
    found = delta_m({"a": 0.6, "b": None}, {"a": 0.5, "b": 0.5}, ())
    assert found.per_task["b"] is None
    assert found.per_task["a"] == pytest.approx(0.2)
    assert found.mean is None
    assert delta_m({"a": 0.6}, {"a": 0.0}, ()).mean is None
    assert delta_m({}, {}, ()).mean is None


@pytest.mark.parametrize(
    ("scores", "references", "lower", "match"),
    [
        ({"a": 1.0}, {"b": 1.0}, (), "'a' has no score or no reference"),
        ({"a": 1.0}, {"a": 1.0, "b": 1.0}, (), "'b' has no score or no reference"),
        ({"a": 1.0}, {"a": 1.0}, ("dept",), "'dept' has no score"),
        ({"a": -1.0}, {"a": 1.0}, (), "score -1.0"),
        ({"a": 1.0}, {"a": float("nan")}, (), "score nan"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores, references, lower, match):
    with pytest.raises(InvalidMetricInput, match=match):
        delta_m(scores, references, lower)


def seeds_of(gain, noise=0.0, count=5):
    random = np.random.default_rng(1)
    hard = random.uniform(0.3, 0.7, count)
    jitter = random.normal(0, noise, count)
    references = [{"a": float(h), "b": float(10 * h)} for h in hard]
    scores = [
        {"a": float(h * (1 + gain + j)), "b": float(10 * h * (1 - gain - j))}
        for h, j in zip(hard, jitter, strict=True)
    ]
    return scores, references


def test_what_a_seed_makes_hard_for_both_cancels_out():
    scores, references = seeds_of(0.04)
    found = paired_delta(scores, references, {"b"})
    assert found.mean.value == pytest.approx(0.04)
    assert (found.mean.low, found.mean.high) == pytest.approx((0.04, 0.04))
    assert found.mean.verdict == "better"
    assert found.per_task["b"].value == pytest.approx(0.04)
    assert found.seeds == pytest.approx([0.04] * 5)


def test_the_interval_is_students():
    scores, references = seeds_of(0.04, noise=0.03)
    found = paired_delta(scores, references, {"b"})
    expected = stats.ttest_1samp(found.seeds, 0.0).confidence_interval(0.95)
    assert (found.mean.low, found.mean.high) == pytest.approx(tuple(expected))
    assert found.mean.low < found.mean.value < found.mean.high


def test_two_models_are_compared_against_the_same_references():
    scores, references = seeds_of(0.04, noise=0.03)
    baseline, _ = seeds_of(0.01, noise=0.03)
    found = paired_delta(scores, references, {"b"}, baseline=baseline)
    assert found.mean.value == pytest.approx(0.03)
    assert found.mean.high - found.mean.low == pytest.approx(0.0, abs=1e-12)
    itself = paired_delta(scores, references, {"b"}, baseline=scores)
    assert (itself.mean.value, itself.mean.low, itself.mean.high) == (0.0, 0.0, 0.0)


def test_one_seed_has_no_interval_and_an_undefined_seed_no_value():
    scores, references = seeds_of(0.04, count=1)
    alone = paired_delta(scores, references, {"b"}).mean
    assert (alone.low, alone.high) == (None, None)
    assert alone.value == pytest.approx(0.04)
    scores, references = seeds_of(0.04)
    scores[2] = {**scores[2], "a": None}
    found = paired_delta(scores, references, {"b"})
    assert (found.mean.value, found.mean.verdict) == (None, "unclear")
    assert found.seeds[2] is None
    assert found.per_task["b"].value is not None


def test_seeds_that_do_not_pair_are_refused():
    scores, references = seeds_of(0.04)
    for first, second in ((scores, references[:-1]), ([], [])):
        with pytest.raises(InvalidMetricInput, match="seeds of a model stand beside"):
            paired_delta(first, second, {"b"})
    with pytest.raises(InvalidMetricInput, match="stand beside"):
        paired_delta(scores, references, {"b"}, baseline=scores[1:])
    scores[0], references[0] = {"a": 1.0}, {"a": 1.0}
    with pytest.raises(InvalidMetricInput):
        paired_delta(scores, references, ())
