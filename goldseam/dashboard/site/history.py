"""What a site remembers, `history.json`: it grows build by build and outlives the runs' folders.

An entry is what the pages need of one result. It is kept under the result's digest, so the same
result found again, in another folder or after a copy, is the same entry: merging is idempotent and
knows no order. None is always "unknown", never 0.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal, TypeVar

import pydantic

from goldseam.errors import GoldseamError
from goldseam.results import (
    CoverageRow,
    DriftTest,
    Estimate,
    FindingCount,
    GateDecision,
    Inspected,
    LabelErrors,
    MissingnessTest,
    NoiseRate,
    Verdict,
)
from goldseam.storage.atomic import write_text

HISTORY_FILE, SCHEMA_FILE = "history.json", "history.schema.json"
SCHEMA_VERSION = 1


class DamagedHistory(GoldseamError):
    """The history of a site cannot be read; it is never overwritten."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen:
    """Something that was made at some time.

    Attributes:
        made: when, in seconds since 1970.
        timed_by: `record` where the record of a run says so; `file` for the time of its file, which
            a copy may have changed, so the earliest counts.
    """

    made: float
    timed_by: Literal["record", "file"] = "file"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetEntry(Seen):
    """One version of a dataset, by its digest."""

    name: str
    revision: str | None
    rows: dict[str, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DuplicateCounts:
    """Groups of equal and of alike images, and those that cross splits; None: not looked at."""

    exact: int
    near: int
    leaks: int
    conflicting: int
    crossing_groups: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditEntry(Seen):
    """One audit, without what only its own page shows.

    Attributes:
        coverage: of tasks and categories, all sources together.
        errors: of tasks and categories, all sources and annotators together.
        tested: how many tests of missingness were made.
        missingness: those that found something.
        pairs: pairs of tasks by verdict: `safe`, `biased`, `unknown`.
        duplicates: None where no pictures were compared.
        drift: what changed since the version that the audit was given for comparison.
    """

    dataset: str
    version: str
    revision: str | None
    dataset_digest: str
    rows: dict[str, int]
    verdict: Verdict
    reasons: tuple[str, ...]
    sentences: tuple[str, ...]
    inspected: tuple[Inspected, ...]
    coverage: tuple[CoverageRow, ...]
    noise: tuple[NoiseRate, ...]
    errors: tuple[LabelErrors, ...]
    tested: int
    missingness: tuple[MissingnessTest, ...]
    pairs: dict[str, int]
    duplicates: DuplicateCounts | None
    drift: tuple[DriftTest, ...]
    findings: tuple[FindingCount, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ValidationEntry(Seen):
    """Whether a label table met its expectations; which dataset's, its run says."""

    verdict: Verdict
    reasons: tuple[str, ...]
    checks: int


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """One model of an evaluation; metrics of whole tasks only."""

    model_digest: str
    metrics: dict[str, Estimate]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationEntry(Seen):
    """Models on the same held-out images; `differences` are pipeline minus other, paired."""

    dataset_digest: str
    split: str
    images: int
    groups: int
    models: dict[str, ModelEntry]
    differences: dict[str, dict[str, Estimate]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromotionEntry(Seen):
    """One registration.

    Attributes:
        registry: eight digits that tell registries apart; their addresses are not kept.
    """

    registry: str
    model: str
    version: str | None
    alias: str
    promoted: bool
    run_id: str
    gates: tuple[GateDecision, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """How one task of a run went; `digest` is that of its result."""

    task: str
    status: Literal["running", "succeeded", "failed"]
    begun: float
    seconds: float
    peak_rss_mib: float
    reused: bool
    digest: str | None
    error: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunEntry:
    """One run.

    Attributes:
        run: its name, which two runs of different workspaces may share.
        begun: seconds since 1970.
        final: how it ended, as its exit handler wrote it; None while nobody wrote it.
        tasks: in the order in which they were begun.
    """

    run: str
    begun: float
    final: Literal["succeeded", "failed"] | None
    tasks: tuple[TaskEntry, ...]

    @property
    def ended(self) -> float | None:
        """When its last task ended; None while one runs."""
        if any(task.status == "running" for task in self.tasks):
            return None
        return max((task.begun + task.seconds for task in self.tasks), default=None)

    def task(self, name: str) -> TaskEntry | None:
        """A task by its name."""
        return next((task for task in self.tasks if task.task == name), None)

    def digest(self, name: str) -> str | None:
        """Digest of what a task left."""
        task = self.task(name)
        return None if task is None else task.digest


@dataclasses.dataclass(frozen=True, kw_only=True)
class VersionEntry:
    """One model version as an MLflow registry describes it.

    Attributes:
        created: seconds since 1970.
        aliases: that point at it, when the registry was read.
        tags: its lineage, without the prefix `goldseam.`.
        metrics: of its run; MLflow knows no units.
    """

    registry: str
    model: str
    version: str
    run_id: str
    created: float
    aliases: tuple[str, ...]
    tags: dict[str, str]
    metrics: dict[str, Estimate]


@dataclasses.dataclass(frozen=True, kw_only=True)
class History:
    """Everything a site has seen, by digest; runs and versions by their identity."""

    schema: Literal[1] = 1
    datasets: dict[str, DatasetEntry] = dataclasses.field(default_factory=dict)
    audits: dict[str, AuditEntry] = dataclasses.field(default_factory=dict)
    validations: dict[str, ValidationEntry] = dataclasses.field(default_factory=dict)
    evaluations: dict[str, EvaluationEntry] = dataclasses.field(default_factory=dict)
    promotions: dict[str, PromotionEntry] = dataclasses.field(default_factory=dict)
    runs: dict[str, RunEntry] = dataclasses.field(default_factory=dict)
    versions: dict[str, VersionEntry] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(getattr(self, kind) for kind in KINDS)


TIMED = ("datasets", "audits", "validations", "evaluations", "promotions")
KINDS = (*TIMED, "runs", "versions")
T = TypeVar("T", bound=Seen)
ADAPTER: pydantic.TypeAdapter[History] = pydantic.TypeAdapter(History)


def merge(old: History, new: History) -> History:
    """Both histories in one.

    Of the same result the best known time is kept: that of a record before that of a file, else the
    earlier. Of the same run each task counts as it was seen last. Of model versions the new reading
    of a registry counts, since aliases move.
    """
    merged: dict[str, Any] = {
        kind: _merge_timed(getattr(old, kind), getattr(new, kind)) for kind in TIMED
    }
    runs = dict(old.runs)
    for key, run in new.runs.items():
        runs[key] = _merge_runs(runs[key], run) if key in runs else run
    read = {version.registry for version in new.versions.values()}
    versions = {
        # a version that was deleted from its registry stays known, but nothing points at it
        key: dataclasses.replace(version, aliases=()) if version.registry in read else version
        for key, version in old.versions.items()
    }
    return History(**merged, runs=runs, versions=versions | new.versions)


def keep(entries: dict[str, T], key: str, entry: T) -> None:
    """Put an entry under its key, with the best time that is known of it."""
    if (known := entries.get(key)) is not None:
        best = min(known, entry, key=lambda one: (one.timed_by == "file", one.made))
        entry = dataclasses.replace(entry, made=best.made, timed_by=best.timed_by)
    entries[key] = entry


def _merge_timed(old: dict[str, T], new: dict[str, T]) -> dict[str, T]:
    merged = dict(old)
    for key, entry in new.items():
        keep(merged, key, entry)
    return merged


def _merge_runs(old: RunEntry, new: RunEntry) -> RunEntry:
    def age(task: TaskEntry) -> tuple[float, bool, float]:
        return task.begun, task.status != "running", task.seconds

    tasks: dict[str, TaskEntry] = {}
    for task in (*old.tasks, *new.tasks):
        known = tasks.get(task.task)
        if known is None or age(task) >= age(known):
            tasks[task.task] = task
    ordered = sorted(tasks.values(), key=lambda task: (task.begun, task.task))
    return dataclasses.replace(
        new,
        begun=min(old.begun, new.begun),
        final=new.final or old.final,
        tasks=tuple(ordered),
    )


def read_history(site: Path) -> History:
    """The history of a site; an empty one where there is no file.

    Raises:
        DamagedHistory: it cannot be read, or a newer goldseam wrote it.
    """
    path = site / HISTORY_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return History()
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from error
    try:
        body = json.loads(text)
    except ValueError as error:
        raise _damaged(path, f"it is no JSON: {error}") from error
    schema = body.get("schema") if isinstance(body, dict) else None
    if isinstance(schema, int) and schema > SCHEMA_VERSION:
        raise DamagedHistory(
            f"{path}: schema {schema} is of a newer goldseam, expected at most {SCHEMA_VERSION}.",
            remedy="Update goldseam, or build into another folder with --out.",
        )
    try:
        return ADAPTER.validate_python(body)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _damaged(path, f"{where}: {first['msg']}") from error


def _damaged(path: Path, why: str) -> DamagedHistory:
    return DamagedHistory(
        f"{path} holds what earlier builds saw, and is damaged ({why}); it is not overwritten.",
        remedy="Put an earlier copy of it back. Without one, move it away and build again: what is "
        "still in the runs' folders is found again, what only this file knew is lost.",
    )


def write_history(history: History, site: Path) -> None:
    """Write `history.json` whole or not at all, and the schema it follows beside it."""
    body = ADAPTER.dump_python(history, mode="json")
    for kind in KINDS:
        body[kind] = dict(sorted(body[kind].items()))
    text = json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(site / HISTORY_FILE, text + "\n")
    schema = json.dumps(ADAPTER.json_schema(), indent=1)
    write_text(site / SCHEMA_FILE, schema + "\n")
