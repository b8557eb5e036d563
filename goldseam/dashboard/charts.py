"""The figures of a run's page: intervals of all models, and training curves."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from goldseam.dashboard.comparison import is_whole, model_names
from goldseam.page import FIGURE_COLORS
from goldseam.results import EvaluationResult, TrainingResult

if TYPE_CHECKING:
    import plotly.graph_objects as go

ROW_HEIGHT = 21  # px for one model in one metric
# a model keeps its color over all figures; `train` makes what becomes `pipeline`
COLORS = {
    "pipeline": FIGURE_COLORS[0],
    "train": FIGURE_COLORS[0],
    "scratch": FIGURE_COLORS[1],
    "noisy_direct": FIGURE_COLORS[2],
    "pretrain": FIGURE_COLORS[3],
    "trained": FIGURE_COLORS[3],  # no pipeline has both
    "champion": FIGURE_COLORS[4],
}


def interval_figures(evaluation: EvaluationResult) -> dict[str, "go.Figure"]:
    """Title → figure: every metric of whole tasks with its interval, one figure a unit."""
    units: dict[tuple[str, str], list[str]] = {}
    for scores in evaluation.models.values():
        for metric, estimate in scores.metrics.items():
            if is_whole(metric) and estimate.value is not None:
                metrics = units.setdefault((estimate.better, estimate.unit), [])
                if metric not in metrics:
                    metrics.append(metric)
    figures = {}
    for (better, unit), metrics in units.items():
        title = f"{better.capitalize()} is better" + (f", in {unit}" if unit else "")
        figures[title] = _interval_figure(evaluation, metrics, better, unit)
    return figures


def _interval_figure(
    evaluation: EvaluationResult, metrics: list[str], better: str, unit: str
) -> "go.Figure":
    import plotly.graph_objects as go

    figure = go.Figure()
    names = model_names(evaluation)
    for number, name in enumerate(names):
        known = evaluation.models[name].metrics
        shown = [
            (place, metric, known[metric])
            for place, metric in enumerate(metrics)
            if metric in known
            and known[metric].value is not None
            and (known[metric].better, known[metric].unit) == (better, unit)
        ]
        # models of one metric stand below each other, the pipeline on top
        offset = (number - (len(names) - 1) / 2) * 0.7 / max(len(names), 1)
        values = [estimate.value or 0.0 for _, _, estimate in shown]
        figure.add_scatter(
            name=name,
            x=values,
            y=[place + offset for place, _, _ in shown],
            customdata=[metric for _, metric, _ in shown],
            mode="markers",
            marker={
                "size": 10 if name == "pipeline" else 8,
                "symbol": "diamond" if name == "pipeline" else "circle",
                "color": COLORS.get(name, FIGURE_COLORS[-1]),
            },
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [_above(e.value, e.high) for _, _, e in shown],
                "arrayminus": [_above(e.low, e.value) for _, _, e in shown],
                "thickness": 1.5,
                "width": 3,
            },
            hovertemplate="%{customdata}<br>%{x:.4f}<extra>" + name + "</extra>",
        )
    rows = len(metrics) * len(names)
    figure.update_layout(height=90 + ROW_HEIGHT * rows, legend=_legend())
    figure.update_yaxes(
        tickvals=list(range(len(metrics))),
        ticktext=metrics,
        range=[len(metrics) - 0.45, -0.55],
        automargin=True,
        showgrid=False,
        zeroline=False,
    )
    figure.update_xaxes(zeroline=False)
    return figure


def _above(low: float | None, high: float | None) -> float:
    return 0.0 if low is None or high is None else max(0.0, high - low)


def _legend() -> dict[str, Any]:
    return {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"}


def curve_figure(trainings: Mapping[str, TrainingResult]) -> "go.Figure | None":
    """Training loss, and the first validation metric of each task, over steps; None without any."""
    from plotly.subplots import make_subplots

    metrics = _curve_metrics(trainings)
    if not metrics:
        return None
    rows = (len(metrics) + 1) // 2
    titles = ["training loss" if m == "loss" else f"{m}, validation" for m in metrics]
    figure = make_subplots(
        rows=rows,
        cols=2,
        subplot_titles=titles,
        horizontal_spacing=0.09,
        vertical_spacing=0.42 / rows if rows > 1 else 0.1,
    )
    for task, result in trainings.items():
        drawn = False
        for place, metric in enumerate(metrics):
            points = [(e["step"], e[metric]) for e in result.history if e.get(metric) is not None]
            if not points:
                continue
            figure.add_scatter(
                x=[x for x, _ in points],
                y=[y for _, y in points],
                name=task,
                legendgroup=task,
                showlegend=not drawn,
                mode="lines+markers" if len(points) < 40 else "lines",
                line={"color": COLORS.get(task, FIGURE_COLORS[-1]), "width": 2},
                marker={"size": 5},
                row=place // 2 + 1,
                col=place % 2 + 1,
            )
            drawn = True
    figure.update_layout(height=110 + 220 * rows, legend=_legend() | {"y": 1.0 + 0.17 / rows})
    figure.update_xaxes(title={"text": "step", "standoff": 4, "font": {"size": 12}})
    figure.update_annotations(font_size=13)
    return figure


def _curve_metrics(trainings: Mapping[str, TrainingResult]) -> list[str]:
    """`loss`, then the first metric of each task that has points."""
    of_task: dict[str, str] = {}
    loss = False
    for result in trainings.values():
        for entry in result.history:
            loss = loss or entry.get("loss") is not None
            for name, value in entry.items():
                # the history also holds what training says of itself, such as losses by task
                if name in result.validation and is_whole(name) and value is not None:
                    of_task.setdefault(name.partition(".")[0], name)
    return (["loss"] if loss else []) + list(of_task.values())
