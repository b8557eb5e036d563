"""Photos that closet is composed of, and the file that a few of them are shipped in.

Shapes: K closets, C categories, J items of a category in a closet, PX pixels of a photo's side.
A closet holds a few items of every category; no item is in two closets, no closet in two splits.
"""

import dataclasses
import functools
import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from goldseam.dataset.examples.closet.categories import CATEGORIES
from goldseam.dataset.schema import SPLITS, Split
from goldseam.errors import MissingInput

Array = npt.NDArray[Any]

SHIPPED = Path(__file__).with_name("photos.npz")
PX = 28
ITEMS_EACH = 4
# gray level of a photo (0 to 255) above which a pixel belongs to the item and not to its backdrop
BACKDROP = 12
# transparent px around a sprite, into which its soft shadow spreads
MARGIN = 4
SHADOW_BLUR = 5
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)
# a black item must not swallow its tint
DARKEST = 0.3


@dataclasses.dataclass(frozen=True)
class BackgroundCard:
    """Where a background comes from.

    Attributes:
        name: what it shows, in a word.
        held_out: True for the backgrounds of the test split, False for those of the other two.
        creator: who made it.
        license: under which it may be used.
        source: where it was published.
    """

    name: str
    held_out: bool
    creator: str
    license: str
    source: str


@dataclasses.dataclass(frozen=True, eq=False)
class Background:
    """A photo to compose on.

    Attributes:
        card: where it comes from.
        content: the encoded picture.
    """

    card: BackgroundCard
    content: bytes

    @functools.cached_property
    def pixel_HW3(self) -> Array:  # noqa: N802
        """uint8 RGB."""
        with Image.open(io.BytesIO(self.content)) as picture:
            return np.asarray(picture.convert("RGB"))


@dataclasses.dataclass(frozen=True, eq=False)
class Wardrobe:
    """What the scenes of one split are composed of.

    Attributes:
        photo_KCJHW: uint8 gray photos on a black backdrop, PX squared.
        backgrounds: at least one.
    """

    photo_KCJHW: Array
    backgrounds: tuple[Background, ...]
    _sprites: dict[tuple[int, int, int], Array] = dataclasses.field(default_factory=dict)

    def sprite(self, closet: int, category: int, item: int) -> Array:
        """One item as `make_sprite` gives it; made when first asked for, and kept."""
        key = (closet, category, item)
        found = self._sprites.get(key)
        if found is None:
            found = self._sprites[key] = make_sprite(self.photo_KCJHW[key])
        return found


@dataclasses.dataclass(frozen=True, eq=False)
class Library:
    """Photos of all splits.

    Attributes:
        wardrobes: split → what its scenes are composed of.
    """

    wardrobes: dict[Split, Wardrobe]


def cut_out(photo_HW: Array) -> Array:
    """Bool HW: the item's pixels, with its dark parts: brighter than the backdrop, holes filled."""
    import cv2

    filled_HW = np.pad((photo_HW > BACKDROP).astype(np.uint8), 1)
    cv2.floodFill(filled_HW, None, (0, 0), (2,))  # the backdrop is what a corner reaches
    return np.asarray(filled_HW[1:-1, 1:-1] != 2)


def make_sprite(photo_HW: Array) -> Array:
    """An item cut out of its photo.

    Returns:
        uint8 HW3, as large as the item with `MARGIN` around it: brightness times opacity, opacity,
        and the density of a soft shadow.
    """
    import cv2

    mask_HW = cut_out(photo_HW)
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    tight = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    alpha_HW = np.pad(mask_HW[tight] * np.uint8(255), MARGIN)
    bright_HW = DARKEST * 255 + (1 - DARKEST) * np.pad(photo_HW[tight], MARGIN)
    shade_HW = np.where(alpha_HW > 0, bright_HW, 0).astype(np.uint8)
    shadow_HW = cv2.blur(alpha_HW, (SHADOW_BLUR, SHADOW_BLUR), borderType=cv2.BORDER_CONSTANT)
    return np.stack([shade_HW, alpha_HW, np.asarray(shadow_HW)], axis=2)


def into_closets(photo_NHW: Array, category_N: Array) -> Array:
    """Deal photos out to closets, in their order; what fills no closet is left over.

    A photo on which nothing is brighter than the backdrop is passed over.

    Returns:
        uint8 KCJHW; K is 0 where a category has fewer than `ITEMS_EACH` photos.
    """
    shows_N = (photo_NHW > BACKDROP).any(axis=(1, 2))
    rows = [np.flatnonzero(shows_N & (category_N == c)) for c in range(len(CATEGORIES))]
    closets = min(map(len, rows)) // ITEMS_EACH
    row_CKJ = np.stack([of[: closets * ITEMS_EACH].reshape(closets, ITEMS_EACH) for of in rows])
    return np.asarray(photo_NHW[row_CKJ.swapaxes(0, 1)])


def assemble(photos: dict[Split, Array], backgrounds: Sequence[Background]) -> Library:
    """A library of closets and backgrounds; held-out backgrounds are in the test split alone."""
    return Library(
        {
            split: Wardrobe(
                photos[split],
                tuple(b for b in backgrounds if b.card.held_out == (split == "test")),
            )
            for split in SPLITS
        }
    )


def write_library(library: Library) -> bytes:
    """A library as the bytes of an `.npz` file without pickle; equal libraries give equal bytes."""
    backgrounds = [
        *library.wardrobes["train"].backgrounds,
        *library.wardrobes["test"].backgrounds,
    ]
    cards = json.dumps([dataclasses.asdict(background.card) for background in backgrounds])
    photos = {split: wardrobe.photo_KCJHW for split, wardrobe in library.wardrobes.items()}
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        cards=np.frombuffer(cards.encode(), np.uint8),
        lengths=np.array([len(background.content) for background in backgrounds], np.int64),
        pictures=np.frombuffer(b"".join(b.content for b in backgrounds), np.uint8),
        train=photos["train"],
        validation=photos["validation"],
        test=photos["test"],
    )
    return stream.getvalue()


@functools.lru_cache(maxsize=1)  # a wardrobe keeps its sprites
def read_library(path: Path = SHIPPED) -> Library:
    """Read the photos that are shipped, or others that were written in the same way.

    Raises:
        MissingInput: the file is not there or is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            parts = {name: stored[name] for name in stored.files}
        cards = [BackgroundCard(**card) for card in json.loads(parts["cards"].tobytes())]
        ends = parts["lengths"].cumsum()
        contents = np.split(parts["pictures"], ends[:-1])
        backgrounds = [
            Background(card, content.tobytes())
            for card, content in zip(cards, contents, strict=True)
        ]
        library = assemble({split: parts[split] for split in SPLITS}, backgrounds)
        _require_photos(library)
    except UNREADABLE as error:
        raise MissingInput(
            path,
            f"holds no photos of items and backgrounds ({error})",
            "Install goldseam again: the file is part of the package.",
        ) from error
    return library


def _require_photos(library: Library) -> None:
    for split, wardrobe in library.wardrobes.items():
        shape = wardrobe.photo_KCJHW.shape
        if shape[1:] != (len(CATEGORIES), ITEMS_EACH, PX, PX) or not shape[0]:
            raise ValueError(f"{split} has photos of shape {shape}")
        if not wardrobe.backgrounds:
            raise ValueError(f"{split} has no background")
