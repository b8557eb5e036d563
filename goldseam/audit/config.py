"""Options of the two stages that look at labels before anything is trained on them."""

from typing import Any, Self

import pydantic

from goldseam.artifacts import StageConfig
from goldseam.audit.consistency.config import ConsistencyConfig
from goldseam.audit.drift.config import DriftConfig
from goldseam.audit.duplicates.config import DuplicatesConfig
from goldseam.audit.errors.box_config import BoxConfig
from goldseam.audit.errors.config import ErrorsConfig
from goldseam.audit.errors.value_config import ValuesConfig
from goldseam.audit.expectations.config import GateConfig
from goldseam.audit.missingness.config import MissingnessConfig
from goldseam.audit.noise.config import NoiseConfig
from goldseam.audit.plan.config import PlanConfig
from goldseam.audit.predictions.config import PredictionsConfig
from goldseam.audit.pseudo_labels.config import PseudoLabelConfig
from goldseam.audit.report.config import ReportConfig


class ValidateConfig(StageConfig):
    """Options of `validate`.

    Attributes:
        suite: content of an expectation suite in Great Expectations' JSON form, which replaces the
            one that is generated from `dataset.yaml`. Content, not a path: on a cluster no file of
            the submitting machine can be read.
        minimum_known: images of the training split on which each task, and each category of tags
            and boxes, must be known (present or absent).
        minimum_known_of: `task` or `task.category` → another minimum.
        sources: task → the sources that its labels may have; any for a task that is not named.
    """

    suite: dict[str, Any] | None = None
    minimum_known: int = pydantic.Field(default=1, ge=0)
    minimum_known_of: dict[str, int] = pydantic.Field(default_factory=dict)
    sources: dict[str, tuple[str, ...]] = pydantic.Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _one_suite(self) -> Self:
        # compared with the defaults, not with what was set: a resolved recipe spells all of it out
        shaping = {
            "minimum_known": self.minimum_known != 1,
            "minimum_known_of": bool(self.minimum_known_of),
            "sources": bool(self.sources),
        }
        if self.suite is not None and any(shaping.values()):
            named = ", ".join(name for name, is_set in shaping.items() if is_set)
            raise ValueError(
                f"{named}: this shapes the generated suite, which 'suite' replaces; write it into "
                "the suite, or leave 'suite' out"
            )
        return self


class MeasureConfig(StageConfig):
    """What is read off the pictures, in one visit to each.

    Attributes:
        pictures: whether the images are decoded, for their statistics and duplicates. Labels that
            are pictures are decoded in any case.
        noise: how noisy labels are compared with clean ones.
        consistency: which contradictions between the labels of one image are looked for.
    """

    pictures: bool = True
    noise: NoiseConfig = NoiseConfig()
    consistency: ConsistencyConfig = ConsistencyConfig()


class AuditConfig(StageConfig):
    """Options of `audit`, a section for each question.

    Attributes:
        measure: what is read off the pictures.
        crossfit: whether small models are trained, whose predictions the labels are compared with,
            where none are given. Without them no label errors are searched for.
        predictions: how they are trained.
        missingness: what gaps may depend on.
        errors: of tags and masks.
        boxes: errors of boxes.
        values: errors of depth, distance and normals.
        pseudo_labels: which ones the predictions would make.
        duplicates: when two pictures are alike.
        plan: what labels cost, and what to buy.
        drift: when a change between two versions is worth a look.
        gate: limits that the labels have to keep.
        report: how much the page shows.
    """

    measure: MeasureConfig = MeasureConfig()
    crossfit: bool = True
    predictions: PredictionsConfig = PredictionsConfig()
    missingness: MissingnessConfig = MissingnessConfig()
    errors: ErrorsConfig = ErrorsConfig()
    boxes: BoxConfig = BoxConfig()
    values: ValuesConfig = ValuesConfig()
    pseudo_labels: PseudoLabelConfig = PseudoLabelConfig()
    duplicates: DuplicatesConfig = DuplicatesConfig()
    plan: PlanConfig = PlanConfig()
    drift: DriftConfig = DriftConfig()
    gate: GateConfig = GateConfig()
    report: ReportConfig = ReportConfig()
