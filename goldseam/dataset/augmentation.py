"""Random changes of a sample that keep its labels true: flips, quarter turns, brightness, contrast.

The change follows from (seed, key) alone, so it is the same in any worker, and after a resume. What
turns the image turns every dense label, box and normal vector; unknown labels stay unknown.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from goldseam.dataset.batch import unit_image
from goldseam.dataset.codecs import Array, Boxes
from goldseam.dataset.order import AUGMENTATION_STREAM, generator
from goldseam.dataset.reading import Record
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig


@dataclasses.dataclass(frozen=True)
class Turn:
    """One of the eight symmetries of a square: a flip left to right, then quarter turns.

    Attributes:
        flip: whether left and right change places, first.
        quarters: counterclockwise turns by 90°, 0 to 3.
    """

    flip: bool = False
    quarters: int = 0

    def picture(self, array: Array) -> Array:
        """Turn `…HW`; a view of it."""
        turned = array[..., ::-1] if self.flip else array
        return np.rot90(turned, self.quarters, axes=(-2, -1))

    def corners(self, corners_N4: Array, height: int, width: int) -> Array:
        """Turn boxes (xmin, ymin, xmax, ymax) in px of an image of that size."""
        x0, y0, x1, y1 = corners_N4.T
        if self.flip:
            x0, x1 = width - x1, width - x0
        for _ in range(self.quarters):
            # a point (x, y) of an image of width W goes to (y, W - x)
            x0, y0, x1, y1 = y0, width - x1, y1, width - x0
            height, width = width, height
        return np.stack([x0, y0, x1, y1], axis=1).astype(np.float32)

    def normals(self, normal_3HW: Array, *, y_up: bool = True) -> Array:
        """Turn a field of vectors (x right, y up or down, z along the view), places and parts."""
        x, y, z = self.picture(normal_3HW)
        if self.flip:
            x = -x
        for _ in range(self.quarters):
            x, y = (-y, x) if y_up else (y, -x)
        return np.stack([x, y, z])


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What may happen to a training sample.

    Attributes:
        turns: one of the eight symmetries of the square, each as likely; images that are not square
            are flipped and turned by 180° only. A caption's words are not changed.
        brightness: largest shift of all pixels, as part of the range [0, 1].
        contrast: largest relative change of the distance of pixels from their mean.

    Raises:
        InvalidConfig: brightness or contrast is not in [0, 1].
    """

    turns: bool = True
    brightness: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidConfig(
                    f"augmentation {name} is {getattr(self, name)}.", remedy="Give 0 to 1."
                )

    def require_tasks(self, tasks: Mapping[str, Task]) -> None:
        """Refuse tasks whose labels cannot be turned with the image.

        Raises:
            InvalidConfig: the axes of a normals task are not understood.
        """
        for name, task in tasks.items():
            if self.turns and task.kind is Kind.NORMALS and _y_up(task) is None:
                raise InvalidConfig(
                    f"task '{name}' has the camera axes {task.axes!r}; turning an image needs axes "
                    "that begin with 'x right, y up' or 'x right, y down'.",
                    remedy=f"Mend tasks.{name}.axes, or train without turns.",
                )

    def __call__(self, record: Record, tasks: Mapping[str, Task], seed: int, *key: int) -> Record:
        """Change a sample.

        Args:
            record: a decoded sample; it is not changed in place.
            tasks: of the record's labels.
            seed: of the run.
            key: names this sample's place in the run.
        """
        random = generator(seed, AUGMENTATION_STREAM, *key)
        # all numbers are drawn whatever is switched on: an option never changes another's numbers
        flip, quarters = bool(random.integers(2)), int(random.integers(4))
        shift, stretch = random.uniform(-1, 1, 2)
        if self.turns:
            square = record.image_HWC.shape[0] == record.image_HWC.shape[1]
            turn = Turn(flip, quarters if square else 2 * (quarters // 2))
            record = turn_record(record, tasks, turn)
        if self.brightness or self.contrast:
            image_HWC = unit_image(record)
            mean = image_HWC.mean()
            factor = np.float32(1 + self.contrast * stretch)
            image_HWC = (image_HWC - mean) * factor + mean + np.float32(self.brightness * shift)
            record = dataclasses.replace(record, image_HWC=np.clip(image_HWC, 0, 1))
        return record


def turn_record(record: Record, tasks: Mapping[str, Task], turn: Turn) -> Record:
    """Turn an image and every label of it; unknown labels stay None."""
    height, width = record.image_HWC.shape[:2]
    image_CHW = turn.picture(np.moveaxis(record.image_HWC, 2, 0))
    labels = {
        name: _turn_label(label, tasks[name], turn, height, width)
        for name, label in record.labels.items()
    }
    return dataclasses.replace(record, image_HWC=np.moveaxis(image_CHW, 0, 2), labels=labels)


def _turn_label(label: Any, task: Task, turn: Turn, height: int, width: int) -> Any:
    if label is None or task.kind in (Kind.TAGS, Kind.CAPTION):
        return label
    if task.kind is Kind.DETECTION:
        corners_N4 = turn.corners(label.corners_N4, height, width)
        return Boxes(label.category_N, corners_N4, label.ignore_N)
    if task.kind is Kind.NORMALS:
        return turn.normals(label, y_up=bool(_y_up(task)))
    return turn.picture(label)


def _y_up(task: Task) -> bool | None:
    """Whether y points up, by the task's axes; None when they are not understood."""
    words = (task.axes or "").lower().replace(",", " ").split()
    return {("x", "right", "y", "up"): True, ("x", "right", "y", "down"): False}.get(
        tuple(words[:4])  # type: ignore[arg-type]
    )
