"""COCO instances become tags: absent only where the file promises that somebody looked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goldseam.audit.label_side import read_label_side
from goldseam.dataset.checking import check_dataset
from goldseam.dataset.formats import CocoTagsImport, Imported, import_coco_tags
from goldseam.dataset.reading import open_dataset
from goldseam.errors import InvalidConfig, InvalidDataset

Body = dict[str, Any]
Write = Callable[..., Path]


def imported(file: Any, out: Path, **options: Any) -> Imported:
    return import_coco_tags(file, out, config=CocoTagsImport(**options))


def states(folder: Path) -> list[list[int]]:
    return read_label_side(open_dataset(folder)).states["tags"].tolist()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # categories are buoy and boat; the buoy of the first image is a crowd
        ({}, [[1, 1], [1, 0], [0, 0], [0, 0]]),
        ({"crowds": "unknown"}, [[-1, 1], [1, 0], [0, 0], [0, 0]]),
        ({"unlabeled_is_unknown": True}, [[1, 1], [1, 0], [-1, -1], [-1, -1]]),
        ({"exhaustive": ("boat",)}, [[1, 1], [1, 0], [-1, 0], [-1, 0]]),
    ],
)
def test_present_absent_unknown(
    body: Body, write: Write, tmp_path: Path, options: Body, expected: list[list[int]]
) -> None:
    made = imported(write(body), tmp_path / "out", source="human", **options)
    assert made.info.tasks["tags"].categories == ("buoy", "boat")
    assert states(tmp_path / "out") == expected
    for position, one in enumerate(made.tags):
        column = [row[position] for row in expected]
        assert (one.present, one.absent, one.unknown) == tuple(map(column.count, (1, 0, -1)))
    assert check_dataset(tmp_path / "out") == []


def test_a_tag_needs_no_sound_box(body: Body, write: Write, tmp_path: Path) -> None:
    body["annotations"][0]["bbox"] = [1, 2, 0, 4]
    del body["annotations"][2]["bbox"]
    imported(write(body), tmp_path / "out")
    assert states(tmp_path / "out")[:2] == [[1, 1], [1, 0]]


def test_a_federated_file(body: Body, write: Write, tmp_path: Path) -> None:
    for image in body["images"]:
        image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    body["images"][1]["neg_category_ids"] = [7]
    body["images"][2]["neg_category_ids"] = [7, 3]
    imported(write(body), tmp_path / "out")
    assert states(tmp_path / "out") == [[1, 1], [1, 0], [0, 0], [-1, -1]]
    assert open_dataset(tmp_path / "out").table("train", ["tags"]).column("tags")[3].as_py() is None
    with pytest.raises(InvalidConfig, match="federated"):
        imported(write(body), tmp_path / "x", exhaustive=("boat",))
    body["images"][1]["neg_category_ids"] = [3]
    with pytest.raises(InvalidDataset, match="category 3 in neg_category_ids"):
        imported(write(body), tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("record", "message", "third"),
    [
        ({"id": 1, "image_id": 12, "category_id": 7}, "annotation 1: the id was used", [0, -1]),
        ({"id": 9, "image_id": 99, "category_id": 7}, "annotation 9: image_id 99", [0, 0]),
        ({"id": 9, "image_id": 12, "category_id": 8}, "annotation 9: category_id 8", [0, 0]),
    ],
)
def test_a_faulty_annotation(
    body: Body, write: Write, tmp_path: Path, record: Body, message: str, third: list[int]
) -> None:
    body["annotations"] += [record]
    file = write(body)
    with pytest.raises(InvalidDataset, match=message):
        imported(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    made = imported(file, tmp_path / "out", skip_faulty=True)
    assert sum(made.skipped.values()) == 1
    # what it may have shown is unknown, never absent
    assert states(tmp_path / "out")[2] == third


def test_splits_groups_and_options(body: Body, write: Write, tmp_path: Path) -> None:
    train, test = write(body, "train.json"), write(body, "test.json")
    files = {"train": train, "test": test}
    made = imported(files, tmp_path / "out", image_id="split/file_name")
    assert (made.info.rows("train"), made.info.rows("test")) == (4, 4)
    with pytest.raises(InvalidDataset, match="two images are named"):
        imported(files, tmp_path / "x")
    imported(train, tmp_path / "grouped", group_field="lake", meta=("lake",))
    table = open_dataset(tmp_path / "grouped").table("train", ["group", "meta_lake"])
    assert table.column("group").to_pylist() == ["l0", "l0", "l1", "l1"]
    with pytest.raises(InvalidConfig, match="no category is named 'boot'"):
        imported(train, tmp_path / "x", exhaustive=("boot",))
    body["categories"] = body["annotations"] = []
    with pytest.raises(InvalidDataset, match="has no categories"):
        imported(write(body), tmp_path / "x")
    assert not (tmp_path / "x").exists()
