"""The page of an audit: what is labeled by whom, and how far the noisy labels are off."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goldseam.audit.noise.disagreement import Measured
from goldseam.dataset.schema import DatasetInfo
from goldseam.page import render
from goldseam.results import CoverageRow

TEMPLATES = Path(__file__).parent / "templates"
CATEGORIES_SHOWN = 200


def audit_page(
    info: DatasetInfo,
    coverage: Sequence[CoverageRow],
    measured: Sequence[Measured],
    sentences: Sequence[str],
    *,
    band: int,
) -> str:
    """The HTML of an audit; a task's table lists its least known categories first when cut off."""
    return render(
        TEMPLATES,
        "audit.html.j2",
        info=info,
        tasks=[_task_view(info, name, coverage) for name in info.tasks],
        pairs=_pair_views(measured),
        sentences=sentences,
        band=band,
    )


def _task_view(info: DatasetInfo, name: str, coverage: Sequence[CoverageRow]) -> dict[str, Any]:
    rows = [row for row in coverage if row.task == name]
    sources: dict[str, dict[str, int]] = {}
    for row in rows:
        if row.category is None and row.source is not None:
            sources.setdefault(row.source, {})[row.split] = row.present
    of_category: dict[str, dict[str, CoverageRow]] = {}
    for row in rows:
        if row.category is not None and row.source is None:
            of_category.setdefault(row.category, {})[row.split] = row
    shown = list(of_category)
    if len(shown) > CATEGORIES_SHOWN:
        shown.sort(key=lambda c: sum(r.present + r.absent for r in of_category[c].values()))
    return {
        "name": name,
        "task": info.tasks[name],
        "whole": {r.split: r for r in rows if r.category is None and r.source is None},
        "sources": sources,
        "categories": {category: of_category[category] for category in shown[:CATEGORIES_SHOWN]},
        "hidden": max(0, len(shown) - CATEGORIES_SHOWN),
    }


def _pair_views(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Noisy tasks with their splits; `scale` is the rate that fills a bar."""
    views = []
    for clean, noisy in dict.fromkeys((m.rates.task, m.rates.noisy_task) for m in measured):
        splits = [m for m in measured if (m.rates.task, m.rates.noisy_task) == (clean, noisy)]
        rates = [
            rate
            for m in splits
            for rate in (m.rates.overall, m.rates.boundary, m.rates.interior)
            if rate is not None
        ]
        scale = max(rates, default=0.0) or 1.0
        views.append({"clean": clean, "noisy": noisy, "splits": splits, "scale": scale})
    return views
