"""What the page of a run shows: everything the template needs, gathered from the results."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from goldseam.dashboard.charts import curve_figure, interval_figures
from goldseam.dashboard.comparison import Row, comparison, decimals, model_names, summaries
from goldseam.dashboard.config import PublishConfig
from goldseam.dashboard.pictures import galleries
from goldseam.dashboard.reading import RunResults
from goldseam.page import figure_html, plotly_script, render
from goldseam.results import (
    AuditResult,
    CoverageRow,
    DatasetReference,
    Disagreement,
    Estimate,
    EvaluationResult,
    FinetuneResult,
    GateDecision,
    PromotionResult,
    ValidationResult,
)
from goldseam.workspace import TaskRecord

TEMPLATES = Path(__file__).parent / "templates"


def run_page(
    config: PublishConfig,
    run: RunResults,
    folder: Path,
    *,
    records: Mapping[str, TaskRecord],
    gates: Sequence[GateDecision],
    links: Mapping[str, str],
) -> str:
    """The HTML of a run.

    Args:
        config: options of the page.
        run: what the run left behind.
        folder: where the page will stand; large pictures are put beside it.
        records: task → how it went.
        gates: decisions on the gates, where no promotion says them.
        links: pages of other stages (`audit`, `docs`) → their address.
    """
    dataset = run.get("ingest", DatasetReference)
    promotion = run.get("promote", PromotionResult)
    values: dict[str, Any] = {
        "title": config.title or (f"{dataset.name}: a run" if dataset else "A run"),
        "outcome": outcome(run, promotion, gates),
        "run": run,
        "dataset": dataset,
        "info": run.info,
        "validation": run.get("validate", ValidationResult),
        "audit": run.get("audit", AuditResult),
        "finetune": run.get("finetune", FinetuneResult),
        "evaluation": run.get("evaluate", EvaluationResult),
        "promotion": promotion,
        "gates": promotion.gates if promotion else tuple(gates),
        "records": list(records.values()),
        "links": links,
        "ui_command": ui_command(promotion.tracking_uri) if promotion else None,
        "number": number,
        "span": span,
        "decimals": row_decimals,
    }
    values |= _labels(run) | _evaluation(run, config, folder) | _figures(run)
    return render(TEMPLATES, "run.html.j2", **values)


def outcome(
    run: RunResults, promotion: PromotionResult | None, gates: Sequence[GateDecision]
) -> str:
    """The run in one sentence."""
    if promotion is not None:
        version = f"Version {promotion.version} of {promotion.model_name}"
        if promotion.promoted:
            return f"{version} is {promotion.alias}: every gate passed."
        return f"{version} was registered but is not {promotion.alias}: a gate is closed."
    if any(not gate.passed for gate in gates):
        return "No model was promoted: a gate is closed."
    validation = run.get("validate", ValidationResult)
    if validation is not None and validation.verdict == "fail":
        return "Nothing was trained: the labels do not meet their expectations."
    if run.failed:
        where = " and ".join(one.task for one in run.failed)
        return f"The run failed in {where}; this page shows how far it got."
    return "The run did not come to its end; this page shows how far it got."


def ui_command(tracking_uri: str) -> str | None:
    """The command that shows a local registry; None for a server, which has a page of its own."""
    if tracking_uri.startswith("http"):
        return None
    return f"mlflow ui --backend-store-uri {shlex.quote(tracking_uri)}"


def _labels(run: RunResults) -> dict[str, Any]:
    """What is known of the training labels, and how noisy they are."""
    audit = run.get("audit", AuditResult)
    rows: list[CoverageRow] = []
    noise: dict[str, Disagreement] = {}
    if audit is not None:
        rows = [
            row
            for row in audit.coverage
            if row.category is None and row.source is None and row.split == "train"
        ]
        for one in audit.disagreements:
            # few images of the training split know both: the split with most of them says more
            if one.noisy_task not in noise or one.images > noise[one.noisy_task].images:
                noise[one.noisy_task] = one
    return {"labels": rows, "noise": noise}


def _evaluation(run: RunResults, config: PublishConfig, folder: Path) -> dict[str, Any]:
    evaluation = run.get("evaluate", EvaluationResult)
    if evaluation is None:
        return {"models": (), "whole": (), "by_category": (), "summaries": (), "galleries": ()}
    whole, by_category = comparison(evaluation)
    return {
        "models": model_names(evaluation),
        "whole": whole,
        "by_category": by_category,
        "summaries": summaries(evaluation),
        "galleries": galleries(evaluation, run.info, config, folder),
        "left_out": max(0, len(evaluation.examples) - config.examples),
    }


def _figures(run: RunResults) -> dict[str, Any]:
    evaluation = run.get("evaluate", EvaluationResult)
    intervals = {} if evaluation is None else interval_figures(evaluation)
    curves = curve_figure(run.trainings)
    drawn = {
        "interval_figures": {
            title: figure_html(figure, f"intervals-{place}")
            for place, (title, figure) in enumerate(intervals.items())
        },
        "curves": None if curves is None else figure_html(curves, "curves"),
    }
    return drawn | {"script": plotly_script() if intervals or curves else ""}


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where it is undefined, which is not zero."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "\u2212")


def span(estimate: Estimate, digits: int = 3) -> str:
    """The 95 % interval, such as `0.690 to 0.731`."""
    if estimate.low is None or estimate.high is None:
        return "no interval"
    return f"{number(estimate.low, digits)} to {number(estimate.high, digits)}"


def row_decimals(row: Row) -> int:
    """Decimals that all numbers of a row share."""
    return decimals([cell.estimate for cell in row.cells])
