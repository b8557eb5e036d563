"""Labels and dense predictions of the same images, side by side.

Predictions come in the order of their files; labels are fetched by row group, as they are needed.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from goldseam.audit.label_side import LabelSide
from goldseam.audit.predictions.reading import PredictionSet
from goldseam.dataset.codecs import Array, BadCell, decode_label
from goldseam.dataset.reading import Dataset, open_shard
from goldseam.errors import InvalidDataset

IMAGES_AT_ONCE = 64
ROW_GROUPS_KEPT = 64  # encoded labels of so many row groups stay in memory


class LabelFetcher:
    """Decoded labels of one task by the position of their image; images are not read.

    Args:
        dataset: an open dataset.
        task: one of its tasks.
    """

    def __init__(self, dataset: Dataset, task: str) -> None:
        self._dataset = dataset
        self._task = task
        self._spec = dataset.info.task(task)
        self._groups: list[tuple[str, int, int]] = []  # file, number, first row in the file
        starts = [0]
        for shard in dataset.info.shards:
            with open_shard(dataset.path / shard.file) as parquet:
                first = 0
                for number in range(parquet.num_row_groups):
                    rows = parquet.metadata.row_group(number).num_rows
                    self._groups.append((shard.file, number, first))
                    starts.append(starts[-1] + rows)
                    first += rows
        self._starts = np.array(starts)
        self._column = functools.lru_cache(maxsize=ROW_GROUPS_KEPT)(self._read)

    def __getitem__(self, position: int) -> Any:
        """The label of an image; None where unknown.

        Raises:
            InvalidDataset: the cell cannot be decoded; names file, row and column.
        """
        group = int(np.searchsorted(self._starts, position, side="right")) - 1
        row = position - int(self._starts[group])
        try:
            return decode_label(self._spec, self._column(group)[row].as_py())
        except BadCell as error:
            file, _, first = self._groups[group]
            raise InvalidDataset(
                f"{file}, row {first + row}, column '{self._task}': {error}.", remedy=error.remedy
            ) from error

    def _read(self, group: int) -> pa.Array:
        file, number, _ = self._groups[group]
        with open_shard(self._dataset.path / file) as parquet:
            column = parquet.read_row_group(number, columns=[self._task]).column(self._task)
            return pa.concat_arrays(column.chunks)


def labeled_predictions(
    dataset: Dataset, labels: LabelSide, predictions: PredictionSet, task: str
) -> Iterator[tuple[int, Any, Array]]:
    """(position, label, prediction) of every image that has both, of a dense task.

    Args:
        dataset: an open dataset.
        labels: its label side.
        predictions: of the dataset.
        task: segmentation, boundary, saliency, regression or normals.

    Raises:
        InvalidPredictions: the task is not predicted, or a cell breaks the format.
        InvalidDataset: a label cannot be decoded.
    """
    fetch = LabelFetcher(dataset, task)
    known_N = labels.known[task]
    both = ((at, found) for at, found in predictions.dense(labels, task) if known_N[at])
    for some in _stretches(both):
        # in the order of the dataset, so that no row group is read twice for one stretch
        for position, predicted in sorted(some, key=lambda one: one[0]):
            yield position, fetch[position], predicted


def _stretches(pairs: Iterable[tuple[int, Array]]) -> Iterator[list[tuple[int, Array]]]:
    iterator = iter(pairs)
    while some := list(itertools.islice(iterator, IMAGES_AT_ONCE)):
        yield some
