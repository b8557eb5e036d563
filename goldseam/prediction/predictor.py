"""A model applied to a picture of any size: whole where it fits into a tile, else strip by strip.

B batch, C categories, H and W pixels of the picture, h rows of a strip, T pixels of a tile's side.
Memory beside the picture itself: one row of tiles, however high the picture is.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from goldseam.dataset.codecs import Array
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import GoldseamError
from goldseam.models.multitask import MultitaskModel
from goldseam.prediction.config import TilingConfig
from goldseam.prediction.tiling import Axis, cut, tile_axis

# a size that the strides of the usual backbones divide: 2, 4, … 32, and patches of 14 and 16
PROBE = 224

Key = TypeVar("Key")


class NotFinite(GoldseamError):
    """A model predicts NaN or an infinite value."""

    def __init__(self, task: str) -> None:
        super().__init__(
            f"the model predicts values of '{task}' that are NaN or infinite.",
            remedy="Its weights are damaged or its training diverged: use another checkpoint.",
        )


class Predicts(Protocol):
    """What can be applied to tiles; `MultitaskModel` is the one that counts."""

    @property
    def tasks(self) -> Mapping[str, Task]:
        """What it predicts."""

    def predict(self, images_B3HW: Tensor, *, initial: bool = False) -> dict[str, Tensor]:
        """As `MultitaskModel.predict`."""


@dataclasses.dataclass(frozen=True, eq=False)
class Strip:
    """Finished rows of a picture.

    Attributes:
        top: the first row.
        dense: task → float32: segmentation `C h W` probabilities, boundary and saliency `h W`
            probabilities, regression `h W` in the task's unit, normals `3 h W` of length 1.
        tags: task → probabilities `C` so far; those of the last strip are the picture's.
    """

    top: int
    dense: dict[str, Array]
    tags: dict[str, Array]


def assemble(strips: Iterable[Strip]) -> dict[str, Array]:
    """Task → the picture's whole array, tags included."""
    found = list(strips)
    dense = {
        task: np.concatenate([strip.dense[task] for strip in found], axis=-2)
        for task in found[0].dense
    }
    return dense | found[-1].tags


def model_stride(model: MultitaskModel) -> int:
    """Px at whose multiples a picture or tile should end, so that every level divides evenly.

    It is the step of the coarsest feature map, and of the denoiser's tokens where there are any.
    """
    parameter = next(model.parameters())
    probe_13HW = parameter.new_zeros((1, 3, PROBE, PROBE))
    with torch.inference_mode():
        coarsest = _step(model.encoder(probe_13HW)[-1])
        shared = _step(model.shared_features(probe_13HW)[0])
    diffusion = model.config.diffusion
    return math.lcm(coarsest, shared * (1 if diffusion is None else diffusion.token_stride))


def _step(map_1Dhw: Tensor) -> int:
    return max(1, round(PROBE / map_1Dhw.shape[-1]))


@dataclasses.dataclass(frozen=True, eq=False)
class _Running:
    """What the tiles so far add up to.

    Attributes:
        sums: dense task → weighted sum of the rows that are not finished.
        tags: tags task → largest probability of each category.
    """

    sums: dict[str, Array]
    tags: dict[str, Array]


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A model with how it is applied to pictures of any size.

    A picture that fits into one tile passes the model whole, padded below and to the right by its
    own last row and column up to a multiple of the stride. Probabilities, values and normals of
    overlapping tiles are averaged by smooth weights (see `tiling`), normals then brought to length
    1. A tag's probability is the largest of all tiles: what is present in a part of the picture is
    present in the picture.

    Attributes:
        model: in evaluation mode.
        stride: see `model_stride`.
        device: where the model is.
        tiling: how large pictures are cut.
        tasks: what to predict; empty is everything.
        initial: take the predictions before the denoiser.
    """

    model: Predicts
    stride: int
    device: torch.device
    tiling: TilingConfig
    tasks: tuple[str, ...] = ()
    initial: bool = False

    def fits(self, image_HW3: Array) -> bool:
        """Whether the picture passes the model whole."""
        return bool(max(image_HW3.shape[:2]) <= max(self.tiling.tile, self.stride))

    def whole(self, images: Sequence[Array]) -> list[Strip]:
        """Predict pictures `uint8 HW3` of one size that fit into a tile, together."""
        height, width = images[0].shape[:2]
        padded = [-(-length // self.stride) * self.stride for length in (height, width)]
        found = self._apply([cut(image, 0, 0, padded[0], padded[1]) for image in images])
        tagged = self._tagged()
        return [
            Strip(
                top=0,
                dense={t: a[i, ..., :height, :width] for t, a in found.items() if t not in tagged},
                tags={t: a[i] for t, a in found.items() if t in tagged},
            )
            for i in range(len(images))
        ]

    def over(
        self, pictures: Iterable[tuple[Key, Array]]
    ) -> Iterator[tuple[Key, Array, Iterable[Strip]]]:
        """Predict pictures of any sizes; small neighbors of one size pass the model together.

        Args:
            pictures: (key, `uint8 HW3`).

        Yields:
            Key, picture and its strips from top to bottom, in the order of the pictures. Take the
            strips before the next picture.
        """
        waiting: list[tuple[Key, Array]] = []
        for key, image_HW3 in pictures:
            fits = self.fits(image_HW3)
            full = len(waiting) == self.tiling.batch
            if waiting and (full or not fits or image_HW3.shape != waiting[0][1].shape):
                yield from self._together(waiting)
                waiting = []
            if fits:
                waiting.append((key, image_HW3))
            else:
                yield key, image_HW3, self.strips(image_HW3)
        if waiting:
            yield from self._together(waiting)

    def _together(
        self, pictures: Sequence[tuple[Key, Array]]
    ) -> Iterator[tuple[Key, Array, Iterable[Strip]]]:
        strips = self.whole([image_HW3 for _, image_HW3 in pictures])
        for (key, image_HW3), strip in zip(pictures, strips, strict=True):
            yield key, image_HW3, [strip]

    def strips(self, image_HW3: Array) -> Iterator[Strip]:
        """Predict one picture `uint8 HW3` of any size, from top to bottom."""
        if self.fits(image_HW3):
            yield from self.whole([image_HW3])
            return
        height, width = image_HW3.shape[:2]
        options = (self.tiling.tile, self.tiling.overlap, self.stride)
        rows, columns = tile_axis(height, *options), tile_axis(width, *options)
        running = _Running({}, {})
        for number, (top, end) in enumerate(pairwise((*rows.starts, height))):
            self._add_row(image_HW3, rows, number, columns, running)
            count = end - top
            dense = {
                task: self._finished(task, sum_[..., :count, :width])
                for task, sum_ in running.sums.items()
            }
            yield Strip(top, dense, dict(running.tags))
            for sum_ in running.sums.values():
                _scroll(sum_, count)

    def _add_row(
        self, image_HW3: Array, rows: Axis, number: int, columns: Axis, running: "_Running"
    ) -> None:
        """Add one row of tiles to the running sums, which begin at the row's first px."""
        top, down_T = rows.starts[number], rows.weights[number]
        padded = columns.starts[-1] + columns.tile
        places = list(zip(columns.starts, columns.weights, strict=True))
        for first in range(0, len(places), self.tiling.batch):
            batch = places[first : first + self.tiling.batch]
            pieces = [cut(image_HW3, top, left, rows.tile, columns.tile) for left, _ in batch]
            for task, array in self._apply(pieces).items():
                if task in self._tagged():
                    largest_C = array.max(axis=0)
                    running.tags[task] = np.maximum(running.tags.get(task, largest_C), largest_C)
                    continue
                if task not in running.sums:
                    shape = (*array.shape[1:-1], padded)
                    running.sums[task] = np.zeros(shape, np.float32)
                for one, (left, across_T) in zip(array, batch, strict=True):
                    part = running.sums[task][..., left : left + columns.tile]
                    part += one * (down_T[:, None] * across_T[None])

    def _finished(self, task: str, sum_: Array) -> Array:
        if self.model.tasks[task].kind is Kind.NORMALS:
            length_1hW = np.linalg.norm(sum_, axis=0, keepdims=True)
            unit_3hW: Array = sum_ / np.maximum(length_1hW, np.float32(1e-12))
            return unit_3hW
        return sum_.copy()

    def _tagged(self) -> tuple[str, ...]:
        return tuple(t for t, task in self.model.tasks.items() if task.kind is Kind.TAGS)

    def _apply(self, pieces: Sequence[Array]) -> dict[str, Array]:
        """Task → float32 predictions of pieces of one size; one pass of the model."""
        stacked_BHW3 = torch.from_numpy(np.stack(pieces)).to(self.device)
        images_B3HW = stacked_BHW3.permute(0, 3, 1, 2).to(torch.float32).div_(255).contiguous()
        with torch.inference_mode():
            found = self.model.predict(images_B3HW, initial=self.initial)
        arrays = {
            task: tensor.float().cpu().numpy()
            for task, tensor in found.items()
            if not self.tasks or task in self.tasks
        }
        for task, array in arrays.items():
            if not np.isfinite(array).all():
                raise NotFinite(task)
        return arrays


def _scroll(sum_: Array, rows: int) -> None:
    """Drop the finished rows at the top, and make room for new ones below."""
    kept = sum_.shape[-2] - rows
    if kept > 0:
        sum_[..., :kept, :] = sum_[..., rows:, :].copy()
    sum_[..., max(kept, 0) :, :] = 0
