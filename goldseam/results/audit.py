"""What the stages of an audit produced: measures, predictions, and the audit itself."""

import dataclasses
from typing import ClassVar, Literal

from goldseam.artifacts import Result
from goldseam.results.data import Verdict
from goldseam.results.labels import (
    AnnotationPlan,
    BoxCoverage,
    CoverageRow,
    Disagreement,
    DriftTest,
    DuplicateSummary,
    LabelErrors,
    LabelPattern,
    MissingnessTest,
    NoiseMatrix,
    NoiseRate,
    PairVerdict,
    PresenceEstimate,
    PseudoLabelAudit,
)


@dataclasses.dataclass(frozen=True)
class FindingCount:
    """How many findings of a kind a task has."""

    task: str
    kind: str
    findings: int
    images: int


@dataclasses.dataclass(frozen=True)
class Inspected:
    """What this audit looked at, so that silence is not taken for a clean bill.

    Attributes:
        section: of the audit.
        done: whether it ran.
        why: what it used, or why it did not run and what would make it run.
    """

    section: str
    done: bool
    why: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditResult(Result):
    """What an audit found.

    `audit.json` holds the same for other programs; beside it stand `findings.parquet`,
    `annotate_next.parquet` and `index.html`.

    Attributes:
        sentences: what matters most, the most important first.
        notes: what else each section has to say in words.
    """

    stage: ClassVar[str] = "audit"
    dataset: str
    version: str
    revision: str | None = None
    dataset_digest: str
    rows: dict[str, int]
    verdict: Verdict = "pass"
    reasons: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    inspected: tuple[Inspected, ...] = ()
    coverage: tuple[CoverageRow, ...] = ()
    patterns: tuple[LabelPattern, ...] = ()
    boxes: tuple[BoxCoverage, ...] = ()
    missingness: tuple[MissingnessTest, ...] = ()
    presence: tuple[PresenceEstimate, ...] = ()
    pairs: tuple[PairVerdict, ...] = ()
    errors: tuple[LabelErrors, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    noise: tuple[NoiseRate, ...] = ()
    matrices: tuple[NoiseMatrix, ...] = ()
    pseudo_labels: tuple[PseudoLabelAudit, ...] = ()
    duplicates: DuplicateSummary | None = None
    plan: AnnotationPlan | None = None
    drift: tuple[DriftTest, ...] = ()
    findings: tuple[FindingCount, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasureResult(Result):
    """What was read off the pictures of some shards, as one Parquet file a table.

    Attributes:
        dataset_digest: of the dataset they were read off.
        options: digest of the options.
        part: which part of the shards, from 0.
        tables: name → rows.
    """

    stage: ClassVar[str] = "measure"
    dataset_digest: str
    options: str
    part: int
    tables: dict[str, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossfitResult(Result):
    """Predictions of every image by models that saw no label of its group.

    The folder holds one Parquet file a fold, `predictions.json` and `embeddings/`.

    Attributes:
        dataset_digest: of the dataset that is predicted.
        features: where predictions come from: a model trained for each fold, or linear heads on a
            checkpoint or a backbone of the hub.
        folds: into which the groups of all splits were dealt.
        images: that were predicted: those with a stored picture.
        tasks: that were predicted.
        skipped: task → why it was not; `task.category` → why only its base rate is predicted.
        seen: tasks whose labels of this dataset taught the frozen network before; only heads are
            out of fold for them.
        scores: `task.metric` on the known labels; `task.skill` is the share of the base rates'
            log-loss (for values: of the variance) that the predictions save. None where undefined.
    """

    stage: ClassVar[str] = "crossfit"
    dataset_digest: str
    features: Literal["train", "checkpoint", "hub"]
    folds: int
    images: int
    tasks: tuple[str, ...]
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    seen: tuple[str, ...] = ()
    scores: dict[str, float | None] = dataclasses.field(default_factory=dict)

    @property
    def out_of_fold(self) -> bool:
        """True when nothing in any model saw a label of the images it predicts."""
        return not self.seen
