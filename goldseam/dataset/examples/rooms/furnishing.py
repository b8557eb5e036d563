"""Rooms: their size, and which furniture stands where.

World axes: x and z along the walls, y up; meters; the floor's corner is the origin.
A piece's yaw turns its front, +z of the model, towards +x.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from goldseam.dataset.examples.rooms.categories import FURNITURE
from goldseam.dataset.examples.rooms.models import Array, Model
from goldseam.dataset.examples.rooms.surfaces import (
    CEILINGS,
    FLOORS,
    WALLS,
    Surface,
    draw_surface,
)

SIDE_M = (3.0, 5.2)
HEIGHT_M = (2.4, 2.8)
PIECES = (12, 20)
GAP_M = 0.04
TRIES = 12
AGAINST_WALL = 0.65
AT_TABLE = 0.6
LAMP_REACH_M = (0.3, 0.6)  # how far below the ceiling the light hangs
# how often a category is tried; what often finds no place is tried more often
WEIGHTS = {
    "opening": 1.3,
    "table": 1.2,
    "chair": 1.6,
    "sofa": 1.2,
    "bed": 1.2,
    "storage": 1.2,
    "lamp": 1.3,
    "plant": 1.4,
    "appliance": 1.4,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """A model that stands somewhere.

    Attributes:
        model: which.
        position: of the middle of its footprint, x, y, z.
        yaw: rad.
    """

    model: Model
    position: tuple[float, float, float]
    yaw: float

    @property
    def rotation_33(self) -> Array:
        """From the model's axes to the world's."""
        sine, cosine = np.sin(self.yaw), np.cos(self.yaw)
        return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]], np.float32)

    @functools.cached_property
    def box(self) -> tuple[Array, Array]:
        """Lowest and highest corner of the upright box around it, along the world's axes."""
        width, height, depth = self.model.card.size
        reach = np.abs(self.rotation_33) @ np.array([width / 2, 0, depth / 2])
        middle = np.array(self.position)
        return middle - reach, middle + reach + [0, height, 0]


@dataclasses.dataclass(frozen=True, eq=False)
class Room:
    """A furnished room.

    Attributes:
        size: its extent along x, y, z, m.
        wall: what covers the walls.
        floor: what covers the floor.
        ceiling: what covers the ceiling.
        skirting: RGB of the board along the foot of the walls, linear.
        skirting_height: of that board, m; 0 for none.
        pieces: the furniture.
        light: where the light hangs.
        light_color: RGB, linear, about 1.
        daylight: how bright the windows are, 0 to 1.
        ambient: share of the light that comes from everywhere.
    """

    size: tuple[float, float, float]
    wall: Surface
    floor: Surface
    ceiling: Surface
    skirting: Array
    skirting_height: float
    pieces: tuple[Piece, ...]
    light: Array
    light_color: Array
    daylight: float
    ambient: float


def furnish(models: Sequence[Model], random: np.random.Generator) -> Room:
    """Draw a room and place furniture in it; pieces do not overlap.

    A category is drawn first and then one of its models, so that a category with few models is
    seen as often as one with many.

    Args:
        models: to choose from.
        random: every choice comes from it.
    """
    width, depth = random.uniform(*SIDE_M, 2)
    size = (float(width), float(random.uniform(*HEIGHT_M)), float(depth))
    by_category = {
        category: [model for model in models if model.card.category == category]
        for category in FURNITURE
    }
    names = [category for category in FURNITURE if by_category[category]]
    weights = np.array([WEIGHTS[name] for name in names])
    pieces: list[Piece] = []
    for _ in range(int(random.integers(*PIECES, endpoint=True)) if names else 0):
        category = names[int(random.choice(len(names), p=weights / weights.sum()))]
        of_category = by_category[category]
        model = of_category[int(random.integers(len(of_category)))]
        piece = _placed(model, pieces, size, random)
        if piece is not None:
            pieces.append(piece)
    warmth = random.uniform(-0.12, 0.16)
    return Room(
        size=size,
        wall=draw_surface(WALLS, random),
        floor=draw_surface(FLOORS, random),
        ceiling=draw_surface(CEILINGS, random),
        skirting=np.full(3, random.choice([0.05, 0.3, 0.8]), np.float32),
        skirting_height=float(random.choice([0.0, random.uniform(0.05, 0.12)])),
        pieces=tuple(pieces),
        light=np.array(
            [
                size[0] * random.uniform(0.25, 0.75),
                size[1] - random.uniform(*LAMP_REACH_M),
                size[2] * random.uniform(0.25, 0.75),
            ]
        ),
        light_color=np.array([1 + warmth, 1.0, 1 - warmth], np.float32),
        daylight=float(random.uniform(0.15, 1.0)),
        ambient=float(random.uniform(0.25, 0.6)),
    )


def _placed(
    model: Model,
    others: Sequence[Piece],
    size: tuple[float, float, float],
    random: np.random.Generator,
) -> Piece | None:
    """The model at a free place that suits it; None when none was found."""
    for _ in range(TRIES):
        piece = _proposed(model, others, size, random)
        if (
            piece is not None
            and _inside(piece, size)
            and not any(_overlap(piece, other) for other in others)
        ):
            return piece
    return None


def _proposed(
    model: Model,
    others: Sequence[Piece],
    size: tuple[float, float, float],
    random: np.random.Generator,
) -> Piece | None:
    card = model.card
    if card.mount == "top":
        return _on_top(model, others, random)
    if card.mount == "ceiling":
        x, z = random.uniform(0.15, 0.85) * size[0], random.uniform(0.15, 0.85) * size[2]
        return Piece(model, (x, size[1] - card.size[1] - 0.002, z), random.uniform(0, 2 * np.pi))
    if card.mount == "wall":
        height = min(card.elevation, size[1] - card.size[1] - 0.02)
        return _at_wall(model, size, max(height, 0.0), random) if height > -1e-9 else None
    if card.category == "chair" and random.uniform() < AT_TABLE:
        tables = [piece for piece in others if piece.model.card.category == "table"]
        if tables:
            return _at_table(model, tables[int(random.integers(len(tables)))], random)
    if random.uniform() < AGAINST_WALL or card.category in ("storage", "bed"):
        return _at_wall(model, size, 0.0, random)
    x, z = random.uniform(0.0, size[0]), random.uniform(0.0, size[2])
    return Piece(model, (x, 0.0, z), random.uniform(0, 2 * np.pi))


def _at_wall(
    model: Model, size: tuple[float, float, float], height: float, random: np.random.Generator
) -> Piece:
    """With its back to one of the four walls, its front to the room."""
    side = int(random.integers(4))
    back = model.card.size[2] / 2 + 0.005
    along = random.uniform(0.05, 0.95)
    yaw = side * np.pi / 2
    x, z = {
        0: (along * size[0], back),
        1: (back, along * size[2]),
        2: (along * size[0], size[2] - back),
        3: (size[0] - back, along * size[2]),
    }[side]
    return Piece(model, (x, height, z), yaw)


def _at_table(model: Model, table: Piece, random: np.random.Generator) -> Piece:
    """Before one of the table's sides, facing it."""
    width, _, depth = table.model.card.size
    side = int(random.integers(4))
    reach = (depth if side % 2 == 0 else width) / 2 + model.card.size[2] / 2 + 2 * GAP_M
    along = random.uniform(-0.3, 0.3) * (width if side % 2 == 0 else depth)
    direction = table.yaw + side * np.pi / 2
    out = np.array([np.sin(direction), np.cos(direction)])
    aside = np.array([out[1], -out[0]])
    x, z = np.array([table.position[0], table.position[2]]) + reach * out + along * aside
    return Piece(model, (float(x), 0.0, float(z)), direction + np.pi + random.normal(0.0, 0.15))


def _on_top(model: Model, others: Sequence[Piece], random: np.random.Generator) -> Piece | None:
    """On a table or cabinet that is large enough; None when there is none."""
    reach = max(model.card.size[0], model.card.size[2])
    supports = [
        piece
        for piece in others
        if piece.model.card.top and min(piece.model.card.size[0], piece.model.card.size[2]) >= reach
    ]
    if not supports:
        return None
    support = supports[int(random.integers(len(supports)))]
    width, _, depth = support.model.card.size
    free = np.array([width - reach, 0.0, depth - reach]) / 2
    place = support.rotation_33 @ (free * random.uniform(-1, 1, 3)) + support.position
    yaw = support.yaw + random.normal(0.0, 0.3)
    height = support.position[1] + support.model.card.top + 0.002
    return Piece(model, (float(place[0]), height, float(place[2])), yaw)


def _inside(piece: Piece, size: tuple[float, float, float]) -> bool:
    low, high = piece.box
    return bool((low >= 0.0).all() and (high <= np.array(size)).all())


def _overlap(one: Piece, other: Piece) -> bool:
    # what stands on a piece lies inside the box of a desk with a hutch
    if one.model.card.mount == "top" and other.model.card.top:
        return False
    (low, high), (other_low, other_high) = one.box, other.box
    gap = np.array([GAP_M, 0.0, GAP_M])
    return bool((low < other_high + gap).all() and (other_low < high + gap).all())
