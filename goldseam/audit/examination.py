"""The sections of an audit, in the order in which they are read.

Each takes the evidence and its own options and returns its part of the result; what could not be
looked at says why, so that silence is not taken for a clean bill.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa

from goldseam.audit.config import AuditConfig
from goldseam.audit.consistency import ConsistencySection, audit_consistency
from goldseam.audit.coverage import box_coverage, coverage_rows, label_patterns
from goldseam.audit.drift.section import audit_drift
from goldseam.audit.drift.version import Version
from goldseam.audit.duplicates.section import audit_duplicates
from goldseam.audit.errors.box_section import audit_boxes
from goldseam.audit.errors.mask_section import audit_masks
from goldseam.audit.errors.section import ErrorSection
from goldseam.audit.errors.tag_section import audit_tags
from goldseam.audit.errors.value_section import audit_values
from goldseam.audit.evidence import MASKS, Evidence
from goldseam.audit.findings import join_findings
from goldseam.audit.label_digests import TABLE as LABEL_DIGESTS
from goldseam.audit.missingness.section import audit_missingness
from goldseam.audit.noise.audit import audit_noise
from goldseam.audit.noise.estimated import rates_from_matrices
from goldseam.audit.pictures import SCHEMA as PICTURES
from goldseam.audit.plan.section import audit_plan
from goldseam.audit.pseudo_labels.section import audit_pseudo_labels
from goldseam.dataset.schema import Kind
from goldseam.page import count
from goldseam.progress import progress
from goldseam.results import Inspected

VALUES = (Kind.REGRESSION, Kind.NORMALS)
NO_PREDICTIONS = (
    "there are no predictions to compare labels with: leave audit.crossfit on, or give "
    "--predictions"
)
NO_PICTURES = "the pictures are not stored in the dataset, or audit.measure.pictures is off"


@dataclasses.dataclass
class Findings:
    """What was found so far.

    Attributes:
        parts: fields of `AuditResult`.
        tables: findings of single labels.
        inspected: what was looked at, and what was not.
        notes: what else is worth saying.
        ranking: what to annotate next; None until it is made.
    """

    parts: dict[str, Any] = dataclasses.field(default_factory=dict)
    tables: list[pa.Table] = dataclasses.field(default_factory=list)
    inspected: list[Inspected] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    ranking: pa.Table | None = None

    def look(self, section: str, why: str, *, done: bool = True) -> None:
        """Say that a section was done, and with what; or not, and why."""
        self.inspected.append(Inspected(section, done, why))

    @property
    def findings(self) -> pa.Table:
        """All findings of single labels, the most suspicious first."""
        return join_findings(self.tables)


def examine(evidence: Evidence, config: AuditConfig, before: Evidence | None = None) -> Findings:
    """Run every section.

    Args:
        evidence: of the dataset.
        config: the options.
        before: of an earlier version that it is compared with; None for no comparison.
    """
    found = Findings()
    sections: list[Callable[[], None]] = [
        lambda: _coverage(evidence, found),
        lambda: _missingness(evidence, config, found),
        lambda: _errors(evidence, config, found),
        lambda: _noise(evidence, config, found),
        lambda: _pseudo_labels(evidence, config, found),
        lambda: _duplicates(evidence, config, found),
        lambda: _plan(evidence, config, found),
        lambda: _drift(evidence, config, found, before),
    ]
    with progress("audit", len(sections)) as step:
        for section in sections:
            section()
            step()
    return found


def _coverage(evidence: Evidence, found: Findings) -> None:
    labels = evidence.labels
    found.parts.update(
        coverage=coverage_rows(labels, evidence.states),
        patterns=label_patterns(labels),
        boxes=box_coverage(labels),
    )
    found.look("coverage", "every label column")


def _missingness(evidence: Evidence, config: AuditConfig, found: Findings) -> None:
    labels = evidence.labels
    section = audit_missingness(
        labels,
        config.missingness,
        states=evidence.mask_states,
        pictures=evidence.pictures,
        embeddings_ND=evidence.embeddings_ND,
        probabilities=evidence.probabilities,
    )
    found.notes += section.sentences
    held_out = [
        dataclasses.replace(test, split=split)
        for split, tests in section.held_out.items()
        for test in tests
    ]
    found.parts.update(
        missingness=(*section.tests, *held_out), presence=section.presence, pairs=section.pairs
    )
    against = [f"{len(labels.info.meta)} metadata columns", "the other labels"]
    if evidence.pictures is not None:
        against.append("image statistics")
    if evidence.embeddings_ND is not None:
        against.append("embeddings")
    found.look("missingness", "tested against " + ", ".join(against))


def _errors(evidence: Evidence, config: AuditConfig, found: Findings) -> None:
    sections = list(_error_sections(evidence, config))
    contradictions = audit_consistency(
        evidence.tables["consistency"], evidence.labels, config.measure.consistency
    )
    every: list[ErrorSection | ConsistencySection] = [*sections, contradictions]
    found.tables += [section.findings for section in every]
    found.notes += [note for section in every for note in section.sentences]
    found.parts.update(
        errors=tuple(row for section in every for row in section.errors),
        matrices=tuple(matrix for section in sections for matrix in section.matrices),
    )
    found.look("contradictions between labels", "labels of the same image, pair by pair")
    predicted = [] if evidence.predictions is None else list(evidence.predictions.tasks)
    lacking = [name for name in evidence.labels.info.tasks if name not in predicted]
    if predicted:
        assert evidence.predictions is not None
        kind = "out of fold" if evidence.predictions.out_of_fold else "given"
        found.look("label errors", f"predictions ({kind}) of {', '.join(predicted)}")
        foreign = evidence.predictions.match(evidence.labels).foreign
        if foreign:
            rows = "prediction is" if foreign == 1 else "predictions are"
            found.notes.append(
                f"{count(foreign)} {rows} left out, being of images that are not in the dataset."
            )
    if lacking:
        why = "these tasks are not predicted" if predicted else NO_PREDICTIONS
        found.look(f"label errors of {', '.join(lacking)}", why, done=False)


def _error_sections(evidence: Evidence, config: AuditConfig) -> Iterator[ErrorSection]:
    labels = evidence.labels
    for task in evidence.predicted(Kind.TAGS):
        yield audit_tags(labels, task, evidence.probabilities[task], config.errors)
    for task in evidence.predicted(*MASKS):
        yield audit_masks(labels, task, functools.partial(evidence.masks, task), config.errors)
    for task in evidence.predicted(Kind.DETECTION):
        assert evidence.predictions is not None
        yield audit_boxes(labels, task, evidence.predictions.boxes(labels, task), config.boxes)
    for task in evidence.known(*VALUES):
        yield audit_values(labels, task, evidence.values(task), config.values)


def _noise(evidence: Evidence, config: AuditConfig, found: Findings) -> None:
    section = audit_noise(evidence.labels, evidence.tables, config.measure.noise)
    found.notes += section.sentences
    estimated = rates_from_matrices(found.parts["matrices"], found.parts["errors"])
    found.parts.update(
        disagreements=section.disagreements,
        noise=(*section.rates, *estimated),
        matrices=(*section.matrices, *found.parts["matrices"]),
    )
    pairs = [name for name, task in evidence.labels.info.tasks.items() if task.noisy_version_of]
    if pairs:
        found.look("noise", f"measured where {', '.join(pairs)} and the clean version are known")
    else:
        found.look(
            "measured noise",
            "no task is declared as noisy_version_of another; rates are estimated where there are "
            "predictions",
            done=False,
        )


def _pseudo_labels(evidence: Evidence, config: AuditConfig, found: Findings) -> None:
    judged = [
        row
        for task in evidence.predicted(Kind.TAGS)
        for row in audit_pseudo_labels(
            evidence.labels, task, evidence.probabilities[task], config.pseudo_labels
        )
    ]
    found.parts["pseudo_labels"] = tuple(judged)
    if judged:
        found.look("pseudo-labels", "predictions of unknown tags, judged on the known ones")
    else:
        found.look("pseudo-labels", "no predicted task of tags", done=False)


def _duplicates(evidence: Evidence, config: AuditConfig, found: Findings) -> None:
    pictures = evidence.pictures
    summary, table = audit_duplicates(
        evidence.labels,
        PICTURES.empty_table() if pictures is None else pictures,
        config.duplicates,
        states=evidence.mask_states,
        embeddings_ND=evidence.embeddings_ND,
        label_digests=evidence.tables.get(LABEL_DIGESTS),
    )
    found.parts["duplicates"] = summary
    found.tables.append(table)
    if pictures is None:
        found.look("duplicate pictures", NO_PICTURES, done=False)
    else:
        found.look("duplicates", "pixels and fingerprints of every picture")


def _plan(evidence: Evidence, config: AuditConfig, found: Findings) -> None:
    section = audit_plan(
        evidence.labels,
        evidence.probabilities,
        config.plan,
        uncertainty=evidence.uncertainty,
        states=evidence.states,
        embeddings_ND=evidence.embeddings_ND,
        missingness=found.parts["missingness"],
    )
    found.parts["plan"] = section.plan
    found.ranking = section.ranking
    by = "scarcity, predictions" if evidence.predictions is not None else "scarcity"
    found.look("what to annotate next", f"{by} and costs of unknown labels")


def _drift(
    evidence: Evidence, config: AuditConfig, found: Findings, before: Evidence | None
) -> None:
    if before is None:
        found.look("drift", "no earlier version is given: name one with --against", done=False)
        return
    old = audit_noise(before.labels, before.tables, config.measure.noise).rates
    new = [rate for rate in found.parts["noise"] if rate.clean_task is not None]
    found.parts["drift"] = audit_drift(_version(before, old), _version(evidence, new), config.drift)
    found.look("drift", f"against version {before.labels.info.version}")


def _version(evidence: Evidence, noise: Iterable[Any]) -> Version:
    return Version(
        labels=evidence.labels,
        pictures=evidence.pictures,
        noise=tuple(noise),
        states=evidence.states,
        label_digests=evidence.tables.get(LABEL_DIGESTS),
    )
