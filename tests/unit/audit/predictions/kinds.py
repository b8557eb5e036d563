"""A dataset with a task of every kind, and predictions read as an audit reads them."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

from goldseam.audit.predictions.layout import PREDICTED_BOX
from goldseam.audit.predictions.opening import open_predictions
from goldseam.dataset.schema import Kind

HEIGHT, WIDTH = 6, 8
COVER, TAGS, OBJECTS = ("ground", "disk", "bar"), ("disk", "bar"), ("cup", "pan")
IMAGES = 5


def write_parquet(folder, ids=None, notes=None, name="a.parquet", **columns) -> None:
    kinds = {"objects": pa.list_(PREDICTED_BOX)}
    count = len(next(iter(columns.values()), []))
    names = [f"i{n}" for n in range(count)] if ids is None else ids
    arrays = {"image_id": pa.array(names, pa.string())}
    for task, cells in columns.items():
        arrays[task] = cells if isinstance(cells, pa.Array) else pa.array(cells, kinds.get(task))
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(arrays), folder / name)
    if notes is not None:
        (folder / "predictions.json").write_text(json.dumps(notes))


def read_all(folder, info, labels) -> None:
    """Read every cell, as an audit would."""
    predictions = open_predictions(folder, info)
    predictions.match(labels)
    for task in predictions.tasks:
        if info.tasks[task].kind is Kind.TAGS:
            predictions.probabilities(labels, task)
        elif info.tasks[task].kind is Kind.DETECTION:
            list(predictions.boxes(labels, task))
        else:
            list(predictions.dense(labels, task))
