"""Multi-task training from partial labels, with or without diffusion.

Source: Ye & Xu, DiffusionMTL, CVPR 2024. A task's loss is taken on the images that carry it; what
the other images predict serves as condition only.
"""

from pathlib import Path

from goldseam.artifacts import digest_folder, stage_key
from goldseam.dataset.reading import Dataset
from goldseam.multitask.config import TrainConfig
from goldseam.results import TrainingResult
from goldseam.trainer.learning import learn


def train(
    config: TrainConfig, dataset: Dataset, out: Path, *, init: Path | None = None
) -> TrainingResult:
    """Train one model for `config.tasks`.

    Args:
        config: options.
        dataset: whose training split carries each task on some images.
        out: folder to make; the model stands in `out/checkpoint`.
        init: checkpoint of `pretrain`; None starts from scratch.

    Raises:
        InvalidDataset: the dataset has no such task.
        InvalidConfig: a task's kind cannot be trained, or nothing of it is known.
    """
    inputs = {"dataset": dataset.info.digest}
    if init is not None:
        inputs["init"] = digest_folder(init)
    key = stage_key("train", config, **inputs)
    return learn(
        "train",
        dataset,
        config.tasks,
        config,
        key=key,
        out=out,
        diffusion=config.diffusion,
        init=init,
        depth=config.transfer,
    )
