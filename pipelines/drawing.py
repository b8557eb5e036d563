"""What every pipeline on a dataset begins with: its recipe is read, its data referenced.

Whatever happens after that, an exit handler leaves a status and a page.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from components.ingest.component import ingest
from components.report_status.component import report_status
from components.stop.component import stop
from pipelines.settings import Settings

OPEN = "pass"  # what a gate's task returns when it lets the run go on
DATA_REMEDY = (
    "Mend the labels that the reasons name ('goldseam dataset check' lists them by row), or change "
    "the expectations in the recipe's section 'validate'."
)
LABELS_REMEDY = (
    "The audit's page shows what closed the gate, label by label; 'goldseam findings' hands them "
    "to an annotation tool. Or change the limits in the recipe's section 'audit.gate'."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run(abc.ABC):
    """The tasks of one run while the pipeline is being drawn.

    Attributes:
        pods: what each task gets on a cluster.
        section: the recipe's sections by name.
        data: inputs of every task that reads the dataset.
    """

    pods: Settings
    section: dict[str, Any]
    data: dict[str, Any]

    @abc.abstractmethod
    def draw(self) -> None:
        """Draw the tasks that follow the reference to the data."""

    @abc.abstractmethod
    def publish(self, shown: dict[str, Any]) -> dsl.PipelineTask:
        """Show what there is.

        Args:
            shown: outputs of stages by the name of the input that takes them.
        """

    def stop(self, gate: str, reasons: Any, remedy: str, shown: dict[str, Any]) -> None:
        """Show what there is, then fail with the gate's reasons."""
        page = self.publish(shown)
        stopped = stop(gate=gate, reasons=reasons, remedy=remedy, workspace=self.data["workspace"])
        self.pods.light(stopped, cached=False).after(page)


def pipeline_of(
    run: type[Run],
    read: Callable[..., dsl.PipelineTask],
    settings: Settings | None,
    *,
    name: str,
    description: str,
) -> BaseComponent:
    """Build a pipeline that takes a recipe and a dataset.

    Args:
        run: draws its tasks.
        read: the component that splits its recipe.
        settings: what pods get on a cluster; None for a run on this machine.
        name: of the pipeline.
        description: of the pipeline, in a sentence.
    """
    pods = settings or Settings()

    @dsl.pipeline(name=name, description=description)
    def pipeline(
        recipe: dict,
        dataset_uri: str,
        dataset_digest: str,
        dataset_revision: str = "",
        workspace: str = pods.workspace,
    ) -> None:
        """Run on a dataset.

        Args:
            recipe: the resolved recipe (`goldseam recipe show FILE`).
            dataset_uri: folder of the dataset, as tasks see it.
            dataset_digest: digest of the dataset; other data is refused.
            dataset_revision: name of the data's version.
            workspace: folder that all tasks share.
        """
        last = pods.light(report_status(recipe=recipe, workspace=workspace), cached=False)
        with dsl.ExitHandler(last, name="run"):
            sections = pods.light(read(recipe=recipe, workspace=workspace), cached=False)
            reference = pods.light(
                ingest(
                    dataset_uri=dataset_uri,
                    dataset_digest=dataset_digest,
                    dataset_revision=dataset_revision,
                    workspace=workspace,
                )
            )
            run(
                pods=pods,
                section=sections.outputs,
                data={
                    "dataset": reference.outputs["dataset"],
                    "dataset_digest": reference.outputs["Output"],
                    "workspace": workspace,
                },
            ).draw()

    return pipeline
