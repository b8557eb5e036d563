"""Procedural textures of walls, floors and ceilings.

Shapes: P = SURFACE_PX; a texture is float32 PP3, linear light, 0 to 1, and repeats.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from goldseam.dataset.examples.rooms.models import Array

SURFACE_PX = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Surface:
    """What covers a wall, the floor or the ceiling.

    Attributes:
        pixels_PP3: the texture.
        meters: side of the square that it covers before it repeats.
    """

    pixels_PP3: Array
    meters: float


def linear(color: Array) -> Array:
    """Light of stored values 0 to 1 (gamma 2.2)."""
    return np.asarray(np.asarray(color, np.float32) ** np.float32(2.2))


def _hue(hue: float, saturation: float, value: float) -> Array:
    import colorsys

    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), np.float32)


def _noise(random: np.random.Generator, cells: int, strength: float) -> Array:
    """Smooth gray noise around 1 that repeats: a coarse grid, interpolated."""
    grid = random.normal(0.0, strength, (cells, cells)).astype(np.float32)
    place_P = np.arange(SURFACE_PX) * cells / SURFACE_PX
    left_P = place_P.astype(np.int64)
    part_P = (place_P - left_P).astype(np.float32)
    right_P = (left_P + 1) % cells
    rows = grid[left_P] * (1 - part_P)[:, None] + grid[right_P] * part_P[:, None]
    both = rows[:, left_P] * (1 - part_P) + rows[:, right_P] * part_P
    return np.asarray(1 + both)


def _covered(color: Array, shade_PP: Array, meters: float) -> Surface:
    stored = np.clip(color * shade_PP[:, :, None], 0.0, 1.0)
    return Surface(linear(stored), meters)


def _planks(random: np.random.Generator) -> Surface:
    """Wooden boards of different shades with a grain along them."""
    color = _hue(random.uniform(0.06, 0.1), random.uniform(0.3, 0.65), random.uniform(0.35, 0.8))
    boards = int(random.choice([4, 8]))
    board_P = np.arange(SURFACE_PX) * boards // SURFACE_PX
    shade_P = random.normal(1.0, 0.08, boards)[board_P]
    grain = _noise(random, SURFACE_PX // 2, 0.05)[:, :1] * np.ones((1, SURFACE_PX))
    shade = shade_P[:, None] * grain * _noise(random, 8, 0.03)
    gap_P = np.diff(board_P, prepend=-1) != 0
    shade = np.where(gap_P[:, None], shade * 0.65, shade)
    return _covered(color, shade, random.uniform(0.6, 1.1))


def _tiles(random: np.random.Generator) -> Surface:
    """Square tiles with joints."""
    color = _hue(random.uniform(), random.uniform(0.0, 0.2), random.uniform(0.55, 0.95))
    tiles = int(random.choice([2, 4]))
    number_P = np.arange(SURFACE_PX) * tiles // SURFACE_PX
    contrast = random.choice([0.03, 0.03, 0.35])
    checks = (np.add.outer(number_P, number_P) % 2) * -contrast
    shade = (1 + checks) * _noise(random, 16, 0.03)
    joint_P = np.diff(number_P, prepend=-1) != 0
    shade = np.where(joint_P[:, None] | joint_P[None, :], shade * 0.75, shade)
    return _covered(color, shade, tiles * random.uniform(0.2, 0.45))


def _carpet(random: np.random.Generator) -> Surface:
    color = _hue(random.uniform(), random.uniform(0.05, 0.5), random.uniform(0.25, 0.75))
    shade = _noise(random, SURFACE_PX, 0.07) * _noise(random, 6, 0.04)
    return _covered(color, shade, random.uniform(0.5, 1.0))


def _paint(random: np.random.Generator) -> Surface:
    color = _hue(random.uniform(), random.uniform(0.0, 0.3), random.uniform(0.65, 0.97))
    return _covered(color, _noise(random, 6, 0.012), 2.0)


def _stripes(random: np.random.Generator) -> Surface:
    color = _hue(random.uniform(), random.uniform(0.05, 0.35), random.uniform(0.6, 0.92))
    count = int(random.choice([4, 8]))
    stripe_P = (np.arange(SURFACE_PX) * 2 * count // SURFACE_PX) % 2
    shade = (1 - random.uniform(0.05, 0.2) * stripe_P)[None, :] * _noise(random, 8, 0.01)
    return _covered(color, shade, count * random.uniform(0.1, 0.25))


def _bricks(random: np.random.Generator) -> Surface:
    color = _hue(random.uniform(0.02, 0.07), random.uniform(0.1, 0.55), random.uniform(0.5, 0.85))
    row_P = np.arange(SURFACE_PX) * 8 // SURFACE_PX
    shift_PP = np.add.outer(row_P % 2 * (SURFACE_PX // 8), np.arange(SURFACE_PX)) % SURFACE_PX
    brick_PP = shift_PP * 4 // SURFACE_PX
    shade = random.normal(1.0, 0.07, (8, 4))[row_P[:, None], brick_PP]
    joint = (np.diff(row_P, prepend=-1) != 0)[:, None] | (shift_PP % (SURFACE_PX // 4) == 0)
    return _covered(color, np.where(joint, 1.15, shade), random.uniform(0.7, 1.0))


def _white(random: np.random.Generator) -> Surface:
    color = _hue(random.uniform(), random.uniform(0.0, 0.06), random.uniform(0.82, 0.98))
    return _covered(color, _noise(random, 8, 0.01), 2.0)


Maker = Callable[[np.random.Generator], Surface]
FLOORS: tuple[tuple[Maker, float], ...] = ((_planks, 0.5), (_tiles, 0.25), (_carpet, 0.25))
WALLS: tuple[tuple[Maker, float], ...] = (
    (_paint, 0.65),
    (_stripes, 0.15),
    (_tiles, 0.08),
    (_bricks, 0.05),
    (_planks, 0.07),
)
CEILINGS: tuple[tuple[Maker, float], ...] = ((_white, 0.9), (_planks, 0.1))


def draw_surface(makers: tuple[tuple[Maker, float], ...], random: np.random.Generator) -> Surface:
    """One covering, drawn by the makers' weights."""
    weights = np.array([weight for _, weight in makers])
    chosen = int(random.choice(len(makers), p=weights / weights.sum()))
    return makers[chosen][0](random)
