import numpy as np
import pyarrow as pa
import pytest

from goldseam.audit.coverage import box_coverage, coverage_rows, label_patterns
from goldseam.audit.findings import (
    SCHEMA,
    Action,
    Issue,
    count_findings,
    join_findings,
    make_findings,
)
from goldseam.audit.label_side import read_label_side
from goldseam.audit.measuring.presence import PresenceMeasure, mask_states
from goldseam.audit.measuring.visiting import measure_shards, needs_visit
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.coverage import coverage
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset


@pytest.fixture(scope="module")
def labels(disc_data):
    return read_label_side(disc_data)


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    """Five images: two with boxes, one with none, two at which nobody looked."""
    task = Task(kind=Kind.DETECTION, categories=("cat", "dog"))
    seen = Boxes(
        np.array([0, 1], np.int32),
        np.array([[0, 0, 4, 4], [2, 2, 8, 8]], np.float32),
        np.array([False, True]),
    )
    given = [seen, seen, Boxes.empty(), None, None]
    samples = [
        Sample(
            image_id=f"i{number}",
            image=np.zeros((8, 8, 3), np.uint8),
            group=f"g{number}",
            labels={"animals": one},
            sources={} if one is None else {"animals": "human"},
            meta={"meta_site": "north" if number % 2 else None},
        )
        for number, one in enumerate(given)
    ]
    out = tmp_path_factory.mktemp("boxes") / "boxes"
    info = DatasetInfo(name="boxes", tasks={"animals": task}, meta={"meta_site": "string"})
    write_dataset(out, info, {"train": samples[:4], "test": samples[4:]}, rows_per_shard=2)
    return open_dataset(out)


def test_arrays_say_what_the_rows_say(disc_data, labels):
    start = 0
    for split in disc_data.info.splits:
        for record in disc_data.records(split):
            assert labels.image_ids[start].as_py() == record.image_id
            assert labels.splits[labels.split_N[start]] == split
            assert labels.groups[labels.group_N[start]] == record.group
            for task, label in record.labels.items():
                assert labels.known[task][start] == (label is not None)
            if record.labels["tags"] is not None:
                assert (labels.states["tags"][start] == record.labels["tags"]).all()
            else:
                assert (labels.states["tags"][start] == -1).all()
            start += 1
    assert start == len(labels)


def test_nulls_and_empty_lists_are_kept_apart(boxes):
    labels = read_label_side(boxes)
    assert labels.known["animals"].tolist() == [True, True, True, False, False]
    # an ignored box may hide a dog; a null hides everything; an empty list shows nothing
    assert labels.states["animals"].tolist() == [[1, -1], [1, -1], [0, 0], [-1, -1], [-1, -1]]
    table = labels.boxes["animals"]
    assert table.image_M.tolist() == [0, 0, 1, 1]
    assert table.corners_M4[1].tolist() == [2, 2, 8, 8]
    assert labels.meta["meta_site"].to_pylist() == [None, "north", None, "north", None]
    assert labels.source_names("animals", np.array([0, 3])).to_pylist() == ["human", None]


def test_boxes_are_counted_by_split_and_category(boxes):
    rows = {(r.split, r.category): r for r in box_coverage(read_label_side(boxes))}
    cats, dogs = rows["train", "cat"], rows["train", "dog"]
    assert (cats.images, cats.empty, cats.boxes, cats.ignored) == (3, 1, 2, 0)
    assert (dogs.boxes, dogs.ignored) == (0, 2)
    assert rows["test", "cat"].images == 0


def test_coverage_from_arrays_is_the_coverage_of_the_files(disc_data, labels):
    tables = measure_shards(disc_data, disc_data.info.shards, [PresenceMeasure(disc_data.info)])
    rows = coverage_rows(labels, labels.states | mask_states(labels, tables))
    assert list(rows) == coverage(disc_data)


def test_patterns_add_up_to_the_images(disc_data, labels):
    patterns = label_patterns(labels)
    for split in disc_data.info.splits:
        of_split = [p for p in patterns if p.split == split]
        assert sum(p.images for p in of_split) == disc_data.info.rows(split)
        for pattern in of_split:
            known = [labels.known[t] == (t in pattern.tasks) for t in disc_data.info.tasks]
            assert np.all([*known, labels.in_split(split)], axis=0).sum() == pattern.images


def test_an_ignored_pixel_hides_every_category():
    info = DatasetInfo(
        name="n", tasks={"mask": Task(kind=Kind.SEGMENTATION, categories=("a", "b", "c"))}
    )
    measure = PresenceMeasure(info)
    from goldseam.audit.measuring import Seen

    whole, hidden = np.array([[0, 0, 1]]), np.array([[0, 0, 255]])
    for name, mask in (("whole", whole), ("hidden", hidden), ("unknown", None)):
        measure.update(Seen(name, "train", "g", None, {"mask": mask}))
    rows = {r["image_id"]: r for r in measure.tables()["presence.mask"].to_pylist()}
    assert rows["whole"]["state"] == [1, 1, 0]
    assert rows["whole"]["pixels"] == [2, 1, 0]
    assert rows["hidden"]["state"] == [1, -1, -1]
    assert "unknown" not in rows


def test_tags_alone_are_not_visited_row_by_row(tmp_path, disc_data):
    assert needs_visit(disc_data, pictures=False)
    info = DatasetInfo(name="n", tasks={"tags": Task(kind=Kind.TAGS, categories=("a",))})
    image = np.zeros((2, 2, 3), np.uint8)
    sample = Sample(
        image_id="i", image=image, group="g", labels={"tags": np.array([1])}, sources={"tags": "h"}
    )
    write_dataset(tmp_path / "n", info, {"train": [sample]})
    data = open_dataset(tmp_path / "n")
    assert needs_visit(data, pictures=True)
    assert not needs_visit(data, pictures=False)


def test_findings_say_where_and_keep_their_names(labels):
    def found(score):
        return make_findings(
            **labels.where(np.array([0, 3])),
            task="tags",
            category=["disk", "bar"],
            issue=Issue.WRONG_TAG,
            action=Action.RELABEL,
            score=score,
            evidence=["one", "two"],
            source=labels.source_names("tags", np.array([0, 3])),
        )

    first, again = found([0.2, 1.7]), found([0.9, 0.1])
    assert first.schema == SCHEMA
    assert first.column("finding") == again.column("finding")
    joined = join_findings([first])
    assert joined.column("score").to_pylist() == [1.0, pytest.approx(0.2)]
    assert joined.column("category").to_pylist() == ["bar", "disk"]
    (counted,) = count_findings(joined)
    assert (counted.task, counted.kind, counted.findings, counted.images) == (
        "tags",
        "wrong_tag",
        2,
        2,
    )
    assert count_findings(join_findings([])) == ()


def test_rows_of_names_an_image_that_is_not_there(labels):
    ids = pa.array(["nobody", labels.image_ids[5].as_py()])
    assert labels.rows_of(ids).tolist() == [-1, 5]
    assert labels.rows_of([labels.image_ids[2].as_py()]).tolist() == [2]
