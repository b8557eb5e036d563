"""What each stage produced, in the form that other stages, the pipeline and the page read.

The types stand here, below the stages, since stages do not import each other.
"""

from goldseam.results.audit import (
    AuditResult,
    CrossfitResult,
    FindingCount,
    Inspected,
    MeasureResult,
)
from goldseam.results.data import DatasetReference, FailedCheck, ValidationResult, Verdict
from goldseam.results.estimate import Estimate
from goldseam.results.finetuning import CategoryRepair, FinetuneResult, ScoreChange
from goldseam.results.labels import (
    AnnotationPlan,
    BoxCoverage,
    CoverageRow,
    Disagreement,
    DriftTest,
    DuplicateGroup,
    DuplicateImage,
    DuplicateSummary,
    FactorKind,
    LabelErrors,
    LabelPattern,
    MissingnessTest,
    NoiseMatrix,
    NoiseRate,
    PairVerdict,
    PlanRow,
    PresenceEstimate,
    PseudoLabelAudit,
    Strategy,
    Strength,
)
from goldseam.results.models import (
    EvaluationResult,
    Example,
    GateDecision,
    ModelScores,
    PromotionResult,
    PublishResult,
    TrainingResult,
)
from goldseam.results.multitask import AffinityResult, ConditionEffect, Transfer

__all__ = [
    "AffinityResult",
    "AnnotationPlan",
    "AuditResult",
    "BoxCoverage",
    "CategoryRepair",
    "ConditionEffect",
    "CoverageRow",
    "CrossfitResult",
    "DatasetReference",
    "Disagreement",
    "DriftTest",
    "DuplicateGroup",
    "DuplicateImage",
    "DuplicateSummary",
    "Estimate",
    "EvaluationResult",
    "Example",
    "FactorKind",
    "FailedCheck",
    "FindingCount",
    "FinetuneResult",
    "GateDecision",
    "Inspected",
    "LabelErrors",
    "LabelPattern",
    "MeasureResult",
    "MissingnessTest",
    "ModelScores",
    "NoiseMatrix",
    "NoiseRate",
    "PairVerdict",
    "PlanRow",
    "PresenceEstimate",
    "PromotionResult",
    "PseudoLabelAudit",
    "PublishResult",
    "ScoreChange",
    "Strategy",
    "Strength",
    "TrainingResult",
    "Transfer",
    "ValidationResult",
    "Verdict",
]
