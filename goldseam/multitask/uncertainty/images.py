"""One uncertainty for each image and task: what a choice of the next labels looks at.

Shapes: N images, T tasks.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from goldseam.dataset.batch import Batch
from goldseam.models.multitask import MultitaskModel
from goldseam.multitask.uncertainty.maps import Signal, uncertainty


def image_uncertainty(
    model: MultitaskModel,
    batches: Iterable[Batch],
    tasks: Sequence[str],
    *,
    signal: Signal = "mirror",
    samples: int = 8,
    noise_scale: float = 1.0,
    seed: int = 0,
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Mean uncertainty over each image's pixels (or categories); no label is read.

    Args:
        model: in evaluation mode.
        batches: of the images to choose from.
        tasks: columns of the result.
        signal: which uncertainty; every task and every model has `mirror`.
        samples: see `uncertainty`.
        noise_scale: see `uncertainty`.
        seed: of the noise.

    Returns:
        Image ids, and `N T`; NaN where the model has no such signal of a task.
    """
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    ids: list[str] = []
    parts = [np.zeros((0, len(tasks)))]
    for batch in batches:
        found = uncertainty(
            model,
            batch.images_BCHW.to(device),
            signals=(signal,),
            samples=samples,
            noise_scale=noise_scale,
            generator=generator,
        )
        columns = []
        for task in tasks:
            unsure = found[task].signal(signal) if task in found else None
            blank = torch.full((len(batch), 1), torch.nan)
            columns.append((blank if unsure is None else unsure).flatten(1).double().mean(dim=1))
        ids += batch.image_ids
        parts.append(torch.stack([column.cpu() for column in columns], dim=1).numpy())
    return ids, np.concatenate(parts)
