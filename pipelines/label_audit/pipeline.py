"""What the labels are worth, on a schedule: checked, measured in parallel, audited, published.

Nothing is trained here but the small models whose predictions the labels are compared with. Each
condition has an Else that stops the run, so a run that ends as a success has passed its gates.
"""

import dataclasses
from typing import Any

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from components.audit.component import audit
from components.crossfit.component import crossfit
from components.dashboard.component import dashboard
from components.ingest.component import ingest
from components.join_measures.component import join_measures
from components.list_parts.component import list_parts
from components.measure.component import measure
from components.read_audit_recipe.component import read_audit_recipe
from components.report_status.component import report_status
from components.stop.component import stop
from components.validate.component import validate
from pipelines.settings import Settings

OPEN = "pass"
FORM_REMEDY = (
    "Mend the labels that the reasons name ('goldseam dataset check' lists them by row), or change "
    "the expectations in the recipe's section 'validate'."
)
WORTH_REMEDY = (
    "The audit's page shows what closed the gate, label by label; 'goldseam findings' hands them "
    "to an annotation tool. Or change the limits in the recipe's section 'audit.gate'."
)


def label_audit(settings: Settings | None = None) -> BaseComponent:
    """Build the pipeline.

    Args:
        settings: what pods get on a cluster; None for a run on this machine.
    """
    pods = settings or Settings()

    @dsl.pipeline(
        name="label-audit",
        description="Says what a dataset's labels are worth, stops where they break a limit, and "
        "adds to the dashboards.",
    )
    def pipeline(
        recipe: dict,
        dataset_uri: str,
        dataset_digest: str,
        dataset_revision: str = "",
        workspace: str = pods.workspace,
    ) -> None:
        """Audit labels.

        Args:
            recipe: the resolved recipe (`goldseam recipe show FILE`).
            dataset_uri: folder of the dataset, as tasks see it.
            dataset_digest: digest of the dataset; other data is refused.
            dataset_revision: name of the data's version.
            workspace: folder that all tasks share.
        """
        last = pods.light(report_status(workspace=workspace), cached=False)
        with dsl.ExitHandler(last, name="run"):
            sections = pods.light(
                read_audit_recipe(recipe=recipe, workspace=workspace), cached=False
            )
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
            run.check_then_audit()

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

    def check_then_audit(self) -> None:
        """The first gate: what breaks its form cannot be read, let alone audited."""
        validated = self.pods.light(validate(config=self.section["validate"], **self.data))
        shown = {"ingest": self.data["dataset"], "validate": validated.outputs["validation"]}
        with dsl.If(validated.outputs["Output"] == OPEN, name="data-is-valid"):
            self._audit_then_publish(shown)
        with dsl.Else(name="data-is-invalid"):
            self._stop("data", validated.outputs["summary"], FORM_REMEDY, shown)

    def _audit_then_publish(self, shown: dict[str, Any]) -> None:
        """The second gate: labels that are worth too little."""
        joined = self._measure()
        predicted = self.pods.learning(crossfit(config=self.section["predictions"], **self.data))
        audited = self.pods.light(
            audit(
                config=self.section["audit"],
                measures=joined.outputs["measures"],
                predictions=predicted.outputs["predictions"],
                predictions_digest=predicted.outputs["Output"],
                **self.data,
            )
        )
        shown = shown | {"audit": audited.outputs["findings"]}
        with dsl.If(audited.outputs["Output"] == OPEN, name="labels-are-worth-it"):
            self._publish(shown)
        with dsl.Else(name="labels-break-a-limit"):
            self._stop("labels", audited.outputs["summary"], WORTH_REMEDY, shown)

    def _measure(self) -> dsl.PipelineTask:
        """Every picture is looked at once, in as many tasks as the recipe allows."""
        parts = list_parts(
            dataset=self.data["dataset"],
            parts=self.section["parts"],
            workspace=self.data["workspace"],
        )
        with dsl.ParallelFor(self.pods.light(parts).output, name="each-part") as part:
            measured = self.pods.light(
                measure(config=self.section["measure"], part=part, **self.data)
            )
        joined = join_measures(
            parts=dsl.Collected(measured.outputs["measures"]), workspace=self.data["workspace"]
        )
        return self.pods.light(joined)

    def _publish(self, shown: dict[str, Any]) -> dsl.PipelineTask:
        return self.pods.light(dashboard(workspace=self.data["workspace"], **shown), cached=False)

    def _stop(self, gate: str, reasons: Any, remedy: str, shown: dict[str, Any]) -> None:
        """Show what there is, then fail with the gate's reasons."""
        page = self._publish(shown)
        stopped = stop(gate=gate, reasons=reasons, remedy=remedy, workspace=self.data["workspace"])
        self.pods.light(stopped, cached=False).after(page)
