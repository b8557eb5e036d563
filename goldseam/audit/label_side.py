"""Everything that can be known about labels without decoding a picture, as arrays in memory.

Legend: N images of all splits in the order of the shards, T tasks, C categories of one task,
M boxes of one task. States are those of `codecs`: 1 present, 0 absent, -1 unknown.

A million images of 80 tags take some 200 MB.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.dataset.codecs import Array
from goldseam.dataset.coverage import category_states
from goldseam.dataset.reading import Dataset, open_shard
from goldseam.dataset.schema import DatasetInfo, Kind, Shard
from goldseam.progress import progress


@dataclasses.dataclass(frozen=True, eq=False)
class BoxTable:
    """The boxes of a detection task.

    Attributes:
        image_M: position of each box's image, ascending.
        category_M: ids.
        corners_M4: xmin, ymin, xmax, ymax in px.
        ignore_M: bool.
    """

    image_M: Array
    category_M: Array
    corners_M4: Array
    ignore_M: Array


@dataclasses.dataclass(frozen=True, eq=False)
class LabelSide:
    """The label side of a dataset; `read_label_side` makes one.

    Attributes:
        info: what `dataset.yaml` declares.
        image_ids: string N.
        split_N: position in `splits`.
        splits: names.
        group_N: position in `groups`.
        groups: names.
        size_N2: width and height, px.
        meta: metadata column → N.
        known: task → bool N.
        source: task → N positions in `sources[task]`, -1 where unknown.
        sources: task → names of its sources.
        states: task → int8 NC, of tags and boxes (masks would have to be decoded).
        boxes: detection task → its boxes.
    """

    info: DatasetInfo
    image_ids: pa.Array
    split_N: Array
    splits: tuple[str, ...]
    group_N: Array
    groups: tuple[str, ...]
    size_N2: Array
    meta: dict[str, pa.Array]
    known: dict[str, Array]
    source: dict[str, Array]
    sources: dict[str, tuple[str, ...]]
    states: dict[str, Array]
    boxes: dict[str, BoxTable]

    def __len__(self) -> int:
        return len(self.image_ids)

    def rows_of(self, image_ids: pa.Array | pa.ChunkedArray | Sequence[str]) -> Array:
        """Position of each of M images; -1 for one that is not in the dataset."""
        if not isinstance(image_ids, pa.Array | pa.ChunkedArray):
            image_ids = pa.array(image_ids, pa.string())
        found_M = pc.index_in(image_ids, self.image_ids)
        position_M: Array = pc.fill_null(found_M, -1).to_numpy().astype(np.int64)
        return position_M

    def in_split(self, split: str) -> Array:
        """Bool N."""
        inside_N: Array = self.split_N == self.splits.index(split)
        return inside_N

    def where(self, row_M: Array) -> dict[str, pa.Array]:
        """`image_id`, `split` and `group` of some images: what each finding says first."""
        take = pa.array(row_M)
        names = pa.array(self.splits, pa.string()), pa.array(self.groups, pa.string())
        return {
            "image_id": self.image_ids.take(take),
            "split": names[0].take(pa.array(self.split_N[row_M])),
            "group": names[1].take(pa.array(self.group_N[row_M])),
        }

    def source_names(self, task: str, row_M: Array) -> pa.Array:
        """Who labeled `task` on some images; null where unknown."""
        code_M = self.source[task][row_M]
        names = pa.array([*self.sources[task], None], pa.string())
        return names.take(pa.array(np.where(code_M < 0, len(self.sources[task]), code_M)))


def read_label_side(dataset: Dataset, shards: Sequence[Shard] | None = None) -> LabelSide:
    """Read the label columns of a dataset, or of some of its shards; no picture is read.

    Raises:
        InvalidDataset: a label names a category that is not declared.
    """
    info = dataset.info
    shards = info.shards if shards is None else shards
    tables: list[pa.Table] = []
    states: dict[str, list[Array]] = {
        name: [] for name, task in info.tasks.items() if task.kind in (Kind.DETECTION, Kind.TAGS)
    }
    boxes: dict[str, list[pa.Table]] = {
        name: [] for name, task in info.tasks.items() if task.kind is Kind.DETECTION
    }
    plain = ["image_id", "width", "height", "group", *info.meta]
    plain += [f"{name}_source" for name in info.tasks]
    before = 0
    with progress("labels", info.rows()) as step:
        for shard in shards:
            with open_shard(dataset.path / shard.file) as parquet:
                for number in range(parquet.num_row_groups):
                    table = parquet.read_row_group(number, columns=[*plain, *states])
                    for name, parts in states.items():
                        column = table.column(name).combine_chunks()
                        where = f"{shard.file}, '{name}'"
                        parts.append(category_states(info.tasks[name], column, where=where))
                        if name in boxes:
                            boxes[name].append(_boxes(column, before))
                    split = pa.repeat(shard.split, table.num_rows)
                    tables.append(table.select(plain).append_column("split", split))
                    before += table.num_rows
                    step(table.num_rows)
    return _assembled(info, tables, states, boxes)


def _assembled(
    info: DatasetInfo,
    tables: list[pa.Table],
    states: dict[str, list[Array]],
    boxes: dict[str, list[pa.Table]],
) -> LabelSide:
    table = pa.concat_tables(tables).combine_chunks()
    split_N, splits = _codes(table.column("split"), info.splits)
    group_N, groups = _codes(table.column("group"))
    coded = {name: _codes(table.column(f"{name}_source")) for name in info.tasks}
    return LabelSide(
        info=info,
        image_ids=_whole(table.column("image_id")),
        split_N=split_N,
        splits=splits,
        group_N=group_N,
        groups=groups,
        size_N2=np.stack([table.column(side).to_numpy() for side in ("width", "height")], axis=1),
        meta={name: _whole(table.column(name)) for name in info.meta},
        known={name: code_N >= 0 for name, (code_N, _) in coded.items()},
        source={name: code_N for name, (code_N, _) in coded.items()},
        sources={name: names for name, (_, names) in coded.items()},
        states={name: np.concatenate(parts) for name, parts in states.items()},
        boxes={name: _box_table(pa.concat_tables(parts)) for name, parts in boxes.items()},
    )


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """One array of a column, also where it has no chunk or several."""
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def _codes(
    column: pa.ChunkedArray, order: Sequence[str] | None = None
) -> tuple[Array, tuple[str, ...]]:
    """Each text's position among the sorted (or given) names; -1 for null."""
    present = pc.unique(column).drop_null().to_pylist()
    names = [name for name in order if name in present] if order else sorted(present)
    code_N = pc.index_in(column, pa.array(names, pa.string()))
    return pc.fill_null(code_N, -1).to_numpy().astype(np.int32), tuple(names)


def _boxes(column: pa.Array, before: int) -> pa.Table:
    boxes = pc.list_flatten(column)
    image_M = pc.list_parent_indices(column).to_numpy().astype(np.int64) + before
    fields = ("category", "xmin", "ymin", "xmax", "ymax", "ignore")
    parts = [pa.array(image_M), *(pc.struct_field(boxes, name) for name in fields)]
    return pa.table(parts, names=["image", *fields])


def _box_table(table: pa.Table) -> BoxTable:
    corners = [table.column(name).to_numpy() for name in ("xmin", "ymin", "xmax", "ymax")]
    return BoxTable(
        image_M=table.column("image").to_numpy(),
        category_M=table.column("category").to_numpy(),
        corners_M4=np.stack(corners, axis=1),
        ignore_M=table.column("ignore").to_numpy().astype(bool),
    )
