"""What does the audit of the labels alone cost, from ten thousand to a million images?

Each size is a dataset on disk: 80 tags of which 40 % are known, three metadata columns, groups of
ten images, no picture. The command `goldseam audit` runs as users run it, in a process of its own;
its seconds include the start of Python. Its memory is the peak that the system saw, an upper bound:
it counts what this script held when it started the command. Every other row hands it predictions as
well, so that it searches for wrong tags too.

python benchmarks/audit_labels.py [--quick] [--out FILE]
"""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from report import arguments, report

from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import write_tables

CATEGORIES, KNOWN, FLIPPED = 80, 0.4, 0.02
SIZES, QUICK_SIZES = (10_000, 100_000, 1_000_000), (10_000, 30_000)
LIMIT_SECONDS, LIMIT_MIB = 60, 4096
BLOCK = 50_000
COMMAND = "from goldseam.cli import main; main()"
WITHOUT_PREDICTIONS = "audit.crossfit=false"


@dataclasses.dataclass(frozen=True)
class Row:
    """One run of the command."""

    seed: int
    images: int
    predictions: bool
    seconds: float
    microseconds_per_image: float
    peak_mib: float
    dataset_mib: float


def main(quick: bool, out: Path | None) -> None:
    seeds = range(1 if quick else 3)
    rows = []
    for seed in seeds:
        for images in QUICK_SIZES if quick else SIZES:
            with tempfile.TemporaryDirectory() as folder:
                rows += measure(seed, images, Path(folder))
                print(*rows[-2:], sep="\n", flush=True)
    largest = max(row.images for row in rows)
    of_labels = [row for row in rows if row.images == largest and not row.predictions]
    seconds = max(row.seconds for row in of_labels)
    peak = max(row.peak_mib for row in of_labels)
    report(
        claim=f"The label-side audit of 1,000,000 images × {CATEGORIES} categories takes at most "
        f"{LIMIT_SECONDS} s and 4 GiB on two cores.",
        holds=largest == 1_000_000 and seconds <= LIMIT_SECONDS and peak <= LIMIT_MIB,
        figure=f"{largest:,} images × {CATEGORIES} categories: {seconds:.1f} s, {peak:,.0f} MiB at "
        f"most of {len(of_labels)} runs; "
        + ", ".join(
            f"{r.images:,} images {r.seconds:.1f} s{' with predictions' if r.predictions else ''}"
            for r in rows
            if r.seed == 0
        ),
        rows=rows,
        seeds=list(seeds),
        out=out,
    )


def measure(seed: int, images: int, folder: Path) -> list[Row]:
    data, predictions = folder / "data", folder / "predictions"
    predictions.mkdir()
    generator = np.random.default_rng(seed)
    splits = {"train": int(images * 0.8), "validation": int(images * 0.1)}
    splits["test"] = images - sum(splits.values())
    info = DatasetInfo(
        name="labels",
        tasks={
            "tags": Task(
                kind=Kind.TAGS, categories=tuple(f"category {c}" for c in range(CATEGORIES))
            )
        },
        meta={"meta_site": "string", "meta_annotator": "string", "meta_captured": "double"},
    )
    with pq.ParquetWriter(predictions / "tags.parquet", prediction_schema()) as writer:
        tables = {
            split: [list(blocks(generator, info, split, rows, writer))]
            for split, rows in splits.items()
        }
        write_tables(data, info, tables, sizes_known=False)
    size = sum(file.stat().st_size for file in data.iterdir()) / 2**20
    found = []
    for given in (False, True):
        arguments_ = ["audit", str(data), "--out", str(folder / f"out-{given}")]
        arguments_ += (
            ["--predictions", str(predictions)] if given else ["--set", WITHOUT_PREDICTIONS]
        )
        seconds, peak = run([sys.executable, "-c", COMMAND, *arguments_])
        each = round(seconds / images * 1e6, 1)
        found.append(Row(seed, images, given, round(seconds, 2), each, round(peak), round(size)))
    return found


def prediction_schema() -> pa.Schema:
    return pa.schema([("image_id", pa.string()), ("tags", pa.list_(pa.float32()))])


def blocks(
    generator: np.random.Generator,
    info: DatasetInfo,
    split: str,
    rows: int,
    writer: pq.ParquetWriter,
) -> Iterator[pa.Table]:
    """Label tables block by block; the predictions of the same images go to `writer`."""
    prior_C = 1 / (2 + np.arange(CATEGORIES) / 4)
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        true_NC = generator.random((count, CATEGORIES)) < prior_C
        known_NC = generator.random((count, CATEGORIES)) < KNOWN
        given_NC = true_NC ^ (generator.random((count, CATEGORIES)) < FLIPPED)
        logit_NC = 5 * (true_NC - 0.5) + generator.normal(0, 1.5, (count, CATEGORIES))
        number_N = np.arange(start, start + count)
        ids = pa.array([f"{split}-{number}" for number in number_N])
        tags = pa.StructArray.from_arrays(
            [ids_of(given_NC & known_NC), ids_of(~given_NC & known_NC)], ["present", "absent"]
        )
        columns = {
            "image_id": ids,
            "image": pa.nulls(count, info.arrow_schema().field("image").type),
            "width": pa.nulls(count, pa.int32()),
            "height": pa.nulls(count, pa.int32()),
            "group": pa.array([f"{split}-{number // 10}" for number in number_N]),
            "meta_site": pa.array(np.array(list("ABCDE"))[generator.integers(0, 5, count)]),
            "meta_annotator": pa.array(
                np.array([f"annotator {a}" for a in range(12)])[generator.integers(0, 12, count)]
            ),
            "meta_captured": pa.array(generator.normal(0, 1, count)),
            "tags": tags,
            "tags_source": pa.repeat("human", count),
        }
        probability_NC = (1 / (1 + np.exp(-logit_NC))).astype(np.float32)
        values = pa.FixedSizeListArray.from_arrays(pa.array(probability_NC.ravel()), CATEGORIES)
        writer.write_table(
            pa.table([ids, values.cast(pa.list_(pa.float32()))], schema=prediction_schema())
        )
        yield pa.table(columns)


def ids_of(chosen_NC: np.ndarray) -> pa.ListArray:
    """The ids of the chosen categories of each row."""
    ends_N = np.concatenate([[0], chosen_NC.sum(axis=1).cumsum()])
    return pa.ListArray.from_arrays(
        pa.array(ends_N, pa.int32()), pa.array(np.nonzero(chosen_NC)[1])
    )


def run(command: list[str]) -> tuple[float, float]:
    """Seconds and peak memory (MiB) of a command that must succeed."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{said}")
    return time.perf_counter() - begun, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main(*arguments(__doc__))
