"""What each task of closet says about a scene; everything is read off how it was composed.

Shapes: H = W the picture's size; I items, the nearest first; C categories; N boxes.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from goldseam.dataset.codecs import ABSENT, PRESENT, Boxes
from goldseam.dataset.examples.closet.categories import CATEGORIES, COLORS, PHRASES, PLURAL
from goldseam.dataset.examples.closet.composing import Composition
from goldseam.dataset.examples.closet.photos import Array
from goldseam.dataset.schema import Kind, Task

BACKGROUND = 0

TASKS: dict[str, Task] = {
    "segmentation": Task(
        kind=Kind.SEGMENTATION,
        categories=("background", *CATEGORIES),
        description="The item that a pixel shows for the most part.",
    ),
    "depth_order": Task(
        kind=Kind.REGRESSION,
        unit="rank",
        description="Place of the pixel's item among those that any pixel shows: 1 is the nearest. "
        "No value on the background. Each item has a rank of its own, so this is also the map of "
        "instances.",
    ),
    "objects": Task(
        kind=Kind.DETECTION,
        categories=CATEGORIES,
        description="What is visible of each item, the nearest first, so that box number r has "
        "rank r; ignored below 12 px of 64 by 64, or where less than a quarter of the item is "
        "visible.",
    ),
    "tags": Task(
        kind=Kind.TAGS,
        categories=CATEGORIES,
        description="Categories of which one item shows 12 px of 64 by 64.",
    ),
    "caption": Task(
        kind=Kind.CAPTION,
        description="Names the items that are not ignored, the nearest first.",
    ),
}


@dataclasses.dataclass(frozen=True)
class Phrase:
    """Words of a caption that name an item.

    Attributes:
        start: first character.
        end: one past the last character.
        number: of the item, as in `Composition.instance_HW`.
    """

    start: int
    end: int
    number: int


def ranks(scene: Composition) -> Array:
    """int64 I: 1 for the nearest item that any pixel shows, 0 for items that none shows."""
    shown_I = scene.visible_I > 0
    return np.where(shown_I, shown_I.cumsum(), 0)


def segmentation(scene: Composition) -> Array:
    """uint8 HW: 0 on the background, otherwise the id of the category plus 1."""
    # the map's -1, no item, takes the last entry
    id_I = np.append(scene.category_I + 1, BACKGROUND).astype(np.uint8)
    return np.asarray(id_I[scene.instance_HW])


def depth_order(scene: Composition) -> Array:
    """float32 HW: rank of the item, 1 the nearest; NaN on the background."""
    rank_I = np.append(ranks(scene), np.nan).astype(np.float32)
    return np.asarray(rank_I[scene.instance_HW])


def objects(scene: Composition) -> Boxes:
    """A box around the visible pixels of each item that any pixel shows, the nearest first."""
    shown = np.flatnonzero(scene.visible_I)
    corners = []
    for number in shown.tolist():
        here_HW = scene.instance_HW == number
        rows, columns = here_HW.any(axis=1).nonzero()[0], here_HW.any(axis=0).nonzero()[0]
        corners.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return Boxes(
        scene.category_I[shown].astype(np.int32),
        np.array(corners, np.float32),
        ~scene.counted_I[shown],
    )


def tags(scene: Composition) -> Array:
    """int8 C: 1 present, 0 absent; none is unknown."""
    state_C = np.full(len(CATEGORIES), ABSENT, np.int8)
    state_C[scene.category_I[scene.large_I]] = PRESENT
    return state_C


def areas(scene: Composition) -> Array:
    """Of each tag, the visible area of its largest item.

    What an annotator in haste overlooks is small: `tag_mask` takes this as its `area_NC`.

    Returns:
        float64 C, share of the picture; NaN where the tag is absent.
    """
    share_I = scene.visible_I / scene.instance_HW.size
    area_C = np.full(len(CATEGORIES), np.nan)
    named = scene.large_I
    np.fmax.at(area_C, scene.category_I[named], share_I[named])
    return area_C


def caption(scene: Composition) -> str:
    """The items that are not ignored, such as "a red sneaker in front of a blue bag"."""
    return _told(scene)[0]


def phrases(scene: Composition) -> tuple[Phrase, ...]:
    """Where the caption names which item, in the order of the caption."""
    return _told(scene)[1]


def phrase_masks(scene: Composition) -> dict[str, Array]:
    """The words that name an item → bool HW, the pixels that show it.

    No two items of a scene have one color, so the words of each are its own. The format of datasets
    on disk has no place for these masks; the scene is composed again from its seed and index.
    """
    text = caption(scene)
    return {
        text[phrase.start : phrase.end]: scene.instance_HW == phrase.number
        for phrase in phrases(scene)
    }


def _told(scene: Composition) -> tuple[str, tuple[Phrase, ...]]:
    named = np.flatnonzero(scene.counted_I).tolist()
    text, found = "", []
    for place, number in enumerate(named):
        last = place == len(named) - 1
        joint = (" and " if last else ", ") if place > 1 else " in front of " * place
        category = int(scene.category_I[number])
        words = PHRASES[category].format(COLORS[int(scene.color_I[number])])
        article = "" if category in PLURAL else "an " if words[0] in "aeiou" else "a "
        text += joint + article
        found.append(Phrase(len(text), len(text) + len(words), number))
        text += words
    return text, tuple(found)


LABELS: dict[str, Callable[[Composition], Any]] = {
    "segmentation": segmentation,
    "depth_order": depth_order,
    "objects": objects,
    "tags": tags,
    "caption": caption,
}
