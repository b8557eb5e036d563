"""What the stages that learn, compare and register produced."""

import dataclasses
from typing import ClassVar

from goldseam.artifacts import Result
from goldseam.results.estimate import Estimate


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
class ModelScores:
    """The metrics of one model.

    Attributes:
        model_digest: of its checkpoint.
        metrics: `task.metric` or `task.metric.category` → estimate.
        tag_thresholds: tags task → category → the model's own threshold, by which `cf1` and `of1`
            were scored; 0.5 stood for None (the model does not decide) and for what is not named.
    """

    model_digest: str
    metrics: dict[str, Estimate]
    tag_thresholds: dict[str, dict[str, float | None]] = dataclasses.field(default_factory=dict)


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
