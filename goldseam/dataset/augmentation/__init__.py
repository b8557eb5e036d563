"""Random changes of a sample that keep its labels true: flips, turns, scale, crops, colors.

The change follows from (seed, key) alone, so it is the same in any worker, and after a resume.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np

from goldseam.dataset.augmentation.color import ColorChange
from goldseam.dataset.augmentation.cropping import (
    crop_record,
    largest_share,
    scale_record,
)
from goldseam.dataset.augmentation.symmetry import Turn, turn_record, x_across, y_up
from goldseam.dataset.batch import unit_image
from goldseam.dataset.order import AUGMENTATION_STREAM, generator
from goldseam.dataset.reading import Record
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig

__all__ = [
    "Augmentation",
    "ColorChange",
    "Turn",
    "crop_record",
    "scale_record",
    "turn_record",
]

CROP_TRIES = 10


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What may happen to a training sample.

    Attributes:
        symmetry: `square` draws one of its eight symmetries (images that are not square are flipped
            and turned by 180° only), for views from above; `flip` changes left and right only, for
            photographs, which have an up; `none` does neither. A caption's words are not changed.
        brightness: largest shift of all pixels, as part of the range [0, 1].
        contrast: largest relative change of the distance of pixels from their mean.
        saturation: largest relative change of the distance of pixels from gray.
        hue: largest rotation of the colors, degrees.
        color_share: how often each of the four happens.
        scale: smallest and largest factor by which the sample is resized; see `scale_record`.
        crop: height and width of the window that is cut out; (0, 0) takes the whole sample.
        largest_category: of a window that shows more than this share of one category another is
            drawn, ten times at most; 1 takes the first.

    Raises:
        InvalidConfig: a value is out of range.
    """

    symmetry: Literal["square", "flip", "none"] = "square"
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    color_share: float = 1.0
    scale: tuple[float, float] = (1.0, 1.0)
    crop: tuple[int, int] = (0, 0)
    largest_category: float = 1.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation", "color_share", "largest_category"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidConfig(
                    f"augmentation {name} is {getattr(self, name)}.", remedy="Give 0 to 1."
                )
        if not 0 < self.scale[0] <= self.scale[1]:
            raise InvalidConfig(
                f"augmentation scale is {self.scale}.",
                remedy="Give the smallest factor, above 0, then the largest.",
            )
        if min(self.crop) < 0 or (min(self.crop) == 0) != (max(self.crop) == 0):
            raise InvalidConfig(
                f"augmentation crop is {self.crop}.", remedy="Give height and width in px."
            )
        if self.scale != (1.0, 1.0) and not any(self.crop):
            raise InvalidConfig(
                "augmentation scale changes the size of samples, and nothing makes them equal.",
                remedy="Give a crop as well.",
            )

    def require_tasks(self, tasks: Mapping[str, Task]) -> None:
        """Refuse tasks whose labels cannot be turned with the image.

        Raises:
            InvalidConfig: the axes of a normals task are not understood.
        """
        for name, task in tasks.items():
            if task.kind is not Kind.NORMALS or self.symmetry == "none":
                continue
            if self.symmetry == "square" and y_up(task) is None:
                other = "none or flip" if x_across(task) else "none"
                raise InvalidConfig(
                    f"task '{name}' has the camera axes {task.axes!r}; turning an image needs axes "
                    "that begin with 'x right, y up' or 'x right, y down'.",
                    remedy=f"Mend tasks.{name}.axes, or train with symmetry: {other}.",
                )
            if not x_across(task):
                raise InvalidConfig(
                    f"task '{name}' has the camera axes {task.axes!r}; flipping an image needs "
                    "axes that begin with 'x right', 'x left' or 'x along the width'.",
                    remedy=f"Mend tasks.{name}.axes, or train with symmetry: none.",
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
        vivid, rotation = random.uniform(-1, 1, 2)
        happens_4 = random.uniform(0, 1, 4) < self.color_share
        larger, corners_N2 = random.uniform(), random.uniform(0, 1, (CROP_TRIES, 2))
        if self.symmetry != "none":
            square = record.image_HWC.shape[0] == record.image_HWC.shape[1]
            turns = 0 if self.symmetry == "flip" else quarters if square else 2 * (quarters // 2)
            record = turn_record(record, tasks, Turn(flip, turns))
        if self.scale != (1.0, 1.0):
            low, high = self.scale
            record = scale_record(record, tasks, low + (high - low) * larger)
        if any(self.crop):
            record = self._window(record, tasks, corners_N2)
        change = ColorChange(
            brightness=self.brightness * shift * happens_4[0],
            contrast=1 + self.contrast * stretch * happens_4[1],
            saturation=1 + self.saturation * vivid * happens_4[2],
            hue=self.hue * rotation * happens_4[3],
        )
        if change != ColorChange():
            record = dataclasses.replace(record, image_HWC=change(unit_image(record)))
        return record

    def _window(self, record: Record, tasks: Mapping[str, Task], corners_N2: np.ndarray) -> Record:
        """The first of the drawn windows that is varied enough, or the last one."""
        room_2 = np.maximum(np.subtract(record.image_HWC.shape[:2], self.crop), 0)
        limited = [
            (name, task.ignore)
            for name, task in tasks.items()
            if task.kind is Kind.SEGMENTATION and record.labels.get(name) is not None
        ]
        for top, left in np.round(corners_N2 * room_2).astype(int).tolist():
            window = np.s_[top : top + self.crop[0], left : left + self.crop[1]]
            shares = [
                largest_share(record.labels[name][window], ignore) for name, ignore in limited
            ]
            if max(shares, default=0.0) <= self.largest_category:
                break
        return crop_record(record, tasks, (top, left), self.crop)
