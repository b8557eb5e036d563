"""Composes one scene: items of one closet on a floor, painted from the farthest to the nearest.

Shapes: H = W the picture's size; I items of a scene, the nearest first; h, w of one item.
"""

import dataclasses

import numpy as np

from goldseam.dataset.examples.closet.categories import (
    COLOR_K3,
    COLORS,
    FREQUENCY_C,
    PARTNER_C,
    SIZE_C,
)
from goldseam.dataset.examples.closet.photos import (
    ITEMS_EACH,
    MARGIN,
    PX,
    Array,
    Library,
    Wardrobe,
    read_library,
)
from goldseam.dataset.schema import SPLITS, Split
from goldseam.errors import InvalidConfig, closest

SIZES = (64, 128)
FEWEST, MOST = 2, 6
NONE = -1  # in a map of instances: no item
# shares of the picture, so that a scene means the same at every size; 12 px of 64 by 64
SMALLEST = 12 / 64**2
VISIBLE_SHARE = 0.25

PARTNER_RATE = 0.25  # how often an item is what is worn with the nearest one
HORIZON = (0.25, 0.45)  # of the floor, as a share of the height from the upper edge
FOOT = 0.97  # where an item at distance 1 stands
LARGEST = 0.55  # side of a photo at distance 1, as a share of the picture's
NEAREST, FARTHEST = (1.0, 1.5), 3.2
SHADOW_DENSITY, SHADOW_SHIFT = (0.15, 0.55), 0.05
GRAIN = (2.0, 8.0)  # largest deviation of a pixel by noise, gray levels of 255
EXPOSURE, WHITE_BALANCE, TINT_SPREAD = (0.8, 1.15), 0.12, 0.08
DRAWS_PER_SCENE, DRAWS_PER_ITEM = 16, 8


@dataclasses.dataclass(frozen=True, eq=False)
class Composition:
    """A picture, and where which item is on it.

    Attributes:
        image_id: of the picture.
        group: the closet that its items are from.
        background: name of what is behind them.
        image_HW3: uint8 RGB.
        instance_HW: int8 number of the item that a pixel shows, -1 where it shows none.
        category_I: int64, ids of `categories.CATEGORIES`.
        color_I: int64, ids of `categories.COLORS`; no two items of a scene have one color.
        distance_I: float64, ascending; an item of distance 2 is half as large as at distance 1.
        visible_I: int64, px that show the item.
        alone_I: int64, px that would show it if it stood alone.
    """

    image_id: str
    group: str
    background: str
    image_HW3: Array
    instance_HW: Array
    category_I: Array
    color_I: Array
    distance_I: Array
    visible_I: Array
    alone_I: Array

    @property
    def large_I(self) -> Array:  # noqa: N802
        """Bool I: items of which enough pixels are visible to be named."""
        return large_enough(self.visible_I, self.instance_HW.size)

    @property
    def counted_I(self) -> Array:  # noqa: N802
        """Bool I: items that are large enough and of which a quarter is visible."""
        return self.large_I & (self.visible_I >= VISIBLE_SHARE * self.alone_I)


@dataclasses.dataclass(frozen=True, eq=False)
class _Layout:
    """Which items stand where; I items, the nearest first.

    Attributes:
        category_I: ids.
        item_I: which of the closet's items of that category.
        color_I: ids.
        tint_I3: float32 RGB of 255.
        distance_I: 1 is nearest.
        scale_I: px of the picture per px of the photo.
        foot_I: row on which the item stands, px.
        across_I: 0 is at the left edge, 1 at the right.
        mirrored_I: bool.
    """

    category_I: Array
    item_I: Array
    color_I: Array
    tint_I3: Array
    distance_I: Array
    scale_I: Array
    foot_I: Array
    across_I: Array
    mirrored_I: Array


def compose(
    seed: int,
    index: int,
    *,
    split: Split = "train",
    size: int = 64,
    library: Library | None = None,
) -> Composition:
    """Compose one scene; a pure function of its arguments.

    A scene shows 2 to 6 items of one closet. The scenes of a split take its closets in turn. Size
    and height in the picture follow the distance, as on a level floor.

    Args:
        seed: of all scenes.
        index: which scene, from 0; there is no last one.
        split: whose items and backgrounds it shows; splits share no item, and test shows
            backgrounds of its own.
        size: of the picture, px; 64 to 128.
        library: the photos; None is those that come with goldseam.

    Raises:
        InvalidConfig: `seed`, `index`, `split` or `size` cannot be had.
        MissingInput: the photos cannot be read.
    """
    require_scene(seed, index, split, size)
    wardrobe = (library or read_library()).wardrobes[split]
    closet = index % len(wardrobe.photo_KCJHW)
    random = np.random.default_rng([seed, SPLITS.index(split), index])
    # drawn at once, whatever the number of items: single draws would take half of the time
    draw_S = random.random(DRAWS_PER_SCENE)
    layout = _lay_out(draw_S[:3], random, size)
    background = wardrobe.backgrounds[int(draw_S[3] * len(wardrobe.backgrounds))]
    place_HW3 = _crop(background.pixel_HW3, draw_S[4:8], size)
    canvas_HW3, instance_HW, alone_I = _paint(
        wardrobe, closet, layout, place_HW3, draw_S[8:11], size
    )
    shown_HW = np.ascontiguousarray(instance_HW)
    count = len(layout.category_I)
    return Composition(
        image_id=f"{split}-{index:06d}",
        group=f"{split}-closet-{closet:04d}",
        background=background.card.name,
        image_HW3=_expose(canvas_HW3, draw_S[11:16], random),
        instance_HW=shown_HW,
        category_I=layout.category_I,
        color_I=layout.color_I,
        distance_I=layout.distance_I,
        visible_I=np.bincount(shown_HW.ravel() - NONE, minlength=count + 1)[1:],
        alone_I=alone_I,
    )


def large_enough(visible_I: Array, pixels: int) -> Array:
    """Bool I: items with enough visible pixels to be named, in a picture of so many pixels."""
    return np.asarray(visible_I >= SMALLEST * pixels)


def require_scene(seed: int, index: int, split: str, size: int) -> None:
    """Check what a scene is asked for by.

    Raises:
        InvalidConfig: `seed`, `index`, `split` or `size` cannot be had.
    """
    smallest, largest = SIZES
    if not smallest <= size <= largest:
        raise InvalidConfig(
            f"closet cannot be composed at {size} px.",
            remedy=f"Choose a --size from {smallest} to {largest}; the default is {smallest}.",
        )
    if split not in SPLITS:
        raise InvalidConfig(
            f"closet has no split '{split}'.", remedy=f"Closest: {closest(split, SPLITS)}."
        )
    if seed < 0 or index < 0:
        raise InvalidConfig(
            f"closet has no scene {index} of seed {seed}.",
            remedy="Give an index and a seed of at least 0.",
        )


def _between(low_high: tuple[float, float], share: float) -> float:
    low, high = low_high
    return low + (high - low) * share


def _lay_out(draw_3: Array, random: np.random.Generator, size: int) -> _Layout:
    """Draw which items stand where."""
    draw_DI = random.random((DRAWS_PER_ITEM, MOST))
    count = FEWEST + int(draw_3[0] * (MOST - FEWEST + 1))
    nearest = _between(NEAREST, draw_3[1])
    distance_I = nearest * (FARTHEST / nearest) ** np.sort(draw_DI[0, :count])
    distance_I[0] = nearest
    # the last edge is 1 up to rounding: nothing may fall beyond it
    category_I = np.searchsorted(FREQUENCY_C.cumsum()[:-1], draw_DI[1, :count], side="right")
    paired_I = draw_DI[2, :count] < PARTNER_RATE
    paired_I[0] = False
    category_I[paired_I] = PARTNER_C[category_I[0]]
    color_I = random.permutation(len(COLORS))[:count]
    spread_I3 = 1 + TINT_SPREAD * (2 * random.random((MOST, 3)) - 1)[:count]
    horizon = _between(HORIZON, draw_3[2])
    return _Layout(
        category_I=category_I,
        item_I=(draw_DI[3, :count] * ITEMS_EACH).astype(np.int64),
        color_I=color_I,
        tint_I3=(COLOR_K3[color_I] * spread_I3).astype(np.float32),
        distance_I=distance_I,
        scale_I=LARGEST * size / PX * SIZE_C[category_I] / distance_I,
        foot_I=np.rint(size * (horizon + (FOOT - horizon) / distance_I)).astype(np.int64),
        across_I=draw_DI[4, :count],
        mirrored_I=draw_DI[5, :count] < 0.5,
    )


def _crop(pixel_HW3: Array, draw_4: Array, size: int) -> Array:
    """A square of a background, half of its side at least, brought to `size`; perhaps mirrored."""
    import cv2

    height, width = pixel_HW3.shape[:2]
    side = int(min(height, width) * _between((0.5, 1.0), draw_4[0]))
    top, left = int(draw_4[1] * (height - side + 1)), int(draw_4[2] * (width - side + 1))
    square_HW3 = pixel_HW3[top : top + side, left : left + side]
    method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    small_HW3 = np.asarray(cv2.resize(square_HW3, (size, size), interpolation=method))
    return small_HW3[:, ::-1] if draw_4[3] < 0.5 else small_HW3


def _paint(
    wardrobe: Wardrobe,
    closet: int,
    layout: _Layout,
    place_HW3: Array,
    draw_3: Array,
    size: int,
) -> tuple[Array, Array, Array]:
    """Put items over the background, each with its shadow, the farthest first.

    Returns:
        float32 HW3 of 255; int8 HW, numbers of items; int64 I, px of each item alone.
    """
    # room for shadows and transparent margins that reach beyond the picture's edge
    rim = size // 4
    inside = np.s_[rim : rim + size, rim : rim + size]
    canvas_HW3 = np.zeros((size + 2 * rim, size + 2 * rim, 3), np.float32)
    canvas_HW3[inside] = place_HW3
    instance_HW = np.full(canvas_HW3.shape[:2], NONE, np.int8)
    density = np.float32(_between(SHADOW_DENSITY, draw_3[0]) / 255)
    shift = SHADOW_SHIFT * size
    across, down = int(shift * (2 * draw_3[1] - 1)), int(shift * draw_3[2])
    alone_I = np.zeros(len(layout.category_I), np.int64)
    for number in range(len(alone_I) - 1, -1, -1):
        sprite_hw3 = _scaled(wardrobe, closet, layout, number)
        height, width = sprite_hw3.shape[:2]
        margin = MARGIN * layout.scale_I[number]
        room = size - width + 2 * margin
        left = rim + int(np.rint(layout.across_I[number] * room - margin))
        top = rim + int(layout.foot_I[number]) - height + int(np.rint(margin))
        shaded_hw3 = canvas_HW3[top + down :, left + across :][:height, :width]
        shaded_hw3 *= 1 - density * sprite_hw3[:, :, 2:]
        layers_hw3 = sprite_hw3 * np.float32(1 / 255)
        patch_hw3 = canvas_HW3[top : top + height, left : left + width]
        patch_hw3 *= 1 - layers_hw3[:, :, 1:2]
        patch_hw3 += layers_hw3[:, :, :1] * layout.tint_I3[number]
        solid_hw = sprite_hw3[:, :, 1] > 127
        instance_HW[top : top + height, left : left + width][solid_hw] = number
        alone_I[number] = np.count_nonzero(solid_hw)
    return canvas_HW3[inside], instance_HW[inside], alone_I


def _scaled(wardrobe: Wardrobe, closet: int, layout: _Layout, number: int) -> Array:
    """An item's layers as large as it stands in the picture, uint8 hw3; see `make_sprite`."""
    import cv2

    sprite_hw3 = wardrobe.sprite(closet, int(layout.category_I[number]), int(layout.item_I[number]))
    scale = float(layout.scale_I[number])
    height, width = (max(1, round(length * scale)) for length in sprite_hw3.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled_hw3 = np.asarray(cv2.resize(sprite_hw3, (width, height), interpolation=method))
    return scaled_hw3[:, ::-1] if layout.mirrored_I[number] else scaled_hw3


def _expose(canvas_HW3: Array, draw_5: Array, random: np.random.Generator) -> Array:
    """Exposure, white balance and grain; uint8 HW3."""
    balance_3 = 1 + WHITE_BALANCE * (2 * draw_5[1:4] - 1)
    gain_3 = (_between(EXPOSURE, draw_5[0]) * balance_3).astype(np.float32)
    grain = np.float32(_between(GRAIN, draw_5[4]) / 127.5)
    noise_HW3 = random.integers(0, 256, canvas_HW3.shape, np.uint8)
    light_HW3 = canvas_HW3 * gain_3
    light_HW3 += noise_HW3 * grain
    light_HW3 -= 127.5 * grain
    return light_HW3.clip(0, 255).astype(np.uint8)
