"""What category-wise fine-tuning produced."""

import dataclasses
from typing import ClassVar

from goldseam.artifacts import Result
from goldseam.results.estimate import Estimate


@dataclasses.dataclass(frozen=True)
class ScoreChange:
    """One score of a category before and after.

    Attributes:
        before: of the trained head, on known labels.
        after: of what replaces it, each label scored by a fit that has not seen its group.
        change: after minus before, on the same labels and draws.
    """

    before: Estimate
    after: Estimate
    change: Estimate


@dataclasses.dataclass(frozen=True)
class CategoryRepair:
    """What fine-tuning did to one category's classifier.

    Attributes:
        category: its name.
        kept: True when the trained head was kept.
        why: one sentence.
        known_present: known positives in the split.
        known_absent: known negatives.
        penalty: ridge penalty chosen by cross-validation; None when kept or only re-scaled.
        gradient_norm: at the new head, in scaled features: 0 at the optimum; None when kept, and
            where the optimum of the loss is not what was looked for.
        log_loss_before: cross-validated, per known label.
        log_loss_after: the same of the repaired head.
        scores: `ap`, `auc`, `log_loss`, `ece` and `brier`, the last two after calibration, all of
            known labels with their own share of positives, for which no intercept is shifted; and
            what decisions bring, at 0.5 before and at the threshold after, by the objective: `f1`
            unless another was asked for. `log_loss_together`, where `correlated` was asked for:
            of the category fit alone, and with the others' help.
        calibration: `identity`, `temperature`, `platt` or `isotonic`; empty where none was asked.
        threshold: from this probability on the category is called present; None where the known
            labels cannot tell.
        notes: sentences on probabilities, share of positives and threshold.
    """

    category: str
    kept: bool
    why: str
    known_present: int
    known_absent: int
    penalty: float | None
    log_loss_before: float | None
    log_loss_after: float | None
    scores: dict[str, ScoreChange] = dataclasses.field(default_factory=dict)
    calibration: str = ""
    threshold: Estimate = dataclasses.field(default_factory=lambda: Estimate(None))
    notes: tuple[str, ...] = ()
    gradient_norm: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneResult(Result):
    """A model whose tag heads were repaired, in `checkpoint/`.

    Attributes:
        task: whose heads.
        categories: those that were to be repaired.
        memorized: `ok`, `warn`, `refuse` or `unknown`: whether the network knows its training
            labels by heart; empty where nobody asked.
        findings: known labels that are worth a second look, in `findings.parquet`.
        sentences: what a person should know.
        page: name of the report.
    """

    stage: ClassVar[str] = "finetune"
    task: str
    categories: tuple[CategoryRepair, ...]
    memorized: str = ""
    findings: int = 0
    sentences: tuple[str, ...] = ()
    page: str = "index.html"
