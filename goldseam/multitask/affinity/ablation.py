"""Scores of a model that sees all of its first guesses, and of the same one with each withheld."""

from collections.abc import Iterable, Mapping

import torch

from goldseam.dataset.batch import Batch
from goldseam.dataset.schema import Task
from goldseam.metrics import Metric, metric_for
from goldseam.models.multitask import MultitaskModel
from goldseam.trainer.validation import add_batch

NOTHING = ""  # key of the scores with nothing withheld


@torch.no_grad()
def ablate(
    model: MultitaskModel, batches: Iterable[Batch], tasks: Mapping[str, Task]
) -> dict[str, dict[str, Metric]]:
    """Withheld task (`NOTHING` for none) → task → its metric.

    One pass over the images, with one prediction more than the model has dense tasks.

    Args:
        model: in evaluation mode, with a denoiser that is conditioned on all tasks.
        batches: of labeled images.
        tasks: which labels to compare with.
    """
    metrics = {
        withheld: {name: metric_for(task) for name, task in tasks.items()}
        for withheld in (NOTHING, *model.dense)
    }
    device = next(model.parameters()).device
    for batch in batches:
        images_B3HW = batch.images_BCHW.to(device)
        for withheld, scored in metrics.items():
            without = () if withheld == NOTHING else (withheld,)
            add_batch(scored, model.predict(images_B3HW, without=without), batch)
    return metrics
