"""Two versions of a dataset: what changed is told and no more; unknown is no change."""

import dataclasses
import datetime as dt

import numpy as np
import pytest

from goldseam.audit.drift.config import DriftConfig
from goldseam.audit.drift.section import audit_drift
from goldseam.audit.drift.version import Version
from goldseam.audit.label_digests import LabelDigests
from goldseam.audit.label_side import read_label_side
from goldseam.audit.measuring import Seen
from goldseam.audit.pictures import PictureMeasure
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import InvalidConfig, InvalidDataset
from goldseam.results import Estimate, NoiseRate

SIZE = 8
TASKS = {
    "cover": Task(kind=Kind.SEGMENTATION, categories=("sea", "land")),
    "objects": Task(kind=Kind.DETECTION, categories=("island", "lake")),
    "tags": Task(kind=Kind.TAGS, categories=("sea", "lake", "river")),
}
META = {"meta_site": "string", "meta_depth": "double", "meta_day": "timestamp"}


@dataclasses.dataclass
class Row:
    """One image of a version; edited before it is written."""

    image_id: str
    split: str
    group: str
    image: np.ndarray
    labels: dict
    sources: dict
    meta: dict


def rows(count=120, seed=0, prefix="i"):
    """A version's rows: ten groups of training images, five of test images, many gaps."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        split = "train" if number % 3 else "test"
        labels = {"cover": (random.random((SIZE, SIZE)) < 0.5).astype(np.uint8)}
        if number % 2:
            labels["tags"] = random.choice([-1, 0, 1], 3).astype(np.int8)
        if number % 4 == 0:
            corners = np.array([[0, 0, 2, 2], [3, 3, 5, 6]], np.float32)
            labels["objects"] = Boxes(np.array([0, 1]), corners, np.array([False, False]))
        made.append(
            Row(
                image_id=f"{prefix}{number}",
                split=split,
                group=f"{prefix}-{split}-{number % 30}",
                image=random.integers(0, 255, (SIZE, SIZE, 3), np.uint8),
                labels=labels,
                sources=dict.fromkeys(labels, "human"),
                meta={
                    "meta_site": random.choice(["north", "south"]),
                    "meta_depth": float(random.normal()),
                    "meta_day": dt.datetime(2025, 1, 1 + number % 28, tzinfo=dt.UTC),
                },
            )
        )
    return made


def version(folder, made, tasks=TASKS, *, measured=True, **more):
    info = DatasetInfo(name="bays", tasks=tasks, meta=META)
    splits = {}
    for row in made:
        splits.setdefault(row.split, []).append(
            Sample(
                image_id=row.image_id,
                image=row.image,
                group=row.group,
                labels=row.labels,
                sources=row.sources,
                meta=row.meta,
            )
        )
    write_dataset(folder, info, splits, replace=True)
    dataset = open_dataset(folder)
    labels = read_label_side(dataset)
    if not measured:
        return Version(labels, **more)
    pictures, digests = PictureMeasure(), LabelDigests(tasks)
    for split in dataset.info.splits:
        for record in dataset.records(split):
            seen = Seen(record.image_id, split, record.group, record.image_HWC, record.labels)
            pictures.update(seen)
            digests.update(seen)
    return Version(
        labels,
        pictures=pictures.tables()["pictures"],
        label_digests=digests.tables()["label_digests"],
        **more,
    )


def compared(tmp_path, old, new, config=None, **more):
    before = version(tmp_path / "old", old, **more)
    after = version(tmp_path / "new", new, **more)
    return audit_drift(before, after, config or DriftConfig())


def changed(tests):
    return {(test.what, test.task, test.category, test.split) for test in tests if test.changed}


def only(tests, what, **where):
    (test,) = [
        test
        for test in tests
        if test.what == what and all(getattr(test, key) == value for key, value in where.items())
    ]
    return test


def test_equal_versions_differ_in_nothing(tmp_path):
    tests = compared(tmp_path, rows(), rows())
    assert changed(tests) == set()
    assert {test.p_value for test in tests} <= {None, 1.0}
    assert {test.what for test in tests} == {
        "rows", "moved_images", "changed_images", "vocabulary", "coverage", "category", "source",
        "added_labels", "removed_labels", "changed_labels", "metadata", "image",
    }  # fmt: skip
    assert all("no change to look at" in test.sentence for test in tests)


def test_two_draws_of_the_same_kind_differ_in_rows_only(tmp_path):
    tests = compared(tmp_path, rows(240), rows(240, seed=1, prefix="j"))
    assert changed(tests) == {("rows", None, None, None)}
    told = only(tests, "rows", split=None).sentence
    assert told == "240 images before, 240 now: 0 in both, 240 gone, 240 new."


def test_order_of_images_and_names_changes_nothing(tmp_path):
    old, new = rows(), rows(150)
    before = version(tmp_path / "a", old)
    first = audit_drift(before, version(tmp_path / "b", new), DriftConfig())
    turned = {
        "tags": TASKS["tags"].model_copy(update={"categories": ("river", "lake", "sea")}),
        "objects": TASKS["objects"].model_copy(update={"categories": ("lake", "island")}),
        "cover": TASKS["cover"],
    }
    for row in new:
        if "tags" in row.labels:
            row.labels["tags"] = row.labels["tags"][::-1]
        if "objects" in row.labels:
            boxes = row.labels["objects"]
            row.labels["objects"] = Boxes(
                1 - boxes.category_N[::-1], boxes.corners_N4[::-1], boxes.ignore_N[::-1]
            )
    second = audit_drift(before, version(tmp_path / "c", new[::-1], turned), DriftConfig())
    key = {(t.what, t.task, t.category, t.split, t.before): t for t in second}
    for test in first:
        other = key[test.what, test.task, test.category, test.split, test.before]
        assert other.after == pytest.approx(test.after)
        assert other.p_value == pytest.approx(test.p_value)
        assert other.changed == test.changed


def test_labels_that_come_and_go_are_counted(tmp_path):
    old, new = rows(), rows()
    for number in range(1, 40, 2):
        new[number].labels["tags"] = np.array([1, 0, 1], np.int8)
    lost = [row for row in new if "objects" in row.labels][:7]
    for row in lost:
        del row.labels["objects"], row.sources["objects"]
    old_tags = np.array([row.labels["tags"] for row in old if "tags" in row.labels])
    new_tags = np.array([row.labels["tags"] for row in new if "tags" in row.labels])
    tests = compared(tmp_path, old, new)
    added = only(tests, "added_labels", task="tags")
    assert (added.before, added.after) == (None, ((old_tags < 0) & (new_tags >= 0)).sum())
    both = (old_tags >= 0) & (new_tags >= 0)
    flips = only(tests, "changed_labels", task="tags", category=None)
    assert flips.after == (both & (old_tags != new_tags)).sum()
    assert flips.changed
    removed = only(tests, "removed_labels", task="objects")
    assert (removed.after, removed.changed) == (7, True)
    assert only(tests, "removed_labels", task="tags").after == 0
    by_category = [t for t in tests if t.what == "changed_labels" and t.category is not None]
    assert sum(test.after for test in by_category) == flips.after


@pytest.mark.parametrize("unknown_in", ["old", "new"])
@pytest.mark.parametrize("state", [0, 1])
def test_an_unknown_label_has_not_changed(tmp_path, unknown_in, state):
    old, new = rows(), rows()
    for row in old if unknown_in == "old" else new:
        if "tags" in row.labels:
            row.labels["tags"] = np.array([-1, -1, -1], np.int8)
    for row in new if unknown_in == "old" else old:
        if "tags" in row.labels:
            row.labels["tags"] = np.full(3, state, np.int8)
    tests = compared(tmp_path, old, new, measured=False)
    assert only(tests, "changed_labels", task="tags").after == 0
    prevalence = [t for t in tests if t.what == "category" and t.task == "tags"]
    # nothing known is no share of 0
    assert {(t.before, t.after) for t in prevalence} == {
        (None, float(state)) if unknown_in == "old" else (float(state), None)
    }
    assert not any(test.changed or test.p_value is not None for test in prevalence)


def test_redrawn_masks_and_moved_boxes_are_found(tmp_path):
    old, new = rows(), rows()
    new[5].labels["cover"] = 1 - new[5].labels["cover"]
    moved = [row for row in new if "objects" in row.labels][:6]
    for row in moved[:3]:
        row.labels["objects"] = dataclasses.replace(
            row.labels["objects"], corners_N4=row.labels["objects"].corners_N4 + 1
        )
    moved[3].labels["objects"] = Boxes.empty()
    for row in moved[4:]:  # another order of the same boxes
        boxes = row.labels["objects"]
        row.labels["objects"] = Boxes(
            boxes.category_N[::-1], boxes.corners_N4[::-1], boxes.ignore_N[::-1]
        )
    tests = compared(tmp_path, old, new)
    assert only(tests, "changed_labels", task="objects").after == 4
    masks = only(tests, "changed_labels", task="cover")
    assert (masks.after, masks.changed) == (1, False)  # 1 of 120 is under a percent
    tests = compared(tmp_path, old, new, measured=False)
    assert not [t for t in tests if t.what == "changed_labels" and t.task == "cover"]


def test_other_pictures_and_other_splits_are_counted(tmp_path):
    old, new = rows(), rows()
    new[7].image = 255 - new[7].image
    for row in new:
        if row.group == "i-train-1":
            row.split = "test"
    tests = compared(tmp_path, old, new)
    assert only(tests, "changed_images").after == 1
    moved = only(tests, "moved_images")
    assert (moved.after, moved.changed) == (4, True)
    assert "4 of them were trained on before and are held out now" in moved.sentence


def test_names_that_come_go_and_change_are_told(tmp_path):
    new_tasks = {
        "cover": TASKS["cover"].model_copy(update={"categories": ("sea", "land", "lake")}),
        "tags": TASKS["tags"].model_copy(update={"categories": ("sea", "pond", "river")}),
        "edges": Task(kind=Kind.BOUNDARY),
    }
    new = rows()
    for row in new:
        row.labels.pop("objects", None)
        row.sources.pop("objects", None)
    tests = audit_drift(
        version(tmp_path / "old", rows()), version(tmp_path / "new", new, new_tasks), DriftConfig()
    )
    told = [test.sentence for test in tests if test.what == "vocabulary"]
    assert told == [
        "Task 'edges' is new.",
        "Task 'objects' is gone.",
        "Task 'cover': category 'lake' is new.",
        "Task 'tags': category 'lake' is called 'pond' now.",
    ]
    # what has no counterpart is compared with nothing
    assert {test.category for test in tests if test.what == "category"} == {"sea", "river"}


def test_lost_coverage_is_found_where_it_happened(tmp_path):
    old, new = rows(360), rows(360)
    random = np.random.default_rng(5)
    for row in new:
        if row.split == "train" and "tags" in row.labels and random.random() < 0.9:
            row.labels["tags"][1] = -1
    tests = compared(tmp_path, old, new, measured=False)
    assert changed(tests) == {
        ("coverage", "tags", "lake", "train"),
        ("removed_labels", "tags", None, None),
    }
    found = only(tests, "coverage", task="tags", category="lake", split="train")
    known = [[r.labels["tags"][1] >= 0 if "tags" in r.labels else False for r in made
              if r.split == "train"] for made in (old, new)]  # fmt: skip
    assert (found.before, found.after) == pytest.approx(tuple(np.mean(one) for one in known))
    assert found.sentence.startswith("Training split: 'tags: lake' was known on 35.4 %")


def test_another_source_and_another_site_are_found(tmp_path):
    old, new = rows(240), rows(240, seed=3, prefix="j")
    for row in new:
        row.sources = {task: "model" if task == "cover" else "human" for task in row.sources}
        row.meta["meta_site"] = "east" if int(row.group.split("-")[2]) % 2 else "north"
        row.meta["meta_depth"] += 3
        row.meta["meta_day"] += dt.timedelta(days=200)
    tests = compared(tmp_path, old, new, measured=False)
    found = changed(tests)
    assert ("source", "cover", None, None) in found
    assert ("source", "tags", None, None) not in found
    sources = [t for t in tests if t.what == "source" and t.task == "cover"]
    assert [(test.before, test.after) for test in sources] == [(1.0, 0.0), (0.0, 1.0)]
    told = {test.sentence for test in tests if test.what == "metadata" and test.changed}
    assert len(told) == 3
    assert any("'meta_day' was 2025-01-1" in text and "is 2025-0" in text for text in told)


def test_unknown_metadata_is_left_out(tmp_path):
    old, new = rows(), rows()
    for row in new[::2]:
        row.meta = {}
    tests = compared(tmp_path, old, new, measured=False)
    assert not any(test.changed for test in tests if test.what == "metadata")
    for row in new:
        row.meta = {}
    tests = compared(tmp_path, old, new, measured=False)
    assert not [test for test in tests if test.what == "metadata"]


def test_new_images_are_compared_apart(tmp_path):
    """Few new images hide among the old ones, and stand out alone."""
    old, added = rows(240), rows(60, seed=4, prefix="j")
    for row in added:
        row.image = row.image // 3
    random = np.random.default_rng(0)
    embedding = random.normal(size=(300, 8))
    embedding[240:] += 2
    before = version(tmp_path / "old", old)
    after = version(tmp_path / "new", [*old, *added])
    place = {name: number for number, name in enumerate(r.image_id for r in [*old, *added])}
    before, after = (
        dataclasses.replace(
            one, embeddings_ND=embedding[[place[i] for i in one.labels.image_ids.to_pylist()]]
        )
        for one in (before, after)
    )
    tests = audit_drift(before, after, DriftConfig())
    names = {test.what for test in tests if test.changed}
    assert {"new_image", "new_embedding", "embedding", "image"} <= names
    assert only(tests, "new_embedding").after > 0.95
    assert 0.5 < only(tests, "embedding").after < 0.8
    bright = [t for t in tests if t.what == "new_image" and "'brightness'" in t.sentence]
    assert bright[0].sentence.startswith("New images only (60), against all of before:")


def rate(value, half, **more):
    low, high = (None, None) if half is None else (value - half, value + half)
    values = {"task": "map", "clean_task": "cover", "category": None, "kind": "flip"}
    return NoiseRate(
        **{**values, **more}, rate=Estimate(value, low, high), images=9, method="m", sentence=""
    )


def test_noise_that_rose_is_told_from_noise_that_wavers(tmp_path):
    labels = version(tmp_path / "old", rows(), measured=False).labels
    old = (rate(0.10, 0.02), rate(0.10, 0.02, category="sea"), rate(0.1, None, category="land"))
    new = (rate(0.30, 0.02), rate(0.12, 0.02, category="sea"), rate(0.9, None, category="land"))
    tests = audit_drift(
        Version(labels, noise=old), Version(labels, noise=(*new, rate(0.5, 0.1, kind="omission"))),
        DriftConfig(),
    )  # fmt: skip
    noise = {test.category: test for test in tests if test.what == "noise"}
    assert set(noise) == {None, "sea", "land"}
    assert noise[None].changed
    assert "flip noise was 10.0 %, is 30.0 %" in noise[None].sentence
    assert not noise["sea"].changed
    assert (noise["land"].p_value, noise["land"].changed) == (None, False)


def test_arrays_that_do_not_fit_are_refused(tmp_path):
    full = version(tmp_path / "old", rows())
    with pytest.raises(InvalidConfig, match="version 'after': embeddings have 3 rows"):
        audit_drift(full, dataclasses.replace(full, embeddings_ND=np.zeros((3, 2))), DriftConfig())
    sides = [dataclasses.replace(full, embeddings_ND=np.zeros((120, d))) for d in (2, 3)]
    with pytest.raises(InvalidConfig, match="2 numbers before and of 3 after"):
        audit_drift(*sides, DriftConfig())
    other = version(tmp_path / "new", rows(prefix="j"))
    with pytest.raises(InvalidDataset, match="image 'i1' is not in dataset"):
        audit_drift(full, dataclasses.replace(other, pictures=full.pictures), DriftConfig())


def test_nothing_at_all_is_no_error(tmp_path):
    full = version(tmp_path / "old", rows(6))
    nobody = [dataclasses.replace(row, labels={}, sources={}, meta={}) for row in rows(6)]
    for pair in ((full, version(tmp_path / "new", nobody)),):
        assert audit_drift(*pair, DriftConfig())
        assert audit_drift(*pair[::-1], DriftConfig())


def test_text_of_many_levels_is_compared_by_its_commonest(tmp_path):
    old, new = rows(240), rows(240, seed=2, prefix="j")
    for made in (old, new):
        for number, row in enumerate(made):
            row.meta["meta_site"] = f"site {number}"
    tests = compared(tmp_path, old, new, measured=False)
    (site,) = [t for t in tests if t.what == "metadata" and "meta_site" in t.sentence]
    assert not site.changed
