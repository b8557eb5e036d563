"""A tagger from tags that are known in part: trained, repaired category by category, promoted."""

from typing import Any, ClassVar

from kfp.dsl.base_component import BaseComponent

from components.finetune.component import finetune
from components.read_tags_recipe.component import read_tags_recipe
from components.train.component import train
from pipelines.drawing import pipeline_of
from pipelines.promotion import TrainAndPromote
from pipelines.settings import Settings


class TagsToModel(TrainAndPromote):
    """Train the model, repair its heads, and beside it train on known tags alone."""

    baselines: ClassVar[dict[str, str]] = {"trained": "train", "scratch": "scratch"}

    def learn(self) -> dict[str, Any]:
        """The model before and after its repair, and its baseline."""
        section, data, learning = self.section, self.data, self.pods.learning
        trained = learning(train(config=section["train"], **data))
        finetuned = learning(
            finetune(
                config=section["finetune"],
                trained=trained.outputs["model"],
                trained_digest=trained.outputs["Output"],
                **data,
            )
        )
        scratch = learning(train(config=section["scratch"], task_name="scratch", **data))
        tasks = {
            "train": trained,
            "scratch": scratch.set_display_name("baseline: known tags only"),
            "finetune": finetuned,
        }
        return {name: task.outputs["model"] for name, task in tasks.items()}


def tags_to_model(settings: Settings | None = None) -> BaseComponent:
    """Build the pipeline.

    Args:
        settings: what pods get on a cluster; None for a run on this machine.
    """
    return pipeline_of(
        TagsToModel,
        read_tags_recipe,
        settings,
        name="tags-to-model",
        description="Trains a tagger on partly known tags, repairs each category on its known "
        "tags, compares it with the model before and with plain training, and promotes it if the "
        "gates let it.",
    )
