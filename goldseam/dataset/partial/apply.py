"""A dataset made partial: some training labels become unknown, and nothing else changes.

Columns are copied as they stand; no picture is decoded. Shapes: N training images, T tasks.
"""

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from goldseam.artifacts import digest_file
from goldseam.dataset.codecs import UNKNOWN, encode_tags
from goldseam.dataset.partial.drawn_tags import TRAIN, KnownTags
from goldseam.dataset.partial.masks import InvalidMask, LabelMask
from goldseam.dataset.partial.protocols import Protocol, label_mask
from goldseam.dataset.reading import Dataset, open_shard
from goldseam.dataset.schema import DatasetInfo, Shard
from goldseam.errors import InvalidConfig
from goldseam.progress import progress
from goldseam.storage.atomic import atomic_folder

Bools = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartialLabels:
    """What `make_partial` made.

    Attributes:
        info: of the new dataset.
        before: task of the mask, or of tags → training images that carried its label.
        kept: task → training images that still do.
        lacking: task → labels that the mask keeps and the dataset never had.
        entries: of a scheme of tags: `present` and `absent` → entries known before, and still.
    """

    info: DatasetInfo
    before: dict[str, int]
    kept: dict[str, int]
    lacking: dict[str, int]
    entries: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)


def protocol_tasks(info: DatasetInfo) -> tuple[str, ...]:
    """The tasks that a protocol is about by default: those whose labels are clean pictures."""
    return tuple(
        name
        for name, task in info.tasks.items()
        if task.kind.is_picture and task.noisy_version_of is None
    )


def labeled(dataset: Dataset, tasks: Sequence[str]) -> Bools:
    """Which training image carries the label of which task, bool NT; no picture is read.

    Raises:
        InvalidDataset: there is no such task, or no training split.
    """
    for task in tasks:
        dataset.info.task(task)
    table = dataset.table(TRAIN, [f"{task}_source" for task in tasks])
    columns = [column.is_valid().to_numpy() for column in table.columns]
    return np.stack(columns, axis=1) if columns else np.zeros((table.num_rows, 0), bool)


def draw_mask(
    dataset: Dataset, protocol: Protocol | str, *, seed: int, tasks: Sequence[str] = ()
) -> LabelMask:
    """Draw a mask for the training images of a dataset.

    An image is eligible for a task where the dataset has the label.

    Args:
        dataset: an open dataset.
        protocol: which; see `Protocol`.
        seed: of the draw.
        tasks: which; by default those of `protocol_tasks`.

    Raises:
        InvalidConfig: the dataset has no task for a protocol, or there is no such protocol.
        InvalidDataset: there is no such task, or no training split.
    """
    protocol = Protocol(protocol)
    tasks = tuple(tasks) or protocol_tasks(dataset.info)
    if not tasks:
        raise InvalidConfig(
            f"dataset '{dataset.info.name}' has no task whose labels are clean pictures.",
            remedy=f"Name the tasks with --tasks; it has {', '.join(dataset.info.tasks)}.",
        )
    image_ids = _image_ids(dataset)
    known_NT = label_mask(
        len(image_ids), tasks, protocol, seed=seed, eligible=labeled(dataset, tasks)
    )
    return LabelMask(image_ids, tasks, known_NT, protocol=protocol.value, seed=seed)


def scale_mask(dataset: Dataset, mask: LabelMask, factor: float, *, seed: int) -> LabelMask:
    """The mask with `factor` times as many labels of each task; see `budget`.

    Rows come in the order of the dataset, so that the choice follows from the dataset and the mask.

    Raises:
        InvalidMask: the mask is not about this dataset's training images.
        InvalidConfig: the factor is not positive.
    """
    image_ids = _image_ids(dataset)
    known_NT = mask.rows_for(image_ids)
    ordered = dataclasses.replace(mask, image_ids=image_ids, known_NT=known_NT)
    # a label that the mask keeps and the dataset lacks is for `apply_mask` to judge
    return ordered.times(factor, seed=seed, eligible=labeled(dataset, mask.tasks) | known_NT)


def apply_mask(
    dataset: Dataset,
    mask: LabelMask,
    out: Path,
    *,
    allow_lacking: bool = False,
    replace: bool = False,
) -> PartialLabels:
    """Write a dataset in which training labels outside the mask are unknown.

    A forgotten label is null, and its source too. Tasks that the mask does not name, validation and
    test keep every label; the files of validation and test are copied as they are.

    Args:
        dataset: an open dataset.
        mask: of its training images.
        out: the folder to make.
        allow_lacking: whether the mask may keep labels that the dataset does not have; they stay
            unknown.
        replace: whether a folder that is there is replaced.

    Raises:
        InvalidMask: the mask names other images, or keeps a label that is not there.
        InvalidDataset: the mask names a task that the dataset does not have.
        OutputExists: `out` is there and `replace` is False.
    """
    return make_partial(dataset, out, mask=mask, allow_lacking=allow_lacking, replace=replace)


def make_partial(
    dataset: Dataset,
    out: Path,
    *,
    mask: LabelMask | None = None,
    tags: KnownTags | None = None,
    allow_lacking: bool = False,
    replace: bool = False,
) -> PartialLabels:
    """Write a dataset in which labels outside a mask, and tags outside a draw, are unknown.

    As `apply_mask`; an image that is left without a known tag has null for its tags.

    Args:
        dataset: an open dataset.
        out: the folder to make.
        mask: of its training images; None forgets no label as a whole.
        tags: from `draw_tags`, of this dataset and after this mask; None forgets no single tag.
        allow_lacking: whether the mask may keep labels that the dataset does not have.
        replace: whether a folder that is there is replaced.

    Raises:
        InvalidMask: the mask names other images, or keeps a label that is not there.
        InvalidDataset: the mask names a task that the dataset does not have.
        OutputExists: `out` is there and `replace` is False.
    """
    before, known, lacking = _kept(dataset, mask, allow_lacking=allow_lacking)
    if tags is not None:
        before[tags.task] = (tags.before_NC != UNKNOWN).any(axis=1)
        known[tags.task] = (tags.kept_NC != UNKNOWN).any(axis=1)
    shards: list[Shard] = []
    with (
        atomic_folder(out, replace=replace) as folder,
        progress("partial", len(dataset.info.shards)) as step,
    ):
        start = 0
        for shard in dataset.info.shards:
            if shard.split == TRAIN:
                part = {
                    task: known_N[start : start + shard.rows] for task, known_N in known.items()
                }
                cells = {}
                if tags is not None:
                    cells[tags.task] = encode_tags(
                        dataset.info.tasks[tags.task], tags.kept_NC[start : start + shard.rows]
                    )
                start += shard.rows
                shards.append(_forget(dataset.path, shard, part, cells, folder))
            else:
                shutil.copyfile(dataset.path / shard.file, folder / shard.file)
                shards.append(shard)
            step(note=shard.file)
        info = dataset.info.model_copy(
            update={"shards": tuple(shards), "description": _description(dataset.info, mask, tags)}
        )
        info.write_yaml(folder)
    return PartialLabels(
        info=info,
        before={task: int(before_N.sum()) for task, before_N in before.items()},
        kept={task: int(known_N.sum()) for task, known_N in known.items()},
        lacking={task: int(lacking_N.sum()) for task, lacking_N in lacking.items()},
        entries={} if tags is None else tags.entries,
    )


def _kept(
    dataset: Dataset, mask: LabelMask | None, *, allow_lacking: bool
) -> tuple[dict[str, Bools], dict[str, Bools], dict[str, Bools]]:
    """Task of the mask → bool N: images with its label, that keep it, that should but lack it."""
    if mask is None:
        return {}, {}, {}
    image_ids = _image_ids(dataset)
    before_NT, mask_NT = labeled(dataset, mask.tasks), mask.rows_for(image_ids)
    lacking_NT = mask_NT & ~before_NT
    if lacking_NT.any() and not allow_lacking:
        row, task = np.argwhere(lacking_NT)[0]
        raise InvalidMask(
            f"the label mask keeps '{mask.tasks[task]}' of the image '{image_ids[row]}', which "
            f"has no such label ({int(lacking_NT.sum()):,} such labels).",
            remedy="Take the mask that was made for this dataset, or pass --allow-lacking: then "
            "such labels stay unknown.",
        )
    before, known, lacking = (
        dict(zip(mask.tasks, of_NT.T, strict=True))
        for of_NT in (before_NT, mask_NT & before_NT, lacking_NT)
    )
    return before, known, lacking


def _image_ids(dataset: Dataset) -> tuple[str, ...]:
    return tuple(dataset.table(TRAIN, ["image_id"]).column("image_id").to_pylist())


def _description(info: DatasetInfo, mask: LabelMask | None, tags: KnownTags | None) -> str:
    said = [info.description]
    if mask is not None:
        seed = "" if mask.seed is None else f", seed {mask.seed}"
        said.append(
            f"Training labels of {', '.join(mask.tasks)} are partial: {mask.protocol}{seed}."
        )
    if tags is not None:
        said.append(tags.sentence)
    return " ".join(said).strip()


def _forget(
    source: Path,
    shard: Shard,
    known: Mapping[str, Bools],
    cells: Mapping[str, pa.Array],
    folder: Path,
) -> Shard:
    """Write a shard again, row group by row group, with null where a label is not kept.

    Args:
        source: folder of the shard.
        shard: which.
        known: task → bool N: whether the label is kept.
        cells: task → N cells to write instead of those that are there.
        folder: where to.
    """
    path = folder / shard.file
    with open_shard(source / shard.file) as parquet:
        schema = parquet.schema_arrow
        with pq.ParquetWriter(path, schema, compression="zstd", write_statistics=True) as writer:
            start = 0
            for number in range(parquet.num_row_groups):
                table = parquet.read_row_group(number)
                end = start + table.num_rows
                columns = {name: table.column(name) for name in schema.names}
                for task, cell_N in cells.items():
                    columns[task] = cell_N[start:end].cast(columns[task].type)
                for task, known_N in known.items():
                    keep = pa.array(known_N[start:end])
                    for name in (task, f"{task}_source"):
                        nothing = pa.scalar(None, columns[name].type)
                        columns[name] = pc.if_else(keep, columns[name], nothing)
                table = pa.Table.from_arrays(list(columns.values()), schema=schema)
                writer.write_table(table, row_group_size=max(table.num_rows, 1))
                start = end
    sha256 = digest_file(path).removeprefix("sha256:")
    return shard.model_copy(update={"sha256": sha256})
