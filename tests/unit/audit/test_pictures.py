"""What is measured on a picture, against definitions and an independent fingerprint."""

import hashlib
import io

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from goldseam.audit.duplicates.hashing import FLIPS, bits_apart, flipped, perceptual_hash
from goldseam.audit.label_digests import LabelDigests, cell_matrix
from goldseam.audit.measuring import Seen
from goldseam.audit.pictures import (
    SCHEMA,
    STATISTICS,
    PictureMeasure,
    color_layout,
    descriptor_matrix,
    picture_statistics,
    pixel_digest,
    statistics_matrix,
)
from goldseam.dataset.schema import Kind, Task

CATEGORIES = ("sea", "land")


def scene(seed, size=(48, 64)):
    """Smooth blobs of color with a little grain."""
    random = np.random.default_rng(seed)
    small = random.uniform(0, 255, (6, 8, 3)).astype(np.float32)
    image = cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC)
    return (image + random.normal(0, 3, image.shape)).clip(0, 255).astype(np.uint8)


def jpeg(image, quality):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def luma(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def measured(images):
    measure = PictureMeasure()
    for number, image in enumerate(images):
        measure.update(Seen(f"i{number}", "train", "g", image, {}))
    return measure.tables()["pictures"]


def test_one_row_an_image_and_none_without_a_picture(tmp_path):
    table = measured([scene(1), None, scene(2)])
    assert table.schema == SCHEMA
    assert table.column("image_id").to_pylist() == ["i0", "i2"]
    pq.write_table(table, tmp_path / "pictures.parquet")
    assert pq.read_table(tmp_path / "pictures.parquet").equals(table)
    assert descriptor_matrix(table).shape == (2, 48)
    assert statistics_matrix(table).shape == (2, len(STATISTICS))


def test_nothing_measured_is_an_empty_table():
    table = measured([])
    assert table.schema == SCHEMA
    assert descriptor_matrix(table).shape == (0, 48)


def test_shards_join_to_one_pass():
    images = [scene(seed) for seed in range(6)]
    parts = pa.concat_tables([measured(images[:3]), measured([None, None, None, *images[3:]])])
    assert parts.equals(measured(images))


def test_pixel_digest_is_of_pixels_and_shape():
    image = scene(1)
    shape = np.array(image.shape, "<i8").tobytes()
    assert pixel_digest(image) == hashlib.sha256(shape + image.tobytes()).digest()
    assert pixel_digest(image) == pixel_digest(np.asfortranarray(image))
    assert pixel_digest(image) != pixel_digest(image.reshape(64, 48, 3))


def test_fingerprint_agrees_with_an_independent_one():
    imagehash = pytest.importorskip("imagehash")
    apart = []
    for seed in range(40):
        image = scene(seed)
        theirs = imagehash.phash(Image.fromarray(image)).hash.ravel().copy()
        ours = np.unpackbits(
            np.array([perceptual_hash(luma(image))], "<u8").view(np.uint8), bitorder="little"
        ).astype(bool)
        apart.append(int((theirs[1:] != ours[1:]).sum()))  # the mean has no bit of ours
    # they threshold at the median, which lies near 0, and shrink with another filter
    assert np.mean(apart) < 6
    assert max(apart) < 16


def test_fingerprint_survives_edits_and_tells_scenes_apart():
    image = scene(3)
    own = np.uint64(perceptual_hash(luma(image)))
    edits = {
        "half": cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        "darker": (image * 0.8).astype(np.uint8),
        "jpeg": jpeg(image, 50),
    }
    for name, edit in edits.items():
        assert bits_apart(own, np.uint64(perceptual_hash(luma(edit)))) <= 6, name
    others = np.array([perceptual_hash(luma(scene(seed))) for seed in range(10, 40)], np.uint64)
    assert bits_apart(others, own).min() > 12


@pytest.mark.parametrize("flip", FLIPS)
def test_flipped_hash_is_the_hash_of_the_flipped_picture(flip):
    image = scene(5, (64, 64))
    turned = image.transpose(1, 0, 2) if flip.transposed else image
    turned = turned[:, ::-1] if flip.mirrored else turned
    turned = np.ascontiguousarray(turned[::-1] if flip.upside_down else turned)
    ours = flipped(np.array([perceptual_hash(luma(image))], np.uint64), flip)
    # rounding may turn the sign of a coefficient that is almost 0
    assert bits_apart(ours, np.array([perceptual_hash(luma(turned))], np.uint64))[0] <= 1
    assert bits_apart(ours, np.array([perceptual_hash(luma(image))], np.uint64))[0] > 12


@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_picture_has_no_fingerprint(level):
    flat = np.full((32, 32, 3), level, np.uint8)
    assert perceptual_hash(luma(flat)) is None
    grain = np.random.default_rng(0).integers(-1, 2, flat.shape[:2])
    assert perceptual_hash((100 + grain).astype(np.uint8)) is None
    assert measured([flat]).column("hash").null_count == 1


def test_statistics_by_their_definitions():
    half = np.zeros((20, 40, 3), np.uint8)
    half[:, 20:] = 255
    values = picture_statistics(half, luma(half))
    assert values["brightness"] == pytest.approx(0.5)
    assert values["contrast"] == pytest.approx(0.5)
    assert values["saturation"] == 0
    assert values["colorfulness"] == pytest.approx(0)
    assert values["entropy"] == pytest.approx(1)
    assert values["aspect_ratio"] == 2
    assert values["log_pixels"] == pytest.approx(np.log10(800))
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    values = picture_statistics(red, luma(red))
    assert values["saturation"] == 1
    assert values["sharpness"] == 0
    assert values["entropy"] == 0
    # no spread; the mean of red - green is 1, of (red + green) / 2 - blue 1/2
    assert values["colorfulness"] == pytest.approx(0.3 * np.hypot(1, 0.5))


def test_blur_lowers_sharpness():
    image = scene(2, (128, 128))
    soft = cv2.GaussianBlur(image, (0, 0), 2)
    sharp_value, soft_value = (
        picture_statistics(one, luma(one))["sharpness"] for one in (image, soft)
    )
    assert soft_value < sharp_value - 1


def test_large_picture_is_sampled_without_bias():
    image = np.repeat(np.repeat(scene(4, (64, 64)), 20, axis=0), 20, axis=1)
    small = picture_statistics(scene(4, (64, 64)), luma(scene(4, (64, 64))))
    large = picture_statistics(image, luma(image))
    for name in ("brightness", "contrast", "saturation", "colorfulness", "entropy"):
        assert large[name] == pytest.approx(small[name], rel=0.02), name


def test_color_layout_is_the_mean_color_of_cells():
    image = np.zeros((40, 40, 3), np.uint8)
    image[:10, :10] = 255
    layout = color_layout(image).reshape(4, 4, 3)
    assert layout[0, 0, 0] == pytest.approx(100, abs=0.2)
    assert np.abs(layout[1:]).max() < 0.2


MASK = Task(kind=Kind.SEGMENTATION, categories=CATEGORIES)
TASKS = {
    "cover": MASK,
    "depth": Task(kind=Kind.REGRESSION, unit="m"),
    "normal": Task(kind=Kind.NORMALS, axes="x right"),
    "caption": Task(kind=Kind.CAPTION),
    "tags": Task(kind=Kind.TAGS, categories=CATEGORIES),
}


def digests(**labels):
    measure = LabelDigests(TASKS)
    measure.update(Seen("a", "train", "g", None, labels))
    return measure.tables()["label_digests"]


def test_unknown_labels_and_tags_have_no_digest():
    table = digests(cover=None, tags=np.array([1, -1]), caption="a coast")
    assert table.column("task").to_pylist() == ["caption"]
    assert (cell_matrix(table) == 0).all()


def test_digest_ignores_what_stands_where_depth_is_unknown():
    depth = np.arange(64, dtype=np.float32).reshape(8, 8)
    depth[0, 0] = np.nan
    other = depth.copy()
    other.view(np.uint32)[0, 0] |= 1  # another NaN
    assert digests(depth=depth).equals(digests(depth=other))
    zero, minus = np.zeros((8, 8), np.float32), -np.zeros((8, 8), np.float32)
    assert digests(depth=zero).equals(digests(depth=minus))
    known = depth.copy()
    known[0, 0] = 0
    assert not digests(depth=depth).equals(digests(depth=known))


def test_cell_with_an_unknown_pixel_has_no_digest():
    mask = np.zeros((16, 16), np.uint8)
    hidden = mask.copy()
    hidden[0, 0] = 255
    plain, partly = cell_matrix(digests(cover=mask))[0], cell_matrix(digests(cover=hidden))[0]
    assert (plain != 0).all()
    assert partly[0] == 0
    assert (partly[1:] == plain[1:]).all()
    normal = np.zeros((3, 16, 16), np.float32)
    normal[1, 15, 15] = np.nan
    assert (cell_matrix(digests(normal=normal))[0] == 0).tolist() == [False] * 15 + [True]
