"""Scenes without a disk: arrays of many at once, and a table from which models train.

Shapes: N scenes, C categories, H = W the picture's size.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from goldseam.dataset.codecs import UNKNOWN
from goldseam.dataset.examples.closet.categories import CATEGORIES
from goldseam.dataset.examples.closet.composing import compose, require_scene
from goldseam.dataset.examples.closet.labels import LABELS, TASKS, areas, tags
from goldseam.dataset.examples.closet.photos import Array, Library, read_library
from goldseam.dataset.memory import SampleTable
from goldseam.dataset.reading import Record
from goldseam.dataset.schema import Split
from goldseam.errors import InvalidArray, InvalidConfig, closest

COMPOSED = "generated"  # who made a label
INSTANCES = ("segmentation", "depth_order")  # together they say which item each pixel shows


@dataclasses.dataclass(frozen=True, eq=False)
class TaggedScenes:
    """Many scenes with their tags.

    Attributes:
        image_NHW3: uint8 RGB.
        tag_NC: int8, 1 present, 0 absent; none is unknown.
        area_NC: float64, visible area of each tag's largest item as a share of the picture; NaN
            where the tag is absent.
        groups: the closet of each scene: unit of leakage.
    """

    image_NHW3: Array
    tag_NC: Array
    area_NC: Array
    groups: tuple[str, ...]


def tagged_scenes(
    seed: int,
    indices: Iterable[int],
    *,
    split: Split = "train",
    size: int = 64,
    library: Library | None = None,
) -> TaggedScenes:
    """Compose scenes and tag them; see `compose` for the arguments and errors."""
    require_scene(seed, 0, split, size)
    library = library or read_library()
    scenes = [compose(seed, i, split=split, size=size, library=library) for i in indices]
    images = [scene.image_HW3 for scene in scenes]
    count = len(CATEGORIES)
    return TaggedScenes(
        image_NHW3=np.array(images, np.uint8).reshape(-1, size, size, 3),
        tag_NC=np.array([tags(scene) for scene in scenes], np.int8).reshape(-1, count),
        area_NC=np.array([areas(scene) for scene in scenes], np.float64).reshape(-1, count),
        groups=tuple(scene.group for scene in scenes),
    )


class ClosetTable(SampleTable):
    """Scenes as a source of training samples; each is composed when it is asked for.

    Equal arguments give equal samples in every process, so nothing is stored.

    Args:
        count: how many scenes, from index 0.
        tasks: whose labels a sample carries; see `labels.TASKS`.
        seed: of all scenes.
        split: whose items and backgrounds they show.
        size: of the pictures, px; 64 to 128.
        known_tags_NC: bool, True where a tag is known; None is everywhere. What it forgets is
            unknown to the sample.
        library: the photos; None is those that come with goldseam.

    Raises:
        InvalidConfig: a task, `count`, `seed`, `split` or `size` cannot be had.
        InvalidArray: `known_tags_NC` has another shape.
    """

    def __init__(
        self,
        count: int,
        tasks: Sequence[str],
        *,
        seed: int = 0,
        split: Split = "train",
        size: int = 64,
        known_tags_NC: npt.NDArray[np.bool_] | None = None,
        library: Library | None = None,
    ) -> None:
        require_scene(seed, 0, split, size)
        if count < 1:
            raise InvalidConfig(
                f"a table of {count} scenes cannot be had.", remedy="Ask for at least 1."
            )
        require_tasks(tasks)
        shape = (count, len(CATEGORIES))
        if known_tags_NC is None:
            known_tags_NC = np.ones(shape, bool)
        elif np.shape(known_tags_NC) != shape:
            raise InvalidArray(
                "known_tags_NC",
                f"it has the shape {np.shape(known_tags_NC)}, expected {shape}",
                "Give a row for each scene and a column for each of closet's categories.",
            )
        self.tasks = {task: TASKS[task] for task in TASKS if task in tasks}
        self.known = {task: np.ones(count, bool) for task in self.tasks}
        self._known_NC = np.asarray(known_tags_NC, bool)
        if "tags" in self.known:
            self.known["tags"] = np.asarray(self._known_NC.any(axis=1))
        self._count, self._seed, self._split, self._size = count, seed, split, size
        self._library = library

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, position: int) -> Record:
        """Compose the scene at a position of this table.

        Raises:
            IndexError: there is no such position.
        """
        if not 0 <= position < self._count:
            raise IndexError(position)
        scene = compose(
            self._seed, position, split=self._split, size=self._size, library=self._library
        )
        labels = {task: LABELS[task](scene) for task in self.tasks}
        if "tags" in labels:
            labels["tags"] = known_part(labels["tags"], self._known_NC[position])
        return Record(
            image_id=scene.image_id,
            group=scene.group,
            image_HWC=scene.image_HW3,
            labels=labels,
            sources={task: None if labels[task] is None else COMPOSED for task in labels},
        )


def known_part(state_C: Array, known_C: Array) -> Array | None:
    """Tags with -1 where they are not known; None where none is."""
    return np.where(known_C, state_C, np.int8(UNKNOWN)) if known_C.any() else None


def require_tasks(tasks: Sequence[str]) -> None:
    """Check that closet has these tasks.

    Raises:
        InvalidConfig: it lacks one, or none is named.
    """
    for task in tasks:
        if task not in TASKS:
            raise InvalidConfig(
                f"closet has no task '{task}'.", remedy=f"Closest: {closest(task, TASKS)}."
            )
    if not tasks:
        raise InvalidConfig(
            "closet cannot be had without a task.", remedy=f"Choose of {', '.join(TASKS)}."
        )
