"""Verdicts and rows of the comparison."""

import pytest

from goldseam.dashboard.charts import interval_figures
from goldseam.dashboard.comparison import comparison, decimals, summaries
from goldseam.results import Estimate, EvaluationResult
from tests.unit.dashboard.demo_run import DemoRun


@pytest.fixture
def evaluation(demo: DemoRun) -> EvaluationResult:
    return EvaluationResult.read(demo.folders["evaluate"])


@pytest.mark.parametrize(
    ("estimate", "verdict"),
    [
        (Estimate(0.1, 0.05, 0.15), "better"),
        (Estimate(-0.1, -0.15, -0.05), "worse"),
        (Estimate(-0.1, -0.15, -0.05, "px", "lower"), "better"),
        (Estimate(0.1, 0.05, 0.15, "px", "lower"), "worse"),
        (Estimate(0.1, -0.01, 0.2), "unclear"),
        (Estimate(0.1, 0.0, 0.2), "unclear"),
        (Estimate(0.0, 0.0, 0.0), "unclear"),
        (Estimate(0.1), "unclear"),
        (Estimate(None), "unclear"),
    ],
)
def test_verdict(estimate: Estimate, verdict: str) -> None:
    assert estimate.verdict == verdict


def test_rows_keep_whole_tasks_and_categories_apart(evaluation: EvaluationResult) -> None:
    whole, by_category = comparison(evaluation)
    assert "cover.miou" in [row.metric for row in whole]
    assert [row.metric for row in by_category] == [
        "cover.iou.sea",
        "cover.iou.land",
        "cover.iou.lake",
        "tags.ap.border",
    ]


def test_best_follows_the_direction(evaluation: EvaluationResult) -> None:
    whole, by_category = comparison(evaluation)
    best = {row.metric: [cell.best for cell in row.cells] for row in (*whole, *by_category)}
    assert best["cover.miou"] == [False, False, True]
    assert best["distance.mae"] == [True, False, False]
    assert best["tags.ap.border"] == [False, False, False]  # undefined is not best


def test_summary_says_where_a_baseline_wins(evaluation: EvaluationResult) -> None:
    scratch, noisy = summaries(evaluation)
    assert scratch.worse == ()
    assert "tags.ece" in scratch.better
    assert (noisy.better, noisy.worse, noisy.unclear) == ((), ("cover.accuracy",), ("cover.miou",))


def test_figures_do_not_mix_units_or_directions(evaluation: EvaluationResult) -> None:
    figures = interval_figures(evaluation)
    assert list(figures) == ["Higher is better", "Lower is better, in px", "Lower is better"]
    pipeline = next(iter(figures.values())).data[0]
    assert pipeline.name == "pipeline"
    assert pipeline.error_x.array[0] == pytest.approx(0.021)


def test_decimals() -> None:
    assert decimals([Estimate(0.5), None]) == 3
    assert decimals([Estimate(0.5), Estimate(-21.0)]) == 2
    assert decimals([Estimate(None)]) == 3
    assert decimals([Estimate(1234.5)]) == 1
