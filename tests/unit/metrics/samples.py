"""Random predictions and labels for every metric, with known and unknown samples."""

import dataclasses
from collections.abc import Callable

import numpy as np

from goldseam.metrics import (
    BoundaryMetric,
    Metric,
    NormalsMetric,
    RegressionMetric,
    SaliencyMetric,
    SegmentationMetric,
    TagsMetric,
)
from goldseam.metrics.sums import Array

GROUPS = ("north", "south", "east", "west")
TAGS = ("sea", "land", "lake", "island")


@dataclasses.dataclass
class Batch:
    """What `Metric.update` takes."""

    prediction: Array
    target: Array
    known_B: Array
    groups: list[str]

    def part(self, indices: Array) -> "Batch":
        names = [self.groups[i] for i in indices]
        return Batch(self.prediction[indices], self.target[indices], self.known_B[indices], names)

    def into(self, metric: Metric) -> Metric:
        metric.update(self.prediction, self.target, self.known_B, self.groups)
        return metric


def make_metric(kind: str) -> Metric:
    makers: dict[str, Callable[[], Metric]] = {
        "segmentation": lambda: SegmentationMetric(("sea", "land", "lake")),
        "boundary": lambda: BoundaryMetric(tolerance_px=1.5),
        "regression": lambda: RegressionMetric("m", relative=True),
        "normals": NormalsMetric,
        "saliency": SaliencyMetric,
        "tags": lambda: TagsMetric(TAGS),
    }
    return makers[kind]()


KINDS = ("segmentation", "boundary", "saliency", "regression", "normals", "tags")


def make_batch(kind: str, seed: int, size: int = 12, side: int = 9) -> Batch:
    rng = np.random.default_rng(seed)
    pixels = (size, side, side)
    if kind == "segmentation":
        prediction = rng.integers(0, 3, pixels).astype(np.uint8)
        target = rng.choice([0, 1, 2, 255], pixels).astype(np.uint8)
    elif kind == "boundary":
        prediction = rng.random(pixels, np.float32)
        target = rng.choice([0, 1, 255], pixels, p=[0.8, 0.1, 0.1]).astype(np.uint8)
    elif kind == "saliency":
        target = rng.choice([0, 1, 255], pixels, p=[0.6, 0.3, 0.1]).astype(np.uint8)
        prediction = (0.6 * rng.random(pixels) + 0.4 * (target == 1)).astype(np.float32)
    elif kind == "regression":
        prediction = rng.normal(0, 5, pixels).astype(np.float32)
        target = np.where(rng.random(pixels) < 0.1, np.nan, prediction + rng.normal(0, 1, pixels))
    elif kind == "normals":
        shape = (size, 3, side, side)
        prediction, target = rng.normal(size=shape), rng.normal(size=shape).astype(np.float32)
        target[:, :, 0] = np.nan
    else:
        # few distinct scores, so that there are ties
        prediction = rng.integers(0, 9, (size, len(TAGS))) / 8
        target = rng.choice([-1, 0, 1], (size, len(TAGS))).astype(np.int8)
    known_B = rng.random(size) < 0.75
    return Batch(prediction, target, known_B, [str(name) for name in rng.choice(GROUPS, size)])
