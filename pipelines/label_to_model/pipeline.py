"""From broken labels to a promoted model: the whole pipeline, with its gates.

Each condition has an Else that stops the run, so no gate is passed or skipped in silence: a run
that ends as a success has promoted its model.
"""

import dataclasses
from typing import Any

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from components.audit.component import audit
from components.evaluate.component import evaluate
from components.finetune.component import finetune
from components.gate.component import gate
from components.ingest.component import ingest
from components.pretrain.component import pretrain
from components.promote.component import promote
from components.publish.component import publish
from components.read_recipe.component import read_recipe
from components.report_status.component import report_status
from components.stop.component import stop
from components.train.component import train
from components.validate.component import validate
from pipelines.settings import Settings

OPEN = "pass"  # what a gate's task returns when it lets the run go on
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


def label_to_model(settings: Settings | None = None) -> BaseComponent:
    """Build the pipeline.

    Args:
        settings: what pods get on a cluster; None for a run on this machine.
    """
    pods = settings or Settings()

    @dsl.pipeline(
        name="label-to-model",
        description="Trains a vision model through noisy and partial labels, compares it with "
        "plain training, and promotes it if the gates let it.",
    )
    def pipeline(
        recipe: dict,
        dataset_uri: str,
        dataset_digest: str,
        dataset_revision: str = "",
        workspace: str = pods.workspace,
    ) -> None:
        """Train through broken labels.

        Args:
            recipe: the resolved recipe (`goldseam recipe show FILE`).
            dataset_uri: folder of the dataset, as tasks see it.
            dataset_digest: digest of the dataset; other data is refused.
            dataset_revision: name of the data's version.
            workspace: folder that all tasks share.
        """
        last = pods.light(report_status(workspace=workspace), cached=False)
        with dsl.ExitHandler(last, name="run"):
            sections = pods.light(read_recipe(recipe=recipe, workspace=workspace), cached=False)
            reference = pods.light(
                ingest(
                    dataset_uri=dataset_uri,
                    dataset_digest=dataset_digest,
                    dataset_revision=dataset_revision,
                    workspace=workspace,
                )
            )
            run = Run(
                pods=pods,
                section=sections.outputs,
                data={
                    "dataset": reference.outputs["dataset"],
                    "dataset_digest": reference.outputs["Output"],
                    "workspace": workspace,
                },
            )
            run.check_then_learn()

    return pipeline


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """The tasks of one run while the pipeline is being drawn.

    Attributes:
        pods: what each task gets on a cluster.
        section: the recipe's sections by name.
        data: inputs of every task that reads the dataset.
    """

    pods: Settings
    section: dict[str, Any]
    data: dict[str, Any]

    def check_then_learn(self) -> None:
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
                self._stop("labels", audited.outputs["summary"], LABELS_REMEDY, labels)
        with dsl.Else(name="data-is-invalid"):
            self._stop("data", validated.outputs["summary"], DATA_REMEDY, labels)

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
            self._publish(shown | {"promote": promoted.outputs["promotion"]})
        with dsl.Else(name="gates-are-closed"):
            self._stop("promotion", decided.outputs["decisions"], MODEL_REMEDY, shown)

    def _publish(self, shown: dict[str, Any]) -> dsl.PipelineTask:
        page = publish(
            config=self.section["publish"],
            gates=self.section["promote"],
            workspace=self.data["workspace"],
            **shown,
        )
        return self.pods.light(page, cached=False)

    def _stop(self, gate: str, reasons: Any, remedy: str, shown: dict[str, Any]) -> None:
        """Show what there is, then fail with the gate's reasons."""
        page = self._publish(shown)
        stopped = stop(gate=gate, reasons=reasons, remedy=remedy, workspace=self.data["workspace"])
        self.pods.light(stopped, cached=False).after(page)
