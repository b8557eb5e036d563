"""Small datasets of a clean label and a noisy one beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from goldseam.audit.label_side import LabelSide, read_label_side
from goldseam.audit.measuring import Seen
from goldseam.audit.noise.config import NoiseConfig
from goldseam.audit.noise.measure import NoiseMeasure
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.schema import DatasetInfo, Task
from goldseam.dataset.writing import Sample, write_dataset

SIZE = 48
QUICK = NoiseConfig(resamples=200)
Pair = tuple[Any, Any]


def info_of(clean: Task, **noisy: Any) -> DatasetInfo:
    return DatasetInfo(
        name="pairs",
        tasks={
            "clean": clean,
            "noisy": clean.model_copy(update={"noisy_version_of": "clean", **noisy}),
        },
    )


def dataset_of(
    path, info: DatasetInfo, splits: Mapping[str, Sequence[Pair]], *, groups: int = 4, **options
) -> Dataset:
    """One image a (clean, noisy) pair; None is unknown. Groups take turns."""

    def samples(split: str, pairs: Sequence[Pair]):
        for number, pair in enumerate(pairs):
            labels = {
                name: label
                for name, label in zip(("clean", "noisy"), pair, strict=True)
                if label is not None
            }
            yield Sample(
                image_id=f"{split}-{number}",
                image=np.zeros((*_size(labels), 3), np.uint8),
                group=f"{split}-{number % groups}",
                labels=labels,
                sources=dict.fromkeys(labels, "human"),
            )

    write_dataset(path, info, {s: samples(s, pairs) for s, pairs in splits.items()}, **options)
    return open_dataset(path)


def _size(labels: Mapping[str, Any]) -> tuple[int, int]:
    for label in labels.values():
        if not isinstance(label, Boxes) and np.ndim(label) >= 2:
            return tuple(np.shape(label)[-2:])
    return SIZE, SIZE


def measured(dataset: Dataset, config: NoiseConfig = QUICK, shards=None) -> dict[str, pa.Table]:
    """The tables of all images, or of some shards put one under the other."""
    parts = []
    for part in shards or [dataset.info.shards]:
        measure = NoiseMeasure(dataset.info, config)
        for shard in part:
            rows = dataset.table(shard.split, ["image_id"])
            own = _rows_of(dataset, shard)
            assert len(rows) >= len(own)
            for record in dataset.records(shard.split, rows=own):
                measure.update(
                    Seen(record.image_id, shard.split, record.group, None, record.labels)
                )
        parts.append(measure.tables())
    return {name: pa.concat_tables([part[name] for part in parts]) for name in parts[0]}


def _rows_of(dataset: Dataset, shard) -> list[int]:
    before = 0
    for other in dataset.shards(shard.split):
        if other.file == shard.file:
            return list(range(before, before + other.rows))
        before += other.rows
    raise AssertionError(shard.file)


def label_side(dataset: Dataset) -> LabelSide:
    return read_label_side(dataset)


def rates_of(section) -> dict[tuple[str, str | None], Any]:
    """(kind, category) → rate."""
    found = {(rate.kind, rate.category): rate for rate in section.rates}
    assert len(found) == len(section.rates)
    return found
