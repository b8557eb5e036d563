"""The mask's file: what comes back is what was written, and what is wrong is named."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from goldseam.dataset.partial import InvalidMask, LabelMask, label_mask, read_mask
from goldseam.errors import DigestMismatch, InvalidConfig, MissingInput, OutputExists

TASKS = ("cover", "depth", "edge")
FORMS = ("csv", "parquet")


@pytest.fixture
def mask():
    # ids that a careless reader would turn into numbers, or split
    ids = tuple(f"0{number},é" for number in range(30))
    return LabelMask(ids, TASKS, label_mask(30, TASKS, "random_label", seed=2), "random_label", 2)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_is_read(mask, form, tmp_path):
    path = tmp_path / f"mask.{form}"
    mask.write(path)
    found = read_mask(path)
    assert (found.image_ids, found.tasks) == (mask.image_ids, TASKS)
    assert (found.protocol, found.seed) == ("random_label", 2)
    np.testing.assert_array_equal(found.known_NT, mask.known_NT)
    assert found.digest == mask.digest
    first = path.read_bytes()
    mask.write(path, replace=True)
    assert path.read_bytes() == first


@pytest.mark.parametrize("form", FORMS)
def test_counts_and_digest_stand_in_the_file(mask, form, tmp_path):
    path = tmp_path / f"mask.{form}"
    mask.write(path)
    if form == "csv":
        stated = json.loads((tmp_path / "mask.csv.json").read_text())
    else:
        stated = json.loads(pq.read_schema(path).metadata[b"goldseam"])
    assert stated["sha256"] == mask.digest.removeprefix("sha256:")
    assert stated["labels_per_task"] == dict(
        zip(TASKS, mask.known_NT.sum(axis=0).tolist(), strict=True)
    )
    by_labels = np.bincount(mask.known_NT.sum(axis=1)).tolist()
    assert stated["images_by_labels"] == {"1": by_labels[1], "2": by_labels[2]}


def test_the_digest_is_of_the_content(mask):
    order = np.random.default_rng(0).permutation(30)
    shuffled = dataclasses.replace(
        mask,
        image_ids=tuple(mask.image_ids[row] for row in order),
        known_NT=mask.known_NT[order],
    )
    assert shuffled.digest == mask.digest
    flipped_NT = mask.known_NT.copy()
    flipped_NT[4, 1] ^= True
    for change in ({"known_NT": flipped_NT}, {"seed": 3}, {"protocol": "other"}):
        assert dataclasses.replace(mask, **change).digest != mask.digest


@pytest.mark.parametrize("form", FORMS)
def test_a_changed_table_is_found_out(mask, form, tmp_path):
    path = tmp_path / f"mask.{form}"
    mask.write(path)
    if form == "csv":
        lines = path.read_text().splitlines()
        lines[1] = lines[1].replace("true", "false", 1)
        path.write_text("\n".join(lines))
    else:
        table = pq.read_table(path)
        flipped = pa.array(~table.column("depth").to_numpy())
        pq.write_table(table.set_column(2, "depth", flipped), path)
    with pytest.raises(DigestMismatch, match=f"mask.{form}"):
        read_mask(path)


def test_a_table_by_hand_needs_nothing_else(tmp_path):
    path = tmp_path / "mask.csv"
    path.write_text("\ufeffimage_id,cover,edge\r\n007,1,False\r\n008,0,true\r\n", encoding="utf-8")
    mask = read_mask(path)
    assert mask.image_ids == ("007", "008")
    assert mask.known_NT.tolist() == [[True, False], [False, True]]
    assert (mask.protocol, mask.seed) == ("unstated", None)


def test_whole_numbers_of_a_parquet_file_are_flags(tmp_path):
    path = tmp_path / "mask.parquet"
    pq.write_table(pa.table({"image_id": ["a", "b"], "cover": [1, 0]}), path)
    assert read_mask(path).known_NT.tolist() == [[True], [False]]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "it is empty"),
        ("cover,edge\n1,0\n", "expected image_id"),
        ("image_id\na\n", "at least one task"),
        ("image_id,cover\na,1\nb,\n", "row 1, column 'cover': '', expected true or false"),
        ("image_id,cover\na,1\nb,-1\n", "row 1, column 'cover': '-1'"),
        ("image_id,cover\na,1\na,0\n", "names the image 'a' twice"),
        ("image_id,cover,cover\na,1,1\n", "column 'cover' twice"),
        ("image_id,cover\na,1,1\n", "no table of a label mask"),
    ],
)
def test_a_bad_table_is_named(text, match, tmp_path):
    path = tmp_path / "mask.csv"
    path.write_text(text)
    with pytest.raises(InvalidMask, match=match):
        read_mask(path)


def test_bad_files_are_refused(mask, tmp_path):
    with pytest.raises(MissingInput, match=r"none\.csv"):
        read_mask(tmp_path / "none.csv")
    with pytest.raises(InvalidConfig, match=r"no '\.pth' file"):
        read_mask(tmp_path / "onelabel.pth")
    broken = tmp_path / "mask.parquet"
    broken.write_bytes(b"PAR1")
    with pytest.raises(InvalidMask, match="no table"):
        read_mask(broken)
    with pytest.raises(OutputExists):
        mask.write(broken)
    with pytest.raises(InvalidConfig, match=r"no '\.json' file"):
        mask.write(tmp_path / "mask.json")
    (tmp_path / "mask.csv.json").write_text('{"seed": "zero"}')
    (tmp_path / "mask.csv").write_text("image_id,cover\na,1\n")
    with pytest.raises(InvalidMask, match="whole number as seed"):
        read_mask(tmp_path / "mask.csv")


def test_a_missing_value_of_a_parquet_file_is_named(tmp_path):
    path = tmp_path / "mask.parquet"
    pq.write_table(pa.table({"image_id": ["a", "b"], "cover": [True, None]}), path)
    with pytest.raises(InvalidMask, match="row 1, column 'cover': None"):
        read_mask(path)
    pq.write_table(pa.table({"image_id": ["a", None], "cover": [True, True]}), path)
    with pytest.raises(InvalidMask, match="row 1, column 'image_id': no value"):
        read_mask(path)


def test_rows_come_in_the_order_of_the_dataset(mask):
    order = np.random.default_rng(1).permutation(30)
    rows_NT = mask.rows_for([mask.image_ids[row] for row in order])
    np.testing.assert_array_equal(rows_NT, mask.known_NT[order])


def test_a_mask_of_other_images_is_refused(mask):
    with pytest.raises(InvalidMask, match=r"does not name the image 'new' \(1 "):
        mask.rows_for([*mask.image_ids, "new"])
    with pytest.raises(InvalidMask, match="which is not among the training images"):
        mask.rows_for(mask.image_ids[1:])


def test_columns_are_selected_by_name(mask):
    chosen = mask.select(("edge", "cover"))
    np.testing.assert_array_equal(chosen.known_NT, mask.known_NT[:, [2, 0]])
    with pytest.raises(InvalidMask, match="no task 'deph'") as error:
        mask.select(("deph",))
    assert "depth" in error.value.remedy


def test_a_mask_that_contradicts_itself_is_refused():
    with pytest.raises(InvalidMask, match="does not fit 2 images and 1 tasks"):
        LabelMask(("a", "b"), ("cover",), np.ones((1, 1)))
    with pytest.raises(InvalidMask, match="names the task 'cover' twice"):
        LabelMask(("a",), ("cover", "cover"), np.ones((1, 2)))


def test_a_mask_cannot_be_changed(mask):
    with pytest.raises(ValueError, match="read-only"):
        mask.known_NT[0, 0] = True
