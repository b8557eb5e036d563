"""Runs and gates as the site shows them: how each run ended, and which gates were open."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Literal

from goldseam.dashboard.site.history import EvaluationEntry, History, RunEntry

Status = Literal["succeeded", "stopped", "failed", "unfinished"]
STATUS_WORDS: Mapping[Status, str] = {
    "succeeded": "✓ succeeded",
    "stopped": "■ stopped by a gate",
    "failed": "✗ failed",
    "unfinished": "… did not end",
}
# these make the page, while the run has not ended
LAST = ("publish", "report_status")
STOP = "stop"
CLOSED = re.compile(r"gate '([^']+)' is closed: (.*)", re.DOTALL)
DATA, LABELS, PROMOTION = "data", "labels", "promotion"
GATE_WORDS = {
    DATA: "the label table meets its expectations",
    LABELS: "the labels keep the limits of the audit",
    PROMOTION: "the model is good enough",
}


@dataclasses.dataclass(frozen=True)
class GateEvent:
    """One decision of a gate.

    Attributes:
        gate: `data`, `labels`, `promotion` or another name.
        at: seconds since 1970.
        reasons: of a failure; of a promotion all comparisons, with a mark.
        dataset: name; None where no run says it.
        run: identity of the run; None for a stage that ran alone.
    """

    gate: str
    passed: bool
    at: float
    reasons: tuple[str, ...]
    dataset: str | None
    dataset_digest: str | None
    run: str | None


@dataclasses.dataclass(frozen=True)
class Run:
    """One run as the site shows it.

    Attributes:
        key: its identity.
        seconds: from its first task to its last; None while it runs or when it died.
        errors: task → message, of tasks that failed themselves.
        audit: digest of its audit.
        evaluation: of its models.
    """

    key: str
    entry: RunEntry
    status: Status
    seconds: float | None
    dataset: str | None
    dataset_digest: str | None
    gates: tuple[GateEvent, ...]
    errors: tuple[tuple[str, str], ...]
    audit: str | None
    evaluation: EvaluationEntry | None

    @property
    def kind(self) -> str:
        """What the run was for, by its tasks."""
        trains = any(self.entry.task(name) for name in ("train", "pretrain", "evaluate"))
        return "training" if trains else "audit"


def runs_of(history: History) -> tuple[Run, ...]:
    """All runs, the newest first."""
    runs = [_run(key, entry, history) for key, entry in history.runs.items()]
    return tuple(sorted(runs, key=lambda run: (-run.entry.begun, run.key)))


def _run(key: str, entry: RunEntry, history: History) -> Run:
    digest = entry.digest("ingest")
    known = history.datasets.get(digest or "")
    audit = history.audits.get(entry.digest("audit") or "")
    digest = digest or (audit.dataset_digest if audit else None)
    name = known.name if known else audit.dataset if audit else None
    gates = tuple(_gates(key, entry, history, name, digest))
    status = _status(entry, gates)
    ended = entry.ended
    return Run(
        key=key,
        entry=entry,
        status=status,
        seconds=None if ended is None or not entry.begun else ended - entry.begun,
        dataset=name,
        dataset_digest=digest,
        gates=gates,
        errors=tuple(
            (task.task, task.error or "it failed without a message")
            for task in entry.tasks
            if task.status == "failed" and task.task != STOP
        ),
        audit=entry.digest("audit") if audit else None,
        evaluation=history.evaluations.get(entry.digest("evaluate") or ""),
    )


def _status(entry: RunEntry, gates: tuple[GateEvent, ...]) -> Status:
    """A gate that stops a run is no failure of the run; silence is no success."""
    failed = [task.task for task in entry.tasks if task.status == "failed"]
    if any(name != STOP for name in failed):
        return "failed"
    # only some pipelines stop at a gate: what ended as a success was not stopped
    if failed or (entry.final != "succeeded" and any(not gate.passed for gate in gates)):
        return "stopped"
    if entry.final is not None:
        return entry.final
    if any(task.status == "running" and task.task not in LAST for task in entry.tasks):
        return "unfinished"
    return "succeeded" if any(entry.task(name) for name in LAST) else "unfinished"


def _gates(
    key: str, entry: RunEntry, history: History, dataset: str | None, digest: str | None
) -> list[GateEvent]:
    def event(gate: str, passed: bool, task: str, reasons: tuple[str, ...]) -> GateEvent:
        done = entry.task(task)
        at = entry.begun if done is None else done.begun + done.seconds
        return GateEvent(gate, passed, at, reasons, dataset, digest, key)

    events = []
    if validation := history.validations.get(entry.digest("validate") or ""):
        passed = validation.verdict == "pass"
        events.append(event(DATA, passed, "validate", validation.reasons))
    if audit := history.audits.get(entry.digest("audit") or ""):
        events.append(event(LABELS, audit.verdict == "pass", "audit", audit.reasons))
    if promotion := history.promotions.get(entry.digest("promote") or ""):
        reasons = tuple(
            f"{'✓' if gate.passed else '✗'} {gate.gate}: {gate.reason}" for gate in promotion.gates
        )
        passed = all(gate.passed for gate in promotion.gates)
        events.append(event(PROMOTION, passed, "promote", reasons))
    stopped = entry.task(STOP)
    if stopped is not None and (closed := CLOSED.fullmatch(stopped.error or "")):
        # a gate that decided without leaving a result is known by what it stopped
        gate, reasons_text = closed.groups()
        if all(known.gate != gate for known in events):
            events.append(event(gate, False, STOP, tuple(reasons_text.split("; "))))
    return events


def gate_events(history: History, runs: tuple[Run, ...]) -> tuple[GateEvent, ...]:
    """Every decision, the newest first: those of runs, and those of stages that ran alone."""
    events = [event for run in runs for event in run.gates]
    ran = {task.digest for run in runs for task in run.entry.tasks}
    for digest, audit in history.audits.items():
        if digest not in ran:
            passed = audit.verdict == "pass"
            place = (audit.dataset, audit.dataset_digest, None)
            events.append(GateEvent(LABELS, passed, audit.made, audit.reasons, *place))
    for digest, one in history.validations.items():
        if digest not in ran:
            passed = one.verdict == "pass"
            events.append(GateEvent(DATA, passed, one.made, one.reasons, None, None, None))
    return tuple(sorted(events, key=lambda event: (-event.at, event.gate, event.run or "")))
