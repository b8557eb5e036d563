"""Maps and PNG files hold what was predicted, in the form in which a dataset stores labels."""

import io

import numpy as np
import pytest
from PIL import Image

from goldseam.dataset.codecs import decode_label, decode_picture
from goldseam.dataset.schema import Kind, Task
from goldseam.prediction.maps import MapWriter, encode_map, map_format, map_rows
from goldseam.prediction.pictures import draw_prediction
from goldseam.prediction.png import PngWriter
from tests.unit.prediction.samples import TASKS


def cell(content):
    return {"bytes": content, "path": None}


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("parts", [(9,), (1, 3, 0, 5)])
def test_png_written_in_strips_is_read_by_others(depth, color, parts):
    import cv2

    random = np.random.default_rng(0)
    shape = (9, 7, 3) if color else (9, 7)
    pixels = random.integers(0, 1 << depth, shape).astype(np.uint8 if depth == 8 else np.uint16)
    stream = io.BytesIO()
    writer = PngWriter(stream, 7, 9, depth=depth, color=color)
    top = 0
    for rows in parts:
        writer.write(pixels[top : top + rows])
        top += rows
    writer.close()
    content = stream.getvalue()
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found[..., ::-1] if color else found, pixels)
    with Image.open(io.BytesIO(content)) as picture:
        picture.verify()  # every chunk's checksum
    if not (color and depth == 16):
        np.testing.assert_array_equal(decode_picture(content), pixels)


def test_png_refuses_wrong_rows():
    writer = PngWriter(io.BytesIO(), 4, 2)
    with pytest.raises(ValueError, match="do not fit"):
        writer.write(np.zeros((1, 5), np.uint8))
    with pytest.raises(ValueError, match="do not fit"):
        writer.write(np.zeros((1, 4), np.uint16))
    with pytest.raises(ValueError, match="more than"):
        writer.write(np.zeros((3, 4), np.uint8))
    with pytest.raises(ValueError, match="were not written"):
        writer.close()


def test_segmentation_map_is_a_label_of_the_dataset():
    scores = np.random.default_rng(1).random((3, 8, 6), np.float32)
    found = decode_label(TASKS["cover"], cell(encode_map(TASKS["cover"], scores)))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, scores.argmax(axis=0))


def test_many_categories_need_16_bits():
    task = Task(kind=Kind.SEGMENTATION, categories=tuple(f"c{i}" for i in range(300)), ignore=65535)
    scores = np.zeros((300, 2, 2), np.float32)
    scores[299, 0, 0] = 1
    found = decode_label(task, cell(encode_map(task, scores)))
    assert found.dtype == np.uint16
    assert found[0, 0] == 299


def test_values_are_rounded_to_codes_and_never_become_invalid():
    task = TASKS["relief"]  # code 0 says that there is no value
    values = np.array([[0.123, -8.0, -100.0, 1e6]], np.float32)
    found = decode_label(task, cell(encode_map(task, values)))
    assert np.isfinite(found).all()
    assert abs(found[0, 0] - 0.123) <= task.scale / 2 + 1e-6
    np.testing.assert_allclose(found[0, 1:3], -8 + task.scale)
    np.testing.assert_allclose(found[0, 3], 65535 * task.scale - 8)


@pytest.mark.parametrize(
    ("invalid", "value", "code"), [(5, 5.2, 6), (5, 4.8, 4), (65535, 7e4, 65534)]
)
def test_value_on_the_invalid_code_takes_its_neighbor(invalid, value, code):
    task = Task(kind=Kind.REGRESSION, unit="m", invalid=invalid)
    assert map_rows(task, np.array([[value]], np.float32)).tolist() == [[code]]


def test_float_values_stay_as_they_are():
    task = Task(kind=Kind.REGRESSION, unit="m", encoding="tiff32", invalid=-1)
    values = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)
    stream = io.BytesIO()
    writer = MapWriter(stream, task, (5, 4))
    writer.write(values[:2])
    writer.write(values[2:])
    writer.close()
    stream.seek(0)
    np.testing.assert_array_equal(np.load(stream), values)
    assert map_format(task).suffix == ".npy"


def test_normals_map_is_a_label_of_the_dataset():
    vectors = np.random.default_rng(3).normal(size=(3, 6, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=0)
    vectors[:, 0, 0] = (-1, 0, 0)
    found = decode_label(TASKS["facing"], cell(encode_map(TASKS["facing"], vectors)))
    np.testing.assert_allclose(found, vectors, atol=1 / 32767)


def test_probability_map():
    assert map_rows(TASKS["edge"], np.array([[0, 0.5, 1]], np.float32)).tolist() == [[0, 128, 255]]


def test_drawings_name_their_colors():
    ids = np.zeros((40, 30), np.uint8)
    ids[:20] = 2
    drawn = draw_prediction(TASKS["cover"], ids)
    assert drawn.shape[1] == 180  # enlarged six times
    assert drawn.shape[0] > 240  # and a legend below
    values = np.linspace(0, 1, 1200, dtype=np.float32).reshape(40, 30)
    assert draw_prediction(TASKS["relief"], values).shape[0] > 240
    gray = draw_prediction(TASKS["edge"], np.full((300, 300), 0.5, np.float32))
    assert gray.shape == (300, 300, 3)
    assert (gray == 128).all()
    facing = np.zeros((3, 300, 300), np.float32)
    facing[2] = 1
    assert draw_prediction(TASKS["facing"], facing)[0, 0].tolist() == [128, 128, 255]
