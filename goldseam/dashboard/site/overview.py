"""The first page: how each dataset stands, how that moved, and what wants somebody's attention."""

import dataclasses
from collections.abc import Mapping, Sequence

from goldseam.dashboard.site.places import dataset_page
from goldseam.dashboard.site.runs import GATE_WORDS, GateEvent, Run
from goldseam.dashboard.site.versions import (
    Version,
    coverage_of,
    findings_of,
    main_noise,
    shown_split,
    task_names,
)
from goldseam.page import count, percent
from goldseam.results import Estimate

# how much less must be known for it to want attention
DROP = 0.01
STRIP = 24
TRENDS = 24


@dataclasses.dataclass(frozen=True)
class TaskTrend:
    """One task of a dataset over its versions; None where an audit does not say."""

    task: str
    coverage: tuple[float | None, ...]
    noise: tuple[float | None, ...]
    noise_now: Estimate | None
    noise_method: str
    findings: tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Card:
    """One dataset on the overview."""

    name: str
    page: str
    version: Version
    versions: int
    split: str | None
    tasks: tuple[TaskTrend, ...]
    gates: Mapping[str, tuple[GateEvent, ...]]


@dataclasses.dataclass(frozen=True)
class Attention:
    """Something that somebody should look at, and where."""

    text: str
    page: str


def card(name: str, versions: tuple[Version, ...], events: Sequence[GateEvent]) -> Card:
    """What the overview says of a dataset.

    Args:
        name: of the dataset.
        versions: its versions, oldest first.
        events: all decisions of gates, the newest first.
    """
    recent = versions[-TRENDS:]
    latest = recent[-1].entry
    split = shown_split(latest.rows)
    return Card(
        name=name,
        page=dataset_page(name),
        version=recent[-1],
        versions=len(versions),
        split=split,
        tasks=tuple(_trend(task, recent, split) for task in task_names([latest])),
        gates=gate_strips([event for event in events if event.dataset == name]),
    )


def _trend(task: str, versions: Sequence[Version], split: str | None) -> TaskTrend:
    entries = [version.entry for version in versions]
    noise = main_noise(entries, task)
    estimates = noise.estimates if noise else (None,) * len(entries)
    return TaskTrend(
        task=task,
        coverage=tuple(coverage_of(entry, task, None, split) for entry in entries),
        noise=tuple(None if one is None else one.value for one in estimates),
        noise_now=estimates[-1],
        noise_method=noise.method if noise else "",
        findings=tuple(findings_of(entry, task) for entry in entries),
    )


def gate_strips(events: Sequence[GateEvent]) -> dict[str, tuple[GateEvent, ...]]:
    """Gate → its latest decisions, oldest first."""
    strips: dict[str, list[GateEvent]] = {}
    for event in events:  # the newest first
        strip = strips.setdefault(event.gate, [])
        if len(strip) < STRIP:
            strip.append(event)
    order = list(GATE_WORDS)
    names = sorted(
        strips, key=lambda gate: (gate not in order, gate in order and order.index(gate))
    )
    return {gate: tuple(reversed(strips[gate])) for gate in names}


def attention(
    datasets: Mapping[str, tuple[Version, ...]], events: Sequence[GateEvent], runs: Sequence[Run]
) -> tuple[Attention, ...]:
    """Closed gates, leaks, labels that got fewer, and a last run that failed."""
    found = []
    for name, versions in datasets.items():
        page = dataset_page(name)
        strips = gate_strips([event for event in events if event.dataset == name])
        for gate, strip in strips.items():
            if not strip[-1].passed:
                why = f": {strip[-1].reasons[0]}" if strip[-1].reasons else ""
                found.append(
                    Attention(f"{name}: the gate “{gate}” is closed{why}", page + "#gates")
                )
        found += [Attention(f"{name}: {text}", page + where) for text, where in _labels(versions)]
    newest: dict[str | None, Run] = {}
    for run in runs:  # the newest first
        newest.setdefault(run.dataset, run)
    for run in newest.values():
        if run.status == "failed":
            where = ", ".join(task for task, _ in run.errors) or "one of its tasks"
            of = f"{run.dataset}: " if run.dataset else ""
            found.append(Attention(f"{of}the last run failed in {where}.", "runs.html"))
    return tuple(found)


def _labels(versions: Sequence[Version]) -> list[tuple[str, str]]:
    latest = versions[-1].entry
    found = []
    copies = latest.duplicates
    if copies is not None and copies.leaks:
        one = copies.leaks == 1
        text = f"{count(copies.leaks)} group{'' if one else 's'} of alike images "
        found.append((f"{text}{'stands' if one else 'stand'} in more than one split.", "#findings"))
    if len(versions) > 1:
        split = shown_split(latest.rows)
        for task in task_names([latest]):
            old = coverage_of(versions[-2].entry, task, None, split)
            new = coverage_of(latest, task, None, split)
            if old is not None and new is not None and new < old - DROP:
                text = f"{task} is known on {percent(new)} of the images, down from {percent(old)}."
                found.append((text, "#coverage"))
    return found
