"""Builds closet: composes scenes, keeps some labels, writes the dataset."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from goldseam.dataset.examples.closet.categories import CATEGORIES
from goldseam.dataset.examples.closet.composing import compose, require_scene
from goldseam.dataset.examples.closet.labels import LABELS, TASKS, areas, tags
from goldseam.dataset.examples.closet.photos import Library, read_library
from goldseam.dataset.examples.closet.sources import (
    COMPOSED,
    known_part,
    require_tasks,
)
from goldseam.dataset.partial import FULL, known_labels
from goldseam.dataset.partial.tag_protocols import TagScheme, tag_mask
from goldseam.dataset.schema import SPLITS, DatasetInfo, Split
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import InvalidConfig, closest
from goldseam.progress import Step, progress

TINY: dict[Split, int] = {"train": 48, "validation": 16, "test": 16}
# larger than what anybody counts seeds up to
_SPLIT_SEEDS = 1_000_000_007

Bools = npt.NDArray[np.bool_]


def build_closet(
    out: Path,
    *,
    size: int = 64,
    train: int = 2000,
    validation: int = 400,
    test: int = 800,
    tasks: Sequence[str] = tuple(TASKS),
    protocol: str = FULL,
    tag_scheme: TagScheme | None = None,
    tag_splits: Sequence[Split] = ("train",),
    tiny: bool = False,
    photos: Path | None = None,
    seed: int = 0,
    replace: bool = False,
) -> DatasetInfo:
    """Build the dataset closet.

    The same arguments, versions of numpy, Pillow, OpenCV and pyarrow, and kind of processor give
    the same bytes; the scenes are those that `compose` gives for the same seed.

    Args:
        out: the folder to make.
        size: of the pictures, px; 64 to 128.
        train: pictures for training.
        validation: pictures for validation.
        test: pictures for the test.
        tasks: which of `labels.TASKS` the dataset has.
        protocol: which labels of the training pictures are known: all (`full`), one of each
            picture (`one_label`), or some but not all (`random_label`); see `partial.Protocol`.
        tag_scheme: which tags of a picture are known; None is all. Schemes that overlook what is
            small take the visible area of each tag's largest item.
        tag_splits: whose pictures `tag_scheme` is for; of the others all tags are known.
        tiny: 48, 16 and 16 pictures at most: builds in seconds.
        photos: folder with the four files of Fashion-MNIST, for 70,000 items; None is the items
            that come with goldseam.
        seed: of the scenes and the choice of labels.
        replace: whether a folder that is there is replaced.

    Returns:
        What `dataset.yaml` says.

    Raises:
        MissingInput: the photos cannot be read.
        InvalidConfig: `size`, a count, a task, the protocol or the seed cannot be had.
        InvalidArray: `tag_scheme` has rates for another number of categories.
        OutputExists: `out` is there and `replace` is False.
    """
    counts: dict[Split, int] = {"train": train, "validation": validation, "test": test}
    if tiny:
        counts = {split: min(counts[split], TINY[split]) for split in SPLITS}
    _check(size, counts, tasks, tag_scheme, tag_splits, seed)
    info = _described(tasks)
    known = {split: np.ones((counts[split], len(info.tasks)), bool) for split in SPLITS}
    known["train"] = known_labels(counts["train"], tuple(info.tasks), protocol, seed)
    library = read_library() if photos is None else _all_photos(photos)
    known_tags: dict[Split, Bools] = {}
    if tag_scheme is not None:
        known_tags = {
            split: _known_tags(
                tag_scheme, split, counts[split], seed=seed, size=size, library=library
            )
            for split in tag_splits
        }
    with progress("closet", sum(counts.values())) as step:
        samples: dict[str, Iterator[Sample]] = {
            split: _samples(
                split,
                library=library,
                known_NT=known[split],
                known_tags_NC=known_tags.get(split),
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
        name="closet",
        version="1",
        license="MIT (items: Fashion-MNIST, Copyright 2017 Zalando SE), CC0-1.0 and public domain "
        "(backgrounds; who made each is listed in CREDITS.md of goldseam.dataset.examples.closet)",
        source="Composed, not photographed as they stand: tinted item photos of Fashion-MNIST over "
        "backgrounds from scikit-image.",
        description="Composed, not photographed as they stand. Clothes, shoes and bags before "
        "photos, with exact labels; validation and test show items that training does not, and "
        "test shows backgrounds of its own.",
        tasks={task: TASKS[task] for task in TASKS if task in tasks},
        meta={"meta_items": "int64", "meta_background": "string"},
    )


def _check(
    size: int,
    counts: dict[Split, int],
    tasks: Sequence[str],
    tag_scheme: TagScheme | None,
    tag_splits: Sequence[Split],
    seed: int,
) -> None:
    require_scene(seed, 0, "train", size)
    for split, count in counts.items():
        if count < 1:
            raise InvalidConfig(
                f"closet cannot be built with {count} pictures for {split}.",
                remedy=f"Give --{split} a number of at least 1.",
            )
    require_tasks(tasks)
    if tag_scheme is not None and "tags" not in tasks:
        raise InvalidConfig(
            "a scheme says which tags are known, but closet is built without the task 'tags'.",
            remedy="Add tags to --tasks, or leave the scheme out.",
        )
    for split in tag_splits:
        if split not in SPLITS:
            raise InvalidConfig(
                f"closet has no split '{split}' whose tags could be unknown.",
                remedy=f"Closest: {closest(split, SPLITS)}.",
            )


def _all_photos(folder: Path) -> Library:
    from goldseam.dataset.examples.closet.idx import read_photos

    return read_photos(folder)


def _known_tags(
    scheme: TagScheme, split: Split, count: int, *, seed: int, size: int, library: Library
) -> Bools:
    """Which tags of a split's pictures are known, bool NC.

    Schemes look at all pictures together. So each scene is composed twice: here without being kept,
    and again when it is written.
    """
    state_NC = np.empty((count, len(CATEGORIES)), np.int8)
    area_NC = np.empty(state_NC.shape, np.float64)
    for index in range(count):
        scene = compose(seed, index, split=split, size=size, library=library)
        state_NC[index], area_NC[index] = tags(scene), areas(scene)
    # splits draw apart; training draws as `tag_mask` does for the seed itself
    drawn = seed + _SPLIT_SEEDS * SPLITS.index(split)
    return tag_mask(scheme, state_NC, drawn, area_NC=area_NC)


def _samples(
    split: Split,
    *,
    library: Library,
    known_NT: Bools,
    known_tags_NC: Bools | None,
    tasks: Sequence[str],
    size: int,
    seed: int,
    step: Step,
) -> Iterator[Sample]:
    for index, known_T in enumerate(known_NT):
        scene = compose(seed, index, split=split, size=size, library=library)
        labels = {
            task: LABELS[task](scene)
            for task, known in zip(tasks, known_T.tolist(), strict=True)
            if known
        }
        if known_tags_NC is not None and "tags" in labels:
            labels["tags"] = known_part(labels["tags"], known_tags_NC[index])
        yield Sample(
            image_id=scene.image_id,
            image=scene.image_HW3,
            group=scene.group,
            labels=labels,
            sources={task: COMPOSED for task, label in labels.items() if label is not None},
            meta={
                "meta_items": int(scene.counted_I.sum()),
                "meta_background": scene.background,
            },
        )
        step()
