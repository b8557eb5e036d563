"""What a run left behind, as far as it got: its results, and what is missing and why."""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

from goldseam.artifacts import Result
from goldseam.dataset.schema import DatasetInfo
from goldseam.errors import GoldseamError, MissingInput
from goldseam.results import (
    AuditResult,
    DatasetReference,
    EvaluationResult,
    FinetuneResult,
    PromotionResult,
    TrainingResult,
    ValidationResult,
)
from goldseam.workspace import TaskRecord

R = TypeVar("R", bound=Result)

# task of a run → what it leaves, in the order in which people think of them
KINDS: dict[str, type[Result]] = {
    "ingest": DatasetReference,
    "validate": ValidationResult,
    "audit": AuditResult,
    "pretrain": TrainingResult,
    "train": TrainingResult,
    "finetune": FinetuneResult,
    "scratch": TrainingResult,
    "noisy_direct": TrainingResult,
    "evaluate": EvaluationResult,
    "promote": PromotionResult,
}
TRAININGS = ("pretrain", "train", "scratch", "noisy_direct")


@dataclasses.dataclass(frozen=True)
class Missing:
    """A task of the run that left no result.

    Attributes:
        failed: whether it failed itself; otherwise it was not run, or did not end.
        remedy: what to do; of an error that is no error of the user's it holds the traceback.
    """

    task: str
    why: str
    failed: bool = False
    remedy: str = ""


@dataclasses.dataclass(frozen=True)
class RunResults:
    """The results of a run by task, and what is missing."""

    results: Mapping[str, Result]
    missing: tuple[Missing, ...]

    def get(self, task: str, kind: type[R]) -> R | None:
        """The result of a task, typed."""
        result = self.results.get(task)
        return result if isinstance(result, kind) else None

    @property
    def failed(self) -> tuple[Missing, ...]:
        """The tasks that failed."""
        return tuple(one for one in self.missing if one.failed)

    @property
    def not_run(self) -> dict[str, list[str]]:
        """Reason → tasks that left nothing for that reason."""
        reasons: dict[str, list[str]] = {}
        for one in self.missing:
            if not one.failed:
                reasons.setdefault(one.why, []).append(one.task)
        return reasons

    @property
    def trainings(self) -> dict[str, TrainingResult]:
        """The models that were trained, by task."""
        found = {name: self.get(name, TrainingResult) for name in TRAININGS}
        return {name: result for name, result in found.items() if result is not None}

    @property
    def info(self) -> DatasetInfo | None:
        """What the dataset declares; None where the data is no longer at its place."""
        reference = self.get("ingest", DatasetReference)
        if reference is None:
            return None
        try:
            info = DatasetInfo.read_yaml(Path(reference.uri))
        except GoldseamError:
            return None
        return info if info.digest == reference.digest else None


def read_results(
    folders: Mapping[str, Path],
    records: Mapping[str, TaskRecord],
    left_out: Collection[str] = (),
) -> RunResults:
    """Read every result that is there.

    Args:
        folders: task → output folder.
        records: task → how it went, for the reason why a result is missing.
        left_out: tasks that the run's pipeline does not have.
    """
    results: dict[str, Result] = {}
    missing = []
    for task, kind in KINDS.items():
        if task in left_out:
            continue
        try:
            if task not in folders:
                raise MissingInput(task, "left no output", "")
            results[task] = kind.read(Path(folders[task]))
        except GoldseamError as error:
            missing.append(_explain(task, records.get(task), error))
    # tasks that are no stages (gates) can fail too
    for task, record in records.items():
        if task not in KINDS and record.status == "failed":
            missing.append(_explain(task, record, None))
    return RunResults(results, tuple(missing))


def _explain(task: str, record: TaskRecord | None, error: GoldseamError | None) -> Missing:
    if record is None:
        return Missing(task, "not run; a task before it failed, or a gate is closed.")
    if record.status == "failed":
        why = record.error or "it failed without a message."
        return Missing(task, why, failed=True, remedy=record.remedy or "")
    if record.status == "running":
        return Missing(task, "begun, but did not end, or is still running.")
    return Missing(task, "succeeded, but its output is not here." if error else "succeeded.")
