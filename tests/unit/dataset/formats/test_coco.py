"""COCO json becomes a dataset whose unknown stays unknown."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goldseam.audit.label_side import read_label_side
from goldseam.dataset.checking import check_dataset
from goldseam.dataset.codecs import decode_label
from goldseam.dataset.formats import CocoImport, import_coco, open_source
from goldseam.dataset.reading import open_dataset
from goldseam.errors import (
    GoldseamError,
    InvalidConfig,
    InvalidDataset,
    MissingInput,
    OutputExists,
)

Body = dict[str, Any]
Write = Callable[..., Path]


def cells(folder: Path, column: str, split: str = "train") -> list[Any]:
    return open_dataset(folder).table(split, [column]).column(column).to_pylist()


def states(folder: Path, task: str = "objects") -> list[list[int]]:
    return read_label_side(open_dataset(folder)).states[task].tolist()


def test_boxes_categories_and_what_the_file_says_of_itself(
    body: Body, write: Write, tmp_path: Path
) -> None:
    made = import_coco(write(body), tmp_path / "out")
    info = made.info
    assert (info.name, info.version, info.license) == ("labels", "2.1", "CC-BY-4.0")
    assert (info.source, info.description) == ("https://boats.test", "boats on a lake")
    assert info.tasks["objects"].categories == ("buoy", "boat")
    first, second, *rest = cells(tmp_path / "out", "objects")
    assert first == [
        {"category": 1, "xmin": 1, "ymin": 2, "xmax": 4, "ymax": 6, "ignore": False},
        {"category": 0, "xmin": 15, "ymin": 0, "xmax": 20, "ymax": 4, "ignore": True},
    ]
    assert second == [
        {"category": 0, "xmin": 15.5, "ymin": 2, "xmax": 18.5, "ymax": 6.25, "ignore": False}
    ]
    assert rest == [[], []]  # somebody looked and found none
    assert cells(tmp_path / "out", "objects_source") == ["unstated"] * 4
    assert made.notes == ("boxes that reached out of their image and were clipped: 1",)
    assert states(tmp_path / "out") == [[-1, 1], [1, 0], [0, 0], [0, 0]]
    assert check_dataset(tmp_path / "out") == []
    assert open_dataset(tmp_path / "out").without_picture() == 4


def test_images_without_annotations_may_be_unlabeled(
    body: Body, write: Write, tmp_path: Path
) -> None:
    config = CocoImport(unlabeled_is_unknown=True, source="human")
    import_coco(write(body), tmp_path / "out", config=config)
    assert cells(tmp_path / "out", "objects")[2:] == [None, None]
    assert cells(tmp_path / "out", "objects_source") == ["human", "human", None, None]
    assert states(tmp_path / "out")[2:] == [[-1, -1], [-1, -1]]
    assert check_dataset(tmp_path / "out") == []


def test_a_federated_file_is_absent_only_where_it_says_so(
    body: Body, write: Write, tmp_path: Path
) -> None:
    body["images"][0]["neg_category_ids"] = []
    body["images"][1] |= {"neg_category_ids": [7], "not_exhaustive_category_ids": [3]}
    body["images"][2]["neg_category_ids"] = [7, 3]
    import_coco(write(body), tmp_path / "out")
    info = open_dataset(tmp_path / "out").info
    assert not info.tasks["objects"].exhaustive
    assert states(tmp_path / "out", "objects_present") == [[-1, 1], [1, 0], [0, 0], [-1, -1]]
    assert cells(tmp_path / "out", "objects_present")[3] is None
    assert cells(tmp_path / "out", "objects")[2:] == [[], None]
    # nothing is absent by not being boxed
    assert (np.array(states(tmp_path / "out")) != 0).all()
    assert check_dataset(tmp_path / "out") == []


def box(*bbox: Any, **change: Any) -> Body:
    """A boat on the third image, which has no other annotation."""
    return {"id": 9, "image_id": 12, "category_id": 7, "bbox": list(bbox), **change}


# what is wrong, with which record, and what the error names
FAULTS: list[tuple[str, Body, str]] = [
    ("repeated id", box(1, 1, 2, 2, id=1), "annotation 1"),
    ("no such image", box(1, 1, 2, 2, image_id=99), "image_id 99"),
    ("no such image", box(1, 1, 2, 2, image_id=[1]), r"image_id \[1\]"),
    ("no such category", box(1, 1, 2, 2, category_id=8), "category_id 8"),
    ("bbox of no numbers", box(bbox=None), "bbox None"),
    ("bbox of no numbers", box(1, None, 2, 2), "four numbers"),
    ("bbox of no numbers", box(1, 1, 2), "four numbers"),
    ("bbox of no numbers", box("1", 1, 2, True), "four numbers"),
    ("bbox of no numbers", box(float("nan"), 1, 2, 2), "nan"),
    ("bbox of no numbers", box(10**400, 1, 2, 2), "four numbers"),
    ("bbox without area", box(1, 1, 2, 0), "above 0"),
    ("bbox without area", box(5, 5, -2, -2), "above 0"),
    ("bbox outside its image", box(25, 1, 2, 2), "inside its image"),
]
# without an image or category, a record says nothing about the third image
PLACELESS = {"no such image", "no such category"}


@pytest.mark.parametrize(("what", "record", "message"), FAULTS)
def test_a_faulty_annotation_is_named_or_counted_and_never_becomes_absence(
    body: Body, write: Write, tmp_path: Path, what: str, record: Body, message: str
) -> None:
    body["annotations"] += [record]
    file, out = write(body), tmp_path / "out"
    with pytest.raises(InvalidDataset, match=message) as caught:
        import_coco(file, out)
    assert f"annotation {record['id']}" in caught.value.message
    assert "--skip-faulty" in caught.value.remedy
    assert not out.exists()
    made = import_coco(file, out, config=CocoImport(skip_faulty=True))
    assert made.skipped == {what: 1}
    boat = 0 if what in PLACELESS else -1
    assert states(out) == [[-1, 1], [1, 0], [0, boat], [0, 0]]
    assert check_dataset(out) == []


def test_a_category_both_boxed_and_called_absent(body: Body, write: Write, tmp_path: Path) -> None:
    body["images"][0]["neg_category_ids"] = [7]
    with pytest.raises(InvalidDataset, match=r"image 10: category 7 in neg_category_ids"):
        import_coco(write(body), tmp_path / "out")
    import_coco(write(body), tmp_path / "out", config=CocoImport(skip_faulty=True))
    assert states(tmp_path / "out", "objects_present")[0] == [-1, -1]


def test_pictures_are_copied_or_named(
    body: Body, write: Write, photos: Path, tmp_path: Path
) -> None:
    file = write(body)
    import_coco(file, tmp_path / "copied", images=photos)
    copied = open_dataset(tmp_path / "copied")
    assert copied.without_picture() == 0
    assert cells(copied.path, "image")[1] == {
        "bytes": (photos / "1.png").read_bytes(),
        "path": None,
    }
    assert next(copied.records("train")).image_HWC.shape == (10, 20, 3)
    import_coco(file, tmp_path / "named", images=photos, config=CocoImport(copy_pictures=False))
    assert cells(tmp_path / "named", "image")[1] == {"bytes": None, "path": "photos/1.png"}
    assert open_dataset(tmp_path / "named").without_picture() == 4
    for out in ("copied", "named"):
        assert check_dataset(tmp_path / out) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [("gone.png", "cannot be read"), ("../x.png", "not below"), ("/etc/passwd", "not below")],
)
def test_a_picture_that_is_not_there_or_elsewhere(
    body: Body, write: Write, photos: Path, tmp_path: Path, name: str, message: str
) -> None:
    body["images"][2]["file_name"] = name
    with pytest.raises(GoldseamError, match=message):
        import_coco(write(body), tmp_path / "out", images=photos)
    assert not (tmp_path / "out").exists()


def test_boxes_stay_with_their_image_where_another_is_left_out(
    body: Body, write: Write, photos: Path, tmp_path: Path
) -> None:
    whole = import_coco(write(body), tmp_path / "whole", images=photos)
    body["images"][0]["file_name"] = "gone.png"
    body["images"][0]["width"], body["images"][0]["height"] = 1000, 1000
    options = CocoImport(skip_missing=True)
    made = import_coco(write(body), tmp_path / "out", images=photos, config=options)
    before, after = (
        {r["image_id"]: r for r in open_dataset(tmp_path / name).table("train").to_pylist()}
        for name in ("whole", "out")
    )
    gone = set(before) - set(after)
    assert len(gone) == 1
    assert after == {name: row for name, row in before.items() if name not in gone}
    assert made.skipped == {"an image whose picture is not there": 1}
    assert whole.skipped == {}


def test_a_picture_of_another_size_than_its_labels(
    body: Body, write: Write, photos: Path, tmp_path: Path
) -> None:
    body["images"][2]["width"] = 40
    with pytest.raises(InvalidDataset, match=r"'2\.png'.*20 x 10 px.*40 x 10 px"):
        import_coco(write(body), tmp_path / "out", images=photos)


def test_splits_by_file_and_groups_by_field(body: Body, write: Write, tmp_path: Path) -> None:
    other = copy.deepcopy(body)
    files = {"train": write(body, "a.json"), "test": write(other, "b.json")}
    with pytest.raises(InvalidDataset, match=r"two images are named '0\.png'") as caught:
        import_coco(files, tmp_path / "out")
    assert "split/file_name" in caught.value.remedy
    config = CocoImport(image_id="split/file_name")
    import_coco(files, tmp_path / "out", config=config)
    assert cells(tmp_path / "out", "image_id", "test")[0] == "test/0.png"
    config = CocoImport(image_id="split/id", group_field="lake")
    with pytest.raises(InvalidDataset, match="group 'l0' is in the splits 'train' and 'test'"):
        import_coco(files, tmp_path / "crossing", config=config)
    assert not (tmp_path / "crossing").exists()


def test_groups_are_dealt_out_whole(body: Body, write: Write, tmp_path: Path) -> None:
    body["images"] = [
        {"id": i, "file_name": f"p{i // 5}_{i}.png", "width": 20, "height": 10} for i in range(100)
    ]
    body["annotations"] = []
    config = CocoImport(fractions=(0.6, 0.2, 0.2), group_pattern=r"^(p\d+)_")
    made = import_coco(write(body), tmp_path / "out", config=config).info
    assert [made.rows(split) for split in ("train", "validation", "test")] == [60, 20, 20]
    again = import_coco(write(body), tmp_path / "again", config=config).info
    assert again.digest == made.digest
    other = import_coco(
        write(body), tmp_path / "other", config=config.model_copy(update={"seed": 1})
    )
    assert other.info.digest != made.digest
    with pytest.raises(InvalidDataset, match=r"'p0_0\.png'.*finds nothing"):
        import_coco(write(body), tmp_path / "x", config=CocoImport(group_pattern="q"))
    with pytest.raises(InvalidConfig, match="no regular expression"):
        import_coco(write(body), tmp_path / "x", config=CocoImport(group_pattern="("))


def test_metadata_has_types(body: Body, write: Write, tmp_path: Path) -> None:
    for number, image in enumerate(body["images"]):
        image |= {"date": f"2020-01-0{number + 1}T10:00:00", "site": f"0{number}"}
    del body["images"][3]["date"]
    info = import_coco(write(body), tmp_path / "out", config=CocoImport(meta=("date", "site"))).info
    assert info.meta == {"meta_date": "timestamp", "meta_site": "string"}
    assert cells(tmp_path / "out", "meta_date")[3] is None
    with pytest.raises(InvalidConfig, match="no image has the field 'sites'"):
        import_coco(write(body), tmp_path / "x", config=CocoImport(meta=("sites",)))


def test_masks_of_polygons_run_lengths_and_boxes(body: Body, write: Write, tmp_path: Path) -> None:
    boat, buoys, buoy = body["annotations"]
    boat["segmentation"] = [[1, 2, 4, 2, 4, 6, 1, 6]]
    buoys["segmentation"] = {"size": [10, 20], "counts": [150, 20, 30]}
    import_coco(write(body), tmp_path / "out", config=CocoImport(masks=True))
    task = open_dataset(tmp_path / "out").info.tasks["objects_mask"]
    assert task.categories == ("background", "buoy", "boat")
    masks = [decode_label(task, cell) for cell in cells(tmp_path / "out", "objects_mask")]
    expected = np.zeros((10, 20), int)
    expected[2:6, 1:4] = 2
    expected[:, 15:17] = 255
    np.testing.assert_array_equal(masks[0], expected)
    # nobody drew this buoy: all that is known is that it lies in its box
    assert (masks[1] == 255).sum() == 20
    assert not masks[2].any()
    assert check_dataset(tmp_path / "out") == []

    buoy["segmentation"] = [[1, 2, 3]]
    with pytest.raises(InvalidDataset, match="annotation 3: a polygon"):
        import_coco(write(body), tmp_path / "x", config=CocoImport(masks=True))
    made = import_coco(write(body), tmp_path / "x", config=CocoImport(masks=True, skip_faulty=True))
    assert made.skipped == {"malformed segmentation": 1}


def test_where_boxes_are_not_exhaustive_a_mask_has_no_background(
    body: Body, write: Write, tmp_path: Path
) -> None:
    body["images"][0]["neg_category_ids"] = [3]
    body["annotations"] = body["annotations"][:1]
    body["annotations"][0]["segmentation"] = [[1, 2, 4, 2, 4, 6, 1, 6]]
    import_coco(write(body), tmp_path / "out", config=CocoImport(masks=True))
    task = open_dataset(tmp_path / "out").info.tasks["objects_mask"]
    first, *rest = cells(tmp_path / "out", "objects_mask")
    assert sorted(np.unique(decode_label(task, first))) == [2, 255]
    assert rest == [None] * 3


def test_captions(body: Body, write: Write, tmp_path: Path) -> None:
    body["annotations"] += [
        {"id": 5, "image_id": 11, "caption": " A boat. "},
        {"id": 6, "image_id": 11, "caption": "Two\nboats."},
        {"id": 7, "image_id": 12, "caption": " "},
    ]
    import_coco(write(body), tmp_path / "out")
    assert cells(tmp_path / "out", "caption") == [None, "A boat.\nTwo boats.", None, None]
    del body["categories"]
    body["annotations"] = body["annotations"][-3:]
    assert list(import_coco(write(body), tmp_path / "only").info.tasks) == ["caption"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda body: body["images"][1].pop("width"), "image 11: width None"),
        (lambda body: body["images"][1].update(id=10), "image 10: the id was used before"),
        (lambda body: body["images"][1].update(id=None), "has the id None"),
        (lambda body: body["images"][1].pop("file_name"), "image 11 has no file_name"),
        (lambda body: body["categories"].append({"id": 9, "name": "boat"}), "two categories"),
        (lambda body: body["categories"].append({"id": 7, "name": "ship"}), "category 7 is named"),
        (lambda body: body["categories"].append({"id": 1}), "a category has the id 1"),
        (lambda body: body.update(images=[]), "has no image"),
        (lambda body: body.update(annotations={"id": 1}), "'annotations' is no list"),
        (lambda body: body.update(categories=[], annotations=[]), "neither categories nor"),
        (lambda body: body.pop("images"), "expected a COCO file"),
    ],
)
def test_a_file_that_is_no_coco_is_one_error(
    body: Body, write: Write, tmp_path: Path, change: Callable[[Body], None], message: str
) -> None:
    change(body)
    with pytest.raises(InvalidDataset, match=message) as caught:
        import_coco(write(body), tmp_path / "out")
    assert caught.value.remedy
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["{", "[]", "\x00", "[" * 100_000])
def test_a_file_that_is_no_json_is_one_error(write: Write, tmp_path: Path, content: str) -> None:
    with pytest.raises(InvalidDataset):
        import_coco(write(content), tmp_path / "out")


def test_open_source(body: Body, write: Write, photos: Path, tmp_path: Path) -> None:
    file = write(body)
    for images in (None, photos):  # the second replaces the first
        dataset = open_source(file, images, into=tmp_path / "made")
        assert dataset.without_picture() == (4 if images is None else 0)
    assert open_source(tmp_path / "made", into=tmp_path / "x").info == dataset.info
    with pytest.raises(InvalidConfig, match="--images does not apply"):
        open_source(tmp_path / "made", photos, into=tmp_path / "x")
    with pytest.raises(MissingInput, match="nowhere"):
        open_source(tmp_path / "nowhere.json", into=tmp_path / "x")
    (tmp_path / "labels.xml").write_text("")
    with pytest.raises(InvalidConfig, match="neither a dataset folder nor a file"):
        open_source(tmp_path / "labels.xml", into=tmp_path / "x")


def test_open_source_never_takes_the_place_of_what_it_did_not_make(
    body: Body, write: Write, tmp_path: Path
) -> None:
    file, mine = write(body), tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("precious")
    with pytest.raises(OutputExists, match="holds no dataset"):
        open_source(file, into=mine)
    assert (mine / "notes.txt").read_text() == "precious"
    other = import_coco(file, tmp_path / "other", config=CocoImport(name="another"))
    with pytest.raises(OutputExists, match="'another'"):
        open_source(file, into=tmp_path / "other")
    assert open_source(tmp_path / "other", into=tmp_path / "x").info.digest == other.info.digest
