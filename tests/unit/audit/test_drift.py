"""Two versions of a dataset: what changed is told and no more; unknown is no change."""

import dataclasses
import datetime as dt

import numpy as np
import pytest

from goldseam.audit.drift.comparing import (
    compare_distributions,
    compare_embeddings,
    compare_means,
    group_sums,
)
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


def sums(value, group, groups):
    value = np.asarray(value, float)[:, None]
    return group_sums(value, ~np.isnan(value), np.asarray(group), groups)


def test_mean_change_of_single_images_is_welch_s_test():
    """Groups of one image, none shared: the linearization is the textbook standard error."""
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(0)
    old, new = random.normal(0, 1, 300), random.normal(0.2, 1.5, 400)
    change = compare_means(sums(old, range(300), 700), sums(new, range(300, 700), 700))
    expected = stats.ttest_ind(old, new, equal_var=False).pvalue
    assert change.p_C[0] == pytest.approx(expected, rel=0.05)
    assert change.difference[0] == pytest.approx(new.mean() - old.mean())


def test_mean_change_of_the_same_images_is_the_paired_test():
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(0)
    old = random.normal(0, 5, 400)
    new = old + random.normal(0.05, 1, 400)
    change = compare_means(sums(old, range(400), 400), sums(new, range(400), 400))
    assert change.p_C[0] == pytest.approx(stats.ttest_rel(old, new).pvalue, rel=0.05)


def test_what_is_unknown_never_enters_a_mean():
    random = np.random.default_rng(0)
    value, group = random.normal(size=(50, 2)), random.integers(0, 9, 50)
    known = random.random((50, 2)) < 0.5
    poisoned = np.where(known, value, np.nan)
    ours, theirs = (group_sums(v, known, group, 9) for v in (value, poisoned))
    assert (ours.value_GC == theirs.value_GC).all()
    assert (ours.count_GC == theirs.count_GC).all()


def test_all_or_nothing_has_a_p_value():
    """No group varies, so there is no variance to estimate: still two groups prove little."""
    few = compare_means(
        sums([0] * 40, [0] * 20 + [1] * 20, 4), sums([1] * 40, [2] * 20 + [3] * 20, 4)
    )
    many = compare_means(sums([0] * 40, range(40), 80), sums([1] * 40, range(40, 80), 80))
    assert 0.05 < few.p_C[0] < 0.5
    assert many.p_C[0] < 1e-6


@pytest.mark.parametrize("shared", [0, 15, 30])
def test_images_of_a_group_are_no_independent_evidence(shared):
    """Under no change 5 % of the tests may raise an alarm, although images of a group are alike."""
    groups = 60 - shared
    alarms = {"share": 0, "distribution": 0}
    for seed in range(300):
        random = np.random.default_rng(seed)
        size = random.integers(1, 20, groups)
        group = np.repeat(np.arange(groups), size)
        level = random.normal(size=groups)[group]
        present = random.random(len(group)) < 1 / (1 + np.exp(-level))
        value = level + random.normal(size=len(group))
        old, new = group < 30, group >= 30 - shared
        share = compare_means(
            sums(present[old], group[old], groups), sums(present[new], group[new], groups)
        )
        alarms["share"] += share.p_C[0] < 0.05
        spread = compare_distributions((value[old], group[old]), (value[new], group[new]), groups)
        alarms["distribution"] += spread.p_value < 0.05
    # 300 draws at 5 % give at most 26 in 99.9 of 100 cases
    assert max(alarms.values()) <= 26, alarms
    assert shared == 30 or min(alarms.values()) >= 1


def test_distributions_that_differ_in_spread_only_are_told_apart():
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(0)
    old, new = random.normal(0, 1, 500), random.normal(0, 2, 400)
    change = compare_distributions((old, np.arange(500)), (new, 500 + np.arange(400)), 900)
    assert change.p_value < 1e-6
    assert change.gap == pytest.approx(stats.ks_2samp(old, new).statistic)
    deviation = np.concatenate([old, new]).std()
    assert change.shift == pytest.approx(stats.wasserstein_distance(old, new) / deviation)


def test_distribution_of_what_nobody_knows_is_none():
    nothing = (np.array([np.nan, np.nan]), np.array([0, 1]))
    assert compare_distributions(nothing, (np.arange(2.0), np.array([2, 3])), 4) is None


@pytest.mark.parametrize(("shift", "scale"), [(0, 1), (2, 1), (0, 2)])
def test_embeddings_are_told_apart_only_when_they_differ(shift, scale):
    alarms = 0
    for seed in range(60 if (shift, scale) == (0, 1) else 6):
        random = np.random.default_rng(seed)
        group = np.repeat(np.arange(60), 5)
        place = random.normal(size=(60, 8))[group] * 0.5 + random.normal(size=(300, 8))
        old = group < 30
        new_ND = place[~old] * scale
        new_ND[:, 0] += shift
        change = compare_embeddings(
            (place[old], group[old]), (new_ND, group[~old]), 60, cap=200, seed=seed
        )
        alarms += change.p_value < 0.05
    # 60 draws at 5 % give at most 9 in 99.9 of 100 cases
    assert alarms <= 9 if (shift, scale) == (0, 1) else alarms == 6


def test_embeddings_without_groups_to_cross_fit_are_not_compared():
    values = np.random.default_rng(0).normal(size=(9, 2))
    same = (values, np.zeros(9, int))
    assert compare_embeddings(same, (values, np.ones(9, int)), 2, cap=100, seed=0) is None
    none = (np.full((9, 2), np.nan), np.arange(9))
    assert compare_embeddings(none, (values, np.arange(9)), 9, cap=100, seed=0) is None


def test_text_of_many_levels_is_compared_by_its_commonest(tmp_path):
    old, new = rows(240), rows(240, seed=2, prefix="j")
    for made in (old, new):
        for number, row in enumerate(made):
            row.meta["meta_site"] = f"site {number}"
    tests = compared(tmp_path, old, new, measured=False)
    (site,) = [t for t in tests if t.what == "metadata" and "meta_site" in t.sentence]
    assert not site.changed
