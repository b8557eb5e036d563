"""The section on boxes: known images only, by category and by source."""

from pathlib import Path

import numpy as np
import pytest

from goldseam.audit.errors.box_section import audit_boxes
from goldseam.audit.errors.boxes import BoxConfig
from goldseam.audit.findings import SCHEMA
from goldseam.audit.label_side import read_label_side
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from tests.unit.audit.errors.zoo import NAMES, World, boxes, predicted, world


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    made = world(20, images=120)
    info = DatasetInfo(
        name="zoo",
        tasks={"animals": Task(kind=Kind.DETECTION, categories=NAMES)},
    )
    blank = np.zeros((310, 310, 3), np.uint8)

    def samples():
        for number, label in enumerate(made.labels):
            known = number % 10 > 0
            corners = np.clip(label.corners_N4, 0, 310)
            yield Sample(
                image_id=f"zoo-{number:03d}",
                image=blank,
                group=f"g{number // 4}",
                labels={"animals": boxes(corners, label.category_N)} if known else {},
                sources={"animals": "human" if number % 2 else "model"} if known else {},
            )

    out = tmp_path_factory.mktemp("zoo") / "zoo"
    write_dataset(out, info, {"train": samples()})
    return out, made


def test_the_section_speaks_of_known_images_only(boxed):
    folder, made = boxed
    labels = read_label_side(open_dataset(folder))
    predictions = list(enumerate(made.predictions))
    section = audit_boxes(labels, "animals", predictions, BoxConfig())
    assert section.findings.schema == SCHEMA
    assert section.findings.num_rows > 20
    names = np.array(labels.image_ids.to_pylist())
    known = set(names[labels.known["animals"]].tolist())
    rows = section.findings.to_pylist()
    assert {row["image_id"] for row in rows} <= known
    actions = {row["issue"]: row["action"] for row in rows}
    assert actions["missing_box"] == "add"
    assert actions["wrong_category"] == "relabel"
    assert all(row["evidence"].endswith(".") and row["xmax"] > row["xmin"] for row in rows)
    misplaced = [row for row in rows if row["issue"] == "misplaced_box"]
    assert all(row["suggested"].count(",") == 3 for row in misplaced)
    # what is predicted where nobody looked changes nothing
    wild = predicted([[0, 0, 100, 100]], [2], [1.0])
    poisoned = [(n, wild if n % 10 == 0 else p) for n, p in predictions]
    again = audit_boxes(labels, "animals", poisoned, BoxConfig())
    assert again.findings.equals(section.findings)
    assert again.errors == section.errors


def test_the_section_counts_by_category_and_source(boxed):
    folder, made = boxed
    labels = read_label_side(open_dataset(folder))
    section = audit_boxes(labels, "animals", enumerate(made.predictions), BoxConfig())
    total = section.errors[0]
    assert (total.category, total.source) == (None, None)
    assert total.labels == len(labels.boxes["animals"].image_M)
    assert total.flagged == section.findings.num_rows
    by_category = [row for row in section.errors if row.category]
    by_source = [row for row in section.errors if row.source]
    assert [row.category for row in by_category] == list(NAMES)
    assert [row.source for row in by_source] == ["human", "model"]
    for rows in (by_category, by_source):
        assert sum(row.labels for row in rows) == total.labels
        assert sum(row.flagged for row in rows) == total.flagged
    assert 0.15 < total.error_rate.value < 0.4
    (matrix,) = section.matrices
    assert matrix.categories == (*NAMES, "nothing")
    assert sum(value for row in matrix.joint for value in row if value) == pytest.approx(1)
    for row in matrix.transition[:-1]:
        assert sum(row) == pytest.approx(1)
    assert matrix.transition[-1] == (None,) * 4


def test_a_section_without_predictions_says_nothing(boxed):
    folder, _ = boxed
    labels = read_label_side(open_dataset(folder))
    section = audit_boxes(labels, "animals", [], BoxConfig())
    assert section.findings.num_rows == 0
    assert section.errors[0].error_rate.value is None
    assert section.matrices == ()
