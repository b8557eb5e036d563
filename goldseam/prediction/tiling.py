"""Large pictures in overlapping tiles, blended so that no seam shows.

H and W pixels; L pixels along one axis; T pixels along a tile. A tile's outermost quarter of the
overlap counts for nothing, since a convolution sees beyond the tile there; in the middle half the
weight rises smoothly from 0 to 1. Where a model looks no further than that quarter and every tile
begins at a multiple of its stride, tiles and whole picture give the same values.
"""

import dataclasses

import numpy as np

from goldseam.dataset.codecs import Array


@dataclasses.dataclass(frozen=True)
class Axis:
    """The tiles along one axis.

    Attributes:
        length: px of the picture.
        tile: px of each tile; a multiple of the stride.
        starts: first px of each tile, multiples of the stride, ascending; the last tile may reach
            beyond the picture, where it is padded.
        weights: one `float32 T` a tile; at each px of the picture they add up to 1.
    """

    length: int
    tile: int
    starts: tuple[int, ...]
    weights: tuple[Array, ...]


def tile_axis(length: int, tile: int, overlap: int, stride: int) -> Axis:
    """Lay tiles along an axis.

    Args:
        length: px of the picture.
        tile: px wanted; raised to a multiple of `stride` that can hold the overlap and one step,
            and no longer than the picture needs.
        overlap: px that neighbors share at least.
        stride: px of the coarsest step of the model.
    """
    padded = -(-length // stride) * stride
    side = min(-(-max(tile, overlap + stride) // stride) * stride, padded)
    step = (side - overlap) // stride * stride if side < padded else padded
    starts = (*range(0, padded - side, step), padded - side)
    raw_NT = np.stack([_ramps(side, overlap, start, padded) for start in starts])
    total_L = np.zeros(padded)
    for start, raw_T in zip(starts, raw_NT, strict=True):
        total_L[start : start + side] += raw_T
    weights = tuple(
        (raw_T / total_L[start : start + side]).astype(np.float32)
        for start, raw_T in zip(starts, raw_NT, strict=True)
    )
    return Axis(length, side, starts, weights)


def _ramps(side: int, overlap: int, start: int, length: int) -> Array:
    """Weight along one tile before normalization; flat at the edges of the picture."""
    margin = overlap // 4
    rise_O = np.clip((np.arange(overlap) + 0.5 - margin) / max(overlap - 2 * margin, 1), 0, 1)
    rise_O = np.sin(rise_O * np.pi / 2) ** 2
    weight_T = np.ones(side)
    if start > 0:
        weight_T[:overlap] *= rise_O
    if start + side < length:
        weight_T[side - overlap :] *= rise_O[::-1]
    return weight_T


def cut(image_HW3: Array, top: int, left: int, height: int, width: int) -> Array:
    """A tile of a picture; where it reaches beyond the picture the last row or column repeats."""
    piece_HW3 = image_HW3[top : top + height, left : left + width]
    below, right = height - piece_HW3.shape[0], width - piece_HW3.shape[1]
    if below or right:
        piece_HW3 = np.pad(piece_HW3, ((0, below), (0, right), (0, 0)), mode="edge")
    return piece_HW3
