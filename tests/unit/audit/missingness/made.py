"""A label side made from arrays: tags where states are given, boundaries elsewhere."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from goldseam.audit.label_side import LabelSide
from goldseam.dataset.codecs import Array
from goldseam.dataset.schema import SPLITS, DatasetInfo, Kind, Task

TYPES = {"string": "string", "double": "double", "int64": "int64"}


def label_side(
    known: Mapping[str, Array],
    states: Mapping[str, Array] | None = None,
    *,
    meta: Mapping[str, pa.Array] | None = None,
    group_N: Array | None = None,
    split_N: Array | None = None,
    tasks: Mapping[str, Task] | None = None,
) -> LabelSide:
    """Images are of the training split, each a group of its own, unless told otherwise."""
    states, meta = dict(states or {}), dict(meta or {})
    known = {**known, **{task: (state != -1).any(axis=1) for task, state in states.items()}}
    images = len(next(iter(known.values())))
    made: dict[str, Any] = {
        task: Task(kind=Kind.TAGS, categories=tuple(f"c{n}" for n in range(states[task].shape[1])))
        if task in states
        else Task(kind=Kind.BOUNDARY)
        for task in known
    }
    kinds = {name: TYPES.get(str(column.type), "timestamp") for name, column in meta.items()}
    split_N = np.zeros(images, np.int32) if split_N is None else split_N
    group_N = np.arange(images) if group_N is None else group_N
    used = np.unique(split_N)
    return LabelSide(
        info=DatasetInfo(name="made", tasks={**made, **(tasks or {})}, meta=kinds),
        image_ids=pa.array([f"image {number}" for number in range(images)], pa.string()),
        split_N=np.searchsorted(used, split_N),
        splits=tuple(SPLITS[number] for number in used),
        group_N=group_N,
        groups=tuple(f"g{number}" for number in range(int(group_N.max(initial=-1)) + 1)),
        size_N2=np.full((images, 2), 64),
        meta=meta,
        known=dict(known),
        source={task: np.where(known_N, 0, -1) for task, known_N in known.items()},
        sources=dict.fromkeys(known, ("human",)),
        states=states,
        boxes={},
    )
