"""Which categories each mask shows. N images, C categories."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from goldseam.audit.label_side import LabelSide
from goldseam.audit.measuring.protocol import Seen
from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, Array
from goldseam.dataset.schema import DatasetInfo, Kind


class PresenceMeasure:
    """Which categories each mask shows: its states and pixels, category by category.

    Args:
        info: of the dataset.
    """

    def __init__(self, info: DatasetInfo) -> None:
        self._tasks = {n: task for n, task in info.tasks.items() if task.kind is Kind.SEGMENTATION}
        self._rows: dict[str, list[tuple[str, Array, Array]]] = {name: [] for name in self._tasks}

    def update(self, seen: Seen) -> None:
        """Count the pixels of each category."""
        for name, task in self._tasks.items():
            mask_HW = seen.labels[name]
            if mask_HW is not None:
                counted_C = np.bincount(mask_HW.ravel(), minlength=len(task.categories))
                pixels_C = counted_C[: len(task.categories)]
                # an ignored pixel may hide any category, so nothing is known to be absent beside it
                rest = UNKNOWN if pixels_C.sum() < mask_HW.size else ABSENT
                states_C = np.where(pixels_C > 0, PRESENT, rest).astype(np.int8)
                self._rows[name].append((seen.image_id, states_C, pixels_C.astype(np.int64)))

    def tables(self) -> dict[str, pa.Table]:
        """`presence.TASK`: image_id, state and pixels, both by category."""
        schema = pa.schema(
            [
                pa.field("image_id", pa.string()),
                pa.field("state", pa.list_(pa.int8())),
                pa.field("pixels", pa.list_(pa.int64())),
            ]
        )
        tables = {}
        for name, rows in self._rows.items():
            columns = [[row[number] for row in rows] for number in range(3)]
            tables[f"presence.{name}"] = pa.table([pa.array(c) for c in columns], schema=schema)
        return tables


def mask_states(labels: LabelSide, tables: Mapping[str, pa.Table]) -> dict[str, Array]:
    """Task → int8 NC of its masks, in the order of `labels`; -1 where nobody looked."""
    states = {}
    for name, task in labels.info.tasks.items():
        table = tables.get(f"presence.{name}")
        if table is not None:
            state_NC = np.full((len(labels), len(task.categories)), UNKNOWN, np.int8)
            if len(table):
                rows = labels.rows_of(table.column("image_id"))
                values = table.column("state").combine_chunks().flatten().to_numpy()
                state_NC[rows] = values.reshape(len(table), -1)
            states[name] = state_NC
    return states
