"""What a model must know of its data before it learns: pixel statistics and regression scales."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from goldseam.dataset.reading import Dataset
from goldseam.dataset.schema import Kind, Task
from goldseam.models.multitask import Preprocessing

IMAGES = 512


def measure_preprocessing(dataset: Dataset, tasks: Mapping[str, Task]) -> Preprocessing:
    """Channel statistics of training images and (mean, standard deviation) of known values.

    At most `IMAGES` images are read, evenly spaced; of a regression task at most as many labels.
    """
    rows = _spread(np.arange(dataset.info.rows("train")))
    sums = np.zeros((2, 3))
    pixels = 0
    for record in dataset.records("train", [], rows.tolist()):
        image_P3 = record.image_HWC.reshape(-1, record.image_HWC.shape[2])[:, :3] / 255.0
        sums += (image_P3.sum(axis=0), (image_P3**2).sum(axis=0))
        pixels += len(image_P3)
    mean_3 = sums[0] / pixels
    std_3 = np.sqrt(np.maximum(sums[1] / pixels - mean_3**2, 1e-6))
    known = dataset.known("train")
    values = {
        name: _value_scale(dataset, name, np.flatnonzero(known[name]))
        for name, task in tasks.items()
        if task.kind is Kind.REGRESSION and known[name].any()
    }
    return Preprocessing(mean=_triple(mean_3), std=_triple(std_3), values=values)


def _value_scale(dataset: Dataset, task: str, rows: Any) -> tuple[float, float]:
    labels = [r.labels[task] for r in dataset.records("train", [task], _spread(rows).tolist())]
    value_P = np.concatenate([label[np.isfinite(label)] for label in labels])
    if not len(value_P):
        return 0.0, 1.0
    return round(float(value_P.mean()), 6), round(max(float(value_P.std()), 1e-6), 6)


def _spread(rows: Any) -> Any:
    return rows[:: max(len(rows) // IMAGES, 1)]


def _triple(value_3: Any) -> tuple[float, float, float]:
    first, second, third = (round(float(value), 6) for value in value_3)
    return first, second, third
