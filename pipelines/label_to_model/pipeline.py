"""From broken labels to a promoted model: the whole pipeline, with its gates."""

from typing import Any

from kfp.dsl.base_component import BaseComponent

from components.finetune.component import finetune
from components.pretrain.component import pretrain
from components.read_recipe.component import read_recipe
from components.train.component import train
from pipelines.drawing import pipeline_of
from pipelines.promotion import TrainAndPromote
from pipelines.settings import Settings


class LabelToModel(TrainAndPromote):
    """Pretrain on noisy labels, train on partial ones, fine-tune."""

    def learn(self) -> dict[str, Any]:
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
            "scratch": scratch.set_display_name("baseline: scratch"),
            "noisy_direct": noisy_direct.set_display_name("baseline: noisy labels directly"),
            "finetune": finetuned,
        }
        return {name: task.outputs["model"] for name, task in tasks.items()}


def label_to_model(settings: Settings | None = None) -> BaseComponent:
    """Build the pipeline.

    Args:
        settings: what pods get on a cluster; None for a run on this machine.
    """
    return pipeline_of(
        LabelToModel,
        read_recipe,
        settings,
        name="label-to-model",
        description="Trains a vision model through noisy and partial labels, compares it with "
        "plain training, and promotes it if the gates let it.",
    )
