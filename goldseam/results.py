"""What each stage produced, in the form that other stages, the pipeline and the page read.

The types stand here, below the stages, since stages do not import each other.
"""

import dataclasses
from typing import ClassVar, Literal

from goldseam.artifacts import Result

Verdict = Literal["pass", "fail"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetReference(Result):
    """Where a dataset stands and what it is; never a copy of it. `digest` is the dataset's.

    Attributes:
        uri: a local folder.
        name: of the dataset.
        revision: DVC or git revision, when the data is versioned.
        rows: images by split.
        tasks: the dataset's tasks.
    """

    stage: ClassVar[str] = "ingest"
    uri: str
    name: str
    revision: str | None
    rows: dict[str, int]
    tasks: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class FailedCheck:
    """One expectation that the label table does not meet.

    Attributes:
        expectation: what was expected, in one sentence.
        column: of the label table.
        rows: where, as `split/image_id`; at most twenty.
        count: how many rows in all.
    """

    expectation: str
    column: str
    rows: tuple[str, ...]
    count: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ValidationResult(Result):
    """Whether the label table meets its expectation suite. Data Docs stand in `docs/index.html`."""

    stage: ClassVar[str] = "validate"
    verdict: Verdict
    reasons: tuple[str, ...]
    failures: tuple[FailedCheck, ...]
    checks: int


@dataclasses.dataclass(frozen=True)
class CoverageRow:
    """How much of one task (and category) is known in one split, by source.

    Attributes:
        category: a name, or None for the task as a whole.
        source: who made the labels, or None for all.
        present: images where the category is there (for the whole task: images with a label).
        absent: images where somebody looked and it is not there.
        unknown: images where nobody looked.
    """

    task: str
    category: str | None
    split: str
    source: str | None
    present: int
    absent: int
    unknown: int


@dataclasses.dataclass(frozen=True)
class Disagreement:
    """How a noisy segmentation differs from its clean version where both are known.

    Rates are pixels that differ over pixels that both know; None when there are none.

    Attributes:
        images: images where both are known.
        boundary: rate within `band` px of a boundary of the clean label.
        interior: rate elsewhere.
        confusion: row-normalized matrix clean → noisy, by category; None for an absent category.
    """

    task: str
    noisy_task: str
    split: str
    images: int
    band: int
    overall: float | None
    boundary: float | None
    interior: float | None
    categories: tuple[str, ...]
    confusion: tuple[tuple[float | None, ...], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditResult(Result):
    """What an audit found; `audit.json` and `index.html` stand beside it."""

    stage: ClassVar[str] = "audit"
    coverage: tuple[CoverageRow, ...]
    disagreements: tuple[Disagreement, ...]
    sentences: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingResult(Result):
    """A trained model in `checkpoint/`; `digest` is that of its weights and configuration.

    Attributes:
        steps: optimizer steps.
        best_step: the step whose weights were kept, chosen on the validation split.
        validation: the metrics there.
        parameters: number of parameters.
        history: training curve, one entry an evaluation.
    """

    stage: ClassVar[str] = "training"
    steps: int
    best_step: int
    validation: dict[str, float | None]
    parameters: int
    history: tuple[dict[str, float | None], ...]

    @property
    def checkpoint(self) -> str:
        """Folder of the model."""
        return str(self.folder / "checkpoint")


@dataclasses.dataclass(frozen=True)
class CategoryRepair:
    """What fine-tuning did to one category's classifier.

    Attributes:
        kept: True when the trained head was kept.
        why: one sentence.
        known_present: known positives in the training split.
        known_absent: known negatives.
        penalty: ridge penalty chosen by cross-validation; None when kept.
        log_loss_before: cross-validated, per known label.
        log_loss_after: the same of the repaired head.
    """

    category: str
    kept: bool
    why: str
    known_present: int
    known_absent: int
    penalty: float | None
    log_loss_before: float | None
    log_loss_after: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneResult(Result):
    """A model whose tag heads were repaired, in `checkpoint/`."""

    stage: ClassVar[str] = "finetune"
    task: str
    categories: tuple[CategoryRepair, ...]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number with its bootstrap interval.

    Attributes:
        value: None when undefined on this split.
        low: lower end of the 95 % interval; None when undefined.
        high: upper end.
        unit: of `value`; empty for a ratio.
        better: which direction is better.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    better: Literal["higher", "lower"] = "higher"

    @property
    def verdict(self) -> Literal["better", "worse", "unclear"]:
        """What a paired difference says: unclear while its interval holds 0 or is undefined."""
        if self.value is None or self.low is None or self.high is None:
            return "unclear"
        if self.low <= 0 <= self.high:
            return "unclear"
        return "better" if (self.value > 0) == (self.better == "higher") else "worse"


@dataclasses.dataclass(frozen=True)
class ModelScores:
    """The metrics of one model.

    Attributes:
        model_digest: of its checkpoint.
        metrics: `task.metric` or `task.metric.category` → estimate.
    """

    model_digest: str
    metrics: dict[str, Estimate]


@dataclasses.dataclass(frozen=True)
class Example:
    """Pictures of one test image: panel (`image`, `cover`, `cover_map`, `pipeline`, …) → file."""

    image_id: str
    panels: dict[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationResult(Result):
    """Every model's metrics on the same held-out images.

    Attributes:
        models: name (`pipeline`, `scratch`, `noisy_direct`, `champion`) → scores.
        differences: other model → metric → pipeline minus other, with a paired interval.
        examples: pictures, as files relative to `folder`.
    """

    stage: ClassVar[str] = "evaluate"
    dataset_digest: str
    split: str
    images: int
    groups: int
    resamples: int
    models: dict[str, ModelScores]
    differences: dict[str, dict[str, Estimate]]
    examples: tuple[Example, ...]


@dataclasses.dataclass(frozen=True)
class GateDecision:
    """One gate's verdict, with the numbers behind it."""

    gate: str
    passed: bool
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromotionResult(Result):
    """What the registry holds after promotion.

    Attributes:
        promoted: whether the alias points at this model now.
        registered: whether this call made a new version (False when it was there already).
        version: the model version.
        run_id: the MLflow run.
    """

    stage: ClassVar[str] = "promote"
    model_name: str
    version: str | None
    alias: str
    promoted: bool
    registered: bool
    run_id: str
    tracking_uri: str
    gates: tuple[GateDecision, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishResult(Result):
    """The page of a run: `index.html`."""

    stage: ClassVar[str] = "publish"
    page: str
