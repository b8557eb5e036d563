"""From nothing to a promoted tagger: composed scenes, hasty tags, heads repaired by category."""

import json
from pathlib import Path

import pytest

from goldseam.dataset.reading import open_dataset
from tests.end_to_end.test_rooms import result
from tests.end_to_end.test_run import goldseam, summary

STAGES = {
    "read_tags_recipe",
    "ingest",
    "validate",
    "audit",
    "train",
    "finetune",
    "scratch",
    "evaluate",
    "gate",
    "promote",
    "publish",
    "report_status",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("closet")
    done = goldseam("run", "closet", "--tiny", "--out", "out", at=at)
    assert done.returncode == 0, done.stderr
    return at


def test_every_stage_succeeds_and_the_repaired_model_is_promoted(finished: Path) -> None:
    body = summary(finished)
    assert body["status"] == "succeeded"
    assert set(body["stages"]) == STAGES
    assert all(stage["status"] == "succeeded" for stage in body["stages"].values())
    assert set(body["metrics"]["baselines"]) == {"trained", "scratch"}
    for scores in (body["metrics"]["pipeline"], *body["metrics"]["baselines"].values()):
        assert 0 <= scores["tags.map"] <= 1
        assert 0 <= scores["tags.ece"] <= 1
    assert body["model_version"] == "closet/1"
    weights = finished / "out" / body["checkpoint"] / "model.safetensors"
    assert weights.parent.parent.resolve() == result(finished, "finetune")[1].resolve()
    assert weights.is_file()


def test_tags_were_overlooked_in_training_and_validation_alone(finished: Path) -> None:
    (folder,) = (finished / "out" / "data").iterdir()
    dataset = open_dataset(folder)
    unknown = {
        split: sum(
            int((state == -1).sum())
            for record in dataset.records(split, ["tags"])
            if (state := record.labels["tags"]) is not None
        )
        for split in ("train", "validation", "test")
    }
    assert unknown["train"] > 0
    assert unknown["validation"] > 0
    assert unknown["test"] == 0


def test_the_repair_changes_heads_and_probabilities_and_nothing_else(finished: Path) -> None:
    from safetensors.numpy import load_file

    before, after = (
        load_file(result(finished, task)[1] / "checkpoint" / "model.safetensors")
        for task in ("train", "finetune")
    )
    assert before.keys() == after.keys()
    changed = {name for name in before if not (before[name] == after[name]).all()}
    assert changed
    assert all(name.startswith("tags.") for name in changed)


def test_the_baseline_differs_by_what_an_unknown_tag_counts_for(finished: Path) -> None:
    train, scratch = (result(finished, task)[0] for task in ("train", "scratch"))
    assert train["steps"] == scratch["steps"]
    assert train["digest"] != scratch["digest"]


def test_the_page_shows_all_three_models_and_the_repair(finished: Path) -> None:
    page = (finished / "out" / summary(finished)["page"]).read_text()
    for word in ("trained", "scratch", "Clothes from hasty tags"):
        assert word in page
    repaired = json.dumps(result(finished, "finetune")[0]["categories"])
    assert "sneaker" in repaired.lower()
