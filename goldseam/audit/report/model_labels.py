"""What a model says instead of a label, for the pictures of a page. C categories, H, W pixels."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from goldseam.audit.label_side import LabelSide
from goldseam.dataset.codecs import Array, Boxes
from goldseam.dataset.schema import DatasetInfo, Kind

# the files of predictions are read from their beginning: in larger datasets that is not worth it
MOST_IMAGES = 20_000
CONFIDENT = 0.5


class Predictions(Protocol):
    """The part of `goldseam.audit.predictions.PredictionSet` that a page needs."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Predicted tasks."""

    def dense(self, labels: LabelSide, task: str) -> Iterator[tuple[int, Array]]:
        """(position, map) of images."""

    def boxes(self, labels: LabelSide, task: str) -> Iterator[tuple[int, Any]]:
        """(position, predicted boxes) of images."""


def model_labels(
    info: DatasetInfo,
    labels: LabelSide,
    wanted: Mapping[str, Collection[str]],
    predictions: Predictions | None,
) -> dict[tuple[str, str], Any]:
    """Predictions in the form of labels.

    Args:
        info: of the dataset.
        labels: its label side.
        wanted: image id → tasks.
        predictions: None gives none, and so do datasets of more than 20,000 images.

    Returns:
        (image id, task) → most likely categories (segmentation), 1 where the chance is above a half
        (boundary, saliency), values (regression, normals), boxes with a score of at least a half.
    """
    if predictions is None or len(labels) > MOST_IMAGES:
        return {}
    found: dict[tuple[str, str], Any] = {}
    for task in predictions.tasks:
        kind = info.tasks[task].kind
        ids = [name for name, tasks in wanted.items() if task in tasks]
        names = dict(zip(labels.rows_of(ids).tolist(), ids, strict=True))
        names.pop(-1, None)
        if not names or kind in (Kind.TAGS, Kind.CAPTION):
            continue
        read = predictions.boxes if kind is Kind.DETECTION else predictions.dense
        left = set(names)
        for position, value in read(labels, task):
            if position in left:
                found[names[position], task] = _as_label(kind, value)
                left.discard(position)
            if not left:
                break
    return found


def _as_label(kind: Kind, value: Any) -> Any:
    if kind is Kind.DETECTION:
        sure_M = value.score_M >= CONFIDENT
        count = int(sure_M.sum())
        return Boxes(value.category_M[sure_M], value.corners_M4[sure_M], np.zeros(count, bool))
    if kind is Kind.SEGMENTATION:
        return value.argmax(axis=0).astype(np.uint16)
    if kind in (Kind.BOUNDARY, Kind.SALIENCY):
        return (value > CONFIDENT).astype(np.uint8)
    return value
