"""Which tiles of the world coast consists of, and which split each belongs to.

Neighboring tiles overlap and look alike, so the split is made by blocks of longitude with a gap
between them, never by tile: a block is the `group` of its tiles.
"""

import dataclasses
from collections.abc import Iterator
from typing import Literal

import numpy as np

from goldseam.dataset.examples.coast.source_map import (
    HEIGHT,
    LAND,
    PX_PER_DEGREE,
    WIDTH,
    SourceMap,
)
from goldseam.errors import InvalidConfig

Split = Literal["train", "validation", "test"]

NORTH, SOUTH = 70, -60
LAND_SHARE = (0.05, 0.95)
# wider than twice the reach of a `distance` label: no label looks into another block's tiles
GAP_PX = 32
BLOCK_PX: dict[Split, int] = {"train": 192, "validation": 128, "test": 192}
# of all such layouts the one whose splits are most alike in land, lakes and errors of the coarse
# map; chosen by counting pixels, before any training
CYCLE: tuple[Split, ...] = ("test", "train", "validation", "train", "test", "train")
CYCLES = 4
FIRST_PX = 128
SIZES = (32, 128)


@dataclasses.dataclass(frozen=True)
class Block:
    """A strip of longitude from pole to pole.

    Attributes:
        group: its name.
        split: where all of its tiles go.
        left: first column, px.
        right: column behind the last, px.
    """

    group: str
    split: Split
    left: int
    right: int


@dataclasses.dataclass(frozen=True)
class Tile:
    """A square of the map.

    Attributes:
        row: uppermost row, px from the north pole.
        column: leftmost column, px from 180°W.
        size: px.
        block: the block it lies in.
    """

    row: int
    column: int
    size: int
    block: Block

    @property
    def image_id(self) -> str:
        """Named by where it lies."""
        return f"coast-r{self.row:04d}-c{self.column:04d}"

    @property
    def latitude(self) -> float:
        """Of the center, degrees north."""
        return 90 - (self.row + self.size / 2) / PX_PER_DEGREE

    @property
    def longitude(self) -> float:
        """Of the center, degrees east."""
        return (self.column + self.size / 2) / PX_PER_DEGREE - 180

    def window(self, pad: int = 0) -> tuple[slice, slice]:
        """Rows and columns of the tile with `pad` px around it."""
        rows = slice(self.row - pad, self.row + self.size + pad)
        return rows, slice(self.column - pad, self.column + self.size + pad)


def blocks() -> Iterator[Block]:
    """All blocks from west to east."""
    left = FIRST_PX
    for number, split in enumerate(CYCLE * CYCLES):
        right = left + BLOCK_PX[split]
        yield Block(f"block-{number:02d}", split, left, right)
        left = right + GAP_PX


def coastal_tiles(source: SourceMap, size: int = 64) -> list[Tile]:
    """Tiles that lie wholly in one block between 70°N and 60°S and show a coast.

    Tiles overlap by half. A tile shows a coast when 5 to 95 % of its pixels are land.

    Args:
        source: the map.
        size: px, even.

    Raises:
        InvalidConfig: the size is odd, or too small or too large for the blocks.
    """
    smallest, largest = SIZES
    if size % 2 or not smallest <= size <= largest:
        raise InvalidConfig(
            f"coast cannot be cut into tiles of {size} px.",
            remedy=f"Choose an even --size from {smallest} to {largest}; the default is 64.",
        )
    # land above and to the left of each pixel: a tile's share in four look-ups
    total = np.zeros((HEIGHT + 1, WIDTH + 1), np.int64)
    np.cumsum(np.cumsum(source.cover_HW == LAND, axis=0), axis=1, out=total[1:, 1:])
    top, bottom = (90 - NORTH) * PX_PER_DEGREE, (90 - SOUTH) * PX_PER_DEGREE
    tiles = []
    for block in blocks():
        for row in range(top, bottom - size + 1, size // 2):
            for column in range(block.left, block.right - size + 1, size // 2):
                land = (
                    total[row + size, column + size]
                    - total[row, column + size]
                    - total[row + size, column]
                    + total[row, column]
                ) / size**2
                if LAND_SHARE[0] <= land <= LAND_SHARE[1]:
                    tiles.append(Tile(row, column, size, block))
    return tiles
