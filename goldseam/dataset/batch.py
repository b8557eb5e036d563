"""A batch for training: images, targets and which of them are known.

Shapes: B samples, C colors or categories, H and W pixels, N boxes of one image. What stands in a
target where `known` is False is the task's ignore value, NaN or -1: never a category.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from goldseam.dataset.codecs import UNKNOWN, Array, Boxes
from goldseam.dataset.reading import Record
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidDataset


@dataclasses.dataclass(frozen=True, eq=False)
class BoxTarget:
    """The boxes of one image as tensors; see `codecs.Boxes`.

    Attributes:
        category_N: int64 ids.
        corners_N4: float32 (xmin, ymin, xmax, ymax) in px.
        ignore_N: bool; True for boxes that count for nothing.
    """

    category_N: Tensor
    corners_N4: Tensor
    ignore_N: Tensor

    def __len__(self) -> int:
        return len(self.category_N)


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """Some samples of one image size.

    Attributes:
        image_ids: of the samples.
        groups: unit of leakage of each sample.
        images_BCHW: float32 in [0, 1]; normalization is the model's preprocessing.
        targets: task → tensor. Segmentation, boundary, saliency: int64 BHW, the task's ignore where
            unknown. Regression: float32 BHW, NaN where invalid or unknown. Normals: float32 B3HW,
            NaN likewise. Tags: int8 BC with 1 present, 0 absent, -1 unknown.
        boxes: detection task → one `BoxTarget` a sample, None where unknown (no boxes is known).
        captions: caption task → one text a sample, None where unknown.
        known: every task → bool B, True where the sample carries a label of it.
    """

    image_ids: list[str]
    groups: list[str]
    images_BCHW: Tensor
    targets: dict[str, Tensor]
    boxes: dict[str, list[BoxTarget | None]]
    captions: dict[str, list[str | None]]
    known: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.image_ids)

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        def boxes(target: BoxTarget | None) -> BoxTarget | None:
            if target is None:
                return None
            return BoxTarget(
                change(target.category_N), change(target.corners_N4), change(target.ignore_N)
            )

        return dataclasses.replace(
            self,
            images_BCHW=change(self.images_BCHW),
            targets={task: change(target) for task, target in self.targets.items()},
            boxes={task: [boxes(one) for one in several] for task, several in self.boxes.items()},
            known={task: change(known_B) for task, known_B in self.known.items()},
        )

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """The batch with every tensor on `device`."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory, from which a GPU copies without waiting."""
        return self._map(Tensor.pin_memory)


def collate(records: Sequence[Record], tasks: dict[str, Task]) -> Batch:
    """Stack decoded samples.

    Args:
        records: at least one, all of one image size.
        tasks: by name, those whose labels the records carry.

    Raises:
        InvalidDataset: image sizes differ.
    """
    images_BCHW = _stack_images(records)
    size_HW = tuple(images_BCHW.shape[2:])
    targets: dict[str, Tensor] = {}
    boxes: dict[str, list[BoxTarget | None]] = {}
    captions: dict[str, list[str | None]] = {}
    known: dict[str, Tensor] = {}
    for name, task in tasks.items():
        labels = [record.labels[name] for record in records]
        known[name] = torch.tensor([label is not None for label in labels], dtype=torch.bool)
        if task.kind is Kind.CAPTION:
            captions[name] = labels
        elif task.kind is Kind.DETECTION:
            boxes[name] = [None if label is None else _box_target(label) for label in labels]
        else:
            stacked = _unknown_target(task, len(records), size_HW)
            for position, label in enumerate(labels):
                if label is not None:
                    stacked[position] = label
            targets[name] = torch.from_numpy(stacked)
    return Batch(
        image_ids=[record.image_id for record in records],
        groups=[record.group for record in records],
        images_BCHW=images_BCHW,
        targets=targets,
        boxes=boxes,
        captions=captions,
        known=known,
    )


def _unknown_target(task: Task, count: int, size_HW: tuple[int, ...]) -> Array:
    """A target in which nobody has looked at anything."""
    if task.kind is Kind.TAGS:
        return np.full((count, len(task.categories)), UNKNOWN, np.int8)
    if task.kind is Kind.NORMALS:
        return np.full((count, 3, *size_HW), np.nan, np.float32)
    if task.kind is Kind.REGRESSION:
        return np.full((count, *size_HW), np.nan, np.float32)
    return np.full((count, *size_HW), task.ignore, np.int64)


def _box_target(boxes: Boxes) -> BoxTarget:
    return BoxTarget(
        torch.from_numpy(boxes.category_N.astype(np.int64)),
        torch.from_numpy(boxes.corners_N4.astype(np.float32)),
        torch.from_numpy(boxes.ignore_N.astype(bool)),
    )


def unit_image(record: Record) -> Array:
    """The image as float32 HWC in [0, 1]; what augmentation made so passes as it is."""
    if record.image_HWC.dtype == np.float32:
        return record.image_HWC
    return np.asarray(record.image_HWC, np.float32) / np.float32(255)


def _stack_images(records: Sequence[Record]) -> Tensor:
    """Images as float32 BCHW in [0, 1]."""
    first = records[0]
    for record in records:
        if record.image_HWC.shape != first.image_HWC.shape:
            raise InvalidDataset(
                f"a batch mixes images of {_size(first)} ('{first.image_id}') and "
                f"{_size(record)} ('{record.image_id}').",
                remedy="Train on windows of one size (loop.augment.crop: [height, width]), bring "
                "all images of the dataset to one size, or use a batch size of 1.",
            )
    if any(record.image_HWC.dtype != np.uint8 for record in records):
        images = [np.moveaxis(unit_image(record), 2, 0) for record in records]
        return torch.from_numpy(np.stack(images))
    # stacked first and converted at once: half the time of converting each image
    images = [np.moveaxis(record.image_HWC, 2, 0) for record in records]
    return torch.from_numpy(np.stack(images)).to(torch.float32).div_(255)


def _size(record: Record) -> str:
    return f"{record.image_HWC.shape[1]} x {record.image_HWC.shape[0]} px"
