"""What a model must know of its data before it learns: pixel statistics and regression scales."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from goldseam.dataset.codecs import Array
from goldseam.dataset.reading import Dataset, Record
from goldseam.dataset.schema import Kind, Task
from goldseam.models.multitask import Preprocessing

IMAGES = 512


def measure_preprocessing(
    dataset: Dataset, tasks: Mapping[str, Task], rows: Mapping[str, Array] | None = None
) -> Preprocessing:
    """Channel statistics of training images and (mean, standard deviation) of known values.

    About `IMAGES` images are read, evenly spaced; of a regression task about as many labels.

    Args:
        dataset: an open dataset.
        tasks: that the model will have.
        rows: split → positions in it; the training split by default.
    """
    rows = {"train": np.arange(dataset.info.rows("train"))} if rows is None else rows
    sums = np.zeros((2, 3))
    pixels = 0
    for record in _records(dataset, [], rows):
        image_P3 = record.image_HWC.reshape(-1, record.image_HWC.shape[2])[:, :3] / 255.0
        sums += (image_P3.sum(axis=0), (image_P3**2).sum(axis=0))
        pixels += len(image_P3)
    mean_3 = sums[0] / pixels
    std_3 = np.sqrt(np.maximum(sums[1] / pixels - mean_3**2, 1e-6))
    known = {split: dataset.known(split) for split in rows}
    values = {}
    for name, task in tasks.items():
        labeled = {split: rows_M[known[split][name][rows_M]] for split, rows_M in rows.items()}
        if task.kind is Kind.REGRESSION and any(len(rows_M) for rows_M in labeled.values()):
            values[name] = _value_scale(dataset, name, labeled)
    return Preprocessing(mean=_triple(mean_3), std=_triple(std_3), values=values)


def _value_scale(dataset: Dataset, task: str, rows: Mapping[str, Array]) -> tuple[float, float]:
    labels = [record.labels[task] for record in _records(dataset, [task], rows)]
    value_P = np.concatenate([label[np.isfinite(label)] for label in labels])
    if not len(value_P):
        return 0.0, 1.0
    return round(float(value_P.mean()), 6), round(max(float(value_P.std()), 1e-6), 6)


def _records(dataset: Dataset, tasks: list[str], rows: Mapping[str, Array]) -> Iterator[Record]:
    """Every k-th of the rows, so that there are about `IMAGES`."""
    stride = max(sum(len(rows_M) for rows_M in rows.values()) // IMAGES, 1)
    for split, rows_M in rows.items():
        if len(rows_M):
            yield from dataset.records(split, tasks, rows_M[::stride].tolist())


def _triple(value_3: Any) -> tuple[float, float, float]:
    first, second, third = (round(float(value), 6) for value in value_3)
    return first, second, third
