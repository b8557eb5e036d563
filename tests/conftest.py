"""A small dataset with every kind of gap, from which real models can be trained in seconds."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset

SIZE = 16
CATEGORIES = ("ground", "disk", "bar")
TAGS = ("disk", "bar", "big")


def discs(seed: int, count: int, *, partial: bool) -> Iterator[Sample]:
    """Bright discs and dark bars on noise; the noisy mask forgets the bars."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for number in range(count):
        y, x, radius = random.uniform(4, 12), random.uniform(4, 12), random.uniform(2, 5)
        has_bar = bool(random.random() < 0.5)
        at = int(random.integers(0, SIZE - 2))
        disk_HW = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        bar_HW = (columns >= at) & (columns < at + 2) & has_bar
        mask_HW = np.where(bar_HW, 2, np.where(disk_HW, 1, 0)).astype(np.uint8)
        light_HW = (
            110 + 90 * (mask_HW == 1) - 80 * (mask_HW == 2) + random.normal(0, 10, mask_HW.shape)
        )
        image_HW3 = np.repeat(light_HW.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
        edge_HW = mask_HW != np.roll(mask_HW, 1, axis=1)
        relief_HW = np.where(mask_HW == 1, radius, 0.0).astype(np.float32)
        tags_C = np.array([True, has_bar, radius > 3.5]).astype(np.int8)
        labels = {
            "cover": mask_HW,
            "cover_map": np.where(mask_HW == 2, 0, mask_HW).astype(np.uint8),
            "edge": edge_HW.astype(np.uint8),
            "relief": relief_HW,
            "tags": tags_C,
        }
        if partial:
            dense = ("cover", "edge", "relief")[number % 3]
            labels["tags"] = np.where(random.random(3) < 0.7, tags_C, -1).astype(np.int8)
            keep = {"cover_map", dense} | ({"tags"} if number % 2 else set())
            labels = {task: label for task, label in labels.items() if task in keep}
        yield Sample(
            image_id=f"{seed}-{number:03d}",
            image=image_HW3,
            group=f"g{seed}-{number % 4}",
            labels=labels,
            sources={t: "map" if t == "cover_map" else "human" for t in labels},
        )


def disc_info() -> DatasetInfo:
    return DatasetInfo(
        name="discs",
        tasks={
            "cover": Task(kind=Kind.SEGMENTATION, categories=CATEGORIES),
            "cover_map": Task(
                kind=Kind.SEGMENTATION, categories=CATEGORIES, noisy_version_of="cover"
            ),
            "edge": Task(kind=Kind.BOUNDARY),
            "relief": Task(kind=Kind.REGRESSION, unit="m", scale=1 / 256, offset=-8),
            "tags": Task(kind=Kind.TAGS, categories=TAGS),
        },
    )


@pytest.fixture(scope="session")
def disc_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "discs"
    splits = {
        "train": discs(1, 48, partial=True),
        "validation": discs(2, 12, partial=False),
        "test": discs(3, 16, partial=False),
    }
    write_dataset(out, disc_info(), splits)
    return out


@pytest.fixture(scope="session")
def disc_data(disc_folder: Path) -> Dataset:
    return open_dataset(disc_folder)


@pytest.fixture(scope="session")
def disc_models(disc_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints: a noisy map's model, and a multi-task diffusion model that began with it."""
    from goldseam.models.config import DiffusionConfig, EncoderConfig, NetworkConfig
    from goldseam.multitask.config import TrainConfig
    from goldseam.multitask.stage import train
    from goldseam.pretraining.config import PretrainConfig
    from goldseam.pretraining.stage import pretrain
    from goldseam.trainer.config import OptimizerConfig

    out = tmp_path_factory.mktemp("models")
    network = NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8)
    optimizer = OptimizerConfig(steps=30, batch_size=8, learning_rate=1e-2)
    noisy = pretrain(
        PretrainConfig(network=network, optimizer=optimizer), disc_data, out / "pretrain"
    )
    init = Path(noisy.checkpoint)
    options = TrainConfig(
        tasks=("cover", "edge", "relief", "tags"),
        network=network,
        optimizer=optimizer,
        diffusion=DiffusionConfig(token_width=16, token_stride=4),
        transfer="heads",
    )
    trained = train(options, disc_data, out / "train", init=init)
    return {"pipeline": Path(trained.checkpoint), "noisy_direct": init}
