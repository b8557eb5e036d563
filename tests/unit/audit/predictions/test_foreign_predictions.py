"""Predictions that others wrote: what fits is read, whatever is wrong is named."""

import io

import numpy as np
import pyarrow as pa
import pytest

from goldseam.audit.predictions.faults import InvalidPredictions
from goldseam.audit.predictions.layout import decode_map
from goldseam.audit.predictions.opening import open_predictions
from goldseam.dataset.codecs import BadCell
from goldseam.errors import MissingInput
from tests.unit.audit.predictions.kinds import (
    COVER,
    HEIGHT,
    OBJECTS,
    WIDTH,
    read_all,
    write_parquet,
)


def npy(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


THIRDS = np.full((3, HEIGHT, WIDTH), 1 / 3, np.float32)
FLAT = np.full((HEIGHT, WIDTH), 0.5, np.float32)


def box(**changes):
    return {"category": 0, "score": 0.5, "xmin": 0, "ymin": 0, "xmax": 2, "ymax": 2} | changes


def changed(array, value):
    array = array.copy()
    array.flat[3] = value
    return array


def objects_npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    return stream.getvalue()


def mostly_lies() -> bytes:
    """A header that promises 10^15 numbers, and none of them."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**6)}
    )
    return stream.getvalue()


FAULTS = {
    "above one": (
        {"tags": [[0.1, 0.2], [0.1, 3.5]]},
        ["a.parquet, row 1, image 'i1'", "3.5", "bar"],
    ),
    "below zero": ({"tags": [[-0.5, 0.2]]}, ["row 0", "column 'tags'", "-0.5", "'disk'"]),
    "not a number": ({"tags": [[float("nan"), 0.2]]}, ["nan", "'disk'"]),
    "null inside a list": ({"tags": [[None, 0.2]]}, ["null", "'disk'"]),
    "too few": ({"tags": [[0.1]]}, ["1 probabilities, expected 2"]),
    "too many": ({"tags": [[0.1, 0.2, 0.3]]}, ["3 probabilities, expected 2"]),
    "text in tags": ({"tags": [["yes", "no"]]}, ["column 'tags'", "list", "string"]),
    "a null column": ({"tags": pa.array([None], pa.list_(pa.float32()))}, ["null for every image"]),
    "map above one": ({"edge": [npy(changed(FLAT, 1.5))]}, ["row 0", "'edge'", "1.5"]),
    "map not a number": ({"edge": [npy(changed(FLAT, np.nan))]}, ["nan", "every pixel"]),
    "no softmax": ({"cover": [npy(THIRDS * 0.5)]}, ["sum to 0.5"]),
    "too few channels": ({"cover": [npy(THIRDS[:2])]}, ["(2, 6, 8)", "(3, 6, 8)"]),
    "other size": ({"edge": [npy(FLAT[:5])]}, ["(5, 8)", "(6, 8)"]),
    "infinite value": ({"relief": [npy(changed(FLAT, np.inf))]}, ["inf", "'relief'"]),
    "codes for values": ({"relief": [npy(FLAT.astype(np.uint8))]}, ["uint8", "float32"]),
    "sixteen bits": ({"edge": [npy(FLAT.astype(np.uint16))]}, ["uint16"]),
    "no direction": ({"normal": [npy(np.zeros((3, HEIGHT, WIDTH), np.float32))]}, ["length 0"]),
    "no npy": ({"edge": [b"PK\x03\x04 an archive"]}, ["no .npy"]),
    "pickled": ({"edge": [objects_npy()]}, ["object"]),
    "truncated": ({"edge": [npy(FLAT)[:-4]]}, ["truncated"]),
    "promises too much": ({"edge": [mostly_lies()]}, ["truncated"]),
    "box of no category": ({"objects": [[box(category=2)]]}, ["category 2", "0 to 1"]),
    "box score": ({"objects": [[box()], [box(score=7.0)]]}, ["row 1", "score 7"]),
    "box inside out": ({"objects": [[box(xmax=-1)]]}, ["a box at 0, 0, -1, 2"]),
    "box without score": ({"objects": [[box(score=None)]]}, ["without 'score'"]),
    "unknown task": ({"tag": [[0.1, 0.2]]}, ["'tag' is no task"]),
    "caption": ({"words": ["a cup"]}, ["caption", "cannot be predicted"]),
    "no row": ({"tags": pa.array([], pa.list_(pa.float32()))}, ["has no row"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_says_where_it_is(name, tmp_path, data, labels):
    columns, words = FAULTS[name]
    write_parquet(tmp_path, **columns)
    with pytest.raises(InvalidPredictions) as caught:
        read_all(tmp_path, data.info, labels)
    for word in words:
        assert word in caught.value.message, caught.value.message
    assert caught.value.remedy


def test_scores_are_told_from_probabilities(tmp_path, data, labels):
    write_parquet(tmp_path, tags=[[-2.0, 5.0]])
    with pytest.raises(InvalidPredictions) as caught:
        read_all(tmp_path, data.info, labels)
    assert "sigmoid" in caught.value.remedy
    write_parquet(tmp_path, cover=[npy(THIRDS * 9)])
    with pytest.raises(InvalidPredictions) as caught:
        read_all(tmp_path, data.info, labels)
    assert "softmax" in caught.value.remedy


def test_ids_of_other_images_are_counted_or_refused(tmp_path, data, labels):
    write_parquet(tmp_path, ids=["i0", "x1"], tags=[[0.1, 0.2], [0.3, 0.4]])
    predictions = open_predictions(tmp_path, data.info)
    matched = predictions.match(labels)
    assert (matched.predicted, matched.missing, matched.foreign) == (1, 4, 1)
    assert np.isfinite(predictions.probabilities(labels, "tags")).sum() == 2
    write_parquet(tmp_path, ids=["x0", "x1"], tags=[[0.1, 0.2], [0.3, 0.4]])
    with pytest.raises(InvalidPredictions, match="none of its 2 image ids") as caught:
        open_predictions(tmp_path, data.info).match(labels)
    assert "'x0'" in caught.value.message
    assert "'i0'" in caught.value.message


def test_what_a_foreign_image_is_given_changes_nothing(tmp_path, data, labels):
    write_parquet(tmp_path, ids=["i0", "x1"], edge=[npy(FLAT), b"junk"])
    predictions = open_predictions(tmp_path, data.info)
    assert [position for position, _ in predictions.dense(labels, "edge")] == [0]


def test_an_image_stands_in_one_row(tmp_path, data, labels):
    write_parquet(tmp_path, ids=["i0", "i0"], tags=[[0.1, 0.2], [0.3, 0.4]])
    with pytest.raises(InvalidPredictions, match="'i0' is predicted in two rows"):
        open_predictions(tmp_path, data.info).match(labels)
    write_parquet(tmp_path, ids=["i0"], tags=[[0.1, 0.2]])
    write_parquet(tmp_path, ids=["i0"], tags=[[0.1, 0.2]], name="b.parquet")
    with pytest.raises(InvalidPredictions, match="'i0' is predicted in two rows"):
        open_predictions(tmp_path, data.info).match(labels)
    write_parquet(tmp_path, ids=["i1", None], tags=[[0.1, 0.2]] * 2, name="b.parquet")
    with pytest.raises(InvalidPredictions, match="1 rows have no image_id"):
        open_predictions(tmp_path, data.info).match(labels)


def test_columns_may_stand_in_several_files(tmp_path, data, labels):
    write_parquet(tmp_path, ids=["i3"], tags=[[0.1, 0.2]])
    write_parquet(tmp_path, ids=["i1"], edge=[npy(FLAT)], name="b.parquet")
    predictions = open_predictions(tmp_path, data.info)
    assert predictions.tasks == ("edge", "tags")
    np.testing.assert_allclose(predictions.probabilities(labels, "tags")[3], [0.1, 0.2])
    assert [position for position, _ in predictions.dense(labels, "edge")] == [1]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[0.25, 0.5], None, [1, 0]], pa.list_(pa.float64())),
        pa.array([[0.25, 0.5], None, [1, 0]], pa.large_list(pa.float32())),
        # Arrow itself cannot read back a null list of fixed size
        pa.array([[0.25, 0.5], [0, 0], [1, 0]], pa.list_(pa.float32(), 2)),
        pa.array([[0.25, 0.5], None, [1, 0]], pa.list_(pa.float16())),
    ],
    ids=lambda column: str(column.type),
)
def test_any_list_of_numbers_will_do(tmp_path, data, labels, column):
    write_parquet(tmp_path, tags=column)
    found_NC = open_predictions(tmp_path, data.info).probabilities(labels, "tags")
    np.testing.assert_array_equal(found_NC[[0, 2]], [[0.25, 0.5], [1, 0]])
    assert np.isnan(found_NC[1]).all() == (column[1].as_py() is None)


def test_categories_are_matched_by_name(tmp_path, data, labels):
    notes = {
        "categories": {
            "tags": ["bar", "disk"],
            "objects": ["pan", "cup"],
            "cover": ["bar", "ground", "disk"],
        }
    }
    cover_3HW = np.zeros((3, HEIGHT, WIDTH), np.float32)
    cover_3HW[0] = 1
    write_parquet(
        tmp_path, notes=notes, tags=[[0.1, 0.9]], objects=[[box()]], cover=[npy(cover_3HW)]
    )
    predictions = open_predictions(tmp_path, data.info)
    np.testing.assert_allclose(predictions.probabilities(labels, "tags")[0], [0.9, 0.1])
    ((_, boxes),) = predictions.boxes(labels, "objects")
    assert OBJECTS[boxes.category_M[0]] == "pan"
    ((_, found_3HW),) = predictions.dense(labels, "cover")
    assert COVER[int(found_3HW[:, 0, 0].argmax())] == "bar"


def test_other_categories_are_named(tmp_path, data):
    write_parquet(tmp_path, notes={"categories": {"tags": ["disc", "bar"]}}, tags=[[0.1, 0.9]])
    with pytest.raises(InvalidPredictions, match="'disc'") as caught:
        open_predictions(tmp_path, data.info)
    assert "'disc': disk" in caught.value.remedy
    (tmp_path / "predictions.json").write_text('{"categories": {"tag": ["disk", "bar"]}}')
    with pytest.raises(InvalidPredictions, match="'tag', which is no task"):
        open_predictions(tmp_path, data.info)
    (tmp_path / "predictions.json").write_text('{"out_of_folds": true}')
    with pytest.raises(InvalidPredictions, match="key 'out_of_folds'") as caught:
        open_predictions(tmp_path, data.info)
    assert "out_of_fold." in caught.value.remedy


def test_stretched_maps_take_the_size_of_their_image(tmp_path, data, labels):
    small_HW = np.array([[0.0, 1.0]], np.float32).repeat(3, axis=0)
    write_parquet(tmp_path, notes={"stretched": True}, edge=[npy(small_HW)])
    ((_, found_HW),) = open_predictions(tmp_path, data.info).dense(labels, "edge")
    assert found_HW.shape == (HEIGHT, WIDTH)
    assert found_HW[0, 0] == 0
    assert found_HW[0, -1] == 1
    assert (np.diff(found_HW, axis=1) >= 0).all()


def test_codes_and_halves_mean_the_same(data):
    spec = data.info.tasks["cover"]
    expected = decode_map(spec, npy(THIRDS), (HEIGHT, WIDTH))
    for same in (THIRDS.astype(np.float16), np.full(THIRDS.shape, 85, np.uint8)):
        np.testing.assert_allclose(decode_map(spec, npy(same), None), expected, atol=2e-3)
    fortran = np.asfortranarray(np.linspace(0, 1, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH))
    found = decode_map(data.info.tasks["edge"], npy(fortran), (HEIGHT, WIDTH))
    np.testing.assert_allclose(found, fortran, atol=1e-6)
    with pytest.raises(BadCell):
        decode_map(spec, npy(np.zeros(4, np.float32)), None)


def test_a_folder_without_predictions_is_refused(tmp_path, data):
    with pytest.raises(MissingInput, match="no folder of predictions"):
        open_predictions(tmp_path / "none", data.info)
    with pytest.raises(InvalidPredictions, match="no predictions of any task"):
        open_predictions(tmp_path, data.info)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not quite")
    with pytest.raises(InvalidPredictions, match="damaged"):
        open_predictions(tmp_path, data.info)


def test_asking_for_a_task_that_is_not_predicted_names_those_that_are(tmp_path, data, labels):
    write_parquet(tmp_path, tags=[[0.1, 0.2]])
    with pytest.raises(InvalidPredictions, match="no predictions of task 'edge'") as caught:
        list(open_predictions(tmp_path, data.info).dense(labels, "edge"))
    assert "'tags'" in caught.value.remedy
