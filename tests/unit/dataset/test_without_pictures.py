"""Labels whose pictures are not stored are audited and checked, and nothing trains on them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from goldseam.audit.label_side import read_label_side
from goldseam.dataset.checking import check_dataset
from goldseam.dataset.codecs import encode_tags
from goldseam.dataset.coverage import coverage
from goldseam.dataset.loading import batches
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.schema import PICTURE, DatasetInfo, Task
from goldseam.dataset.streaming import StreamingTable
from goldseam.dataset.writing import Sample, write_dataset, write_tables
from goldseam.errors import InvalidDataset

MakeSample = Callable[..., Sample]
NO_PICTURE = {"image": None, "size": (16, 12)}


@pytest.fixture
def bare(tmp_path: Path, info: DatasetInfo, sample: MakeSample) -> Dataset:
    """The pictures of the first and third image are not stored."""
    rows = [sample(0, **NO_PICTURE), sample(1), sample(2, **NO_PICTURE)]
    write_dataset(tmp_path / "bare", info, {"train": rows, "test": [sample(9)]})
    return open_dataset(tmp_path / "bare")


def test_labels_are_kept_and_counted(bare: Dataset, sample: MakeSample) -> None:
    assert check_dataset(bare.path) == []
    assert (bare.without_picture(), bare.without_picture("test")) == (2, 0)
    row = bare.table("train").to_pylist()[0]
    assert (row["image"], row["width"], row["height"]) == (None, 16, 12)
    assert all(one.unknown == 0 for one in coverage(bare) if one.category is None)
    assert read_label_side(bare).states["tags"].shape == (4, 4)


def test_reading_a_picture_that_is_not_stored_is_one_clear_error(bare: Dataset) -> None:
    where = r"row 0, image 'image-0', column 'image': the picture is not stored"
    with pytest.raises(InvalidDataset, match=where) as caught:
        list(bare.records("train"))
    assert "--images" in caught.value.remedy
    with pytest.raises(InvalidDataset, match="the picture is not stored"):
        next(batches(bare, "train", ["tags"], batch_size=3))
    with pytest.raises(InvalidDataset, match="the picture is not stored"):
        StreamingTable(bare, "train", ["tags"], 3).batch(0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": None}, "no picture and the size None"),
        ({"image": None, "size": (0, 12)}, "no picture and the size"),
        ({"image": None, "size": (15, 12)}, "16 x 12 px"),
        ({"size": (15, 12)}, "one size"),
    ],
)
def test_a_size_is_given_where_no_picture_tells_it(
    tmp_path: Path, info: DatasetInfo, sample: MakeSample, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidDataset, match=message):
        write_dataset(tmp_path / "d", info, {"train": [sample(0, **changes)]})
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("values", "column", "found"),
    [
        ({"width": 15}, "cover", "16 x 12 px"),
        ({"height": 0}, "height", "0 px"),
        ({"image": {"bytes": b"", "path": None}}, "image", "no bytes"),
    ],
)
def test_the_check_compares_labels_with_the_size_that_is_given(
    dataset_path: Path,
    change_row: Callable[..., None],
    values: dict[str, Any],
    column: str,
    found: str,
) -> None:
    change_row(0, **{"image": {"bytes": None, "path": "photos/0.png"}, **values})
    problems = check_dataset(dataset_path)
    assert column in {problem.column for problem in problems}
    assert any(found in problem.value for problem in problems)


def label_table(count: int, first: int = 0, **changes: Any) -> pa.Table:
    random = np.random.default_rng(first)
    names = [f"i{first + number}" for number in range(count)]
    cells = encode_tags(TAGS.tasks["tags"], random.integers(-1, 2, (count, 3)).astype(np.int8))
    known = cells.is_valid().to_pylist()
    columns = {
        "image_id": pa.array(names),
        "image": pa.nulls(count, PICTURE),
        "width": pa.nulls(count, pa.int32()),
        "height": pa.nulls(count, pa.int32()),
        "group": pa.array(names),
        "tags": cells,
        "tags_source": pa.array(["human" if one else None for one in known]),
    }
    return pa.table(columns | changes)


TAGS = DatasetInfo(name="tags", tasks={"tags": Task(kind="tags", categories=("a", "b", "c"))})


def test_tables_are_written_as_they_are(tmp_path: Path) -> None:
    shards = [[label_table(4), label_table(3, 4)], [label_table(2, 7)]]
    splits = {"train": shards, "test": [[label_table(5, 20)]]}
    info = write_tables(tmp_path / "out", TAGS, splits, sizes_known=False)
    assert [(shard.split, shard.rows) for shard in info.shards] == [
        ("train", 7),
        ("train", 2),
        ("test", 5),
    ]
    dataset = open_dataset(tmp_path / "out")
    written = dataset.table("train", ["image_id", "tags"])
    given = pa.concat_tables([table for shard in shards for table in shard])
    assert written.to_pylist() == given.select(["image_id", "tags"]).to_pylist()
    assert check_dataset(tmp_path / "out") == []
    assert np.isnan(read_label_side(dataset).size_N2).all()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (label_table(2, image_id=["a", "a"]), "image_id 'a' stands there twice"),
        (label_table(2, image_id=["a", None]), "image_id"),
        (label_table(2, group=["", "g"]), "group is ''"),
        (label_table(2, group=["g", "of the test"]), "in the splits 'train' and 'test'"),
        (label_table(2, tags_source=["human", "human"], tags=pa.nulls(2)), "no label and the"),
        (label_table(2, tags_source=pa.nulls(2)), "a label and the source None"),
        (label_table(2, width=["a", "b"]), "does not have the declared columns"),
        (label_table(2).drop_columns(["group"]), "does not have the declared columns"),
    ],
)
def test_tables_that_break_the_format_leave_nothing(
    tmp_path: Path, table: pa.Table, message: str
) -> None:
    test = [[label_table(1, 5, group=["of the test"])]]
    with pytest.raises(InvalidDataset, match=message):
        write_tables(tmp_path / "out", TAGS, {"train": [[table]], "test": test}, sizes_known=False)
    assert not list(tmp_path.iterdir())


def test_sizes_that_should_be_known_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match="width"):
        write_tables(tmp_path / "out", TAGS, {"train": [[label_table(2)]]})
    assert not list(tmp_path.iterdir())


def test_tags_are_encoded_like_one_by_one() -> None:
    from goldseam.dataset.codecs import encode_label

    state_NC = np.random.default_rng(0).integers(-1, 2, (50, 3)).astype(np.int8)
    state_NC[3] = -1
    task = TAGS.tasks["tags"]
    expected = [None if (row == -1).all() else encode_label(task, row) for row in state_NC]
    assert encode_tags(task, state_NC).to_pylist() == expected
