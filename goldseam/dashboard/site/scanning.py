"""Finds what runs left in folders: results of stages, and records of how their tasks went."""

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pydantic

from goldseam.artifacts import RESULT_FILE, Result
from goldseam.dashboard.site.history import HISTORY_FILE, SCHEMA_FILE
from goldseam.errors import GoldseamError, MissingInput
from goldseam.results import (
    AuditResult,
    DatasetReference,
    EvaluationResult,
    PromotionResult,
    PublishResult,
    ValidationResult,
)
from goldseam.workspace import TaskRecord

KINDS: dict[str, type[Result]] = {
    kind.stage: kind
    for kind in (
        DatasetReference,
        ValidationResult,
        AuditResult,
        EvaluationResult,
        PromotionResult,
        PublishResult,
    )
}
# what a site copies or makes; beside them, where a run put its site, may stand a workspace
SITE_FOLDERS = ("audits", "datasets", "runs")
RECORD: pydantic.TypeAdapter[TaskRecord] = pydantic.TypeAdapter(TaskRecord)


@dataclasses.dataclass(frozen=True)
class FoundResult:
    """A result in its folder; `made` is the time of its file, in seconds since 1970."""

    result: Result
    made: float


@dataclasses.dataclass(frozen=True)
class FoundRun:
    """The records of one run.

    Attributes:
        final: what its exit handler wrote; None where there is none.
    """

    run: str
    records: tuple[TaskRecord, ...]
    final: str | None


@dataclasses.dataclass(frozen=True)
class Found:
    """What lies in some folders.

    Attributes:
        unreadable: results that another version of goldseam wrote.
    """

    results: tuple[FoundResult, ...]
    runs: tuple[FoundRun, ...]
    unreadable: tuple[Path, ...]


def scan(folders: Sequence[Path]) -> Found:
    """Look through folders, and through all below them.

    Unlike `goldseam.artifacts.iterate_results` it stays out of published pages, which hold copies
    of results, and out of what is still being written.

    Raises:
        MissingInput: a folder is not there.
    """
    results: dict[tuple[str, str, str, str], FoundResult] = {}
    runs: list[FoundRun] = []
    unreadable: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            remedy = "Name folders of runs, workspaces or outputs of stages."
            raise MissingInput(folder, "is no folder", remedy)
        for place, names in _walk(folder):
            if RESULT_FILE in names:
                found = _result(place, unreadable)
                if found is not None:
                    result = found.result
                    # a copy of a result says nothing new, but may come with its page, and the name
                    # of the folder tells which run a page is of
                    page = place.name if (place / "index.html").is_file() else ""
                    key = (result.stage, result.key, result.digest, page)
                    if key not in results or found.made < results[key].made:
                        results[key] = found
            if place.name == "runs":
                runs += _runs(place)
    return Found(tuple(results.values()), tuple(runs), tuple(unreadable))


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    for here, below, names in os.walk(folder):
        place = Path(here)
        copies = SITE_FOLDERS if {HISTORY_FILE, SCHEMA_FILE} <= set(names) else ()
        below[:] = sorted(n for n in below if not n.startswith(".") and n not in copies)
        if RESULT_FILE in names and _stage(place) == PublishResult.stage:
            below.clear()
        yield place, names


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _stage(folder: Path) -> str | None:
    body = _json(folder / RESULT_FILE)
    stage = body.get("stage") if isinstance(body, dict) else None
    return stage if isinstance(stage, str) else None


def _result(folder: Path, unreadable: list[Path]) -> FoundResult | None:
    kind = KINDS.get(_stage(folder) or "")
    if kind is None:
        return None
    try:
        result = kind.read(folder)
    except GoldseamError:
        unreadable.append(folder / RESULT_FILE)
        return None
    return FoundResult(result, (folder / RESULT_FILE).stat().st_mtime)


def _runs(folder: Path) -> Iterator[FoundRun]:
    """The runs of a workspace: `runs/<run>/<task>.json`; other folders may be called so too."""
    for place in sorted(one for one in folder.iterdir() if one.is_dir()):
        records = []
        for file in sorted(place.glob("*.json")):
            body = _json(file)
            if isinstance(body, dict) and "task" in body and "status" in body:
                try:
                    records.append(RECORD.validate_python(body))
                except pydantic.ValidationError:
                    continue
        if records:
            status = _json(folder.parent / "status" / f"{place.name}.json")
            final = status.get("status") if isinstance(status, dict) else None
            records.sort(key=lambda record: (record.begun, record.task))
            final = final if final in ("succeeded", "failed") else None
            yield FoundRun(place.name, tuple(records), final)
