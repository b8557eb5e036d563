"""Every kind of picture that a user may name, and what is wrong with the others."""

import io
import threading

import numpy as np
import pytest
from PIL import Image

from goldseam.dataset.codecs import BadCell, decode_image
from goldseam.errors import InvalidDataset, MissingInput
from goldseam.prediction import reading
from goldseam.prediction.reading import InvalidImage, decode_pixels, find_inputs, read_image
from tests.unit.prediction.samples import make_picture


def encoded(array, form="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format=form, **options)
    return stream.getvalue()


def test_pictures_of_8_bits_are_read_as_a_dataset_reads_them():
    image = make_picture(9, 7)
    for content in (
        encoded(image),
        encoded(image, "JPEG"),
        encoded(image, "TIFF"),
        encoded(image[:, :, 0]),
    ):
        np.testing.assert_array_equal(decode_pixels(content), decode_image(content))


@pytest.mark.parametrize("form", ["TIFF", "PNG"])
def test_gray_of_16_bits_keeps_its_upper_byte(form):
    deep = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    found = decode_pixels(encoded(deep, form))
    assert found.shape == (1, 5, 3)
    assert found[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    assert (found == found[:, :, :1]).all()


def test_color_of_16_bits_keeps_its_upper_byte():
    import cv2

    deep = np.random.default_rng(0).integers(0, 65536, (4, 5, 3)).astype(np.uint16)
    for suffix in (".png", ".tiff"):
        content = cv2.imencode(suffix, deep[:, :, ::-1])[1].tobytes()
        np.testing.assert_array_equal(decode_pixels(content), (deep >> 8).astype(np.uint8))


def test_what_is_no_picture():
    for content in (b"", b"no picture", encoded(make_picture(30, 30))[:200]):
        with pytest.raises(BadCell):
            decode_pixels(content)
    with pytest.raises(BadCell, match="mode F"):
        decode_pixels(encoded(np.zeros((3, 3), np.float32), "TIFF"))


def test_bomb_is_refused_and_large_scan_is_not(monkeypatch):
    content = encoded(np.zeros((1200, 1000, 3), np.uint8))
    with pytest.raises(BadCell, match="decompression bomb"):
        decode_pixels(content, max_megapixels=1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert decode_pixels(content, max_megapixels=2).shape == (1200, 1000, 3)
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_names_are_legal_and_unique(tmp_path):
    files = ["a.png", "A.jpg", "deep/a.png", "deep/er/ä b.tif", "notes.txt"]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = find_inputs([tmp_path / "a.png", tmp_path])
    names = [source.name for source in found]
    assert names == ["a", "A-2", "a-3", "deep_a", "deep_er_ä_b"]
    assert len(found) == 5


def test_long_names_fit_a_file_system(tmp_path):
    for name in ("深" * 80, "深" * 80 + "い"):
        (tmp_path / f"{name}.png").write_bytes(b"x")
    names = [source.name for source in find_inputs([tmp_path])]
    assert len(set(names)) == 2
    # room for the longest suffix of a file system of 255 bytes a name
    assert all(len(name.encode()) <= 200 for name in names)


def test_decoding_side_by_side_leaves_the_limit_as_it_was(monkeypatch):
    # a server decodes in threads, and Pillow has one limit for all of them
    content = encoded(np.zeros((300, 400, 3), np.uint8))
    decode, first_is_in, second_is_in = reading.decode_image, threading.Event(), threading.Event()

    def overlapping(given):
        if threading.current_thread() is first:
            first_is_in.set()
            second_is_in.wait(0.3)  # it cannot come in while this one is there
        else:
            second_is_in.set()
            first.join(5)  # leave last
        return decode(given)

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_234_567)
    monkeypatch.setattr(reading, "decode_image", overlapping)
    first = threading.Thread(target=decode_pixels, args=(content,), kwargs={"max_megapixels": 5})
    second = threading.Thread(target=decode_pixels, args=(content,), kwargs={"max_megapixels": 9})
    first.start()
    first_is_in.wait(5)
    second.start()
    first.join(5)
    second.join(5)
    assert Image.MAX_IMAGE_PIXELS == 1_234_567


def test_rows_of_a_dataset(disc_folder, disc_data):
    found = find_inputs([disc_folder], split="test")
    assert len(found) == disc_data.info.rows("test")
    for source, record in zip(found, disc_data.records("test", tasks=[]), strict=True):
        assert source.name == record.image_id
        np.testing.assert_array_equal(read_image(source), record.image_HWC)
    assert len(find_inputs([disc_folder])) == disc_data.info.rows()


def test_what_cannot_be_found(tmp_path, disc_folder):
    with pytest.raises(MissingInput, match="is not there"):
        find_inputs([tmp_path / "nothing.png"])
    with pytest.raises(MissingInput, match="without a picture"):
        find_inputs([tmp_path])
    with pytest.raises(InvalidDataset, match="no split"):
        find_inputs([disc_folder], split="tset")


def test_faulty_picture_is_named(tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    (source,) = find_inputs([bad])
    with pytest.raises(InvalidImage) as caught:
        read_image(source)
    assert str(bad) in caught.value.message
    assert "--skip-faulty" in caught.value.remedy
