"""Makes entries of a site's history from what was found in folders."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from goldseam.artifacts import digest_of
from goldseam.dashboard.comparison import is_whole
from goldseam.dashboard.site.history import (
    AuditEntry,
    DatasetEntry,
    DuplicateCounts,
    EvaluationEntry,
    History,
    ModelEntry,
    PromotionEntry,
    RunEntry,
    TaskEntry,
    ValidationEntry,
    keep,
)
from goldseam.dashboard.site.scanning import Found, FoundRun
from goldseam.results import (
    AuditResult,
    DatasetReference,
    Estimate,
    EvaluationResult,
    PromotionResult,
    ValidationResult,
)


def history_of(found: Found) -> History:
    """The history that the found results and records tell."""
    history = History()
    recorded = recorded_times(found.runs)
    for one in found.results:
        result, digest = one.result, one.result.digest
        at = recorded.get((result.stage, digest))
        when: dict[str, Any] = (
            {"made": one.made} if at is None else {"made": at, "timed_by": "record"}
        )
        if isinstance(result, DatasetReference):
            dataset = DatasetEntry(
                name=result.name, revision=result.revision, rows=result.rows, **when
            )
            keep(history.datasets, digest, dataset)
        elif isinstance(result, AuditResult):
            keep(history.audits, digest, audit_entry(result, when))
        elif isinstance(result, ValidationResult):
            validation = ValidationEntry(
                verdict=result.verdict, reasons=result.reasons, checks=result.checks, **when
            )
            keep(history.validations, digest, validation)
        elif isinstance(result, EvaluationResult):
            keep(history.evaluations, digest, evaluation_entry(result, when))
        elif isinstance(result, PromotionResult):
            keep(history.promotions, digest, promotion_entry(result, when))
    for run in found.runs:
        key, entry = run_entry(run)
        history.runs[key] = entry
    return history


def recorded_times(runs: Iterable[FoundRun]) -> dict[tuple[str, str], float]:
    """(task, digest of its result) → when the first run that made it had it."""
    times: dict[tuple[str, str], float] = {}
    for run in runs:
        for record in run.records:
            if record.status != "succeeded" or record.reused or not record.begun:
                continue
            end = record.begun + record.seconds
            key = (record.task, record.digest or "")
            times[key] = min(times.get(key, end), end)
    return times


def audit_entry(result: AuditResult, when: dict[str, Any]) -> AuditEntry:
    """What the site keeps of an audit."""
    found = result.duplicates
    # without pictures only the groups of the dataset were looked at
    compared = found is not None and found.images > 0
    return AuditEntry(
        dataset=result.dataset,
        version=result.version,
        revision=result.revision,
        dataset_digest=result.dataset_digest,
        rows=result.rows,
        verdict=result.verdict,
        reasons=result.reasons,
        sentences=result.sentences,
        inspected=result.inspected,
        coverage=tuple(row for row in result.coverage if row.source is None),
        noise=result.noise,
        errors=tuple(row for row in result.errors if row.source is None and row.annotator is None),
        tested=sum(test.p_value is not None for test in result.missingness),
        missingness=tuple(test for test in result.missingness if test.strength != "none"),
        pairs=dict(Counter(pair.verdict for pair in result.pairs)),
        duplicates=None
        if found is None or not compared
        else DuplicateCounts(
            exact=found.exact,
            near=found.near,
            leaks=found.leaks,
            conflicting=found.conflicting,
            crossing_groups=len(found.crossing_groups),
        ),
        drift=tuple(test for test in result.drift if test.changed),
        findings=result.findings,
        **when,
    )


def evaluation_entry(result: EvaluationResult, when: dict[str, Any]) -> EvaluationEntry:
    """What the site keeps of an evaluation: metrics of whole tasks."""

    def whole(metrics: dict[str, Estimate]) -> dict[str, Estimate]:
        return {name: estimate for name, estimate in metrics.items() if is_whole(name)}

    return EvaluationEntry(
        dataset_digest=result.dataset_digest,
        split=result.split,
        images=result.images,
        groups=result.groups,
        models={
            name: ModelEntry(scores.model_digest, whole(scores.metrics))
            for name, scores in result.models.items()
        },
        differences={name: whole(metrics) for name, metrics in result.differences.items()},
        **when,
    )


def promotion_entry(result: PromotionResult, when: dict[str, Any]) -> PromotionEntry:
    """What the site keeps of a promotion."""
    return PromotionEntry(
        registry=registry_of(result.tracking_uri),
        model=result.model_name,
        version=result.version,
        alias=result.alias,
        promoted=result.promoted,
        run_id=result.run_id,
        gates=result.gates,
        **when,
    )


def registry_of(tracking_uri: str) -> str:
    """Eight digits that stand for a registry: pages tell neither its address nor a password."""
    return digest_of(re.sub(r"://[^/@\s]*@", "://", tracking_uri)).removeprefix("sha256:")[:8]


def run_entry(found: FoundRun) -> tuple[str, RunEntry]:
    """Identity and entry of a run.

    Two workspaces may name a run alike; they did not begin it in the same instant.
    """
    known = {field.name for field in dataclasses.fields(TaskEntry)}
    tasks = tuple(
        TaskEntry(**{name: v for name, v in dataclasses.asdict(record).items() if name in known})
        for record in found.records
    )
    begun = min(task.begun for task in tasks)
    key = f"{found.run}-{digest_of(begun).removeprefix('sha256:')[:8]}"
    final: Any = found.final
    return key, RunEntry(run=found.run, begun=begun, final=final, tasks=tasks)
