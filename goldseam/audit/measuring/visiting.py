"""One visit to every image of some shards: each is decoded once, and all measures see it."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from goldseam.audit.measuring.protocol import Measure, Seen
from goldseam.dataset.codecs import BadCell, decode_image, decode_label
from goldseam.dataset.faults import label_faults
from goldseam.dataset.reading import Dataset, open_shard
from goldseam.dataset.schema import DatasetInfo, Kind, Shard
from goldseam.errors import InvalidDataset
from goldseam.progress import progress


def measure_shards(
    dataset: Dataset, shards: Sequence[Shard], measures: Sequence[Measure]
) -> dict[str, pa.Table]:
    """Decode every image of some shards once and hand it to all measures.

    Raises:
        InvalidDataset: a picture or label cannot be decoded; names file, row and column.
    """
    total = sum(shard.rows for shard in shards)
    with progress("pictures", total) as step:
        for shard in shards:
            for seen in _seen(dataset, shard):
                for measure in measures:
                    measure.update(seen)
                step()
    return {name: table for measure in measures for name, table in measure.tables().items()}


def needs_visit(dataset: Dataset, *, pictures: bool) -> bool:
    """Whether there is anything to look at beyond single label columns.

    A million rows of tags alone need not be visited one by one.

    Args:
        dataset: an open dataset.
        pictures: whether the images themselves are measured.
    """
    kinds = {task.kind for task in dataset.info.tasks.values()}
    between_labels = {Kind.DETECTION, Kind.TAGS} <= kinds
    dense = any(kind.is_picture for kind in kinds)
    if dense or between_labels:
        return True
    return pictures and any(_stores_pictures(dataset, shard) for shard in dataset.info.shards)


def _stores_pictures(dataset: Dataset, shard: Shard) -> bool:
    """Whether any image of the shard is stored; its Parquet statistics tell without reading it."""
    with open_shard(dataset.path / shard.file) as parquet:
        column = parquet.schema.names.index("bytes")  # the first picture is `image`
        for number in range(parquet.num_row_groups):
            group = parquet.metadata.row_group(number)
            statistics = group.column(column).statistics
            if statistics is None or statistics.null_count < group.num_rows:
                return True
    return False


def _seen(dataset: Dataset, shard: Shard) -> Iterator[Seen]:
    info = dataset.info
    tasks = [name for name, task in info.tasks.items() if task.kind is not Kind.CAPTION]
    columns = ["image_id", "image", "group", "width", "height", *tasks]
    first = 0
    with open_shard(dataset.path / shard.file) as parquet:
        for number in range(parquet.num_row_groups):
            table = parquet.read_row_group(number, columns=columns)
            for position, row in enumerate(table.to_pylist()):
                yield _one_seen(info, row, tasks, shard, f"{shard.file}, row {first + position}")
            first += table.num_rows


def _one_seen(
    info: DatasetInfo, row: dict[str, Any], tasks: Sequence[str], shard: Shard, where: str
) -> Seen:
    column, content = "image", (row["image"] or {"bytes": None})["bytes"]
    try:
        image_HWC = None if content is None else decode_image(content)
        labels = {}
        for column in tasks:
            labels[column] = decode_label(info.tasks[column], row[column])
            for fault in label_faults(
                info.tasks[column], labels[column], row["height"], row["width"]
            ):
                raise fault
    except BadCell as error:
        raise InvalidDataset(
            f"{where}, image '{row['image_id']}', column '{column}': {error}.",
            remedy=f"{error.remedy} 'goldseam dataset check' lists every such row.",
        ) from error
    return Seen(row["image_id"], shard.split, row["group"], image_HWC, labels)
