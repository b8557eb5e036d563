"""The comparison of models as a table that hides nothing: intervals, paired differences, losses."""

import dataclasses
from collections.abc import Mapping, Sequence

from goldseam.results import Estimate, EvaluationResult

PIPELINE = "pipeline"
VERDICTS = ("better", "worse", "unclear")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One model's value of one metric.

    Attributes:
        estimate: None where the model does not have the metric.
        difference: the pipeline minus this model, paired; None for the pipeline itself.
        best: whether no model's value is better.
    """

    estimate: Estimate | None
    difference: Estimate | None
    best: bool


@dataclasses.dataclass(frozen=True)
class Row:
    """One metric over all models."""

    metric: str
    unit: str
    better: str
    cells: tuple[Cell, ...]


@dataclasses.dataclass(frozen=True)
class Summary:
    """How the pipeline stands against one other model: metrics by verdict."""

    other: str
    better: tuple[str, ...]
    worse: tuple[str, ...]
    unclear: tuple[str, ...]


def model_names(evaluation: EvaluationResult) -> tuple[str, ...]:
    """The models, the pipeline's first."""
    others = tuple(name for name in evaluation.models if name != PIPELINE)
    return ((PIPELINE,) if PIPELINE in evaluation.models else ()) + others


def comparison(evaluation: EvaluationResult) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Rows of whole tasks (`task.metric`), and rows by category (`task.metric.category`)."""
    names = dict.fromkeys(
        metric for model in model_names(evaluation) for metric in evaluation.models[model].metrics
    )
    rows = [_row(metric, evaluation) for metric in names]
    whole = tuple(row for row in rows if is_whole(row.metric))
    return whole, tuple(row for row in rows if not is_whole(row.metric))


def is_whole(metric: str) -> bool:
    """Whether a metric is of a whole task, not of one category."""
    return metric.count(".") == 1


def _row(metric: str, evaluation: EvaluationResult) -> Row:
    models = model_names(evaluation)
    estimates = [evaluation.models[model].metrics.get(metric) for model in models]
    first = next(estimate for estimate in estimates if estimate is not None)
    sign = 1 if first.better == "higher" else -1
    values = [sign * e.value for e in estimates if e is not None and e.value is not None]
    cells = []
    for model, estimate in zip(models, estimates, strict=True):
        value = None if estimate is None else estimate.value
        cells.append(
            Cell(
                estimate=estimate,
                difference=evaluation.differences.get(model, {}).get(metric),
                best=value is not None and len(values) > 1 and sign * value == max(values),
            )
        )
    return Row(metric, first.unit, first.better, tuple(cells))


def summaries(evaluation: EvaluationResult) -> tuple[Summary, ...]:
    """Against each other model, over metrics of whole tasks."""

    def of(differences: Mapping[str, Estimate], verdict: str) -> tuple[str, ...]:
        # an undefined difference is neither clear nor unclear: nothing was compared
        return tuple(
            name
            for name, difference in differences.items()
            if is_whole(name) and difference.value is not None and difference.verdict == verdict
        )

    return tuple(
        Summary(other, *(of(differences, verdict) for verdict in VERDICTS))
        for other, differences in evaluation.differences.items()
    )


def decimals(estimates: Sequence[Estimate | None]) -> int:
    """How many decimals a row of numbers needs: three for shares, three figures for lengths."""
    values = [abs(e.value) for e in estimates if e is not None and e.value is not None]
    largest = max(values, default=0.0)
    return 3 if largest < 10 else 2 if largest < 100 else 1
