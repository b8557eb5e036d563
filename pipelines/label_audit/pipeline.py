"""What the labels are worth, on a schedule: checked, measured in parallel, audited, published.

Nothing is trained here but the small models whose predictions the labels are compared with. Each
condition has an Else that stops the run, so a run that ends as a success has passed its gates.
"""

from typing import Any

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from components.audit.component import audit
from components.crossfit.component import crossfit
from components.dashboard.component import dashboard
from components.join_measures.component import join_measures
from components.list_parts.component import list_parts
from components.measure.component import measure
from components.read_audit_recipe.component import read_audit_recipe
from components.validate.component import validate
from pipelines.drawing import DATA_REMEDY, LABELS_REMEDY, OPEN, Run, pipeline_of
from pipelines.settings import Settings


class AuditAndPublish(Run):
    """The tasks from labels to the dashboards."""

    def draw(self) -> None:
        """The first gate: what breaks its form cannot be read, let alone audited."""
        validated = self.pods.light(validate(config=self.section["validate"], **self.data))
        shown = {"ingest": self.data["dataset"], "validate": validated.outputs["validation"]}
        with dsl.If(validated.outputs["Output"] == OPEN, name="data-is-valid"):
            self._audit_then_publish(shown)
        with dsl.Else(name="data-is-invalid"):
            self.stop("data", validated.outputs["summary"], DATA_REMEDY, shown)

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
            self.publish(shown)
        with dsl.Else(name="labels-break-a-limit"):
            self.stop("labels", audited.outputs["summary"], LABELS_REMEDY, shown)

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

    def publish(self, shown: dict[str, Any]) -> dsl.PipelineTask:
        """Show what there is."""
        return self.pods.light(dashboard(workspace=self.data["workspace"], **shown), cached=False)


def label_audit(settings: Settings | None = None) -> BaseComponent:
    """Build the pipeline.

    Args:
        settings: what pods get on a cluster; None for a run on this machine.
    """
    return pipeline_of(
        AuditAndPublish,
        read_audit_recipe,
        settings,
        name="label-audit",
        description="Says what a dataset's labels are worth, stops where they break a limit, and "
        "adds to the dashboards.",
    )
