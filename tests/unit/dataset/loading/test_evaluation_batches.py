"""Batches for evaluation: every row once, and no image changed by its neighbors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from goldseam.dataset.loading import (
    evaluation_batches,
)
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset

Contents = Callable[..., list[dict[str, Any]]]

TASKS = ["cover", "edge", "depth", "normals", "objects", "tags", "caption"]


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_is_every_row_in_order(partial_dataset: Dataset, workers: int) -> None:
    made = list(evaluation_batches(partial_dataset, "train", TASKS, 16, workers=workers))
    assert [len(batch) for batch in made] == [16, 16, 16, 16, 3]
    assert [i for batch in made for i in batch.image_ids] == [f"tile-{n:03d}" for n in range(67)]


@pytest.mark.parametrize("workers", [0, 1])
def test_evaluation_of_chosen_rows(partial_dataset: Dataset, workers: int) -> None:
    made = evaluation_batches(partial_dataset, "train", [], 2, rows=[3, 8, 60], workers=workers)
    ids = [batch.image_ids for batch in made]
    assert ids == [["tile-003", "tile-008"], ["tile-060"]]


SIZES = ((4, 6), (4, 4), (4, 6), (4, 4), (6, 4))
COVER = Task(kind=Kind.SEGMENTATION, categories=("a", "b"))


def sized_sample(number: int) -> Sample:
    size = SIZES[number]
    random = np.random.default_rng(number)
    return Sample(
        image_id=f"photo-{number}",
        image=random.integers(0, 256, (*size, 3), dtype=np.uint8),
        group="g",
        labels={"cover": random.integers(0, 2, size, dtype=np.uint8)},
        sources={"cover": "human"},
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_images_of_several_sizes_are_neither_padded_nor_mixed(tmp_path: Path, workers: int) -> None:
    samples = [sized_sample(number) for number in range(len(SIZES))]
    write_dataset(
        tmp_path / "sizes", DatasetInfo(name="s", tasks={"cover": COVER}), {"train": samples}
    )
    dataset = open_dataset(tmp_path / "sizes")
    made = list(evaluation_batches(dataset, "train", ["cover"], 4, workers=workers))
    # within four rows by size, in the order of the sizes; the fifth begins anew
    ids = [["photo-0", "photo-2"], ["photo-1", "photo-3"], ["photo-4"]]
    assert [batch.image_ids for batch in made] == ids
    for batch in made:
        for name, image_CHW, cover_HW in zip(
            batch.image_ids, batch.images_BCHW, batch.targets["cover"], strict=True
        ):
            sample = samples[int(name.removeprefix("photo-"))]
            stored_HWC = np.moveaxis(image_CHW.numpy(), 0, 2) * 255
            np.testing.assert_allclose(stored_HWC, sample.image, atol=1e-3)
            np.testing.assert_array_equal(cover_HW.numpy(), sample.labels["cover"])


def test_the_score_of_an_image_does_not_depend_on_its_neighbors(tmp_path: Path) -> None:
    """Normalization and pooled features see every pixel, so padding would change them."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8))
    samples = [sized_sample(number) for number in range(len(SIZES))]
    write_dataset(
        tmp_path / "sizes", DatasetInfo(name="s", tasks={"cover": COVER}), {"train": samples}
    )
    dataset = open_dataset(tmp_path / "sizes")
    said: list[dict[str, Tensor]] = []
    for batch_size in (1, 5):
        batches = evaluation_batches(dataset, "train", ["cover"], batch_size)
        with torch.no_grad():
            said.append(
                {
                    name: answer
                    for batch in batches
                    for name, answer in zip(batch.image_ids, model(batch.images_BCHW), strict=True)
                }
            )
    alone, together = said
    assert set(alone) == set(together) == {sample.image_id for sample in samples}
    for name, answer in alone.items():
        torch.testing.assert_close(together[name], answer)
