"""One model of many tasks from images labeled for some of them: trained, compared, promoted."""

from typing import Any

from kfp.dsl.base_component import BaseComponent

from components.read_partial_recipe.component import read_partial_recipe
from components.train.component import train
from pipelines.drawing import pipeline_of
from pipelines.promotion import TrainAndPromote
from pipelines.settings import Settings


class PartialToModel(TrainAndPromote):
    """Train the model, and beside it the plain multi-task model."""

    def learn(self) -> dict[str, Any]:
        """The model and its baseline, which depend on nothing of each other."""
        learning = self.pods.learning
        trained = learning(train(config=self.section["train"], **self.data))
        scratch = learning(train(config=self.section["scratch"], task_name="scratch", **self.data))
        scratch.set_display_name("baseline: plain multi-task")
        return {"scratch": scratch.outputs["model"], "train": trained.outputs["model"]}


def partial_to_model(settings: Settings | None = None) -> BaseComponent:
    """Build the pipeline.

    Args:
        settings: what pods get on a cluster; None for a run on this machine.
    """
    return pipeline_of(
        PartialToModel,
        read_partial_recipe,
        settings,
        name="partial-to-model",
        description="Trains one model of many tasks from partial labels, compares it with plain "
        "multi-task training, and promotes it if the gates let it.",
    )
