"""What each task of coast says about a tile; all of it is read off the map.

Shapes: H, W pixels of a tile; C tags; N boxes. Pixel i covers [i, i + 1).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from goldseam.dataset.codecs import Boxes
from goldseam.dataset.examples.coast.source_map import LAKE, LAND, SEA, Bytes, Mask, SourceMap
from goldseam.dataset.examples.coast.tiles import Tile
from goldseam.dataset.schema import Kind, Task

COVER = ("sea", "land", "lake")
OBJECTS = ("island", "lake")
ISLAND_BOX, LAKE_BOX = 0, 1
TAGS = ("sea", "land", "lake", "island", "archipelago", "shoreline", "river", "border")

DISTANCE_CLIP_PX = 16.0
DISTANCE_SCALE = 1 / 256
OBJECT_AREA_PX = (4, 200)
ISLAND_AREA_PX = (2, 200)  # for tags: an islet counts, though a box around it would be too small
LAKE_PX = 4
ARCHIPELAGO_ISLANDS = 4
COVER_SHARE = 0.25
LINE_PX = 8
TOUCHING = np.ones((3, 3), bool)  # pixels that share a corner belong to one object

TASKS: dict[str, Task] = {
    "cover": Task(
        kind=Kind.SEGMENTATION,
        categories=COVER,
        description="Sea, land and lake from the full-resolution shorelines.",
    ),
    "cover_map": Task(
        kind=Kind.SEGMENTATION,
        categories=COVER,
        noisy_version_of="cover",
        description="The same from the crude generalization of the same map.",
    ),
    "shoreline": Task(
        kind=Kind.BOUNDARY,
        description="Pixels on both sides of every edge between land and water.",
    ),
    "distance": Task(
        kind=Kind.REGRESSION,
        unit="px",
        scale=DISTANCE_SCALE,
        offset=-DISTANCE_CLIP_PX - DISTANCE_SCALE,  # code 0 stays free for pixels without a value
        invalid=0,
        description="Signed distance to the shoreline, positive on land, clipped at 16 px.",
    ),
    "objects": Task(
        kind=Kind.DETECTION,
        categories=OBJECTS,
        description="Islands and lakes of 4 to 200 px that lie wholly inside the tile.",
    ),
    "tags": Task(
        kind=Kind.TAGS,
        categories=TAGS,
        description="sea, land: a quarter of the tile or more; lake: 4 px; island: 1; archipelago: "
        "4 islands; shoreline: land meets sea; river, border: 8 px of its line on land.",
    ),
}


def label(task: str, source: SourceMap, tile: Tile) -> Any:
    """The full label of one task, as the array that `codecs` expects for its kind."""
    return LABELS[task](source, tile)


def cover(source: SourceMap, tile: Tile) -> Bytes:
    """uint8 HW: 0 sea, 1 land, 2 lake."""
    return source.cover_HW[tile.window()]


def cover_map(source: SourceMap, tile: Tile) -> Bytes:
    """uint8 HW: the same from the generalized map."""
    return source.generalized_HW[tile.window()]


def _beside(mask_HW: Mask) -> Mask:
    """True where a pixel above, below, left or right is set; one pixel smaller on each side."""
    vertical = mask_HW[:-2, 1:-1] | mask_HW[2:, 1:-1]
    return vertical | mask_HW[1:-1, :-2] | mask_HW[1:-1, 2:]


def shoreline(source: SourceMap, tile: Tile) -> Bytes:
    """uint8 HW: 1 on both sides of every edge between land and water (sea or lake).

    The map beyond the tile decides about the pixels at its edge.
    """
    land_HW = source.cover_HW[tile.window(1)] == LAND
    inner_HW = land_HW[1:-1, 1:-1]
    return np.where(inner_HW, _beside(~land_HW), _beside(land_HW)).astype(np.uint8)


def distance(source: SourceMap, tile: Tile) -> npt.NDArray[np.float32]:
    """float32 HW, px: how far the shoreline is, positive on land, negative on water.

    From the pixel's center to the center of the nearest pixel on the other side, less the half
    pixel that lies beyond the shoreline; so ±0.5 exactly where `shoreline` is 1. The map beyond the
    tile counts; nothing farther than the clip can matter.
    """
    pad = int(DISTANCE_CLIP_PX) + 1
    land_HW = source.cover_HW[tile.window(pad)] == LAND
    far = float(DISTANCE_CLIP_PX + 1)
    if land_HW.all() or not land_HW.any():
        signed_HW = np.where(land_HW, far, -far)
    else:
        to_water_HW = ndimage.distance_transform_edt(land_HW)
        to_land_HW = ndimage.distance_transform_edt(~land_HW)
        signed_HW = np.where(land_HW, to_water_HW - 0.5, 0.5 - to_land_HW)
    clipped_HW = np.clip(signed_HW, -DISTANCE_CLIP_PX, DISTANCE_CLIP_PX)
    return clipped_HW[pad:-pad, pad:-pad].astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Piece:
    """A connected piece of land or lake in a tile.

    Attributes:
        rows: its extent in the tile.
        columns: its extent in the tile.
        area: px, of what the tile shows.
        cut: True when it goes on beyond the tile's edge.
    """

    rows: slice
    columns: slice
    area: int
    cut: bool


def pieces(source: SourceMap, tile: Tile, value: int) -> list[Piece]:
    """The connected pieces of one kind of cover; pixels that share a corner are connected."""
    mask_HW = source.cover_HW[tile.window(1)] == value
    number_HW, count = ndimage.label(mask_HW[1:-1, 1:-1], structure=TOUCHING)
    area_N = np.bincount(number_HW.ravel(), minlength=count + 1)
    # what the ring of one pixel around the tile touches goes on there
    ring_HW = mask_HW.copy()
    ring_HW[1:-1, 1:-1] = False
    reached_HW = ndimage.binary_dilation(ring_HW, structure=TOUCHING)[1:-1, 1:-1]
    cut = set(number_HW[reached_HW].tolist())
    return [
        Piece(rows, columns, int(area_N[number]), number in cut)
        for number, (rows, columns) in enumerate(ndimage.find_objects(number_HW), start=1)
    ]


def objects(source: SourceMap, tile: Tile) -> Boxes:
    """Boxes of islands and lakes.

    A connected piece of land (or lake) of 4 to 200 px that lies wholly inside the tile is an island
    (a lake). Smaller ones are marked ignore: they can hardly be seen. So is a piece of at most
    200 px that goes on beyond the tile's edge: nobody can tell from the tile what it is.
    """
    smallest, largest = OBJECT_AREA_PX
    found = [
        (category, piece)
        for category, value in ((ISLAND_BOX, LAND), (LAKE_BOX, LAKE))
        for piece in pieces(source, tile, value)
        if piece.area <= largest
    ]
    if not found:
        return Boxes.empty()
    corners = [(p.columns.start, p.rows.start, p.columns.stop, p.rows.stop) for _, p in found]
    return Boxes(
        np.array([category for category, _ in found], np.int32),
        np.array(corners, np.float32),
        np.array([piece.cut or piece.area < smallest for _, piece in found], bool),
    )


def tags(source: SourceMap, tile: Tile) -> npt.NDArray[np.int8]:
    """int8 C: 1 present, 0 absent for each of `TAGS`; the map leaves none unknown.

    sea, land: at least a quarter of the tile (some land is in every tile, which would leave nothing
    to tell). lake: at least 4 px. island, archipelago: at least 1, at least 4 pieces of land of 2
    to 200 px wholly inside the tile. shoreline: land meets the sea, and not only lakes. river,
    border: at least 8 px of such a line on land.
    """
    cover_HW = source.cover_HW[tile.window()]
    land_HW = cover_HW == LAND
    smallest, largest = ISLAND_AREA_PX
    islands = sum(
        smallest <= piece.area <= largest and not piece.cut for piece in pieces(source, tile, LAND)
    )
    sea_HW = source.cover_HW[tile.window(1)] == SEA
    present = {
        "sea": (cover_HW == SEA).mean() >= COVER_SHARE,
        "land": land_HW.mean() >= COVER_SHARE,
        "lake": (cover_HW == LAKE).sum() >= LAKE_PX,
        "island": islands >= 1,
        "archipelago": islands >= ARCHIPELAGO_ISLANDS,
        "shoreline": (land_HW & _beside(sea_HW)).any(),
        "river": (source.river_HW[tile.window()] & land_HW).sum() >= LINE_PX,
        "border": (source.border_HW[tile.window()] & land_HW).sum() >= LINE_PX,
    }
    return np.array([present[tag] for tag in TAGS], np.int8)


LABELS: dict[str, Callable[[SourceMap, Tile], Any]] = {
    "cover": cover,
    "cover_map": cover_map,
    "shoreline": shoreline,
    "distance": distance,
    "objects": objects,
    "tags": tags,
}
