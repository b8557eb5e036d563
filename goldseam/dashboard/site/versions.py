"""A dataset over its versions: which there are, in which order, and how each number moved.

Legend of what is compared: coverage is the share of images on which somebody looked.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from goldseam.dashboard.site.findings import is_consistency
from goldseam.dashboard.site.history import AuditEntry, History
from goldseam.page import count, percent, split_name
from goldseam.results import CoverageRow, Estimate

SHORT = 7
TRAIN = "train"


@dataclasses.dataclass(frozen=True)
class Version:
    """One version of a dataset.

    Attributes:
        number: from 1, in the order in which versions were first audited.
        label: short and unique among the versions of its dataset.
        digest: of the dataset.
        first: when it was first audited, in seconds since 1970.
        audit: digest of its latest audit.
        entry: that audit.
        audits: how many there were.
    """

    number: int
    label: str
    digest: str
    first: float
    audit: str
    entry: AuditEntry
    audits: int


def versions_of(history: History) -> dict[str, tuple[Version, ...]]:
    """Name of each audited dataset → its versions, oldest first."""
    names = sorted({audit.dataset for audit in history.audits.values()}, key=str.casefold)
    return {name: _versions(name, history) for name in names}


def _versions(name: str, history: History) -> tuple[Version, ...]:
    audits: dict[str, list[tuple[float, str, AuditEntry]]] = {}
    for digest, entry in history.audits.items():
        if entry.dataset == name:
            audits.setdefault(entry.dataset_digest, []).append((entry.made, digest, entry))
    ordered = sorted((min(one)[0], dataset, max(one)) for dataset, one in audits.items())
    latest = [entry for _, _, (_, _, entry) in ordered]
    names = Counter(entry.version for entry in latest)
    return tuple(
        Version(
            number=number,
            label=label(entry) if names[entry.version] > 1 else entry.version,
            digest=dataset,
            first=first,
            audit=digest,
            entry=entry,
            audits=len(audits[dataset]),
        )
        for number, (first, dataset, (_, digest, entry)) in enumerate(ordered, start=1)
    )


def label(entry: AuditEntry) -> str:
    """A version by its number and digest, where the number alone does not tell it."""
    return f"{entry.version} · {short(entry.dataset_digest)}"


def short(digest: str | None) -> str:
    """The beginning of a digest, as people compare them."""
    return "" if digest is None else digest.removeprefix("sha256:")[:SHORT]


def shown_split(rows: dict[str, int]) -> str | None:
    """The split whose coverage is followed; None for all images where none is for training."""
    return TRAIN if TRAIN in rows else None


def task_names(entries: Sequence[AuditEntry]) -> tuple[str, ...]:
    """Every task of some audits, in the order of the latest."""
    names = [row.task for entry in reversed(entries) for row in entry.coverage]
    return tuple(dict.fromkeys(names))


def coverage_of(
    entry: AuditEntry, task: str, category: str | None, split: str | None
) -> float | None:
    """Share of images on which a task (or category) is known; None where there is no such row."""
    rows = [
        row
        for row in entry.coverage
        if row.task == task and row.category == category and split in (None, row.split)
    ]
    return known_share(rows)


def known_share(rows: Sequence[CoverageRow]) -> float | None:
    """Known over all; None for no images."""
    known = sum(row.present + row.absent for row in rows)
    total = known + sum(row.unknown for row in rows)
    return known / total if total else None


def categories_of(entries: Sequence[AuditEntry], task: str) -> tuple[str, ...]:
    """The categories of a task over some audits, in the order of the latest."""
    names = [
        row.category
        for entry in reversed(entries)
        for row in entry.coverage
        if row.task == task and row.category is not None
    ]
    return tuple(dict.fromkeys(names))


@dataclasses.dataclass(frozen=True)
class Series:
    """One estimate over versions; None where an audit did not make it.

    Attributes:
        name: what is estimated, in words.
        estimates: one a version.
        sentence: what the latest audit that made it says.
    """

    task: str
    name: str
    method: str
    unit: str
    estimates: tuple[Estimate | None, ...]
    sentence: str = ""


KIND_NAMES = {
    "flip": "wrong labels",
    "omission": "left out",
    "invention": "put in without cause",
    "shift": "shifted",
    "dilation": "grown or shrunk",
    "scale": "wrong scale",
}


CONTRADICTING = "contradicting another label"


def noise_series(entries: Sequence[AuditEntry], *, whole: bool = True) -> tuple[Series, ...]:
    """Noise rates over versions; those of different methods are never joined.

    Args:
        entries: one a version, oldest first.
        whole: of whole tasks; otherwise those of categories.
    """
    found: dict[tuple[str, ...], dict[int, tuple[Estimate, str]]] = {}
    for place, entry in enumerate(entries):
        for rate in entry.noise:
            if (rate.category is None) == whole:
                category, against = rate.category or "", rate.clean_task or ""
                key = (rate.task, against, category, rate.kind, rate.method, rate.rate.unit)
                found.setdefault(key, {})[place] = (rate.rate, rate.sentence)
    series = []
    for (task, against, category, kind, method, unit), known in found.items():
        name = KIND_NAMES.get(kind, kind) + (f", {category}" if category else "")
        how = f"against {against}, {method}" if against else method
        estimates = tuple(known[n][0] if n in known else None for n in range(len(entries)))
        series.append(Series(task, name, how, unit, estimates, known[max(known)][1]))
    return tuple(sorted(series, key=lambda one: (one.task, one.unit, one.name, one.method)))


def error_series(entries: Sequence[AuditEntry]) -> tuple[Series, ...]:
    """Estimated shares of wrong and of contradicting labels of whole tasks, by method."""
    found: dict[tuple[str, str, str], dict[int, Estimate]] = {}
    for place, entry in enumerate(entries):
        for row in entry.errors:
            if row.category is None:
                key = (row.task, row.method, row.error_rate.unit)
                found.setdefault(key, {})[place] = row.error_rate
    return tuple(
        Series(
            task,
            CONTRADICTING if is_consistency(method) else KIND_NAMES["flip"],
            method,
            unit,
            tuple(map(known.get, range(len(entries)))),
        )
        for (task, method, unit), known in sorted(found.items())
    )


def main_noise(entries: Sequence[AuditEntry], task: str) -> Series | None:
    """The noise that stands for a task in an overview: wrong labels, measured before estimated."""
    flips = [
        one
        for one in noise_series(entries)
        if one.task == task and one.name == KIND_NAMES["flip"] and not one.unit
    ]
    flips += [
        one
        for one in error_series(entries)
        if one.task == task and one.name == KIND_NAMES["flip"] and not one.unit
    ]

    def rank(one: Series) -> tuple[bool, bool]:
        last = one.estimates[-1]
        return last is None or last.value is None, not one.method.startswith("against")

    return min(flips, key=rank, default=None)


def findings_of(entry: AuditEntry, task: str | None = None) -> int | None:
    """Open findings of a task, or of all; None where nobody looked for any."""
    rows = [row for row in entry.findings if task in (None, row.task)]
    if rows:
        return sum(row.findings for row in rows)
    looked = any(
        task in (None, row.task) and not is_consistency(row.method) for row in entry.errors
    )
    return 0 if looked or (task is None and entry.duplicates is not None) else None


def changes(before: AuditEntry, after: AuditEntry) -> tuple[str, ...]:
    """What changed from one version to the next, in sentences: counts, so nothing is tested."""
    sentences = []
    for split in dict.fromkeys((*before.rows, *after.rows)):
        old, new = before.rows.get(split, 0), after.rows.get(split, 0)
        if old != new:
            sentences.append(
                f"The {split_name(split)} split has {count(new)} images, {_moved(new - old)}."
            )
    old_tasks, new_tasks = task_names([before]), task_names([after])
    sentences += [f"The task {task} is new." for task in new_tasks if task not in old_tasks]
    sentences += [f"The task {task} is gone." for task in old_tasks if task not in new_tasks]
    followed = shown_split(after.rows)
    of = f"{split_name(followed)} images" if followed else "images"
    for task in new_tasks:
        old_share = coverage_of(before, task, None, followed)
        new_share = coverage_of(after, task, None, followed)
        if old_share is None or new_share is None or percent(old_share) == percent(new_share):
            continue
        way = "up" if new_share > old_share else "down"
        sentences.append(
            f"{task} is known on {percent(new_share)} of the {of}, {way} from {percent(old_share)}."
        )
    return tuple(sentences)


def _moved(difference: int) -> str:
    return f"{count(abs(difference))} {'more' if difference > 0 else 'fewer'} than before"
