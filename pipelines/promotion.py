"""Gates before learning, gates before promotion: what pipelines that train a model share.

Each condition has an Else that stops the run, so no gate is passed or skipped in silence: a run
that ends as a success has promoted its model.
"""

import abc
import dataclasses
from typing import Any, ClassVar

from kfp import dsl

from components.audit.component import audit
from components.evaluate.component import evaluate
from components.gate.component import gate
from components.promote.component import promote
from components.publish.component import publish
from components.validate.component import validate
from pipelines.drawing import DATA_REMEDY, LABELS_REMEDY, OPEN, Run

MODEL_REMEDY = (
    "The champion stays as it is. The page compares the models: change the recipe and run again, "
    "or change the gates in its section 'promote'."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainAndPromote(Run):
    """The tasks from labels to a promoted model; a pipeline says what is learned in between.

    Attributes:
        baselines: what the model is compared with: input of `evaluate` → the model of `learn`.
    """

    baselines: ClassVar[dict[str, str]] = {"scratch": "scratch", "noisy_direct": "noisy_direct"}

    @abc.abstractmethod
    def learn(self) -> dict[str, Any]:
        """Draw the tasks that train.

        Returns:
            Models by the name of the input that shows them; the last one is to be promoted, and
            `baselines` names those that it is compared with.
        """

    def draw(self) -> None:
        """The first gates: labels that break form or limits train nothing."""
        validated = self.pods.light(validate(config=self.section["validate"], **self.data))
        audited = self.pods.light(audit(config=self.section["audit"], **self.data))
        labels = {
            "ingest": self.data["dataset"],
            "validate": validated.outputs["validation"],
            "audit": audited.outputs["findings"],
        }
        with dsl.If(validated.outputs["Output"] == OPEN, name="data-is-valid"):
            with dsl.If(audited.outputs["Output"] == OPEN, name="labels-keep-their-limits"):
                self._evaluate_then_promote(labels, self.learn())
            with dsl.Else(name="labels-break-a-limit"):
                self.stop("labels", audited.outputs["summary"], LABELS_REMEDY, labels)
        with dsl.Else(name="data-is-invalid"):
            self.stop("data", validated.outputs["summary"], DATA_REMEDY, labels)

    def _evaluate_then_promote(self, labels: dict[str, Any], models: dict[str, Any]) -> None:
        """The second gate: a model that does not hold up is not promoted."""
        model = models[next(reversed(models))]
        baselines = {
            name: models[shown] for name, shown in self.baselines.items() if shown in models
        }
        evaluated = self.pods.learning(
            evaluate(
                model=model,
                config=self.section["evaluate"],
                promote=self.section["promote"],
                **baselines,
                **self.data,
            ),
            cached=False,  # the champion may have changed
        )
        measured = {"evaluation": evaluated.outputs["evaluation"]}
        registry = {"config": self.section["promote"], "workspace": self.data["workspace"]}
        decided = self.pods.light(gate(**measured, **registry), cached=False)
        shown = labels | models | {"evaluate": measured["evaluation"]}
        with dsl.If(decided.outputs["Output"] == OPEN, name="gates-are-open"):
            promoted = promote(
                model=model,
                dataset=labels["ingest"],
                audit=labels["audit"],
                recipe=self.section["resolved"],
                **models,
                **measured,
                **registry,
            )
            self.pods.light(promoted, cached=False)
            self.publish(shown | {"promote": promoted.outputs["promotion"]})
        with dsl.Else(name="gates-are-closed"):
            self.stop("promotion", decided.outputs["decisions"], MODEL_REMEDY, shown)

    def publish(self, shown: dict[str, Any]) -> dsl.PipelineTask:
        """Show what there is."""
        page = publish(
            config=self.section["publish"],
            gates=self.section["promote"],
            workspace=self.data["workspace"],
            **shown,
        )
        return self.pods.light(page, cached=False)
