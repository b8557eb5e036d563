"""Builds rooms: furnishes them, takes pictures, keeps some labels, writes the dataset."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from goldseam.dataset.examples.rooms.camera import draw_camera
from goldseam.dataset.examples.rooms.furnishing import furnish
from goldseam.dataset.examples.rooms.labels import DERIVATIONS, LABELS, TASKS, View, look
from goldseam.dataset.examples.rooms.models import Array, Library, Model, read_library
from goldseam.dataset.examples.rooms.shading import photograph
from goldseam.dataset.examples.rooms.tracing import SIDES, Scene, require_embree
from goldseam.dataset.partial import FULL, generator, known_labels
from goldseam.dataset.schema import SPLITS, DatasetInfo, Split
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import InvalidConfig, closest
from goldseam.progress import Step, progress

SIZES = (64, 256)
TINY: dict[Split, int] = {"train": 48, "validation": 16, "test": 16}
VIEWS = 3
TRIES = 10
FRUITLESS = 60
LARGEST_SHARE = 0.6
FEWEST_PIECES = 2
NEAREST_M = 0.4
RENDERED = "generated"


def build_rooms(
    out: Path,
    *,
    size: int = 64,
    train: int = 1200,
    validation: int = 200,
    test: int = 400,
    tasks: Sequence[str] = tuple(TASKS),
    protocol: str = FULL,
    tiny: bool = False,
    models: Path | None = None,
    seed: int = 0,
    replace: bool = False,
) -> DatasetInfo:
    """Build the dataset rooms.

    The same arguments, versions of numpy, Pillow, OpenCV, pyarrow and embreex, and kind of
    processor give the same bytes. data/README.md is its card.

    Args:
        out: the folder to make.
        size: of the pictures, px; 64 to 256.
        train: pictures for training.
        validation: pictures for validation.
        test: pictures for the test.
        tasks: which of `labels.TASKS` the dataset has.
        protocol: which labels of the training pictures are known: all (`full`), one of each
            picture (`one_label`), or some but not all (`random_label`); see `partial.Protocol`.
        tiny: 48, 16 and 16 pictures at most: builds in seconds.
        models: folder of Sweet Home 3D catalogues (`.sh3f`) to furnish from; None is the models
            that come with goldseam.
        seed: of the rooms, the views and the choice of labels.
        replace: whether a folder that is there is replaced.

    Returns:
        What `dataset.yaml` says.

    Raises:
        MissingExtra: embreex is not installed.
        MissingInput: the models cannot be read.
        InvalidConfig: `size`, a count, a task or the protocol cannot be had.
        OutputExists: `out` is there and `replace` is False.
    """
    counts: dict[Split, int] = {"train": train, "validation": validation, "test": test}
    if tiny:
        counts = {split: min(counts[split], TINY[split]) for split in SPLITS}
    _check(size, counts, tasks)
    info = _described(tasks)
    known_NT = known_labels(counts["train"], tuple(info.tasks), protocol, seed)
    require_embree()
    library = read_library() if models is None else _catalogues(models)
    with progress("rooms", sum(counts.values())) as step:
        samples: dict[str, Iterator[Sample]] = {
            split: _samples(
                split,
                library=library,
                known_NT=known_NT if split == "train" else _complete(counts[split], info),
                tasks=tuple(info.tasks),
                size=size,
                seed=seed,
                step=step,
            )
            for split in SPLITS
        }
        return write_dataset(out, info, samples, replace=replace)


def _described(tasks: Sequence[str]) -> DatasetInfo:
    """What `dataset.yaml` says before there are pictures; tasks in the order of `labels.TASKS`."""
    return DatasetInfo(
        name="rooms",
        version="1",
        license="CC-BY-3.0, CC-BY-3.0-US and CC0-1.0 (furniture models; who made each is listed in "
        "CREDITS.md of goldseam.dataset.examples.rooms)",
        source="Rendered, not photographed: furniture models of Sweet Home 3D's libraries in "
        "random rooms, traced with Embree.",
        description="Rendered, not photographed. Views of furnished rooms with exact labels; "
        "validation and test show furniture models that training does not.",
        tasks={task: TASKS[task] for task in TASKS if task in tasks},
        derivations=tuple(
            rule for rule in DERIVATIONS if rule.source in tasks and rule.target in tasks
        ),
        meta={"meta_room_area": "double", "meta_pieces": "int64"},
    )


def _check(size: int, counts: dict[Split, int], tasks: Sequence[str]) -> None:
    smallest, largest = SIZES
    if not smallest <= size <= largest:
        raise InvalidConfig(
            f"rooms cannot be rendered at {size} px.",
            remedy=f"Choose a --size from {smallest} to {largest}; the default is {smallest}.",
        )
    for split, count in counts.items():
        if count < 1:
            raise InvalidConfig(
                f"rooms cannot be built with {count} pictures for {split}.",
                remedy=f"Give --{split} a number of at least 1.",
            )
    for task in tasks:
        if task not in TASKS:
            raise InvalidConfig(
                f"rooms has no task '{task}'.", remedy=f"Closest: {closest(task, TASKS)}."
            )
    if not tasks:
        raise InvalidConfig(
            "rooms cannot be built without a task.", remedy=f"Choose of {', '.join(TASKS)}."
        )


def _catalogues(folder: Path) -> Library:
    from goldseam.dataset.examples.rooms.catalogue import read_catalogues

    return read_catalogues(folder)


def _complete(images: int, info: DatasetInfo) -> npt.NDArray[np.bool_]:
    return np.ones((images, len(info.tasks)), bool)


def _samples(
    split: Split,
    *,
    library: Library,
    known_NT: npt.NDArray[np.bool_],
    tasks: Sequence[str],
    size: int,
    seed: int,
    step: Step,
) -> Iterator[Sample]:
    drawn_views = views(library.split(split), split, size, seed)
    for known_T, drawn in zip(known_NT, drawn_views, strict=False):
        view, room = drawn.view, drawn.view.scene.room
        labels = {
            task: LABELS[task](view)
            for task, known in zip(tasks, known_T.tolist(), strict=True)
            if known
        }
        yield Sample(
            image_id=drawn.image_id,
            image=photograph(view.scene, view.camera, size, library.texture_T, drawn.random),
            group=drawn.group,
            labels=labels,
            sources=dict.fromkeys(labels, RENDERED),
            meta={
                "meta_room_area": round(room.size[0] * room.size[2], 2),
                "meta_pieces": len(view.visible),
            },
        )
        step()


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
    """A view that is worth a picture.

    Attributes:
        image_id: of the picture.
        group: the room.
        view: what the camera sees.
        random: the room's random stream, for what is still to be drawn of the view.
    """

    image_id: str
    group: str
    view: View
    random: np.random.Generator


def views(models: Sequence[Model], split: Split, size: int, seed: int) -> Iterator[Drawn]:
    """Endless views, two or three of each room; every room has a random stream of its own.

    Raises:
        InvalidConfig: the models furnish no room.
    """
    number = fruitless = 0
    while fruitless < FRUITLESS:
        number += 1
        random = generator(seed, f"rooms {split} {number}")
        scene = Scene(furnish(models, random))
        group = f"{split}-room-{number:05d}"
        wanted = int(random.integers(2, VIEWS, endpoint=True))
        found = 0
        for _ in range(TRIES):
            camera = draw_camera(scene.room, random)
            view = None if camera is None else look(scene, camera, size)
            if view is not None and presentable(view):
                yield Drawn(f"{group}-{found}", group, view, random)
                found += 1
            if found == wanted:
                break
        fruitless = 0 if found else fruitless + 1
    raise InvalidConfig(
        f"{FRUITLESS} {split} rooms in a row had no view of {FEWEST_PIECES} pieces of furniture: "
        f"there are {len(models)} models for {split}.",
        remedy="Name a folder with more catalogues, or leave --models out.",
    )


def presentable(view: View) -> bool:
    """Whether a view shows enough: two pieces, and none that fills it or stands in the way."""
    pixels = view.instance_HW.size
    furniture_I = view.pixels_I[len(SIDES) :]
    near: Array = view.depth_HW < NEAREST_M
    return (
        len(view.visible) >= FEWEST_PIECES
        and int(furniture_I.max(initial=0)) <= LARGEST_SHARE * pixels
        and float(near.mean()) < 0.02
    )
