"""Findings leave for annotation tools: valid files, no formula that runs, unknown never a zero."""

import base64
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest

from goldseam.audit.export import EXPORTERS, export_findings
from goldseam.audit.findings import SCHEMA, Action, Issue, join_findings, make_findings
from goldseam.audit.findings import write_findings as write_table
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.schema import DatasetInfo, Task
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import GoldseamError, InvalidConfig, InvalidDataset, MissingInput

WIDTH, HEIGHT = 40, 20
INFO = DatasetInfo(
    name="boats",
    tasks={
        "objects": Task(kind="detection", categories=("boat", "buoy")),
        "tags": Task(kind="tags", categories=("boat", "buoy")),
    },
)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Four images; the picture of the last is not stored."""
    pixels_HW3 = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    samples = [
        Sample(
            image_id=name,
            image=None if name == "d" else pixels_HW3,
            size=(WIDTH, HEIGHT) if name == "d" else None,
            group=name,
            labels={"objects": Boxes.empty()},
            sources={"objects": "human"},
        )
        for name in ("a b.png", "=c", "d", "unsuspected")
    ]
    write_dataset(tmp_path / "data", INFO, {"train": samples})
    return open_dataset(tmp_path / "data")


def findings(**where: Any) -> pa.Table:
    ids = where.pop("image_id", ["a b.png", "a b.png", "=c"])
    return join_findings(
        [
            make_findings(
                image_id=ids,
                split="train",
                group=ids,
                task="tags",
                issue=Issue.WRONG_TAG,
                action=Action.RELABEL,
                score=[0.9, 0.5, 0.25],
                evidence=["-1 of 3", "@home", 'He said "1 < 2", twice.'],
                category=["boat", "buoy", "boat"],
                given="present",
                suggested="absent",
                source="human",
            ),
            make_findings(
                image_id=["a b.png"],
                split="train",
                group=["g"],
                task="objects",
                issue=Issue.WRONG_CATEGORY,
                action=Action.RELABEL,
                score=[0.75],
                evidence=["Looks like a buoy."],
                category=["boat"],
                given="boat",
                suggested="buoy",
                xmin=[-4.0],
                ymin=[5.0],
                xmax=[20.0],
                ymax=[15.0],
            ),
            make_findings(
                image_id=["=c"],
                split="train",
                group=["g"],
                task="objects",
                issue=Issue.LEAK,
                action=Action.REVIEW,
                score=[1.0],
                evidence=["It is also a test image."],
            ),
        ]
    )


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    folder = tmp_path / "audit"
    folder.mkdir()
    write_table(findings(), folder)
    return folder


Export = Callable[..., Any]


@pytest.fixture
def export(audit: Path, dataset: Dataset, tmp_path: Path) -> Export:
    def read(format_: str, **options: Any) -> Any:
        out = export_findings(format_, audit, tmp_path / "out", dataset, **options)
        text = out.read_text(encoding="utf-8")
        return list(csv.DictReader(io.StringIO(text))) if format_ == "csv" else json.loads(text)

    return read


def test_csv_runs_no_formula_and_loses_nothing(export: Export, tmp_path: Path) -> None:
    rows = export("csv")
    assert (tmp_path / "out").read_bytes().startswith(b"\xef\xbb\xbf")
    names = [name.lstrip("\ufeff").strip('"') for name in rows[0]]
    assert names == SCHEMA.names
    for row in rows:
        for name, cell in row.items():
            if name not in ("score", "xmin", "ymin", "xmax", "ymax"):
                assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), (name, cell)
    by_issue = {(row["issue"], row["category"]): row for row in rows}
    assert by_issue["leak", ""]["image_id"] == "'=c"
    assert by_issue["wrong_tag", "buoy"]["evidence"] == "'@home"
    assert by_issue["wrong_category", "boat"]["xmin"] == "-4"  # a number stays one
    assert by_issue["wrong_tag", "boat"]["xmin"] == ""
    assert {row["evidence"] for row in rows} >= {'He said "1 < 2", twice.', "'-1 of 3"}


def test_the_most_suspicious_come_first_and_filters_hold(export: Export) -> None:
    assert [float(row["score"]) for row in export("csv")] == [1, 0.9, 0.75, 0.5, 0.25]
    assert [float(row["score"]) for row in export("csv", limit=2)] == [1, 0.9]
    chosen = export("csv", tasks=["objects"], issues=["wrong_category", "wrong_tag"])
    assert [row["issue"] for row in chosen] == ["wrong_category"]


def test_coco(export: Export) -> None:
    body = export("coco")
    assert {image["file_name"] for image in body["images"]} == {"a b.png", "=c"}
    assert {(image["width"], image["height"]) for image in body["images"]} == {(WIDTH, HEIGHT)}
    names = {one["id"]: one["name"] for one in body["categories"]}
    assert set(names.values()) == {"tags/boat", "objects/boat", "buoy", "objects"}
    images = {one["id"] for one in body["images"]}
    for number, one in enumerate(body["annotations"], start=1):
        assert one["id"] == number
        assert one["image_id"] in images
        width, height = one["bbox"][2:]
        assert one["area"] == width * height > 0
        assert one["iscrowd"] == 0
        assert 0 <= one["score"] <= 1
        assert one["evidence"]
    leak, tag, box, *_ = body["annotations"]
    assert leak["bbox"] == [0, 0, WIDTH, HEIGHT]
    assert leak["suggested"] is None
    assert (names[tag["category_id"]], tag["suggested"]) == ("tags/boat", "absent")
    assert (box["bbox"], names[box["category_id"]]) == ([-4, 5, 24, 10], "objects/boat")


def test_coco_loads_with_the_reference_api(audit: Path, dataset: Dataset, tmp_path: Path) -> None:
    api = pytest.importorskip("faster_coco_eval").COCO
    loaded = api(str(export_findings("coco", audit, tmp_path / "out.json", dataset)))
    assert len(loaded.getAnnIds()) == 5
    category = loaded.getCatIds(catNms=["objects/boat"])
    (found,) = loaded.loadAnns(loaded.getAnnIds(catIds=category))
    assert found["evidence"] == "Looks like a buoy."
    assert loaded.annToMask(found).sum() == 20 * 10


def controls_of(tmp_path: Path) -> dict[str, tuple[str, set[str]]]:
    """Control → (kind, values it offers), from the labeling configuration."""
    root = ET.fromstring((tmp_path / "out.xml").read_text())
    assert root.tag == "View"
    (image,) = root.findall("Image")
    found = {}
    for kind, value in (("RectangleLabels", "Label"), ("Choices", "Choice")):
        for control in root.findall(kind):
            assert control.get("toName") == image.get("name")
            values = [one.get("value") or "" for one in control.findall(value)]
            assert len(set(values)) == len(values) > 0
            found[control.get("name") or ""] = (kind.lower(), set(values))
    return found


def require_valid(tasks: list[dict[str, Any]], controls: dict[str, tuple[str, set[str]]]) -> None:
    """What Label Studio's documentation asks of predictions, by hand."""
    for task in tasks:
        assert isinstance(task["data"]["image"], str)
        (prediction,) = task["predictions"]
        assert 0 <= prediction["score"] <= 1
        assert prediction["model_version"]
        ids = [result["id"] for result in prediction["result"]]
        assert len(set(ids)) == len(ids)
        for result in prediction["result"]:
            kind, offered = controls[result["from_name"]]
            assert (result["type"], result["to_name"]) == (kind, "image")
            chosen = result["value"]["choices" if kind == "choices" else kind]
            assert chosen
            assert set(chosen) <= offered
            if kind == "rectanglelabels":
                assert (result["original_width"], result["original_height"]) == (WIDTH, HEIGHT)
                value = result["value"]
                assert 0 <= value["x"] <= value["x"] + value["width"] <= 100
                assert 0 <= value["y"] <= value["y"] + value["height"] <= 100
                assert value["rotation"] == result["image_rotation"] == 0


def test_label_studio(export: Export, tmp_path: Path) -> None:
    tasks = export("label-studio", image_prefix="/data/local-files/?d=")
    controls = controls_of(tmp_path)
    require_valid(tasks, controls)
    assert controls["objects_region"] == ("rectanglelabels", {"boat", "buoy"})
    assert controls["tags_tags"][1] == {
        f"{name}: {state}" for name in ("boat", "buoy") for state in ("present", "absent")
    }
    second, first = tasks  # the most suspicious image first
    assert second["data"]["image"] == "/data/local-files/?d=%3Dc"
    assert first["data"]["image"] == "/data/local-files/?d=a%20b.png"
    box, tags = first["predictions"][0]["result"]
    assert box["value"] == {
        "x": 0, "y": 25, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["buoy"],
    }  # fmt: skip
    assert box["meta"]["text"] == ["relabel: Looks like a buoy."]
    assert tags["value"]["choices"] == ["boat: absent", "buoy: absent"]
    assert first["predictions"][0]["score"] == 0.9
    assert {one["value"]["choices"][0] for one in second["predictions"][0]["result"]} == {
        "leak",
        "boat: absent",
    }


def test_pictures_are_embedded(export: Export, dataset: Dataset) -> None:
    for task in export("label-studio", embed=True):
        start, content = task["data"]["image"].split(",")
        assert start == "data:image/png;base64"
        assert base64.b64decode(content).startswith(b"\x89PNG")


def test_a_picture_that_is_not_stored_cannot_be_embedded(
    audit: Path, dataset: Dataset, tmp_path: Path
) -> None:
    write_table(findings(image_id=["d", "d", "d"]), audit)
    with pytest.raises(InvalidDataset, match="image 'd': the picture is not stored"):
        export_findings("label-studio", audit, tmp_path / "out", dataset, embed=True)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.xml").exists()


def test_an_image_of_unknown_size_has_no_place_for_a_region(tmp_path: Path, audit: Path) -> None:
    from goldseam.dataset.formats import open_source

    labels = tmp_path / "labels.csv"
    labels.write_text("image,boat\na b.png,1\n=c,0\n")
    bare = open_source(labels, into=tmp_path / "bare")
    body = json.loads(export_findings("coco", audit, tmp_path / "c.json", bare).read_text())
    assert all("width" not in image for image in body["images"])
    assert [one["issue"] for one in body["annotations"] if "bbox" in one] == ["wrong_category"]
    tasks = json.loads(export_findings("label-studio", audit, tmp_path / "out", bare).read_text())
    require_valid(tasks, controls_of(tmp_path))
    kinds = {one["type"] for task in tasks for one in task["predictions"][0]["result"]}
    assert kinds == {"choices"}


@pytest.mark.parametrize("format_", EXPORTERS)
def test_no_finding_is_a_valid_file(
    format_: str, audit: Path, dataset: Dataset, export: Export
) -> None:
    write_table(SCHEMA.empty_table(), audit)
    body = export(format_)
    assert body == [] or body["annotations"] == body["images"] == []


@pytest.mark.parametrize(
    ("format_", "options", "message"),
    [
        ("xlsx", {}, "cannot be written as 'xlsx'"),
        ("csv", {"tasks": ["tag"]}, "no finding is about the task 'tag'"),
        ("csv", {"issues": ["leek"]}, "no finding is about the issue 'leek'"),
        ("csv", {"limit": 0}, "0 findings"),
    ],
)
def test_what_is_not_there_is_one_error(
    export: Export, format_: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidConfig, match=message) as caught:
        export(format_, **options)
    assert caught.value.remedy


def test_what_cannot_be_read_is_one_error(audit: Path, dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InvalidConfig, match="sizes of the images"):
        export_findings("coco", audit, out)
    write_table(findings(image_id=["x", "x", "x"]), audit)
    with pytest.raises(InvalidDataset, match="no image 'x'"):
        export_findings("coco", audit, out, dataset)
    (audit / "findings.parquet").write_bytes(b"PAR1")
    with pytest.raises(GoldseamError, match="no table of findings"):
        export_findings("csv", audit, out)
    (audit / "findings.parquet").unlink()
    with pytest.raises(MissingInput, match="no findings of an audit"):
        export_findings("csv", audit, out)
    assert not out.exists()
