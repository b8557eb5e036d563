"""Features of a frozen network, computed once: no augmentation, evaluation mode.

Legend: N images with at least one known label, Z pooled features, C categories.
"""

import dataclasses

import numpy as np
import numpy.typing as npt
import torch

from goldseam.dataset.loading import evaluation_batches
from goldseam.dataset.reading import Dataset
from goldseam.models.multitask import MultitaskModel
from goldseam.progress import progress

BATCH = 64


@dataclasses.dataclass(frozen=True, eq=False)
class CachedFeatures:
    """What the heads see of a split.

    Attributes:
        features_NZ: float32.
        labels_NC: int8, 1 present, 0 absent, -1 unknown.
        groups: unit of leakage of each image.
    """

    features_NZ: npt.NDArray[np.float32]
    labels_NC: npt.NDArray[np.int8]
    groups: tuple[str, ...]


@torch.no_grad()
def cache_features(
    model: MultitaskModel, dataset: Dataset, split: str, task: str
) -> CachedFeatures:
    """Pooled features and labels of every image on which something of `task` is known."""
    rows = np.flatnonzero(dataset.known(split)[task]).tolist()
    device = next(model.parameters()).device
    features, labels, groups = [], [], []
    with progress("features", len(rows)) as step:
        for batch in evaluation_batches(dataset, split, [task], BATCH, rows=rows):
            features.append(model.shared_features(batch.images_BCHW.to(device))[1].cpu().numpy())
            labels.append(batch.targets[task].numpy())
            groups += batch.groups
            step(len(batch))
    return CachedFeatures(np.concatenate(features), np.concatenate(labels), tuple(groups))
