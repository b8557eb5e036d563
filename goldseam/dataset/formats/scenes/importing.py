"""From a published multi-task folder to a dataset: splits, label masks, and what is not known.

Shapes: N images of the published training part, T tasks.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from goldseam.dataset.codecs import Array
from goldseam.dataset.formats.assembly import Imported
from goldseam.dataset.formats.options import (
    CityscapesImport,
    NyuImport,
    PascalImport,
    SceneImport,
)
from goldseam.dataset.formats.scenes.layout import PARTS, FaultyFile, Layout, Scene, Unknown
from goldseam.dataset.formats.scenes.npy_folders import CityscapesFolders, NyuFolders
from goldseam.dataset.formats.scenes.nyud import NyudArchive
from goldseam.dataset.formats.scenes.pascal_context import PascalArchive
from goldseam.dataset.formats.splitting import deal_groups, groups_by_pattern
from goldseam.dataset.partial.masks import FORMATS, read_mask
from goldseam.dataset.partial.published import SUFFIXES, read_published_mask
from goldseam.dataset.schema import SPLITS, DatasetInfo, Split
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import InvalidConfig, InvalidDataset, MissingInput, closest
from goldseam.progress import Step, progress

TEST = SPLITS.index("test")
T = TypeVar("T")


def import_nyuv2(
    root: Path | str,
    out: Path,
    *,
    labels: Path | None = None,
    config: NyuImport | None = None,
    replace: bool = False,
) -> Imported:
    """Import NYUv2 as MTAN and MTPSL publish it: `{train,val}/{image,label,depth,normal}/{i}.npy`.

    Tasks: `segmentation` (13 classes; -1 is ignored), `depth` (m, in steps of 0.25 mm; 0 is
    unknown), `normals` (unit vectors to 1/32767; zero is unknown). Images become 8-bit PNG.
    Published `val` becomes `test`, so that nothing is chosen on it; `validation` is carved out of
    `train`. The axes of the normals are measured against depth.

    Args:
        root: the folder that holds `train` and `val`.
        out: the folder to make.
        labels: a label mask, published (`.pth`, `.npy`) or goldseam's own (`.csv`, `.parquet`);
            labels outside of it are unknown and their files are never read.
        config: what the files cannot say.
        replace: whether a folder that is there is replaced.

    Raises:
        MissingInput: an image or list cannot be read.
        InvalidDataset: a file does not hold what its layout says; names it. Nothing is written.
        InvalidMask: the label mask does not fit the images or tasks.
        InvalidConfig: a task that is asked for is not there.
        OutputExists: `out` is there and `replace` is False.
    """
    config = config or NyuImport()
    return _import(NyuFolders(Path(root), config), out, labels, config, replace=replace)


def import_cityscapes(
    root: Path | str,
    out: Path,
    *,
    labels: Path | None = None,
    config: CityscapesImport | None = None,
    replace: bool = False,
) -> Imported:
    """Import Cityscapes as MTAN and MTPSL publish it: `{train,val}/{image,label_7,…}/{i}.npy`.

    Tasks: `segmentation` (7 or 19 classes; -1 is ignored), `depth` (normalized inverse depth as
    float32, exactly; 0 is unknown). Arguments, splits and errors are those of `import_nyuv2`.
    """
    config = config or CityscapesImport()
    return _import(CityscapesFolders(Path(root), config), out, labels, config, replace=replace)


def import_nyud(
    root: Path | str,
    out: Path,
    *,
    labels: Path | None = None,
    config: NyuImport | None = None,
    replace: bool = False,
) -> Imported:
    """Import the archive NYUD_MT: `images/`, `segmentation/`, `depth/`, `normals/`, `edge/`.

    Tasks: `segmentation` (40 classes; 0 in the file is ignored), `depth` and `normals` as in
    `import_nyuv2`, `boundary`. Encoded images are copied as they are. Arguments, splits and errors
    are those of `import_nyuv2`.
    """
    config = config or NyuImport()
    return _import(NyudArchive(Path(root), config), out, labels, config, replace=replace)


def import_pascal_context(
    root: Path | str,
    out: Path,
    *,
    labels: Path | None = None,
    config: PascalImport | None = None,
    replace: bool = False,
) -> Imported:
    """Import the archive PASCAL_MT: five tasks on PASCAL-Context.

    Tasks: `segmentation` (21 classes; 255 is ignored), `human_parts` (background and six parts;
    unknown where no person is), `saliency` (a network's map, cut at one half), `normals` (a
    network's, of 8 bits: n = 2 p / 255 - 1), `boundary` (thinned, between the 459 classes).
    Encoded images are copied as they are. Arguments, splits and errors are those of
    `import_nyuv2`.
    """
    config = config or PascalImport()
    return _import(PascalArchive(Path(root), config), out, labels, config, replace=replace)


@dataclasses.dataclass(frozen=True, eq=False)
class _Plan:
    """What is imported: the images with their split and group, and the labels that are wanted.

    Attributes:
        layout: where from.
        tasks: names, in the layout's order.
        scenes: of all parts, train first.
        groups: one a scene.
        split_N: positions in `SPLITS`, one a scene.
        kept_NT: bool, which labels of the training part are wanted; None for all.
        skip_faulty: whether faulty files are counted and left out.
    """

    layout: Layout
    tasks: tuple[str, ...]
    scenes: list[Scene]
    groups: list[str]
    split_N: Array
    kept_NT: Array | None
    skip_faulty: bool

    def wanted(self, row: int) -> Iterator[str]:
        """The tasks whose label of a scene may be read."""
        for column, task in enumerate(self.tasks):
            # what is outside of the mask is not looked at: nothing can follow from it
            if (
                self.kept_NT is None
                or self.scenes[row].part != "train"
                or self.kept_NT[row, column]
            ):
                yield task


@dataclasses.dataclass(frozen=True)
class _Tally:
    """What was counted on the way."""

    unknown: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    skipped: Counter[str] = dataclasses.field(default_factory=Counter)


def _import(
    layout: Layout, out: Path, labels: Path | None, config: SceneImport, *, replace: bool
) -> Imported:
    plan, notes = _planned(layout, labels, config)
    tally = _Tally()
    info = DatasetInfo(
        name=config.name or layout.name,
        version=config.version or "1",
        license=config.license or "unknown",
        source=layout.source,
        tasks={task: layout.tasks[task] for task in plan.tasks},
        derivations=tuple(
            one for one in layout.derivations if {one.source, one.target} <= {*plan.tasks}
        ),
    )
    with progress(f"import {layout.name}", len(plan.scenes)) as step:
        splits: dict[str, Iterable[Sample]] = {
            split: _samples(plan, split, tally, step) for split in SPLITS
        }
        info = write_dataset(out, info, splits, replace=replace)
    counted = [
        f"{task}: {count:,} label{'s' * (count > 1)} unknown: {why}"
        for (task, why), count in sorted(tally.unknown.items())
    ]
    return Imported(info, tally.skipped, (*layout.notes, *notes, *counted))


def _planned(
    layout: Layout, labels: Path | None, config: SceneImport
) -> tuple[_Plan, tuple[str, ...]]:
    tasks = _chosen(layout, config.tasks)
    of_part = {part: layout.scenes(part) for part in PARTS}
    if not of_part["train"]:
        raise InvalidDataset(
            f"{layout.root}: no image of train is there.",
            remedy="Name the folder in which the published archive was unpacked.",
        )
    scenes = [scene for part in PARTS for scene in of_part[part]]
    group = groups_by_pattern(
        pa.array([s.image_id for s in scenes], pa.string()), config.group_pattern
    )
    count = len(of_part["train"])
    split_N = np.full(len(scenes), TEST)
    shares = (1 - config.validation, config.validation, 0.0)
    split_N[:count] = deal_groups(group[:count], shares, config.seed)
    kept_NT, notes = None, []
    if labels is not None:
        kept_NT, note = _kept(layout, labels, of_part["train"], tasks)
        notes.append(note)
    if not of_part["val"]:
        notes.append(f"{layout.root} has no part val, so the dataset has no split test")
    plan = _Plan(layout, tasks, scenes, group.to_pylist(), split_N, kept_NT, config.skip_faulty)
    return plan, tuple(notes)


def _chosen(layout: Layout, wanted: Sequence[str]) -> tuple[str, ...]:
    for task in wanted:
        if task not in layout.tasks:
            raise InvalidConfig(
                f"{layout.name} has no task '{task}'.",
                remedy=f"Closest: {closest(task, layout.tasks)}.",
            )
    return tuple(task for task in layout.tasks if not wanted or task in wanted)


def _kept(
    layout: Layout, labels: Path, scenes: Sequence[Scene], tasks: tuple[str, ...]
) -> tuple[Array, str]:
    """Which labels of the training part a mask keeps, and a sentence about it."""
    if labels.suffix not in (*SUFFIXES, *FORMATS):
        raise InvalidConfig(
            f"{labels}: a label mask is no '{labels.suffix}' file.",
            remedy=f"Name a file that ends in {', '.join((*SUFFIXES, *FORMATS))}.",
        )
    if labels.suffix in SUFFIXES:
        names = [scene.name for scene in scenes]
        mask = read_published_mask(labels, names, layout.mask_columns)
        known_NT = mask.known_NT
    else:
        mask = read_mask(labels)
        known_NT = mask.rows_for([scene.image_id for scene in scenes])
    columns = [task for task in tasks if task in mask.tasks]
    if not columns:
        raise InvalidConfig(
            f"{labels} names none of the tasks {', '.join(tasks)}: every label would be unknown.",
            remedy=f"It names {', '.join(mask.tasks)}.",
        )
    known_NT = known_NT[:, [mask.tasks.index(task) for task in columns]]
    kept_NT = np.zeros((len(scenes), len(tasks)), bool)
    kept_NT[:, [tasks.index(task) for task in columns]] = known_NT
    counts = zip(tasks, kept_NT.sum(axis=0).tolist(), strict=True)
    kept = ", ".join(f"{count:,} of {task}" for task, count in counts)
    return kept_NT, (
        f"{labels.name} keeps these labels of the {len(scenes):,} images of train: {kept}; all "
        "others are unknown, in the split validation too"
    )


def _samples(plan: _Plan, split: Split, tally: _Tally, step: Step) -> Iterator[Sample]:
    layout = plan.layout
    for row in np.flatnonzero(plan.split_N == SPLITS.index(split)).tolist():
        scene = plan.scenes[row]
        step()
        read = _tried(partial(layout.image, scene), "image", plan, tally)
        if read is None:
            continue
        image, size = read
        known: dict[str, Array] = {}
        for task in plan.wanted(row):
            label = _tried(
                partial(layout.label, scene, task, size),
                f"label of {task}",
                plan,
                tally,
            )
            if isinstance(label, Unknown):
                tally.unknown[task, label.why] += 1
            elif label is not None:
                known[task] = label
        yield Sample(
            image_id=scene.image_id,
            image=image,
            group=plan.groups[row],
            labels=known,
            sources={task: layout.makers[task] for task in known},
        )


def _tried(read: Callable[[], T], what: str, plan: _Plan, tally: _Tally) -> T | None:
    try:
        return read()
    except (FaultyFile, MissingInput):
        if not plan.skip_faulty:
            raise
        tally.skipped[f"a faulty {what}"] += 1
        return None
