"""A dataset is written whole or not at all, and what is written is valid."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goldseam.dataset.checking import check_dataset
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import InvalidDataset, MissingInput, OutputExists, StorageFull

MakeSample = Callable[..., Sample]
MakeLabels = Callable[[int], dict[str, Any]]
SIZE = (12, 16)


def boxes(*corners: float, category: int = 0) -> Boxes:
    return Boxes(np.array([category]), np.array([corners], np.float32), np.array([False]))


def test_equal_samples_give_equal_bytes(
    tmp_path: Path, info: DatasetInfo, sample: MakeSample
) -> None:
    digests = set()
    for out in (tmp_path / "a", tmp_path / "b"):
        written = write_dataset(out, info, {"train": map(sample, range(3))}, rows_per_shard=2)
        assert written.digest == open_dataset(out).info.digest
        digests.add(written.digest)
    assert len(digests) == 1


def test_samples_are_cut_into_shards_in_order(
    tmp_path: Path, info: DatasetInfo, sample: MakeSample
) -> None:
    splits = {"test": [sample(9)], "train": (sample(i) for i in range(5))}
    written = write_dataset(tmp_path / "d", info, splits, rows_per_shard=2)
    assert [(shard.file, shard.rows) for shard in written.shards] == [
        ("train-00000-of-00003.parquet", 2),
        ("train-00001-of-00003.parquet", 2),
        ("train-00002-of-00003.parquet", 1),
        ("test-00000-of-00001.parquet", 1),
    ]
    assert written.splits == ("train", "test")
    assert written.rows() == 6
    records = open_dataset(tmp_path / "d").records("train", tasks=[], rows=[1, 2, 4])
    assert [record.image_id for record in records] == ["image-1", "image-2", "image-4"]


def test_rows_that_are_not_ascending_are_refused(
    tmp_path: Path, info: DatasetInfo, sample: MakeSample
) -> None:
    write_dataset(tmp_path / "d", info, {"train": map(sample, range(3))})
    with pytest.raises(ValueError, match="ascending"):
        list(open_dataset(tmp_path / "d").records("train", rows=[2, 0]))


def test_a_column_is_read_where_the_folder_looks_like_a_partition(
    tmp_path: Path, info: DatasetInfo, sample: MakeSample
) -> None:
    out = tmp_path / "version=2" / "split=x"
    write_dataset(out, info, {"train": [sample(0)]})
    assert open_dataset(out).table("train").column_names == info.arrow_schema().names


BAD_LABELS: list[tuple[str, Any, str]] = [
    ("cover", np.full(SIZE, 3), "pixels of id 3"),
    ("cover", np.full(SIZE, -1), "pixels of id -1"),
    ("cover", np.full(SIZE, 258), "pixels of id 258"),
    ("cover", np.zeros((12, 15), np.uint8), "15 x 12 px"),
    ("cover", np.zeros(SIZE, np.float32), "integer ids"),
    ("edge", np.full(SIZE, 2), "pixels of id 2"),
    ("distance", np.full(SIZE, 2000.0), "2000.0 px"),
    ("distance", np.full(SIZE, -16.0), "-16.0 px"),  # the code of the invalid value
    ("distance", np.full(SIZE, np.inf), "infinite"),
    ("distance", np.zeros((16, 12)), "12 x 16 px"),
    ("elevation", np.full(SIZE, -9999.0), "-9999.0 m"),
    ("elevation", np.full(SIZE, -np.inf), "infinite"),
    ("facing", np.full((3, *SIZE), 0.9, np.float32), "length 1.559"),
    ("facing", np.zeros((*SIZE, 3), np.float32), "3 x 16 x 12 px"),
    ("objects", boxes(0, 0, 17, 3), "inside the image"),
    ("objects", boxes(3, 3, 3, 5), "xmin < xmax"),
    ("objects", boxes(1, 1, 2, 2, category=2), "category id 2"),
    ("tags", np.array([1, 0, 2, -1]), "states"),
    ("tags", np.array([1, 0]), "shape (2,)"),
    ("caption", "", "empty caption"),
]


@pytest.mark.parametrize("bad", BAD_LABELS, ids=lambda bad: f"{bad[0]}: {bad[2]}")
def test_a_label_that_does_not_fit_is_refused_and_nothing_stays(
    tmp_path: Path, info: DatasetInfo, sample: MakeSample, bad: tuple[str, Any, str]
) -> None:
    task, label, why = bad
    wrong = sample(1, labels={task: label}, sources={task: "human"})
    with pytest.raises(InvalidDataset) as caught:
        write_dataset(tmp_path / "d", info, {"train": [sample(0), wrong]})
    assert caught.value.message.startswith(f"image 'image-1', column '{task}': ")
    assert why in caught.value.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sources": {}}, "both or none"),
        ({"labels": {}, "sources": {"cover": "human"}}, "both or none"),
        ({"sources": {"cover": ""}}, "both or none"),
        ({"labels": {"weather": 1}, "sources": {"weather": "human"}}, "not declared"),
        ({"meta": {"meta_weather": "fine"}}, "not declared"),
        ({"meta": {"meta_altitude": "high"}}, "does not fit its column"),
        ({"meta": {"meta_day": 2**70}}, "does not fit its column"),
        ({"image_id": 7}, "image_id is 7"),
        ({"image_id": ""}, "image_id is ''"),
        ({"group": None}, "group is None"),
        ({"image": np.zeros((*SIZE, 3), np.float32)}, "uint8 HW3"),
        ({"image": np.zeros(SIZE, np.uint8)}, "uint8 HW3"),
        ({"image": np.zeros((0, 0, 3), np.uint8)}, "uint8 HW3"),
        ({"image": b"no picture"}, "cannot be decoded"),
        ({"image": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"}, "cannot be decoded"),
    ],
)
def test_a_sample_that_breaks_the_format_is_refused(
    tmp_path: Path, info: DatasetInfo, sample: MakeSample, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidDataset, match=why):
        write_dataset(tmp_path / "d", info, {"train": [sample(1, ["cover"], **changes)]})
    assert list(tmp_path.iterdir()) == []


def test_an_image_id_stands_once_and_a_group_in_one_split(
    tmp_path: Path, info: DatasetInfo, sample: MakeSample
) -> None:
    with pytest.raises(InvalidDataset, match="'image-0' stands there twice"):
        write_dataset(tmp_path / "d", info, {"train": [sample(0)], "test": [sample(0, group="g")]})
    splits = {"train": [sample(0)], "test": [sample(1, group="group-0")]}
    with pytest.raises(InvalidDataset, match="splits 'train' and 'test'"):
        write_dataset(tmp_path / "d", info, splits)
    with pytest.raises(InvalidDataset, match="no such split"):
        write_dataset(tmp_path / "d", info, {"training": [sample(0)]})
    assert list(tmp_path.iterdir()) == []


def test_boxes_that_touch_the_edge_and_encoded_images_are_taken_as_they_are(
    tmp_path: Path, info: DatasetInfo, sample: MakeSample, picture: Callable[..., dict[str, Any]]
) -> None:
    gray = picture(np.full(SIZE, 90, np.uint8), "JPEG")["bytes"]
    edge = sample(
        0,
        image=gray,
        labels={"objects": boxes(0, 0, 16, 12)},
        sources={"objects": "human"},
    )
    write_dataset(tmp_path / "d", info, {"train": [edge]})
    assert check_dataset(tmp_path / "d") == []
    dataset = open_dataset(tmp_path / "d")
    assert dataset.table("train", ["image"]).to_pylist()[0]["image"]["bytes"] == gray
    assert next(dataset.records("train")).image_HWC.shape == (*SIZE, 3)


def test_more_than_255_categories_take_16_bits(tmp_path: Path, sample: MakeSample) -> None:
    task = Task(kind=Kind.SEGMENTATION, categories=[f"c{i}" for i in range(300)], ignore=65535)
    info = DatasetInfo(name="many", tasks={"parts": task})
    parts_HW = np.arange(192).reshape(SIZE) + 100
    parts_HW[0, 0] = 65535
    many = sample(0, labels={"parts": parts_HW}, sources={"parts": "human"}, meta={})
    write_dataset(tmp_path / "d", info, {"train": [many]})
    assert check_dataset(tmp_path / "d") == []
    read_HW = next(open_dataset(tmp_path / "d").records("train")).labels["parts"]
    assert np.array_equal(read_HW, parts_HW)


def test_what_is_there_is_not_overwritten_unless_asked(
    tmp_path: Path, info: DatasetInfo, sample: MakeSample
) -> None:
    first = write_dataset(tmp_path / "d", info, {"train": [sample(0)]})
    with pytest.raises(OutputExists):
        write_dataset(tmp_path / "d", info, {"train": [sample(1)]})
    assert open_dataset(tmp_path / "d").info == first
    with pytest.raises(InvalidDataset):
        write_dataset(tmp_path / "d", info, {"train": [sample(1, image=b"")]}, replace=True)
    assert open_dataset(tmp_path / "d").info == first
    second = write_dataset(tmp_path / "d", info, {"train": [sample(1)]}, replace=True)
    assert open_dataset(tmp_path / "d").info == second
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_an_error_of_the_samples_leaves_nothing(
    tmp_path: Path, info: DatasetInfo, sample: MakeSample
) -> None:
    def samples() -> Iterator[Sample]:
        yield from map(sample, range(3))
        raise RuntimeError("the source broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        write_dataset(tmp_path / "d", info, {"train": samples()}, rows_per_shard=2)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, info: DatasetInfo, sample: MakeSample, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull, match="no space left"):
        write_dataset(tmp_path / "d", info, {"train": [sample(0)]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_fills_up_under_a_shard_leaves_nothing(
    tmp_path: Path, info: DatasetInfo, sample: MakeSample, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    whole = pq.ParquetWriter

    def on_a_full_disk(path: Path, *args: Any, **options: Any) -> pq.ParquetWriter:
        return whole("/dev/full", *args, **options)

    monkeypatch.setattr(pq, "ParquetWriter", on_a_full_disk)
    noise = np.random.default_rng(0).integers(0, 255, (600, 600, 3), np.uint8)
    large = [sample(number, (), image=noise) for number in range(20)]
    with pytest.raises(StorageFull):
        write_dataset(tmp_path / "d", info, {"train": large})
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_error(
    tmp_path: Path, info: DatasetInfo, sample: MakeSample, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingInput, match="file: stands where a folder is needed"):
        write_dataset(tmp_path / "file" / "d", info, {"train": [sample(0)]})

    # tests may run as root, whom permissions do not stop
    def refuse(*args: object, **options: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(MissingInput, match="Permission denied"):
        write_dataset(tmp_path / "d", info, {"train": [sample(0)]})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
