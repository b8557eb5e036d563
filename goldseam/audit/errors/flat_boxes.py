"""Boxes of many images as flat arrays, checked.

L labeled boxes, P predicted boxes, M boxes of one image.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from goldseam.dataset.codecs import Array, Boxes
from goldseam.errors import InvalidArray

MANY = 10  # boxes that do not all lie in the first pixel by chance


@dataclasses.dataclass(frozen=True, eq=False)
class PredictedBoxes:
    """Predicted boxes of one image; none at all is a prediction as well.

    Attributes:
        corners_M4: xmin, ymin, xmax, ymax in px.
        category_M: ids.
        score_M: 0 to 1.
    """

    corners_M4: Array
    category_M: Array
    score_M: Array

    def __len__(self) -> int:
        return len(self.category_M)


@dataclasses.dataclass(frozen=True, eq=False)
class LabeledBoxes:
    """Boxes of images somebody looked at, by image.

    Attributes:
        image_L: positions of images, ascending.
        number_L: position within the image.
        category_L: ids.
        corners_L4: px.
        ignore_L: bool.
    """

    image_L: Array
    number_L: Array
    category_L: Array
    corners_L4: Array
    ignore_L: Array


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredBoxes:
    """Predicted boxes of images somebody looked at, by image.

    Attributes:
        image_P: positions of images, ascending.
        number_P: position within the image.
        category_P: ids.
        corners_P4: px.
        score_P: 0 to 1.
    """

    image_P: Array
    number_P: Array
    category_P: Array
    corners_P4: Array
    score_P: Array


def flatten_labels(
    given: Sequence[Boxes | None], rows: Sequence[int], categories: int
) -> LabeledBoxes:
    """Labels of the images `rows` as flat arrays.

    Raises:
        InvalidArray: see `box_errors`.
    """
    boxes = [(row, part) for row in rows if (part := given[row]) is not None]
    _require_type(boxes, Boxes, "labels")
    image_L, number_L, category_L, corners_L4 = _flat(
        [(row, part.category_N, part.corners_N4) for row, part in boxes], "labels", categories
    )
    ignore_L = np.concatenate([np.zeros(0, bool), *(part.ignore_N for _, part in boxes)])
    if len(ignore_L) != len(image_L):
        raise InvalidArray(
            "labels",
            f"{len(ignore_L)} ignore flags for {len(image_L)} boxes",
            "Give one flag a box.",
        )
    if not len(rows):
        raise InvalidArray(
            "labels",
            "no image that carries both labels and predictions",
            "Predict images whose boxes are known; None marks an image nobody looked at.",
        )
    return LabeledBoxes(image_L, number_L, category_L, corners_L4, ignore_L.astype(bool))


def flatten_predictions(
    predictions: Iterable[tuple[int, PredictedBoxes | None]], categories: int
) -> ScoredBoxes:
    """Predictions of single images as flat arrays.

    Args:
        predictions: (position of the image, its predictions).
        categories: how many there are.

    Raises:
        InvalidArray: see `box_errors`.
    """
    boxes = [(row, part) for row, part in predictions if part is not None]
    _require_type(boxes, PredictedBoxes, "predictions")
    image_P, number_P, category_P, corners_P4 = _flat(
        [(row, part.category_M, part.corners_M4) for row, part in boxes], "predictions", categories
    )
    score_P = np.concatenate([np.zeros(0), *(np.asarray(part.score_M) for _, part in boxes)])
    if len(score_P) != len(image_P):
        raise InvalidArray(
            "predictions",
            f"{len(score_P)} scores for {len(image_P)} boxes",
            "Give one score a box.",
        )
    wrong_P = ~((score_P >= 0) & (score_P <= 1))
    if wrong_P.any():
        at = int(np.argmax(wrong_P))
        raise InvalidArray(
            "predictions",
            f"score {score_P[at]:g} of box {number_P[at]} in image {image_P[at]}",
            "Scores are probabilities from 0 to 1: apply a sigmoid or softmax to the logits.",
        )
    if len(corners_P4) >= MANY and corners_P4.max() <= 1:
        raise InvalidArray(
            "predictions",
            f"{len(corners_P4)} boxes, all inside the first pixel",
            "Corners are px, not shares of the image: multiply them by its width and height.",
        )
    order_P = np.argsort(image_P, kind="stable")
    return ScoredBoxes(
        *(part[order_P] for part in (image_P, number_P, category_P, corners_P4, score_P))
    )


def _require_type(boxes: Sequence[tuple[int, Any]], wanted: type, what: str) -> None:
    """Raises InvalidArray for a bare array, which does not say what its columns are."""
    for row, part in boxes:
        if not isinstance(part, wanted):
            raise InvalidArray(
                what,
                f"image {row} is a {type(part).__name__}, expected {wanted.__name__} or None",
                f"Make goldseam.audit.{wanted.__name__} of the corners and categories.",
            )


def _flat(
    parts: Sequence[tuple[int, Array, Array]], what: str, categories: int
) -> tuple[Array, Array, Array, Array]:
    """Image, position within the image, category and corners of all boxes, checked."""
    for row, category, corners in parts:
        if np.shape(corners) != (len(category), 4):
            raise InvalidArray(
                what,
                f"corners of shape {np.shape(corners)} for {len(category)} categories in image "
                f"{row}",
                "Give (boxes, 4): xmin, ymin, xmax, ymax in px.",
            )
    counts = [len(category) for _, category, _ in parts]
    image = np.repeat(np.array([row for row, _, _ in parts], np.int64), counts)
    before = np.cumsum(counts, dtype=np.int64) - counts if counts else np.zeros(0, np.int64)
    number = np.arange(len(image)) - np.repeat(before, counts).astype(np.int64)
    category = np.concatenate([np.zeros(0, np.int64), *(part[1] for part in parts)])
    corners = np.concatenate([np.zeros((0, 4)), *(part[2] for part in parts)]).astype(np.float64)
    _check_boxes(what, (image, number, category, corners), categories)
    return image, number, category.astype(np.int64), corners


def _check_boxes(what: str, boxes: tuple[Array, Array, Array, Array], categories: int) -> None:
    image, number, category, corners = boxes
    flat = ~(corners[:, 2:] > corners[:, :2]).all(axis=1) | ~np.isfinite(corners).all(axis=1)
    if flat.any():
        at = int(np.argmax(flat))
        sides = ", ".join(f"{side:g}" for side in corners[at])
        raise InvalidArray(
            what,
            f"box {number[at]} of image {image[at]} at {sides}",
            "Give xmin < xmax and ymin < ymax in px (not x, y, width, height).",
        )
    outside = (category < 0) | (category >= categories)
    if outside.any():
        at = int(np.argmax(outside))
        raise InvalidArray(
            what,
            f"category id {category[at]} of box {number[at]} in image {image[at]}",
            f"Ids run from 0 to {categories - 1}, in the order of the categories.",
        )
