"""Scoring a model on a split: what is labeled counts, and nothing else."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from goldseam.dataset.loading import Batch
from goldseam.dataset.schema import Task
from goldseam.errors import InvalidConfig, closest
from goldseam.metrics import Metric, SegmentationMetric, metric_for
from goldseam.models.multitask import MultitaskModel
from goldseam.models.outputs import predicted_by

DEGREE = "degree"
# the mean angle between a random direction and any other
RANDOM_DEGREES = 90.0


@torch.no_grad()
def score(
    model: MultitaskModel,
    batches: Iterable[Batch],
    tasks: Mapping[str, Task],
    *,
    initial: bool = False,
) -> dict[str, Metric]:
    """Metrics of every task that the model predicts, over all batches.

    Tags are called present by the model's own thresholds, where it has them.

    Args:
        model: in evaluation mode.
        batches: of a held-out split.
        tasks: which labels to compare with.
        initial: score the predictions before the denoiser.
    """
    pairs = predicted_by(model.tasks, tasks)
    thresholds = model.preprocessing.tag_thresholds
    metrics = {
        task: metric_for(tasks[task], thresholds.get(source)) for task, source in pairs.items()
    }
    device = next(model.parameters()).device
    for batch in batches:
        predictions = model.predict(batch.images_BCHW.to(device), initial=initial)
        add_batch(metrics, {task: predictions[source] for task, source in pairs.items()}, batch)
    return metrics


def add_batch(
    metrics: Mapping[str, Metric], predictions: Mapping[str, Tensor], batch: Batch
) -> None:
    """Compare predictions of a batch with its known labels.

    Args:
        metrics: task → its metric, which counts them.
        predictions: task → as `MultitaskModel.predict` gives it.
        batch: whose labels are the truth.
    """
    for task, metric in metrics.items():
        prediction = predictions[task]
        if isinstance(metric, SegmentationMetric):
            prediction = prediction.argmax(dim=1)
        metric.update(
            prediction.cpu().numpy(),
            np.asarray(batch.targets[task]),
            np.asarray(batch.known[task]),
            batch.groups,
        )


def flat_scores(metrics: Mapping[str, Metric]) -> dict[str, float | None]:
    """`task.metric` → value of all metrics."""
    return {
        f"{task}.{key}": value
        for task, metric in metrics.items()
        for key, value in metric.compute().items()
    }


def selection_score(
    metrics: Mapping[str, Metric],
    select: Sequence[str],
    spreads: Mapping[str, tuple[float, float]],
) -> float | None:
    """One number by which the best weights are chosen, on validation: higher is better.

    It is the mean of the selected scores, each brought to a scale on which 1 is best. A score that
    is better when higher stands for itself. An error counts as 1 - error / scale: for values the
    scale is the spread of the labels, so that 0 is about what their mean would give; for the angle
    of normals it is 90 degrees, so that 0 is what random directions give; for a ratio it is 1. A
    score that no label can tell (None) has no part; where all are such, the number is None.

    Args:
        metrics: of the validation split.
        select: `task.metric` names; none means each task's primary metric.
        spreads: regression task → (center, spread) of its known training values.

    Raises:
        InvalidConfig: a name is not among the metrics.
    """
    values = flat_scores(metrics)
    parts = []
    for name in select or [f"{task}.{metric.primary}" for task, metric in metrics.items()]:
        if name not in values:
            raise InvalidConfig(
                f"select names the metric '{name}', which this model does not have.",
                remedy=f"Closest: {closest(name, values)}.",
            )
        task, _, key = name.partition(".")
        value = values[name]
        if value is None:
            continue
        unit, better = metrics[task].describe(key)
        if better == "lower":
            value = 1 - value / _scale(task, unit, spreads)
        parts.append(value)
    return sum(parts) / len(parts) if parts else None


def _scale(task: str, unit: str, spreads: Mapping[str, tuple[float, float]]) -> float:
    """The error at which a score counts as 0."""
    if unit and task in spreads:
        return spreads[task][1]
    return RANDOM_DEGREES if unit == DEGREE else 1.0
