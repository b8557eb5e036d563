"""The audit stage as a whole: its files, its sections together, its gate."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import pytest

from goldseam.audit.config import AuditConfig, MeasureConfig
from goldseam.audit.findings import SCHEMA
from goldseam.audit.measuring.stage import join_measures, measure, read_measures
from goldseam.audit.noise.config import NoiseConfig
from goldseam.audit.predictions.writing import write_predictions
from goldseam.audit.stage import audit
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.coverage import coverage
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import MissingInput, OutputExists
from goldseam.results import AuditResult
from tests.unit.audit.bays import COVER, INFO, build
from tests.unit.audit.test_validate import LOADS

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "audit.md"
FILES = ("audit.json", "findings.parquet", "annotate_next.parquet", "index.html", "result.json")


def test_the_result_stands_in_its_files(dataset, tmp_path, no_network):
    result = audit(AuditConfig(), dataset, tmp_path / "out")
    assert AuditResult.read(tmp_path / "out") == result
    assert list(result.coverage) == coverage(dataset)
    assert [one.split for one in result.disagreements] == ["train", "test"]
    report = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert report["schema"] == 1
    assert report["dataset_digest"] == dataset.info.digest
    assert report["sentences"] == list(result.sentences)
    findings = pq.read_table(tmp_path / "out" / "findings.parquet")
    assert findings.schema.equals(SCHEMA)
    assert sum(one.findings for one in result.findings) == len(findings)


def test_the_report_has_the_documented_schema(dataset, tmp_path):
    audit(AuditConfig(), dataset, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "audit.json").read_text())
    documented = json.loads((DOCUMENTATION.parent / "audit.schema.json").read_text())
    assert set(report) == set(documented["properties"])
    made = pydantic.TypeAdapter(AuditResult).json_schema()
    assert documented["$defs"] == made["$defs"], "run: python -m goldseam.audit.schema"


def test_the_same_inputs_give_the_same_files(dataset, tmp_path):
    first = audit(AuditConfig(), dataset, tmp_path / "first")
    second = audit(AuditConfig(), dataset, tmp_path / "second")
    assert (first.key, first.digest) == (second.key, second.digest)
    for name in FILES:
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes(), name
    changed = AuditConfig(measure=MeasureConfig(noise=NoiseConfig(band=1)))
    other = audit(changed, dataset, tmp_path / "other")
    assert other.digest != first.digest
    assert audit(AuditConfig(), dataset, tmp_path / "first") == first
    with pytest.raises(OutputExists):
        audit(changed, dataset, tmp_path / "first")


def test_parts_measured_apart_give_the_numbers_of_one_pass(tmp_path):
    dataset = build(tmp_path / "bays", training=20, rows_per_shard=3)
    config = AuditConfig()
    whole = audit(config, dataset, tmp_path / "whole")
    parts = [tmp_path / f"part{number}" for number in range(3)]
    for number, part in enumerate(parts):
        measure(config.measure, dataset, part, part=number, parts=3)
    joined = join_measures([parts[2], parts[0], parts[1]], tmp_path / "joined")
    assert joined == join_measures(parts, tmp_path / "again")
    sharded = audit(config, dataset, tmp_path / "sharded", measures=tmp_path / "joined")
    assert (sharded.key, sharded.digest) == (whole.key, whole.digest)
    for name in FILES:
        assert (sharded.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name


def test_measures_of_other_data_or_options_are_refused(dataset, tmp_path):
    config = MeasureConfig()
    measure(config, dataset, tmp_path / "measures")
    other = build(tmp_path / "other", training=8)
    with pytest.raises(MissingInput, match="another dataset"):
        audit(AuditConfig(), other, tmp_path / "out", measures=tmp_path / "measures")
    changed = AuditConfig(measure=MeasureConfig(noise=NoiseConfig(band=1)))
    with pytest.raises(MissingInput, match="other options"):
        audit(changed, dataset, tmp_path / "out", measures=tmp_path / "measures")
    assert not (tmp_path / "out").exists()
    assert read_measures(tmp_path / "measures").keys() >= {"pictures", "presence.cover"}


def test_the_sentences_say_the_numbers(dataset, tmp_path):
    result = audit(AuditConfig(), dataset, tmp_path / "out")
    partial = "3 carry a label of tags (25.0 %), 4 of objects (33.3 %) and 6 of cover (50.0 %)"
    assert any(partial in sentence for sentence in result.sentences)
    told = [s for s in result.sentences if s.startswith("cover_map disagrees with cover on 6.2 %")]
    assert len(told) == 1
    # silence is no clean bill: what was not looked at is said
    assert "Not looked at" in result.sentences[-1]
    unseen = [one for one in result.inspected if not one.done]
    assert any("label errors" in one.section for one in unseen)


def test_a_disagreement_that_nobody_could_measure_is_unknown(tmp_path):
    """A noisy task whose clean version is on no image is said to be unknown, not to agree."""
    tasks = {**INFO.tasks, "survey": Task(kind=Kind.SEGMENTATION, categories=COVER)}
    tasks["cover_map"] = INFO.tasks["cover_map"].model_copy(update={"noisy_version_of": "survey"})
    dataset = build(tmp_path / "bays", INFO.model_copy(update={"tasks": tasks}))
    result = audit(AuditConfig(), dataset, tmp_path / "out")
    assert {one.overall for one in result.disagreements} == {None}
    assert {one.rate.value for one in result.noise if one.task == "cover_map"} == {None}


def test_the_example_of_the_documentation_runs(tmp_path, monkeypatch, capsys):
    example = re.search(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    build(tmp_path / "data" / "coast")
    monkeypatch.chdir(tmp_path)
    exec(compile(example.group(1), DOCUMENTATION, "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "pass"
    assert printed[1].startswith("Of 12 training images 3 carry a label of tags")


def test_the_page_is_one_file_that_loads_nothing(dataset, tmp_path):
    audit(AuditConfig(), dataset, tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert not LOADS.search(page)
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))


def test_names_from_a_dataset_are_escaped(tmp_path):
    tag = Task(kind=Kind.TAGS, categories=("sea", "<script>alert(1)</script>", "river"))
    info = INFO.model_copy(update={"name": "<b>bays", "tasks": {**INFO.tasks, "tags": tag}})
    audit(AuditConfig(), build(tmp_path / "bays", info), tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<script>alert" not in page
    assert "<b>bays" not in page


def test_a_closed_gate_is_a_verdict_that_names_rows(dataset, tmp_path):
    config = AuditConfig.model_validate({"gate": {"min_coverage": {"cover": 0.9, "tags.sea": 0.1}}})
    result = audit(config, dataset, tmp_path / "out")
    assert result.verdict == "fail"
    (reason,) = result.reasons
    assert "train/cover" in reason
    assert "train/cover" in (tmp_path / "out" / "docs" / "index.html").read_text()
    assert audit(AuditConfig(), dataset, tmp_path / "other").verdict == "pass"


def test_a_later_version_is_compared_with_an_earlier_one(dataset, tmp_path):
    earlier = build(tmp_path / "earlier", training=8)
    result = audit(AuditConfig(), dataset, tmp_path / "out", against=earlier)
    rows = [one for one in result.drift if one.what == "rows" and one.split == "train"]
    assert [(one.before, one.after) for one in rows] == [(8, 12)]
    assert any(one.section == "drift" and one.done for one in result.inspected)


def every_kind(tmp_path: Path, *, unknown: str = "", annotators: tuple[str, ...] = ("ann",)):
    """Two dozen images with a label of each kind; one task may be left unknown everywhere."""
    random = np.random.default_rng(0)
    tasks = {
        "mask": Task(kind=Kind.SEGMENTATION, categories=("ground", "thing")),
        "outline": Task(kind=Kind.BOUNDARY),
        "salient": Task(kind=Kind.SALIENCY),
        "depth": Task(kind=Kind.REGRESSION, unit="m", scale=0.001),
        "normals": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
        "boxes": Task(kind=Kind.DETECTION, categories=("thing",)),
        "tags": Task(kind=Kind.TAGS, categories=("thing", "dark")),
        "text": Task(kind=Kind.CAPTION),
    }
    samples = []
    for number in range(24):
        mask_HW = np.zeros((16, 16), np.uint8)
        top, left = (int(value) for value in random.integers(1, 8, 2))
        mask_HW[top : top + 6, left : left + 6] = number % 3 > 0
        there = bool(mask_HW.any())
        normal_3HW = np.zeros((3, 16, 16), np.float32)
        normal_3HW[2] = 1
        box = np.array([[left, top, left + 6, top + 6]], np.float32)
        found = Boxes(np.array([0], np.int32), box, np.array([False]))
        labels = {
            "mask": mask_HW,
            "outline": (mask_HW != np.roll(mask_HW, 1, axis=1)).astype(np.uint8),
            "salient": mask_HW,
            "depth": np.where(mask_HW, 1.5, 3.0).astype(np.float32),
            "normals": normal_3HW,
            "boxes": found if there else Boxes.empty(),
            "tags": np.array([there, number % 2], np.int8),
            "text": "a thing",
        }
        labels.pop(unknown, None)
        noise_HW = random.normal(0, 8, (16, 16))
        light_HW = (90 + 100 * mask_HW + noise_HW - 40 * (number % 2)).clip(0, 255)
        samples.append(
            Sample(
                image_id=f"i{number:02d}",
                image=np.repeat(light_HW.astype(np.uint8)[:, :, None], 3, axis=2),
                group=f"g{number // 2}",
                labels=labels,
                sources=dict.fromkeys(labels, "human"),
                meta={"meta_annotator": annotators[number % len(annotators)]},
            )
        )
    info = DatasetInfo(name="kinds", tasks=tasks, meta={"meta_annotator": "string"})
    out = tmp_path / f"kinds-{unknown}"
    write_dataset(out, info, {"train": samples[:16], "test": samples[16:]})
    return open_dataset(out)


def test_every_kind_of_label_is_audited(tmp_path):
    dataset = every_kind(tmp_path)
    result = audit(AuditConfig(), dataset, tmp_path / "out")
    assert {row.task for row in result.coverage} == set(dataset.info.tasks)
    assert {row.task for row in result.errors} >= {"depth", "normals"}
    assert result.duplicates is not None
    assert result.duplicates.images == 24


def test_predictions_find_the_label_that_was_turned(tmp_path):
    dataset = every_kind(tmp_path, annotators=("ann", "bob"))
    truth = {r.image_id: r for s in dataset.info.splits for r in dataset.records(s)}
    wrong = "i04"
    folder = tmp_path / "predictions"
    with write_predictions(folder, dataset.info, ("tags",)) as writer:
        for name, record in truth.items():
            present_C = record.labels["tags"] == 1
            if name == wrong:
                present_C = ~present_C
            writer.add(name, {"tags": np.where(present_C, 0.96, 0.04).astype(np.float32)})
    options = {"errors": {"annotator": "meta_annotator", "minimum_known": 4}}
    config = AuditConfig.model_validate(options)
    result = audit(config, dataset, tmp_path / "out", predictions=folder)
    found = pq.read_table(tmp_path / "out" / "findings.parquet").to_pylist()
    assert {f["image_id"] for f in found if f["issue"] == "wrong_tag"} == {wrong}
    assert {row.annotator for row in result.errors if row.task == "tags"} >= {"ann", "bob"}


@pytest.mark.parametrize("unknown", ["mask", "tags", "boxes", "depth"])
def test_a_task_that_nobody_labeled_is_unknown_and_no_error(tmp_path, unknown):
    result = audit(AuditConfig(), every_kind(tmp_path, unknown=unknown), tmp_path / "out")
    whole = [r for r in result.coverage if r.task == unknown and r.category is None]
    assert [(r.present, r.absent) for r in whole if r.source is None] == [(0, 0), (0, 0)]
    assert not [one for one in result.findings if one.task == unknown]


def test_one_annotator_is_compared_with_nobody(tmp_path):
    config = AuditConfig.model_validate({"errors": {"annotator": "meta_annotator"}})
    result = audit(config, every_kind(tmp_path), tmp_path / "out")
    by_factor = [one for one in result.missingness if one.factor == "meta_annotator"]
    assert all(one.p_value is None for one in by_factor)


def test_labels_without_pictures_are_audited_as_far_as_they_go(tmp_path):
    random = np.random.default_rng(0)
    info = DatasetInfo(name="plain", tasks={"tags": Task(kind=Kind.TAGS, categories=("a", "b"))})
    samples = [
        Sample(
            image_id=f"i{number}",
            image=None,
            size=(8, 8),
            group=f"i{number}",
            labels={"tags": random.integers(-1, 2, 2).astype(np.int8)},
            sources={"tags": "human"},
        )
        for number in range(60)
    ]
    write_dataset(tmp_path / "plain", info, {"train": samples})
    result = audit(AuditConfig(), open_dataset(tmp_path / "plain"), tmp_path / "out")
    assert result.verdict == "pass"
    not_done = {one.section: one.why for one in result.inspected if not one.done}
    assert "not stored" in not_done["duplicate pictures"]


def test_predictions_of_images_that_are_not_there_are_said_to_be_left_out(tmp_path):
    dataset = every_kind(tmp_path)
    categories = len(dataset.info.tasks["tags"].categories)
    rows = {"image_id": ["i00", "elsewhere"], "tags": [[0.5] * categories] * 2}
    folder = tmp_path / "predictions"
    folder.mkdir()
    pq.write_table(pa.table(rows), folder / "some.parquet")
    result = audit(AuditConfig(), dataset, tmp_path / "out", predictions=folder)
    said = "1 prediction is left out, being of images that are not in the dataset."
    assert said in result.notes
    page = (tmp_path / "out" / "index.html").read_text()
    assert f"<li>{said}</li>" in page
