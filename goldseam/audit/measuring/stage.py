"""The stage that looks at pictures, whole or cut into parts that run side by side."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from goldseam.artifacts import digest_of, stage_key
from goldseam.audit.config import MeasureConfig
from goldseam.audit.consistency import ConsistencyMeasure
from goldseam.audit.label_digests import LabelDigests
from goldseam.audit.measuring.presence import PresenceMeasure
from goldseam.audit.measuring.protocol import Measure
from goldseam.audit.measuring.visiting import measure_shards, needs_visit
from goldseam.audit.noise.measure import NoiseMeasure
from goldseam.audit.pictures import PictureMeasure
from goldseam.dataset.reading import Dataset
from goldseam.dataset.schema import Shard
from goldseam.errors import MissingInput
from goldseam.results import MeasureResult
from goldseam.storage.atomic import atomic_folder


def measure(
    config: MeasureConfig, dataset: Dataset, out: Path, *, part: int = 0, parts: int = 1
) -> MeasureResult:
    """Measure the pictures of some shards of a dataset.

    Args:
        config: the options.
        dataset: an open dataset.
        out: the folder to make, with one Parquet file a table.
        part: which part of the shards, from 0.
        parts: into how many parts the shards are cut.

    Raises:
        InvalidDataset: a picture or label cannot be decoded; names file, row and column.
    """
    key = stage_key(
        MeasureResult.stage, config, dataset=dataset.info.digest, part=f"{part}/{parts}"
    )
    if (done := MeasureResult.completed(out, key)) is not None:
        return done
    tables = measured(config, dataset, shards_of(dataset, part, parts))
    identity = {"dataset_digest": dataset.info.digest, "options": digest_of(config)}
    return _write(tables, out, key=key, part=part, **identity)


def measured(
    config: MeasureConfig, dataset: Dataset, shards: Sequence[Shard]
) -> dict[str, pa.Table]:
    """The tables of all measures; without rows where there is nothing to look at."""
    info = dataset.info
    measures: list[Measure] = [
        PresenceMeasure(info),
        NoiseMeasure(info, config.noise),
        ConsistencyMeasure(info, config.consistency),
        LabelDigests(info.tasks),
    ]
    if config.pictures:
        measures.append(PictureMeasure())
    visited = shards if needs_visit(dataset, pictures=config.pictures) else ()
    return measure_shards(dataset, visited, measures)


def shards_of(dataset: Dataset, part: int, parts: int) -> tuple[Shard, ...]:
    """The shards of one part: neighbors, in order, so that parts join to the whole."""
    cut = np.array_split(np.arange(len(dataset.info.shards)), parts)[part]
    return tuple(dataset.info.shards[number] for number in cut)


def join_measures(folders: Sequence[Path], out: Path) -> MeasureResult:
    """Put the tables of all parts one under the other.

    Args:
        folders: outputs of `measure`, in any order.
        out: the folder to make.

    Raises:
        MissingInput: a folder holds no measures.
    """
    results = [MeasureResult.read(folder) for folder in folders]
    if not results:
        raise MissingInput(out, "there are no measures to join", "Run 'measure' first.")
    order = np.argsort([result.part for result in results], kind="stable")
    key = digest_of({"join": [results[number].key for number in order]})
    if (done := MeasureResult.completed(out, key)) is not None:
        return done
    tables = [read_measures(folders[number]) for number in order]
    joined = {name: pa.concat_tables([part[name] for part in tables]) for name in tables[0]}
    first = results[order[0]]
    identity = {"dataset_digest": first.dataset_digest, "options": first.options}
    return _write(joined, out, key=key, part=first.part, **identity)


def read_measures(
    folder: Path, *, dataset: Dataset | None = None, config: MeasureConfig | None = None
) -> dict[str, pa.Table]:
    """The tables that `measure` or `join_measures` left in a folder.

    Args:
        folder: their output.
        dataset: that they must have been read off; any when None.
        config: that they must have been read with; any when None.

    Raises:
        MissingInput: there are none, or they are of other data or options.
    """
    result = MeasureResult.read(folder)
    other_data = dataset is not None and result.dataset_digest != dataset.info.digest
    if other_data or (config is not None and result.options != digest_of(config)):
        what = "another dataset" if other_data else "other options"
        raise MissingInput(folder, f"these measures were made from {what}", "Measure again.")
    return {name: pq.read_table(folder / f"{name}.parquet") for name in result.tables}


def _write(
    tables: Mapping[str, pa.Table],
    out: Path,
    *,
    key: str,
    part: int,
    dataset_digest: str,
    options: str,
) -> MeasureResult:
    with atomic_folder(out) as folder:
        for name, table in tables.items():
            pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
        result = MeasureResult(
            key=key,
            digest=digest_of({name: _content(table) for name, table in tables.items()}),
            dataset_digest=dataset_digest,
            options=options,
            part=part,
            tables={name: len(table) for name, table in tables.items()},
        ).write(folder)
    return result.at(out)


def _content(table: pa.Table) -> str:
    """Digest of a table's rows, however they were put together."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        # an empty batch, a slice or a chunk more would make other bytes of the same rows
        stream.write_table(table.combine_chunks().take(pa.array(np.arange(len(table)))))
    return hashlib.sha256(sink.getvalue()).hexdigest()
