"""Images for a network: those that are stored, at the size that it works at.

Legend: N images of the dataset in the order of `LabelSide`, B of one batch, H and W pixels.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from goldseam.audit.label_side import LabelSide
from goldseam.dataset.codecs import Array
from goldseam.dataset.reading import Dataset, open_shard
from goldseam.dataset.resizing import resize_record

if TYPE_CHECKING:
    from goldseam.dataset.batch import Batch

PICTURE_COLUMN = "image.bytes"


def stored_pictures(dataset: Dataset) -> Array:
    """Bool N: True where the dataset holds the image's picture.

    The footers of the files tell it for row groups where all or no picture is stored.
    """
    parts = []
    for shard in dataset.info.shards:
        with open_shard(dataset.path / shard.file) as parquet:
            for number in range(parquet.num_row_groups):
                group = parquet.metadata.row_group(number)
                columns = [group.column(place) for place in range(group.num_columns)]
                (content,) = [one for one in columns if one.path_in_schema == PICTURE_COLUMN]
                missing = content.statistics.null_count if content.statistics else None
                if missing in (0, group.num_rows):
                    parts.append(np.full(group.num_rows, missing == 0))
                    continue
                cells = parquet.read_row_group(number, columns=[PICTURE_COLUMN]).column("image")
                stored = pc.struct_field(cells.combine_chunks(), "bytes").is_valid()
                parts.append(stored.to_numpy(zero_copy_only=False))
    return np.concatenate([np.zeros(0, bool), *parts])


def working_size(labels: LabelSide, used_N: Array, longest_px: int) -> tuple[int, int] | None:
    """(height, width) to which images are stretched; None where they fit as they are.

    Images of one size keep their proportions; different ones become squares.
    """
    size_M2 = np.unique(labels.size_N2[used_N], axis=0)
    if len(size_M2) != 1:
        return longest_px, longest_px
    width, height = (int(side) for side in size_M2[0])
    if max(width, height) <= longest_px:
        return None
    scale = longest_px / max(width, height)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def rows_by_split(labels: LabelSide, chosen_N: Array) -> dict[str, Array]:
    """Split → positions in it of the chosen images, ascending; splits without any are left out."""
    rows = {}
    for split in labels.splits:
        row_M = np.flatnonzero(chosen_N[labels.in_split(split)])
        if len(row_M):
            rows[split] = row_M
    return rows


def image_batches(
    dataset: Dataset,
    labels: LabelSide,
    chosen_N: Array,
    tasks: Sequence[str],
    *,
    batch_size: int,
    size: tuple[int, int] | None,
) -> Iterator[tuple[Array, "Batch"]]:
    """Positions `B` and batches of the chosen images, split by split, unchanged but for their size.

    Args:
        dataset: an open dataset.
        labels: its label side.
        chosen_N: bool.
        tasks: whose labels the batches carry.
        batch_size: images in a batch, at most.
        size: (height, width) to which they are stretched.
    """
    from goldseam.dataset.batch import collate

    specs = {name: dataset.info.tasks[name] for name in tasks}
    for split, row_M in rows_by_split(labels, chosen_N).items():
        positions = iter(np.flatnonzero(labels.in_split(split))[row_M].tolist())
        records = dataset.records(split, list(tasks), row_M.tolist())
        while block := list(itertools.islice(records, batch_size)):
            if size is not None:
                block = [resize_record(record, specs, size) for record in block]
            here = list(itertools.islice(positions, len(block)))
            yield np.array(here, np.int64), collate(block, specs)
