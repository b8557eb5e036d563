"""Pretraining on noisy labels: the plain supervised loss on every image the old map covers.

Source: Liu et al., Task specific pretraining with noisy labels, IGARSS 2024. The encoder is what
later stages keep; the whole model is the baseline that uses the map directly.
"""

from pathlib import Path

from goldseam.artifacts import stage_key
from goldseam.dataset.reading import Dataset
from goldseam.dataset.schema import Kind
from goldseam.errors import InvalidConfig
from goldseam.pretraining.config import PretrainConfig
from goldseam.results import TrainingResult
from goldseam.trainer.learning import learn


def pretrain(config: PretrainConfig, dataset: Dataset, out: Path) -> TrainingResult:
    """Train encoder, decoder and head on one noisy segmentation task.

    Args:
        config: options.
        dataset: its training split carries the noisy task.
        out: folder to make; the model stands in `out/checkpoint`.

    Raises:
        InvalidDataset: the dataset has no such task.
        InvalidConfig: the task is no segmentation, or nothing of it is known.
    """
    task = dataset.info.task(config.task)
    if task.kind is not Kind.SEGMENTATION:
        raise InvalidConfig(
            f"pretrain.task '{config.task}' is of kind {task.kind}, expected segmentation.",
            remedy="Name a segmentation task.",
        )
    dice = config.loss.dice or 1.0 if config.objective == "cross_entropy_dice" else 0.0
    loss = config.loss.model_copy(update={"dice": dice})
    key = stage_key("pretrain", config, dataset=dataset.info.digest)
    learning = config.model_copy(update={"loss": loss})
    return learn("pretrain", dataset, [config.task], learning, key=key, out=out)
