"""The tables that expectations are written about, read column by column without a picture decoded.

- *schema*: one row per shard and column: the declared and the found Arrow type.
- *images*: one row per image: identity, size, and per task whether it is known, by whom, and the
  extremes of its boxes and category ids.
- *categories*: one row per split, task and category: images where it is present, absent, unknown.

The first column, `row`, says where a row stands in words that people find again. A number that
belongs to an unknown label is null.
"""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.dataset.coverage import coverage
from goldseam.dataset.reading import Dataset, open_shard
from goldseam.dataset.schema import Kind, Shard, Task

if TYPE_CHECKING:
    import pandas as pd

CORNERS = ("xmin", "ymin", "xmax", "ymax")
MISSING = "none"


def schema_table(dataset: Dataset) -> "pd.DataFrame":
    """Columns row (`file/column`), file, column, declared, found: Arrow types, `none` for none."""
    import pandas as pd

    declared = {field.name: field.type for field in dataset.info.arrow_schema()}
    rows = []
    for shard in dataset.info.shards:
        with open_shard(dataset.path / shard.file) as parquet:
            found = {field.name: field.type for field in parquet.schema_arrow}
        for column in [*declared, *(name for name in found if name not in declared)]:
            wanted, there = declared.get(column), found.get(column)
            # equal types may be spelled differently (the name of a list's element)
            there_text = str(wanted) if wanted == there else str(there or MISSING)
            rows.append(
                (f"{shard.file}/{column}", shard.file, column, str(wanted or MISSING), there_text)
            )
    return pd.DataFrame(rows, columns=["row", "file", "column", "declared", "found"])


def image_table(dataset: Dataset) -> "pd.DataFrame":
    """One row per image; docs/audit.md lists the columns. Needs a schema as declared.

    Picture columns are read by their null mask only, so memory grows with the number of images and
    not with their size.
    """
    import pandas as pd

    frame = pd.concat([_shard_table(dataset, shard) for shard in dataset.info.shards])
    splits_of_group = frame.groupby("group")["split"].transform("nunique")
    frame.insert(list(frame.columns).index("group") + 1, "group_splits", splits_of_group)
    return frame.reset_index(drop=True)


def category_table(dataset: Dataset) -> "pd.DataFrame":
    """Columns row (`split/task.category`), split, task, category, known, present, absent, unknown.

    The first row of a task, `split/task`, is about the task as a whole; masks are not decoded, so a
    segmentation task has that row only.

    Raises:
        InvalidDataset: a category id is outside the vocabulary.
    """
    import pandas as pd

    rows = [
        {
            "row": f"{c.split}/{c.task}" + (f".{c.category}" if c.category else ""),
            "split": c.split,
            "task": c.task,
            "category": c.category,
            "known": c.present + c.absent,
            "present": c.present,
            "absent": c.absent,
            "unknown": c.unknown,
        }
        for c in coverage(dataset, decode_pictures=False)
        if c.source is None
    ]
    return pd.DataFrame(rows)


def _shard_table(dataset: Dataset, shard: Shard) -> "pd.DataFrame":
    import pandas as pd

    info = dataset.info
    columns = ["image_id", "group", "width", "height", *info.meta]
    for name, task in info.tasks.items():
        # the null mask of a struct comes with any of its parts: `path` is the one without weight
        columns += [f"{name}.path" if task.kind.is_picture else name, f"{name}_source"]
    with open_shard(dataset.path / shard.file) as parquet:
        table = parquet.read(columns=columns)
    frame = table.select(["image_id", "group", "width", "height", *info.meta]).to_pandas()
    frame.insert(0, "row", shard.split + "/" + frame["image_id"].astype(str))
    frame.insert(2, "split", shard.split)
    parts = [frame]
    for name, task in info.tasks.items():
        column = table.column(name).combine_chunks()
        source = table.column(f"{name}_source")
        part = pd.DataFrame(
            {
                "known": column.is_valid().to_numpy(zero_copy_only=False),
                "sourced": source.is_valid().to_numpy(),
                "source": source.to_pandas(),
            }
        )
        parts.append(pd.concat([part, _details(task, column)], axis=1).add_prefix(f"{name}_"))
    whole: pd.DataFrame = pd.concat(parts, axis=1)
    return whole


def _details(task: Task, column: pa.Array) -> "pd.DataFrame":
    import pandas as pd

    if task.kind is Kind.DETECTION:
        return _box_columns(column)
    if task.kind is Kind.TAGS:
        return _tag_columns(column)
    return pd.DataFrame(index=range(len(column)))


def _box_columns(column: pa.Array) -> "pd.DataFrame":
    """Number of boxes, extremes of ids and corners, shortest side, boxes with a NaN or inf."""
    import pandas as pd

    boxes = pc.list_flatten(column)
    frame = pd.DataFrame(
        {
            name: pc.struct_field(boxes, name).to_numpy(zero_copy_only=False)
            for name in ("category", *CORNERS)
        }
    )
    frame["side"] = np.minimum(frame["xmax"] - frame["xmin"], frame["ymax"] - frame["ymin"])
    finite_N4 = np.isfinite(frame[list(CORNERS)].to_numpy())
    frame["not_finite"] = ~finite_N4.all(axis=1)
    of_image = frame.groupby(pc.list_parent_indices(column).to_numpy())
    columns = {
        "boxes": pd.Series(pc.list_value_length(column).to_pandas(), dtype="Int64"),
        "category_min": of_image["category"].min().astype("Int64"),
        "category_max": of_image["category"].max().astype("Int64"),
        "xmin_min": of_image["xmin"].min(),
        "ymin_min": of_image["ymin"].min(),
        "xmax_max": of_image["xmax"].max(),
        "ymax_max": of_image["ymax"].max(),
        "side_min": of_image["side"].min(),
        "not_finite": of_image["not_finite"].sum().astype("Int64"),
    }
    return pd.DataFrame(columns, index=range(len(column)))


def _tag_columns(column: pa.Array) -> "pd.DataFrame":
    """Number of ids in each list, extremes of all, ids that stand in more than one."""
    import pandas as pd

    parts = []
    for state in (field.name for field in column.type):
        ids = pc.struct_field(column, state)
        image = pc.list_parent_indices(ids).to_numpy()
        parts.append(pd.DataFrame({"image": image, "id": pc.list_flatten(ids).to_numpy()}))
    every = pd.concat(parts).groupby("image")["id"]
    stated = pd.concat([part.drop_duplicates() for part in parts])
    both = stated[stated.duplicated()].groupby("image").size()
    index = pd.RangeIndex(len(column))
    known = column.is_valid().to_numpy(zero_copy_only=False)
    contradictions = both.reindex(index, fill_value=0).astype("Int64").where(known)
    lengths = [pc.list_value_length(pc.struct_field(column, s)) for s in ("present", "absent")]
    columns = {
        "present": pd.Series(lengths[0].to_pandas(), dtype="Int64").where(known),
        "absent": pd.Series(lengths[1].to_pandas(), dtype="Int64").where(known),
        "category_min": every.min().astype("Int64"),
        "category_max": every.max().astype("Int64"),
        "contradictions": contradictions,
    }
    return pd.DataFrame(columns, index=index)
