"""The page of one dataset: its versions, and how coverage, noise and findings moved over them."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from goldseam.dashboard.site.findings import (
    FindingChange,
    compare_findings,
    open_findings,
    read_findings,
)
from goldseam.dashboard.site.history import AuditEntry
from goldseam.dashboard.site.open_metrics import STRENGTHS
from goldseam.dashboard.site.overview import gate_strips
from goldseam.dashboard.site.places import AUDITS, audit_folder
from goldseam.dashboard.site.runs import GateEvent, Run
from goldseam.dashboard.site.versions import (
    Series,
    Version,
    categories_of,
    changes,
    coverage_of,
    error_series,
    findings_of,
    noise_series,
    shown_split,
    task_names,
)
from goldseam.page import charts, split_name
from goldseam.results import Estimate

# so many labels fit below a chart; more are numbered
LABELS_FIT = 48
# so many versions fit beside each other in a table
COLUMNS = 8
STRENGTH_ORDER = {name: place for place, name in enumerate(reversed(STRENGTHS))}


@dataclasses.dataclass(frozen=True)
class CoverageRow:
    """Share known of a task or category, one value a version."""

    name: str
    shares: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True)
class TaskCoverage:
    """A task and its categories."""

    whole: CoverageRow
    categories: tuple[CoverageRow, ...]


@dataclasses.dataclass(frozen=True)
class Step:
    """From one version to the next.

    Attributes:
        sentences: what changed, counted.
        tested: what the later audit found to have changed since the version it was compared with.
        findings: by kind, then all together; None where the findings of one are not there.
    """

    before: Version
    after: Version
    sentences: tuple[str, ...]
    tested: tuple[str, ...]
    findings: tuple[FindingChange, ...] | None


def dataset_values(
    name: str,
    versions: tuple[Version, ...],
    events: Sequence[GateEvent],
    runs: Sequence[Run],
    site: Path,
) -> dict[str, Any]:
    """What the template of a dataset's page names.

    Args:
        name: of the dataset.
        versions: oldest first.
        events: all decisions of gates, the newest first.
        runs: all runs, the newest first.
        site: where copies of audits stand.
    """
    latest = versions[-1].entry
    split = shown_split(latest.rows)
    shown = versions[-COLUMNS:]
    entries = [version.entry for version in shown]
    ordered = sorted(latest.missingness, key=lambda test: STRENGTH_ORDER[test.strength])
    return {
        "name": name,
        "versions": versions,
        "shown": shown,
        "latest": latest,
        "split": split,
        "of_images": f"{split_name(split)} images" if split else "images",
        "coverage": tuple(_coverage(entries, task, split) for task in task_names(entries)),
        "coverage_chart": coverage_chart(versions, split),
        "noise": spanned(noise_series(entries)),
        "noise_by_category": spanned(noise_series(entries, whole=False)),
        "errors": spanned(_errors(entries)),
        "missingness": ordered,
        "strengths": [Counter(test.strength for test in entry.missingness) for entry in entries],
        "open_findings": open_findings(latest, [version.entry for version in versions[:-1]]),
        "total": findings_of(latest),
        "findings_total": [findings_of(entry) for entry in entries],
        "steps": steps(versions, site),
        "strips": gate_strips([event for event in events if event.dataset == name]),
        "runs": [run for run in runs if run.dataset == name],
    }


def _coverage(entries: Sequence[AuditEntry], task: str, split: str | None) -> TaskCoverage:
    def row(category: str | None) -> CoverageRow:
        shares = tuple(coverage_of(entry, task, category, split) for entry in entries)
        return CoverageRow(task if category is None else category, shares)

    return TaskCoverage(row(None), tuple(row(one) for one in categories_of(entries, task)))


def _errors(entries: Sequence[AuditEntry]) -> list[Series]:
    """Error rates that the noise does not say already, by the same method."""
    told = {(one.task, one.name, one.method) for one in noise_series(entries)}
    return [one for one in error_series(entries) if (one.task, one.name, one.method) not in told]


def coverage_chart(versions: Sequence[Version], split: str | None) -> str | None:
    """Share known of each task over versions; None for a single version, which is no trend."""
    if len(versions) < 2:
        return None
    entries = [version.entry for version in versions]
    lines = []
    for task in task_names(entries):
        shares = [coverage_of(entry, task, None, split) for entry in entries]
        points = tuple((float(n), share, None) for n, share in enumerate(shares))
        lines.append(charts.Line(task, points))
    labels = [version.label for version in versions]
    if sum(map(len, labels)) > LABELS_FIT:
        labels = [f"#{version.number}" for version in versions]
    stride = -(-sum(map(len, labels)) // LABELS_FIT)
    labels = [text if place % max(stride, 1) == 0 else "" for place, text in enumerate(labels)]
    of = split_name(split) if split else "all"
    return charts.line_chart(
        lines,
        x_name="version",
        y_name="share known",
        words=f"Share of the {of} images on which each task is known, by version.",
        x_labels=labels,
        percent=True,
    )


def spanned(series: Sequence[Series]) -> list[tuple[str, tuple[float, float], list[Series]]]:
    """Series by unit, each unit with the axis on which all its intervals can be drawn."""
    units: dict[str, list[Series]] = {}
    for one in series:
        units.setdefault(one.unit, []).append(one)

    def known(group: list[Series]) -> list[Estimate]:
        return [estimate for one in group for estimate in one.estimates if estimate is not None]

    return [(unit, charts.span_of(known(group)), group) for unit, group in units.items()]


def steps(versions: Sequence[Version], site: Path) -> tuple[Step, ...]:
    """What changed between consecutive versions, the latest first."""
    found = []
    tables: dict[str, pa.Table | None] = {}

    def table(version: Version) -> pa.Table | None:
        if version.audit not in tables:
            tables[version.audit] = read_findings(site / AUDITS / audit_folder(version.audit))
        return tables[version.audit]

    for before, after in pairwise(versions):
        old, new = table(before), table(after)
        compared = (
            None
            if old is None or new is None
            else compare_findings(before.entry, old, after.entry, new)
        )
        tested = tuple(test.sentence for test in after.entry.drift)
        sentences = changes(before.entry, after.entry)
        found.append(Step(before, after, sentences, tested, compared))
        # a table is needed for two steps at the most
        tables.pop(before.audit, None)
    return tuple(reversed(found))
