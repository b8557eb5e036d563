"""Equal and alike pictures: found all, none invented, leaks and contradictions told."""

import dataclasses
import io

import cv2
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from goldseam.audit.duplicates.config import DuplicatesConfig
from goldseam.audit.duplicates.finding import find_duplicates
from goldseam.audit.duplicates.grouping import Fingerprints, group_duplicates
from goldseam.audit.duplicates.neighbors import near_pairs
from goldseam.audit.duplicates.section import WHOLE_IMAGE, audit_duplicates
from goldseam.audit.label_digests import LabelDigests
from goldseam.audit.label_side import read_label_side
from goldseam.audit.measuring import Seen
from goldseam.audit.pictures import SCHEMA, PictureMeasure
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import InvalidConfig, InvalidDataset

SIZE = 48
NAMES = ("sea", "land", "lake")
TASKS = {
    "cover": Task(kind=Kind.SEGMENTATION, categories=NAMES),
    "objects": Task(kind=Kind.DETECTION, categories=("island", "lake")),
    "some": Task(kind=Kind.DETECTION, categories=("island", "lake"), exhaustive=False),
    "tags": Task(kind=Kind.TAGS, categories=NAMES),
}


def scene(seed):
    """Smooth blobs of color with a little grain; no two seeds are alike."""
    random = np.random.default_rng(seed)
    small = random.uniform(0, 255, (8, 8, 3)).astype(np.float32)
    image = cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    return (image + random.normal(0, 3, image.shape)).clip(0, 255).astype(np.uint8)


def jpeg(image, quality=60):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def mask(fill, **cells):
    target = np.full((SIZE, SIZE), fill, np.uint8)
    for name, value in cells.items():
        row, column = int(name[1]), int(name[2])
        target[12 * row : 12 * row + 12, 12 * column : 12 * column + 12] = value
    return target


def boxes(*categories, ignore=()):
    corners = np.array([[i, 0, i + 3, 4] for i in range(len(categories))], np.float32)
    return Boxes(
        np.array(categories, np.int32),
        corners.reshape(-1, 4),
        np.isin(np.arange(len(categories)), ignore),
    )


def audited(tmp_path, rows, config=None, *, digested=True, order=None, **more):
    """Write rows of (split, image, labels) as a dataset and audit its duplicates."""
    splits = {}
    for number, (split, image, labels) in enumerate(rows):
        splits.setdefault(split, []).append(
            Sample(
                image_id=f"i{number}",
                image=image,
                group=f"g{number}",
                labels=labels,
                sources=dict.fromkeys(labels, "human"),
            )
        )
    info = DatasetInfo(name="twins", tasks=TASKS)
    write_dataset(tmp_path / "twins", info, splits, replace=True)
    dataset = open_dataset(tmp_path / "twins")
    pictures, digests = PictureMeasure(), LabelDigests(TASKS)
    for split in dataset.info.splits:
        for record in dataset.records(split):
            seen = Seen(record.image_id, split, record.group, record.image_HWC, record.labels)
            pictures.update(seen)
            digests.update(seen)
    table = pictures.tables()["pictures"]
    if order is not None:
        table = table.take(pa.array(order))
    label_digests = digests.tables()["label_digests"] if digested else None
    return audit_duplicates(
        read_label_side(dataset),
        table,
        config or DuplicatesConfig(),
        label_digests=label_digests,
        **more,
    )


def members(summary):
    return [tuple(image.image_id for image in group.images) for group in summary.groups]


def test_equal_and_alike_pictures_are_grouped_and_the_rest_left_alone(tmp_path):
    rows = [("train", scene(seed), {}) for seed in range(8)]
    rows += [("train", scene(2), {}), ("test", jpeg(scene(3)), {}), ("test", scene(4), {})]
    summary, findings = audited(tmp_path, rows)
    assert summary.images == 11
    assert (summary.exact, summary.near, summary.leaks, summary.conflicting) == (2, 1, 2, 0)
    assert set(members(summary)) == {("i2", "i8"), ("i3", "i9"), ("i4", "i10")}
    assert summary.groups[-1].splits == ("train",)  # leaks first
    near = next(group for group in summary.groups if group.kind == "near")
    assert 0 < near.distance <= 8
    assert near.splits == ("train", "test")
    told = {row["image_id"]: row for row in findings.to_pylist()}
    # the test set stays what it was: the training images are to go
    assert set(told) == {"i8", "i3", "i4"}
    assert (told["i4"]["issue"], told["i4"]["score"]) == ("leak", 1.0)
    assert "same pixels as image 'i10' of the test split" in told["i4"]["evidence"]
    assert told["i3"]["issue"] == "leak"
    assert 0.4 < told["i3"]["score"] < 1
    assert (told["i8"]["issue"], told["i8"]["score"]) == ("duplicate", 0.5)
    assert {row["action"] for row in told.values()} == {"keep_one"}
    assert {row["task"] for row in told.values()} == {WHOLE_IMAGE}


def test_nothing_to_compare_is_no_error(tmp_path):
    summary, findings = audited(tmp_path, [("train", scene(1), {})])
    assert (summary.images, summary.exact, summary.groups) == (1, 0, ())
    labels = read_label_side(open_dataset(tmp_path / "twins"))
    summary, findings = audit_duplicates(labels, SCHEMA.empty_table(), DuplicatesConfig())
    assert (summary.images, summary.exact, summary.near) == (0, 0, 0)
    assert findings.num_rows == 0


def test_flat_pictures_are_duplicates_only_when_equal(tmp_path):
    flats = [np.full((SIZE, SIZE, 3), level, np.uint8) for level in (100, 100, 101, 102)]
    grainy = [(100 + np.random.default_rng(s).integers(0, 2, (SIZE, SIZE, 3))) for s in range(3)]
    pictures = [*flats, *(image.astype(np.uint8) for image in grainy)]
    summary, _ = audited(tmp_path, [("train", image, {}) for image in pictures])
    assert members(summary) == [("i0", "i1")]
    assert (summary.exact, summary.near) == (1, 0)


def test_a_hash_alone_makes_no_duplicate(tmp_path):
    """The same pattern in other colors has the same fingerprint, and is another picture."""
    pattern = scene(1).mean(axis=2, keepdims=True)
    red = np.concatenate([pattern, pattern * 0.5, pattern * 0.2], axis=2).astype(np.uint8)
    blue = np.concatenate([pattern * 0.2, pattern * 0.55, pattern], axis=2).astype(np.uint8)
    summary, _ = audited(tmp_path, [("train", red, {}), ("train", blue, {})])
    assert summary.near == 0
    summary, _ = audited(
        tmp_path, [("train", red, {}), ("train", blue, {})], DuplicatesConfig(color_distance=200)
    )
    assert summary.near == 1


@pytest.mark.parametrize("light", [0.7, 0.85, 1.15])
def test_a_copy_in_other_light_is_a_copy(tmp_path, light):
    copy = (scene(1) * light).clip(0, 255).astype(np.uint8)
    summary, _ = audited(tmp_path, [("train", scene(1), {}), ("test", copy, {})])
    assert (summary.near, summary.leaks) == (1, 1)


def test_order_of_the_measurements_changes_nothing(tmp_path):
    rows = [("train", scene(seed % 5), {}) for seed in range(9)]
    first = audited(tmp_path, rows)
    second = audited(tmp_path, rows, order=[8, 3, 1, 0, 7, 2, 6, 5, 4])
    assert first[0] == second[0]
    assert first[1].equals(second[1])


def test_mirrored_and_turned_copies_count_when_asked_for(tmp_path):
    image = scene(1)
    copies = [
        image[:, ::-1],
        image[::-1],
        np.rot90(image),
        np.rot90(image, 3),
        np.rot90(image, 2),
        image.transpose(1, 0, 2),
        np.rot90(image, 2).transpose(1, 0, 2),
    ]
    for copy in copies:
        rows = [("train", scene(7), {}), ("train", image, {})]
        rows += [("test", np.ascontiguousarray(copy), {}), ("train", scene(9), {})]
        assert audited(tmp_path, rows)[0].near == 0
        summary, findings = audited(tmp_path, rows, DuplicatesConfig(flips=True))
        assert members(summary) == [("i1", "i2")]
        assert findings.column("score")[0].as_py() > 0.8


def test_embeddings_can_object(tmp_path):
    rows = [("train", scene(seed), {}) for seed in range(30)] + [("train", jpeg(scene(0)), {})]
    random = np.random.default_rng(0)
    embedding = random.normal(size=(31, 16))
    assert audited(tmp_path, rows, embeddings_ND=embedding)[0].near == 0
    embedding[30] = embedding[0] + random.normal(0, 0.01, 16)
    assert audited(tmp_path, rows, embeddings_ND=embedding)[0].near == 1
    embedding[30] = np.nan
    assert audited(tmp_path, rows, embeddings_ND=embedding)[0].near == 1
    with pytest.raises(InvalidConfig, match="embeddings of 30 images, expected 31"):
        audited(tmp_path, rows, embeddings_ND=embedding[:30])


def conflicts_of(tmp_path, *labels, image=None, **options):
    """Two or more images that show the same, with these labels."""
    pictures = [
        scene(1) if image is None or number == 0 else image for number in range(len(labels))
    ]
    rows = [("train", picture, one) for picture, one in zip(pictures, labels, strict=True)]
    summary, findings = audited(tmp_path, rows, **options)
    found = findings.filter(pa.compute.equal(findings.column("issue"), "conflicting_duplicate"))
    return [name for group in summary.groups for name in group.conflicts], found.to_pylist()


def tags(*states):
    return {"tags": np.array(states, np.int8)}


def test_tags_that_contradict_each_other(tmp_path):
    names, found = conflicts_of(tmp_path, tags(1, 0, -1), tags(1, 1, 0))
    assert names == ["tags.land"]
    assert [row["image_id"] for row in found] == ["i0", "i1"]
    assert [(row["given"], row["suggested"]) for row in found] == [
        ("absent", None),
        ("present", None),
    ]
    assert {row["score"] for row in found} == {0.5}
    assert "label says present where this one says absent" in found[0]["evidence"]
    assert {row["source"] for row in found} == {"human"}


def test_majority_of_duplicates_suggests_the_label(tmp_path):
    names, found = conflicts_of(tmp_path, tags(1, 0, -1), tags(1, 0, 0), tags(0, -1, 0))
    assert names == ["tags.sea"]
    (row,) = found
    assert (row["image_id"], row["given"], row["suggested"]) == ("i2", "absent", "present")
    assert row["score"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("state", [-1, 0, 1])
def test_an_unknown_tag_contradicts_nothing(tmp_path, state):
    names, found = conflicts_of(tmp_path, tags(-1, 0, 1), tags(state, 0, 1))
    assert (names, found) == ([], [])


def test_an_image_without_a_label_contradicts_nothing(tmp_path):
    full = {**tags(1, 0, 1), "cover": mask(1), "objects": boxes(0, 1), "some": boxes(0)}
    assert conflicts_of(tmp_path, full, {}) == ([], [])


def test_boxes_that_contradict_each_other(tmp_path):
    names, found = conflicts_of(tmp_path, {"objects": boxes(0, 0)}, {"objects": boxes(0)})
    assert names == ["objects.island"]
    assert [row["given"] for row in found] == ["2 boxes", "1 box"]
    names, found = conflicts_of(tmp_path, {"objects": boxes(0)}, {"objects": boxes()})
    assert names == ["objects.island"]
    assert [row["given"] for row in found] == ["present", "absent"]


def test_boxes_that_leave_it_open_contradict_nothing(tmp_path):
    ignored = {"objects": boxes(0, 0, ignore=[1])}
    assert conflicts_of(tmp_path, ignored, {"objects": boxes(0)}) == ([], [])
    assert conflicts_of(tmp_path, {"some": boxes(0, 0)}, {"some": boxes()}) == ([], [])
    assert conflicts_of(tmp_path, {"some": boxes(0, 0)}, {"some": boxes(0)}) == ([], [])


def test_masks_that_contradict_each_other(tmp_path):
    one, other = {"cover": mask(0)}, {"cover": mask(0, c12=1)}
    names, found = conflicts_of(tmp_path, one, other)
    assert names == ["cover"]
    assert [row["image_id"] for row in found] == ["i0", "i1"]
    assert found[0]["given"] is None
    assert conflicts_of(tmp_path, one, other, digested=False) == ([], [])


@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_what_stands_under_an_ignored_pixel_contradicts_nothing(tmp_path, hidden):
    """One mask does not know the cell in which the other one might differ."""
    open_cell = {"cover": mask(0, c12=255)}
    assert conflicts_of(tmp_path, open_cell, {"cover": mask(0, c12=hidden)}) == ([], [])
    names, _ = conflicts_of(tmp_path, open_cell, {"cover": mask(0, c12=hidden, c33=1)})
    assert names == ["cover"]


def test_contents_of_masks_are_not_compared_between_pictures_that_are_only_alike(tmp_path):
    labels = ({"cover": mask(0)}, {"cover": mask(1)})
    assert conflicts_of(tmp_path, *labels, image=jpeg(scene(1)))[0] == []
    states = {"cover": np.array([[1, 0, 0], [0, 1, 0]], np.int8)}
    names, found = conflicts_of(tmp_path, *labels, image=jpeg(scene(1)), states=states)
    assert names == ["cover.sea", "cover.land"]
    assert all(row["score"] < 0.5 for row in found)


def test_groups_that_cross_splits_are_named(tmp_path):
    audited(tmp_path, [("train", scene(0), {}), ("train", scene(1), {}), ("test", scene(2), {})])
    labels = read_label_side(open_dataset(tmp_path / "twins"))
    crossing = dataclasses.replace(labels, group_N=np.array([0, 1, 1]))
    summary, _ = audit_duplicates(crossing, SCHEMA.empty_table(), DuplicatesConfig())
    assert summary.crossing_groups == ("g1",)


def test_only_the_first_groups_are_listed(tmp_path):
    rows = [("train", scene(seed % 4), {}) for seed in range(8)] + [("train", scene(3), {})]
    summary, findings = audited(tmp_path, rows, DuplicatesConfig(listed=2))
    assert summary.exact == 4
    assert len(summary.groups) == 2
    assert len(summary.groups[0].images) == 3  # the largest first
    assert findings.num_rows == 5


def test_pictures_of_another_dataset_are_refused(tmp_path):
    audited(tmp_path, [("train", scene(0), {})])
    labels = read_label_side(open_dataset(tmp_path / "twins"))
    measure = PictureMeasure()
    measure.update(Seen("other", "train", "g", scene(1), {}))
    with pytest.raises(InvalidDataset, match="image 'other' is not in dataset 'twins'"):
        audit_duplicates(labels, measure.tables()["pictures"], DuplicatesConfig())
    twice = PictureMeasure()
    for _ in range(2):
        twice.update(Seen("i0", "train", "g", scene(1), {}))
    with pytest.raises(InvalidDataset, match="image 'i0' has two rows"):
        audit_duplicates(labels, twice.tables()["pictures"], DuplicatesConfig())


@pytest.mark.parametrize("bits", [0, 1, 4, 8, 11])
@pytest.mark.parametrize("count", [2, 60, 700])
def test_every_near_pair_is_found_and_no_other(bits, count):
    random = np.random.default_rng(bits)
    base = random.integers(0, 2**63, count, np.uint64)
    hashes = base.copy()
    for number in range(count // 2):  # clumps: each hash is an edit of an earlier one
        hashes[count - 1 - number] = base[number // 3]
        for bit in random.integers(1, 64, random.integers(0, bits + 3)):
            hashes[count - 1 - number] ^= np.uint64(1) << np.uint64(bit)
    hashes = np.unique(hashes & ~np.uint64(1))
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None])
    left, right = np.nonzero(np.triu(apart <= bits, 1))
    expected = set(zip(left.tolist(), right.tolist(), strict=True))
    found = set()
    for left, right in near_pairs(hashes, bits):
        found |= set(zip(left.tolist(), right.tolist(), strict=True))
    assert found == expected


def prints_of(hashes, layouts=None):
    count = len(hashes)
    digests = [number.to_bytes(32, "little") for number in range(count)]
    return Fingerprints(
        pixels=pa.array(digests, pa.binary(32)),
        hash_N=np.array(hashes, np.uint64),
        hashed_N=np.ones(count, bool),
        layout_ND=np.zeros((count, 48), np.float32) if layouts is None else layouts,
    )


def test_a_chain_is_one_group_that_tells_its_longest_link():
    steps = [0, 0b1110, 0b1111110, 0b111111111111110]
    groups = group_duplicates(prints_of(steps), DuplicatesConfig(bits=8))
    assert groups.member_N.tolist() == [0, 0, 0, 0]
    assert groups.link_G.tolist() == [8]
    groups = group_duplicates(prints_of(steps), DuplicatesConfig(bits=7))
    assert groups.member_N.tolist() == [0, 0, 0, -1]
    assert groups.link_G.tolist() == [3]


def test_equal_hashes_of_different_pictures_stay_apart():
    layouts = np.zeros((6, 48), np.float32)
    layouts[[1, 4], 1::3] = 40  # another color
    layouts[5, 1::3] = -40
    groups = group_duplicates(prints_of([14] * 6, layouts), DuplicatesConfig())
    assert groups.member_N.tolist() == [0, 1, 0, 0, 1, -1]
    assert groups.link_G.tolist() == [0, 0]


def test_plain_call_on_arrays():
    pictures = [scene(0), scene(1), jpeg(scene(0)), scene(1), scene(2)]
    found = find_duplicates(iter(pictures))
    assert [(one.positions, one.exact) for one in found] == [((0, 2), False), ((1, 3), True)]
    assert found[1].bits == 0
    assert find_duplicates([]) == ()
    with pytest.raises(InvalidDataset, match=r"image 1 is an array of float64"):
        find_duplicates([scene(0), np.zeros((4, 4, 3))])
