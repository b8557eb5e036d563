"""The audit stage: its files, its sentences, its page."""

import json
import re
from pathlib import Path

import pytest

from goldseam.audit.config import AuditConfig
from goldseam.audit.stage import audit
from goldseam.dataset.coverage import coverage
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import OutputExists
from goldseam.results import AuditResult
from tests.unit.audit.bays import COVER, INFO, build
from tests.unit.audit.test_validate import LOADS

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "audit.md"


def test_the_result_stands_in_its_files(dataset, tmp_path, no_network):
    result = audit(AuditConfig(), dataset, tmp_path / "out")
    assert AuditResult.read(tmp_path / "out") == result
    assert list(result.coverage) == coverage(dataset)
    assert [one.split for one in result.disagreements] == ["train", "test"]
    report = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert report["dataset"]["digest"] == dataset.info.digest
    assert report["sentences"] == list(result.sentences)
    test = report["disagreements"][1]
    assert (test["pixels"], test["differing_pixels"]) == (1024, 64)
    assert (test["boundary_pixels"], test["differing_boundary_pixels"]) == (256, 64)


def test_the_same_inputs_give_the_same_files(dataset, tmp_path):
    first = audit(AuditConfig(), dataset, tmp_path / "first")
    second = audit(AuditConfig(), dataset, tmp_path / "second")
    assert (first.key, first.digest) == (second.key, second.digest)
    for name in ("audit.json", "index.html", "result.json"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()
    other = audit(AuditConfig(band=1), dataset, tmp_path / "other")
    assert other.digest != first.digest
    assert audit(AuditConfig(), dataset, tmp_path / "first") == first
    with pytest.raises(OutputExists):
        audit(AuditConfig(band=1), dataset, tmp_path / "first")


def test_the_sentences_say_the_numbers(dataset, tmp_path):
    result = audit(AuditConfig(), dataset, tmp_path / "out")
    unseen = "a model cannot learn that from these labels."
    partial = "6 carry a label of cover (50.0 %), 4 of objects (33.3 %) and 3 of tags (25.0 %)"
    least = "The least known category of"
    assert result.sentences[:-2] == (
        "All 12 training images carry a label of cover_map.",
        f"Of 12 training images {partial}.",
        f"No training image is known to show lake (cover): {unseen}",
        f"No training image is known to show lake (cover_map): {unseen}",
        f"{least} objects in training is lake: known on 2 of 12 images (16.7 %).",
        f"No training image is known to show lake (objects): {unseen}",
        f"{least} tags in training is river: known on 2 of 12 images (16.7 %).",
        f"No training image is known to show lake and river (tags): {unseen}",
        "All 4 test images carry a label of every task.",
    )
    for sentence, rates in zip(result.sentences[-2:], result.disagreements, strict=True):
        images = "6 training" if rates.split == "train" else "4 test"
        missed = 100 * (1 - rates.confusion[1][1])
        assert sentence == (
            f"cover_map disagrees with cover on 6.2 % of the pixels ({images} images with both); "
            "100 % of that within 2 px of a boundary. Of the pixels that are land, cover_map "
            f"calls {missed:.1f} % something else."
        )


def test_a_disagreement_that_nobody_could_measure_is_unknown(tmp_path):
    """A noisy task whose clean version is on no image is said to be unknown, not to agree."""
    tasks = {**INFO.tasks, "survey": Task(kind=Kind.SEGMENTATION, categories=COVER)}
    tasks["cover_map"] = INFO.tasks["cover_map"].model_copy(update={"noisy_version_of": "survey"})
    dataset = build(tmp_path / "bays", INFO.model_copy(update={"tasks": tasks}))
    result = audit(AuditConfig(), dataset, tmp_path / "out")
    assert {one.overall for one in result.disagreements} == {None}
    assert result.sentences[-1] == (
        "How far cover_map is off in the test split is unknown: "
        "no image carries both it and survey."
    )
    page = (tmp_path / "out" / "index.html").read_text()
    assert '<td class="number unknown">unknown</td>' in page
    assert "0 of survey (0.0\u00a0%)" in page


def test_a_noisy_task_of_another_kind_is_not_passed_over_in_silence(tmp_path):
    mined = INFO.tasks["tags"].model_copy(update={"noisy_version_of": "tags"})
    info = INFO.model_copy(update={"tasks": {**INFO.tasks, "mined": mined}})
    result = audit(AuditConfig(), build(tmp_path / "bays", info), tmp_path / "out")
    assert any(s.startswith("mined is a noisy version of tags; how far") for s in result.sentences)


def test_the_example_of_the_documentation_runs(tmp_path, monkeypatch, capsys):
    example = re.search(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    build(tmp_path / "data" / "coast")
    monkeypatch.chdir(tmp_path)
    exec(compile(example.group(1), DOCUMENTATION, "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "pass"
    assert printed[1] == "All 12 training images carry a label of cover_map."


def test_masks_are_left_alone_where_asked(dataset, tmp_path):
    result = audit(AuditConfig(decode_pictures=False), dataset, tmp_path / "out")
    assert {row.task for row in result.coverage if row.category} == {"objects", "tags"}


def test_the_page_is_one_file_that_loads_nothing(dataset, tmp_path):
    audit(AuditConfig(), dataset, tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert not LOADS.search(page)
    assert len(page) < 200_000
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))


def test_the_page_shows_unknown_apart_from_absent(dataset, tmp_path):
    audit(AuditConfig(), dataset, tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert 'aria-label="0 present, 2 absent, 10 unknown"' in page  # tags.river in training
    assert '<i class="unknown" style="flex-grow:10">' in page
    assert "0 / 2 / 10" in page
    # no clean pixel is lake: that row of the matrix has no numbers
    assert page.count('<td class="number unknown">no pixel</td>') == 6


def test_names_from_a_dataset_are_escaped(tmp_path):
    tag = Task(kind=Kind.TAGS, categories=("sea", "<script>alert(1)</script>", "river"))
    info = INFO.model_copy(update={"name": "<b>bays", "tasks": {**INFO.tasks, "tags": tag}})
    audit(AuditConfig(), build(tmp_path / "bays", info), tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<script>alert" not in page
    assert "<b>bays" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_dataset_without_noisy_tasks_has_no_disagreement(tmp_path):
    clean = {name: task for name, task in INFO.tasks.items() if name != "cover_map"}
    clean["cover_map"] = Task(kind=Kind.SEGMENTATION, categories=COVER)
    info = INFO.model_copy(update={"tasks": clean})
    result = audit(AuditConfig(), build(tmp_path / "bays", info), tmp_path / "out")
    assert result.disagreements == ()
    assert 'id="disagreement"' not in (tmp_path / "out" / "index.html").read_text()
