"""Whether uncertainties find the errors, and whether probabilities mean what they say.

Shapes: B batch, C categories, H and W pixels.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from goldseam.dataset.batch import Batch
from goldseam.dataset.schema import Kind, Task
from goldseam.metrics.calibration import CalibrationMetric
from goldseam.metrics.regression import angles
from goldseam.metrics.sparsification import SparsificationMetric
from goldseam.models.multitask import MultitaskModel
from goldseam.multitask.uncertainty.maps import (
    PROBABLE,
    SIGNALS,
    Signal,
    UncertainPrediction,
    uncertainty,
)

UNKNOWN_TAG = -1
DECISION = 0.5
Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class UncertaintyQuality:
    """How good the uncertainties of one task are; both parts can be bootstrapped by group.

    Attributes:
        calibration: of the probabilities; None for values and normals.
        sparsification: signal → how well it orders pixels by error; signals that the task does not
            have are left out. Empty for tags.
    """

    calibration: CalibrationMetric | None
    sparsification: dict[Signal, SparsificationMetric]


def measure_uncertainty(
    model: MultitaskModel,
    batches: Iterable[Batch],
    tasks: Mapping[str, Task],
    *,
    signals: Collection[Signal] = SIGNALS,
    samples: int = 8,
    noise_scale: float = 1.0,
    seed: int = 0,
) -> dict[str, UncertaintyQuality]:
    """Compare uncertainties with errors on labeled images.

    Args:
        model: in evaluation mode.
        batches: of a held-out split.
        tasks: which labels to compare with; those that the model does not predict are left out.
        signals: which uncertainties.
        samples: see `uncertainty`.
        noise_scale: see `uncertainty`.
        seed: of the noise, which also follows from the order and size of the batches.
    """
    pairs = {name: task for name, task in tasks.items() if name in model.tasks}
    quality = {name: UncertaintyQuality(_calibration(task), {}) for name, task in pairs.items()}
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    for batch in batches:
        found = uncertainty(
            model,
            batch.images_BCHW.to(device),
            signals=signals,
            samples=samples,
            noise_scale=noise_scale,
            generator=generator,
        )
        for name, task in pairs.items():
            _add(quality[name], found[name], batch, name, task)
    return quality


def prediction_error(task: Task, prediction: npt.ArrayLike, target: npt.ArrayLike) -> Array:
    """Error of each pixel, `B H W`; NaN where the target says that the truth is unknown.

    1 where a pixel's category is wrong and 0 where it is right (boundary and saliency decide at
    0.5); absolute difference of values; angle between normals in degrees, 180 where the predicted
    one has no direction.

    Args:
        task: of the labels.
        prediction: as `MultitaskModel.predict` gives it.
        target: as `Batch.targets` holds it.
    """
    predicted, labeled = np.asarray(prediction, np.float64), np.asarray(target)
    if task.kind is Kind.NORMALS:
        known_BHW = np.isfinite(labeled).all(axis=1) & labeled.any(axis=1)
        degrees_BHW = np.full(known_BHW.shape, np.nan)
        predicted_3N, labeled_3N = (
            np.moveaxis(vectors, 1, 0)[:, known_BHW].astype(np.float64)
            for vectors in (predicted, labeled)
        )
        degrees_BHW[known_BHW] = angles(predicted_3N, labeled_3N)
        return degrees_BHW
    if task.kind is Kind.REGRESSION:
        return np.asarray(np.abs(predicted - labeled))
    if task.kind is Kind.SEGMENTATION:
        chosen = predicted.argmax(axis=1)
    else:
        chosen = (predicted >= DECISION).astype(np.int64)
    return np.where(labeled == task.ignore, np.nan, (chosen != labeled).astype(np.float64))


def _calibration(task: Task) -> CalibrationMetric | None:
    if task.kind not in PROBABLE:
        return None
    if task.kind is Kind.TAGS:
        return CalibrationMetric(ignore=UNKNOWN_TAG)
    categories = len(task.categories) if task.kind is Kind.SEGMENTATION else 0
    return CalibrationMetric(categories, task.ignore)


def _add(
    quality: UncertaintyQuality, found: UncertainPrediction, batch: Batch, name: str, task: Task
) -> None:
    prediction = found.prediction.cpu().numpy()
    target, known_B = np.asarray(batch.targets[name]), np.asarray(batch.known[name])
    if quality.calibration is not None:
        quality.calibration.update(prediction, target, known_B, batch.groups)
    if task.kind is Kind.TAGS:
        return
    error_BHW = prediction_error(task, prediction, target)
    for signal in SIGNALS:
        unsure = found.signal(signal)
        if unsure is not None:
            metric = quality.sparsification.setdefault(signal, SparsificationMetric())
            metric.update(unsure.cpu().numpy(), error_BHW, known_B, batch.groups)
