"""Labels of several tasks that contradict each other are found; unknown ones say nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from goldseam.audit.consistency import (
    ConsistencyMeasure,
    ConsistencySection,
    audit_consistency,
)
from goldseam.audit.consistency.measure import comparable_pairs
from goldseam.audit.findings import SCHEMA
from goldseam.audit.label_side import LabelSide, read_label_side
from goldseam.audit.measuring import Seen
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from tests.unit.audit.ponds import CONFIG, SIZE, boxes

Labels = dict[str, Any]

INFO = DatasetInfo(
    name="ponds",
    tasks={
        "cover": Task(kind=Kind.SEGMENTATION, categories=("ground", "pond", "barn")),
        "cover_map": Task(
            kind=Kind.SEGMENTATION,
            categories=("ground", "pond", "barn"),
            noisy_version_of="cover",
        ),
        "outline": Task(kind=Kind.BOUNDARY),
        "relief": Task(kind=Kind.REGRESSION, unit="m", encoding="tiff32", invalid=-99),
        "things": Task(kind=Kind.DETECTION, categories=("barn", "pond")),
        "tags": Task(kind=Kind.TAGS, categories=("pond", "river", "barn")),
    },
)


def scene(random: np.random.Generator, *, shown: bool) -> Labels:
    """A pond of 5 to 7 px on the ground, or none, and labels that agree about it."""
    mask_HW = np.zeros((SIZE, SIZE), np.uint8)
    things = boxes()
    if shown:
        y, x = random.integers(2, 22, 2)
        height, width = random.integers(5, 8, 2)
        mask_HW[y : y + height, x : x + width] = 1
        things = boxes((1, (x, y, x + width, y + height), False))
    edge_HW = np.zeros((SIZE, SIZE), bool)
    edge_HW[:, 1:] |= mask_HW[:, 1:] != mask_HW[:, :-1]
    edge_HW[1:] |= mask_HW[1:] != mask_HW[:-1]
    height_HW = np.where(mask_HW == 1, -2.0, 0.0) + random.normal(0, 0.05, mask_HW.shape)
    return {
        "cover": mask_HW,
        "outline": edge_HW.astype(np.uint8),
        "relief": height_HW.astype(np.float32),
        "things": things,
        "tags": np.array([int(shown), -1, 0], np.int8),
    }


Edit = Callable[[int, Labels], None]


def scenes(edit: Edit, count: int = 120) -> list[Labels]:
    random = np.random.default_rng(0)
    made = []
    for number in range(count):
        labels = scene(random, shown=number % 2 == 0)
        edit(number, labels)
        made.append({task: labels.get(task) for task in INFO.tasks})
    return made


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> LabelSide:
    """The label side that the scenes belong to: which labels are known does not matter to it."""

    def samples() -> Iterator[Sample]:
        mask_HW = np.zeros((SIZE, SIZE), np.uint8)
        labels = scene(np.random.default_rng(0), shown=True) | {"cover_map": mask_HW}
        for number in range(120):
            yield Sample(
                image_id=f"p{number}",
                image=np.zeros((SIZE, SIZE, 3), np.uint8),
                group=f"farm-{number // 3}",
                labels=labels,
                sources=dict.fromkeys(labels, "human"),
            )

    out: Path = tmp_path_factory.mktemp("ponds") / "ponds"
    write_dataset(out, INFO, {"train": samples()})
    return read_label_side(open_dataset(out))


def measured(made: list[Labels], start: int = 0) -> pa.Table:
    measure = ConsistencyMeasure(INFO, CONFIG)
    for number, labels in enumerate(made, start=start):
        measure.update(Seen(f"p{number}", "train", "g", None, labels))
    return measure.tables()["consistency"]


def audited(edit: Edit, sides: LabelSide) -> ConsistencySection:
    return audit_consistency(measured(scenes(edit)), sides, CONFIG)


def found(section: ConsistencySection) -> set[tuple[str, str, str | None]]:
    return {(row["image_id"], row["task"], row["category"]) for row in section.findings.to_pylist()}


def nothing(number: int, labels: Labels) -> None:
    del number, labels


def test_labels_that_agree_raise_no_alarm(sides):
    section = audited(nothing, sides)
    assert section.findings.num_rows == 0
    assert section.sentences == ()
    assert {row.method.split(": ")[1] for row in section.errors} == {
        "absent, but shown",
        "present, but not shown",
        "boxes without a pixel of their category",
        "boxes of another size than their object",
        "objects without a box",
        "outlines against boundaries",
        "slopes against boundaries",
    }
    assert all(row.error_rate.value == 0 for row in section.errors)


def test_a_wrong_tag_contradicts_mask_and_boxes(sides):
    def edit(number: int, labels: Labels) -> None:
        if number in (4, 5):
            labels["tags"][0] = 1 - labels["tags"][0]

    section = audited(edit, sides)
    rows = section.findings.to_pylist()
    assert found(section) == {("p4", "tags", "pond"), ("p5", "tags", "pond")}
    both = next(row for row in rows if row["image_id"] == "p5")
    assert "'cover' shows none" in both["evidence"]
    assert "'things' shows none" in both["evidence"]
    assert len({row["finding"] for row in rows}) == len(rows)
    assert section.findings.schema == SCHEMA
    absent = next(row for row in rows if row["image_id"] == "p4")
    assert (absent["given"], absent["suggested"], absent["issue"]) == (
        "absent",
        "present",
        "contradiction",
    )
    assert absent["xmax"] > absent["xmin"]
    assert all(0.5 <= row["score"] <= 1 for row in rows)
    rate = next(
        row
        for row in section.errors
        if row.method == "consistency with 'cover': present, but not shown"
        and row.category == "pond"
    )
    assert (rate.task, rate.category, rate.labels, rate.flagged) == ("tags", "pond", 60, 1)
    assert rate.error_rate.value == pytest.approx(1 / 60)


def test_boxes_that_are_missing_empty_or_of_another_size(sides):
    def edit(number: int, labels: Labels) -> None:
        if number == 6:
            labels["things"] = boxes((1, (26, 26, 31, 31), False))
            labels["cover"][20:] = 0
            labels["cover"][4:10, 4:10] = 1
        if number == 8:
            left, top = labels["things"].corners_N4[0, :2]
            corners = (left, top, left + 2, top + 2)
            labels["things"] = boxes((1, corners, False))
        del labels["tags"], labels["outline"], labels["relief"]

    section = audited(edit, sides)
    rows = section.findings.to_pylist()
    assert {(row["image_id"], row["evidence"].split(";")[0]) for row in rows if row["given"]} == {
        ("p6", "'things' has a box of 'pond' here, in which 'cover' shows 0.0 % of 'pond'"),
        ("p6", "'cover' shows 'pond' here, and 'things' has no box for it"),
    }
    assert ("p8", "things", "pond") in found(section)


def test_an_outline_and_a_relief_of_another_image_stand_out(sides):
    def edit(number: int, labels: Labels) -> None:
        if number == 10:
            labels["outline"] = np.roll(labels["outline"], (16, 16), (0, 1))
        if number == 12:
            labels["relief"] = np.roll(labels["relief"], (16, 16), (0, 1))

    section = audited(edit, sides)
    assert found(section) == {
        ("p10", "outline", None),
        ("p10", "relief", None),
        ("p12", "relief", None),
    }


def test_a_difference_in_definition_is_said_once(sides):
    """Nobody ever tags a pond, and boxes are drawn around barns only."""

    def edit(number: int, labels: Labels) -> None:
        labels["tags"][0] = 0
        labels["things"] = boxes()

    section = audited(edit, sides)
    assert section.findings.num_rows == 0
    assert len(section.sentences) == 2
    assert "'tags' says that 'pond' is absent where 'cover' shows it in 100.0 %" in " ".join(
        section.sentences
    )
    different = [row for row in section.errors if "defined differently" in row.method]
    assert len(different) == 2
    assert all(row.flagged == 0 and row.error_rate.value is None for row in different)


def test_size_tells_a_definition_from_a_mistake(sides):
    """Ponds of less than 16 px are not tagged, by definition.

    One large one was forgotten, one small one tagged.
    """

    def edit(number: int, labels: Labels) -> None:
        if number % 4 == 2:
            labels["cover"][:] = 0
            labels["cover"][3:6, 3:6] = 1
            labels["tags"][0] = 0
        if number in (8, 10):
            labels["tags"][0] = 1 - labels["tags"][0]
        del labels["things"], labels["outline"], labels["relief"]

    section = audited(edit, sides)
    assert found(section) == {("p8", "tags", "pond"), ("p10", "tags", "pond")}
    said = {
        row["image_id"]: (row["given"], row["suggested"]) for row in section.findings.to_pylist()
    }
    assert said == {"p8": ("absent", "present"), "p10": ("present", "absent")}
    assert len(section.sentences) == 1


def test_the_noisy_task_is_named_where_a_clean_one_contradicts_it(sides):
    def edit(number: int, labels: Labels) -> None:
        labels["cover_map"] = labels["cover"].copy()
        if number == 4:
            labels["cover_map"][:] = 0
        del labels["cover"], labels["things"], labels["outline"], labels["relief"]

    section = audited(edit, sides)
    assert found(section) == {("p4", "cover_map", "pond")}
    (row,) = section.findings.to_pylist()
    assert (row["given"], row["suggested"]) == ("absent", "present")


def test_unknown_labels_change_nothing(sides):
    """A label that is unknown is no partner, and unknown tags and ignored pixels say nothing."""

    def edit(number: int, labels: Labels) -> None:
        if number == 4:
            labels["tags"][0] = -1
        if number == 5:
            labels["tags"][0] = 1
            labels["cover"][0, 0] = 255
            labels["things"] = boxes((1, (0, 0, 3, 3), True))
        if number == 6:
            labels["things"] = boxes((1, (0, 0, SIZE, SIZE), True))
        if number == 8:
            labels["cover"][labels["cover"] == 1] = 255
        if number == 10:
            for task in ("cover", "things"):
                labels[task] = None

    section = audited(edit, sides)
    assert {row[:2] for row in found(section)} <= {("p8", "outline")}
    # river is unknown everywhere, and nothing else names it
    assert all(row.category != "river" for row in section.errors)


def test_shards_give_the_same_as_one_pass(sides):
    def edit(number: int, labels: Labels) -> None:
        if number in (4, 5, 90):
            labels["tags"][0] = 1 - labels["tags"][0]
        if number == 50:
            labels["outline"] = np.roll(labels["outline"], (16, 16), (0, 1))

    made = scenes(edit)
    whole = audit_consistency(measured(made), sides, CONFIG)
    parts = [measured(made[50:], 50), measured(made[:50])]
    sharded = audit_consistency(pa.concat_tables(parts), sides, CONFIG)
    assert sharded.findings.equals(whole.findings)
    assert sharded.errors == whole.errors
    assert sharded.sentences == whole.sentences
    assert whole.findings.num_rows >= 4


def test_nothing_measured_gives_an_empty_section(sides):
    section = audit_consistency(measured([]), sides, CONFIG)
    assert section.findings.num_rows == 0
    assert section.errors == section.sentences == ()


def test_few_comparisons_are_not_judged(sides):
    def edit(number: int, labels: Labels) -> None:
        if number == 0:
            labels["tags"][0] = 0

    section = audit_consistency(measured(scenes(edit, 8)), sides, CONFIG)
    assert section.findings.num_rows == 0
    assert all(row.error_rate.value is None for row in section.errors)


def test_pairs_are_those_with_something_to_compare():
    pairs = {(task, other) for task, other, _ in comparable_pairs(INFO)}
    assert pairs == {
        ("outline", "cover"),
        ("outline", "cover_map"),
        ("relief", "outline"),
        ("things", "cover"),
        ("things", "cover_map"),
        ("tags", "cover"),
        ("tags", "cover_map"),
        ("tags", "things"),
    }
