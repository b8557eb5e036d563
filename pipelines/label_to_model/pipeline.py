"""From broken labels to a promoted model: the whole pipeline, with its gates.

Each condition has an Else that stops the run, so no gate is passed or skipped in silence: a run
that ends as a success has promoted its model.
"""

from typing import Any

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from components.audit.component import audit
from components.evaluate.component import evaluate
from components.finetune.component import finetune
from components.gate.component import gate
from components.pretrain.component import pretrain
from components.promote.component import promote
from components.publish.component import publish
from components.read_recipe.component import read_recipe
from components.train.component import train
from components.validate.component import validate
from pipelines.drawing import OPEN, Run, pipeline_of
from pipelines.settings import Settings

DATA_REMEDY = (
    "Mend the labels that the reasons name ('goldseam dataset check' lists them by row), or change "
    "the expectations in the recipe's section 'validate'."
)
LABELS_REMEDY = (
    "The audit's page shows what breaks a limit, label by label. Mend it, or change the limits in "
    "the recipe's section 'audit.gate'."
)
MODEL_REMEDY = (
    "The champion stays as it is. The page compares the models: change the recipe and run again, "
    "or change the gates in its section 'promote'."
)


class TrainAndPromote(Run):
    """The tasks from labels to a promoted model."""

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
                self._evaluate_then_promote(labels | self._learn())
            with dsl.Else(name="labels-break-a-limit"):
                self.stop("labels", audited.outputs["summary"], LABELS_REMEDY, labels)
        with dsl.Else(name="data-is-invalid"):
            self.stop("data", validated.outputs["summary"], DATA_REMEDY, labels)

    def _learn(self) -> dict[str, Any]:
        """The model and its two baselines, which depend on nothing of each other."""
        section, data, learning = self.section, self.data, self.pods.learning
        pretrained = learning(pretrain(config=section["pretrain"], **data))
        trained = learning(
            train(
                config=section["train"],
                init=pretrained.outputs["model"],
                init_digest=pretrained.outputs["Output"],
                **data,
            )
        )
        finetuned = learning(
            finetune(
                config=section["finetune"],
                trained=trained.outputs["model"],
                trained_digest=trained.outputs["Output"],
                **data,
            )
        )
        scratch = learning(train(config=section["scratch"], task_name="scratch", **data))
        noisy_direct = learning(
            pretrain(config=section["noisy_direct"], task_name="noisy_direct", **data)
        )
        tasks = {
            "pretrain": pretrained,
            "train": trained,
            "finetune": finetuned,
            "scratch": scratch.set_display_name("baseline: scratch"),
            "noisy_direct": noisy_direct.set_display_name("baseline: noisy labels directly"),
        }
        return {name: task.outputs["model"] for name, task in tasks.items()}

    def _evaluate_then_promote(self, shown: dict[str, Any]) -> None:
        """The second gate: a model that does not hold up is not promoted."""
        evaluated = self.pods.learning(
            evaluate(
                model=shown["finetune"],
                scratch=shown["scratch"],
                noisy_direct=shown["noisy_direct"],
                config=self.section["evaluate"],
                promote=self.section["promote"],
                **self.data,
            ),
            cached=False,  # the champion may have changed
        )
        measured = {"evaluation": evaluated.outputs["evaluation"]}
        registry = {"config": self.section["promote"], "workspace": self.data["workspace"]}
        decided = self.pods.light(gate(**measured, **registry), cached=False)
        shown = shown | {"evaluate": measured["evaluation"]}
        with dsl.If(decided.outputs["Output"] == OPEN, name="gates-are-open"):
            promoted = promote(
                model=shown["finetune"],
                dataset=shown["ingest"],
                audit=shown["audit"],
                **{name: shown[name] for name in ("pretrain", "train", "scratch", "noisy_direct")},
                recipe=self.section["resolved"],
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


def label_to_model(settings: Settings | None = None) -> BaseComponent:
    """Build the pipeline.

    Args:
        settings: what pods get on a cluster; None for a run on this machine.
    """
    return pipeline_of(
        TrainAndPromote,
        read_recipe,
        settings,
        name="label-to-model",
        description="Trains a vision model through noisy and partial labels, compares it with "
        "plain training, and promotes it if the gates let it.",
    )
