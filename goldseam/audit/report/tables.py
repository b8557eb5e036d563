"""The page's tables of estimates: sorted by what matters, cut off where nobody reads on."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from markupsafe import Markup

from goldseam.audit.consistency.judge import is_contradiction
from goldseam.page import charts, duration, split_name
from goldseam.results import (
    AnnotationPlan,
    AuditResult,
    Disagreement,
    DriftTest,
    LabelErrors,
    MissingnessTest,
    NoiseMatrix,
    PairVerdict,
    Strategy,
)

ROWS_SHOWN = 300
MATRIX_LIMIT = 40
# the order of the plan, drawn first and in gold
OURS = "gain_per_cost"


@dataclasses.dataclass(frozen=True)
class Cut:
    """The first rows of a table.

    Attributes:
        rows: shown on the page.
        hidden: how many more stand in `audit.json`.
    """

    rows: tuple[Any, ...]
    hidden: int


def cut(rows: Sequence[Any], most: int = ROWS_SHOWN) -> Cut:
    """Cut a table off."""
    return Cut(tuple(rows[:most]), max(0, len(rows) - most))


def missingness_table(tests: Iterable[MissingnessTest]) -> Cut:
    """What is real and large first, what could not be tested last."""

    def key(one: MissingnessTest) -> tuple[bool, bool, float, float]:
        untested = one.q_value is None
        real = one.strength != "none"
        return untested, not real, -abs(one.effect or 0), one.q_value or 0

    return cut(sorted(tests, key=key))


def small(number: float | None) -> str:
    """A probability such as q: three digits, `< 0.001` below; `not tested` for None."""
    if number is None:
        return "not tested"
    return "< 0.001" if number < 0.001 else f"{number:.3f}"


def pair_matrix(pairs: Sequence[PairVerdict]) -> dict[str, Any]:
    """Task × task, each unordered pair once below the diagonal."""
    tasks = list(dict.fromkeys(name for pair in pairs for name in (pair.task, pair.other)))
    cells = {frozenset((pair.task, pair.other)): pair for pair in pairs}
    rows = [
        (task, [cells.get(frozenset((task, other))) for other in tasks[:number]])
        for number, task in enumerate(tasks)
    ][1:]
    order = {"biased": 0, "unknown": 1, "safe": 2}
    listed = sorted(pairs, key=lambda pair: order[pair.verdict])
    return {"columns": tasks[:-1], "rows": rows, "pairs": listed}


@dataclasses.dataclass(frozen=True)
class TaskErrors:
    """Suspicious labels of one task.

    Attributes:
        whole: the task; None where only parts of it were rated.
        parts: heading → rows, the most often wrong first.
        span: the axis of all intervals.
    """

    task: str
    whole: LabelErrors | None
    parts: dict[str, Cut]
    span: tuple[float, float]


def error_tables(errors: Sequence[LabelErrors]) -> list[TaskErrors]:
    """Errors task by task, the most often wrong first."""
    span = charts.span_of(one.error_rate for one in errors)
    tables = []
    for task in dict.fromkeys(one.task for one in errors):
        rows = [one for one in errors if one.task == task]
        kinds: dict[str, Callable[[LabelErrors], bool]] = {
            "category": lambda one: one.category is not None and not is_contradiction(one),
            "source": lambda one: one.category is None and one.source is not None,
            "annotator": lambda one: one.category is None and one.annotator is not None,
            "comparison": is_contradiction,
        }
        parts = {
            name: cut(sorted(filter(belongs, rows), key=lambda one: -_or_less(one)))
            for name, belongs in kinds.items()
        }
        whole = next(
            (
                one
                for one in rows
                if one.category is one.source is one.annotator is None and not is_contradiction(one)
            ),
            None,
        )
        tables.append(TaskErrors(task, whole, {n: p for n, p in parts.items() if p.rows}, span))
    tables.sort(key=lambda one: -_or_less(one.whole))
    return tables


def _or_less(one: LabelErrors | None) -> float:
    """A rate to sort by: what is unknown stands behind 0."""
    if one is None or one.error_rate.value is None:
        return -1.0
    return one.error_rate.value


def disagreement_pairs(measured: Sequence[Disagreement]) -> list[dict[str, Any]]:
    """Noisy tasks with their splits; `scale` is the rate that fills a bar."""
    views = []
    for clean, noisy in dict.fromkeys((one.task, one.noisy_task) for one in measured):
        splits = [one for one in measured if (one.task, one.noisy_task) == (clean, noisy)]
        rates = [
            rate
            for one in splits
            for rate in (one.overall, one.boundary, one.interior)
            if rate is not None
        ]
        scale = max(rates, default=0.0) or 1.0
        views.append({"clean": clean, "noisy": noisy, "splits": splits, "scale": scale})
    return views


def noise_groups(result: AuditResult) -> list[tuple[str, list[Any]]]:
    """Noise rates by unit, since only equal units share an axis: unit → rows with their axis."""
    groups = []
    rates = sorted(result.noise, key=lambda one: (one.rate.unit, one.task, one.category or ""))
    for unit, of_unit in itertools.groupby(rates, key=lambda one: one.rate.unit):
        rows = list(of_unit)
        span = charts.span_of(one.rate for one in rows)
        groups.append((unit, [(one, span) for one in rows]))
    return groups


def matrix_tables(matrices: Sequence[NoiseMatrix]) -> list[dict[str, Any]]:
    """Transition matrices that can be read; those of too many categories stand in the file."""
    tables = []
    # masks alone are counted in parts, pixel by pixel
    masks = {one.task for one in matrices if one.part != "all"}
    for one in matrices:
        where = f"{one.task}.{one.category}" if one.category else one.task
        part = "" if one.part == "all" else f", {one.part}"
        tables.append(
            {
                "title": f"{where}{part}",
                "matrix": one,
                "pixels": one.task in masks,
                "readable": len(one.categories) <= MATRIX_LIMIT,
            }
        )
    return tables


def drift_rows(tests: Iterable[DriftTest]) -> Cut:
    """What changed first; the surest change first."""
    return cut(
        sorted(tests, key=lambda one: (not one.changed, 1 if one.q_value is None else one.q_value))
    )


def simulation_charts(plan: AnnotationPlan) -> list[dict[str, Any]]:
    """One chart for each task and metric of the replay, and its numbers."""
    views = []
    for task, metric in dict.fromkeys((one.task, one.metric) for one in plan.simulation):
        rows = [one for one in plan.simulation if (one.task, one.metric) == (task, metric)]
        names = sorted(dict.fromkeys(one.strategy for one in rows), key=lambda name: name != OURS)
        lines = [_strategy_line(name, rows) for name in names]
        ends = {name: max(_of(name, rows), key=lambda one: one.labels) for name in names}
        words = "; ".join(
            f"{_named(name)} ends at {one.mean:.3f} after {duration(one.seconds)}"
            for name, one in ends.items()
        )
        chart = charts.line_chart(
            lines,
            x_name="hours of annotation",
            y_name=metric,
            words=f"Replay on {task}, {metric}: {words}.",
        )
        views.append({"task": task, "metric": metric, "chart": chart, "rows": rows})
    return views


def _of(name: str, rows: Sequence[Strategy]) -> list[Strategy]:
    return sorted((one for one in rows if one.strategy == name), key=lambda one: one.labels)


def _named(name: str) -> str:
    return name.replace("_", " ")


def _strategy_line(name: str, rows: Sequence[Strategy]) -> charts.Line:
    points = tuple((one.seconds / 3600, one.mean, one.deviation) for one in _of(name, rows))
    return charts.Line(_named(name), points)


def drift_value(value: float | None) -> Markup | str:
    """A value of either version; a dash where there was none."""
    return "–" if value is None else f"{value:,.4g}"


def in_split(split: str | None) -> str:
    """Name of a split, or `all`."""
    return "all" if split is None else split_name(split)
