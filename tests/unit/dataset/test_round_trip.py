"""What is written comes back the same through our reader and every tool that reads Parquet.

Above all unknown: the same cells are null everywhere, and an empty list of boxes is never null.
"""

import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from goldseam.dataset.checking import check_dataset
from goldseam.dataset.codecs import BadCell, Boxes, decode_label, encode_label, encode_png
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset

TASKS = {
    "cover": Task(kind=Kind.SEGMENTATION, categories=("sea", "land", "lake")),
    "parts": Task(kind=Kind.SEGMENTATION, categories=[f"p{i}" for i in range(400)], ignore=65535),
    "edge": Task(kind=Kind.BOUNDARY),
    "salient": Task(kind=Kind.SALIENCY),
    "distance": Task(kind=Kind.REGRESSION, unit="px", scale=1 / 64, offset=-16),
    "elevation": Task(kind=Kind.REGRESSION, unit="m", encoding="tiff32", invalid=-9999),
    "facing": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
    "objects": Task(kind=Kind.DETECTION, categories=("house", "boat")),
    "tags": Task(kind=Kind.TAGS, categories=("bay", "cape", "river")),
    "caption": Task(kind=Kind.CAPTION),
}
INFO = DatasetInfo(name="round_trip", tasks=TASKS, meta={"meta_site": "string"})
quiet = settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def boxes(draw: st.DrawFn, height: int, width: int) -> Boxes:
    def span(length: int) -> st.SearchStrategy[tuple[float, float]]:
        ends = st.lists(st.integers(0, length * 4), min_size=2, max_size=2, unique=True)
        return ends.map(lambda pair: (min(pair) / 4, max(pair) / 4))

    count = draw(st.integers(0, 3))
    xs, ys = ([draw(span(length)) for _ in range(count)] for length in (width, height))
    corners = [(x[0], y[0], x[1], y[1]) for x, y in zip(xs, ys, strict=True)]
    return Boxes(
        np.array(draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)), np.int32),
        np.array(corners, np.float32).reshape(-1, 4),
        np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)), bool),
    )


def label_of(name: str, height: int, width: int) -> st.SearchStrategy[Any]:
    task, size = TASKS[name], (height, width)
    if task.kind is Kind.DETECTION:
        return boxes(height, width)
    if task.kind is Kind.TAGS:
        return hnp.arrays(np.int8, len(task.categories), elements=st.sampled_from([-1, 0, 1]))
    if task.kind is Kind.CAPTION:
        return st.text(min_size=1, max_size=20).filter(lambda text: bool(text.strip()))
    if task.kind is Kind.NORMALS:
        angles = hnp.arrays(np.float64, (2, *size), elements=st.floats(0, 3))
        return angles.map(_unit_vectors)
    if name == "distance":
        codes = hnp.arrays(np.int32, size, elements=st.integers(0, 2047))
        return codes.map(lambda c: np.where(c == 0, np.nan, c / 64 - 16).astype(np.float32))
    if name == "elevation":
        value = st.floats(-1e6, 1e6, width=32).filter(lambda v: v != -9999) | st.just(np.nan)
        return hnp.arrays(np.float32, size, elements=value)
    ids = range(len(task.categories) or 2)
    dtype = np.uint16 if task.ignore > 255 else np.uint8
    return hnp.arrays(dtype, size, elements=st.sampled_from([*ids[:2], ids[-1], task.ignore]))


def _unit_vectors(angles_2HW: np.ndarray) -> np.ndarray:
    up, round_ = angles_2HW
    normal_3HW = np.stack([np.sin(up) * np.cos(round_), np.sin(up) * np.sin(round_), np.cos(up)])
    normal_3HW[:, up == 0] = np.nan
    return normal_3HW.astype(np.float32)


@st.composite
def samples(draw: st.DrawFn) -> list[Sample]:
    made = []
    for number in range(draw(st.integers(1, 4))):
        height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
        known = draw(st.sets(st.sampled_from(sorted(TASKS))))
        labels = {name: draw(label_of(name, height, width)) for name in sorted(known)}
        source = st.sampled_from(["human", "map", "model"])
        image_HW3 = draw(hnp.arrays(np.uint8, (height, width, 3)))
        made.append(
            Sample(
                image_id=f"i{number}",
                image=image_HW3,
                group=f"g{number}",
                labels=labels,
                sources={name: draw(source) for name in labels},
                meta={"meta_site": draw(st.none() | st.sampled_from(["north", "south"]))},
            )
        )
    return made


def same(task: Task, found: Any, written: Any) -> None:
    if written is None:
        assert found is None
    elif task.kind is Kind.CAPTION:
        assert found == written
    elif task.kind is Kind.DETECTION:
        np.testing.assert_array_equal(found.category_N, written.category_N)
        np.testing.assert_array_equal(found.corners_N4, written.corners_N4)
        np.testing.assert_array_equal(found.ignore_N, written.ignore_N)
    elif task.kind is Kind.NORMALS:
        np.testing.assert_allclose(found, written, atol=2e-5)
    else:
        np.testing.assert_array_equal(found, written)


def plain(value: Any) -> Any:
    """A cell of any tool as plain Python, with null as None."""
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if value is None or value is pd.NA else value


@quiet
@given(samples())
def test_the_reader_gives_back_what_was_written(written: list[Sample]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d"
        write_dataset(path, INFO, {"train": written}, rows_per_shard=2)
        assert check_dataset(path) == []
        dataset = open_dataset(path)
        records = list(dataset.records("train"))
        known = dataset.known("train")
    assert [record.image_id for record in records] == [sample.image_id for sample in written]
    for row, (record, sample) in enumerate(zip(records, written, strict=True)):
        assert np.array_equal(record.image_HWC, sample.image)
        assert record.group == sample.group
        for name, task in TASKS.items():
            same(task, record.labels[name], sample.labels.get(name))
            assert record.sources[name] == sample.sources.get(name)
            assert known[name][row] == (name in sample.labels)


@quiet
@given(samples())
def test_pandas_polars_and_pyarrow_see_the_same_nulls_and_values(written: list[Sample]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d"
        write_dataset(path, INFO, {"train": written})
        (file,) = path.glob("*.parquet")
        rows = {
            "pyarrow": pq.read_table(file).to_pylist(),
            "pandas": pd.read_parquet(file, dtype_backend="pyarrow").to_dict("records"),
            "polars": pl.read_parquet(file).to_dicts(),
        }
        counts = pl.read_parquet(file).null_count().to_dicts()[0]
    for tool, found in rows.items():
        assert len(found) == len(written), tool
        for row, sample in zip(found, written, strict=True):
            for name, task in TASKS.items():
                cell = plain(row[name])
                expected = encode_label(task, sample.labels.get(name))
                assert cell == expected, (tool, name)
                assert (cell is None) == (plain(row[f"{name}_source"]) is None), (tool, name)
            assert plain(row["meta_site"]) == sample.meta["meta_site"]
    for name in TASKS:
        assert counts[name] == sum(name not in sample.labels for sample in written)


@settings(quiet, max_examples=8)
@given(samples())
def test_datasets_sees_the_same_nulls_and_decodes_pictures(written: list[Sample]) -> None:
    datasets = pytest.importorskip("datasets")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d"
        write_dataset(path, INFO, {"train": written})
        files = [str(file) for file in path.glob("*.parquet")]
        with mock.patch("socket.getaddrinfo", side_effect=OSError) as network:
            found = datasets.load_dataset(
                "parquet", data_files=files, cache_dir=f"{folder}/cache", split="train"
            )
        network.assert_not_called()
        assert found.features["tags"]["present"].feature.names == ["bay", "cape", "river"]
        rows = list(found)
    for row, sample in zip(rows, written, strict=True):
        assert np.array_equal(np.asarray(row["image"]), sample.image)
        for name, task in TASKS.items():
            cell, expected = row[name], sample.labels.get(name)
            if expected is None:
                assert cell is None, name
            elif task.kind.is_picture:
                # Pillow gives 16-bit color back in 8 bits: only its size is compared
                picture = Image.open(io.BytesIO(encode_label(task, expected)["bytes"]))
                assert np.array_equal(np.asarray(cell), np.asarray(picture)), name
            else:
                assert cell == encode_label(task, expected), name


def test_unknown_empty_and_absent_are_three_different_cells(tmp_path: Path) -> None:
    def sample(number: int, **labels: Any) -> Sample:
        return Sample(
            image_id=f"i{number}",
            image=np.zeros((4, 4, 3), np.uint8),
            group=f"g{number}",
            labels=labels,
            sources=dict.fromkeys(labels, "human"),
        )

    nothing_known = np.full(3, -1, np.int8)
    looked = sample(0, objects=Boxes.empty(), tags=np.array([0, 0, 1], np.int8))
    undecided = sample(1, tags=nothing_known)
    write_dataset(tmp_path / "d", INFO, {"train": [looked, undecided, sample(2)]})
    table = open_dataset(tmp_path / "d").table("train", ["objects", "tags"])
    assert table.column("objects").to_pylist() == [[], None, None]
    assert table.column("tags").to_pylist() == [
        {"present": [2], "absent": [0, 1]},
        {"present": [], "absent": []},
        None,
    ]
    records = list(open_dataset(tmp_path / "d").records("train", tasks=["objects", "tags"]))
    assert len(records[0].labels["objects"]) == 0
    assert records[1].labels["objects"] is None
    assert records[1].labels["tags"].tolist() == [-1, -1, -1]
    assert records[2].labels["tags"] is None


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(deadline=None, max_examples=150)
@given(st.data())
def test_damaged_bytes_are_a_bad_cell_and_never_another_error(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([n for n, t in TASKS.items() if t.kind.is_picture]))
    task = TASKS[name]
    content = bytearray(encode_label(task, data.draw(label_of(name, 5, 4)))["bytes"])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    with contextlib.suppress(BadCell):
        decode_label(task, {"bytes": bytes(content)})


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA", "RGB", "CMYK"])
def test_images_of_every_common_mode_are_read_as_rgb(
    tmp_path: Path, mode: str, sample: Callable[..., Sample], info: DatasetInfo
) -> None:
    picture = Image.new("RGB", (16, 12), (255, 255, 255)).convert(mode)
    stream = io.BytesIO()
    picture.save(stream, format="JPEG" if mode == "CMYK" else "PNG")
    write_dataset(tmp_path / "d", info, {"train": [sample(0, (), image=stream.getvalue())]})
    record = next(open_dataset(tmp_path / "d").records("train"))
    assert record.image_HWC.shape == (12, 16, 3)
    assert record.image_HWC.dtype == np.uint8
    assert record.image_HWC.min() >= 250


def test_a_palette_mask_gives_its_ids() -> None:
    palette = Image.fromarray(np.array([[0, 1], [2, 255]], np.uint8), mode="P")
    palette.putpalette([17] * 768)
    stream = io.BytesIO()
    palette.save(stream, format="PNG")
    ids_HW = decode_label(TASKS["cover"], {"bytes": stream.getvalue()})
    assert ids_HW.tolist() == [[0, 1], [2, 255]]


def test_equal_pictures_have_equal_bytes() -> None:
    array = np.arange(48, dtype=np.uint16).reshape(6, 8)
    assert encode_png(array) == encode_png(array.copy())
