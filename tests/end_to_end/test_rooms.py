"""From nothing to a promoted model of rooms: rendered, one label a picture, derived labels."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.test_run import goldseam, summary

pytest.importorskip("embreex", reason="rooms are rendered with the extra 'rooms'")

STAGES = {
    "read_partial_recipe",
    "ingest",
    "validate",
    "audit",
    "train",
    "scratch",
    "evaluate",
    "gate",
    "promote",
    "publish",
    "report_status",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("rooms")
    done = goldseam("run", "rooms", "--tiny", "--out", "out", at=at)
    assert done.returncode == 0, done.stderr
    return at


def result(at: Path, task: str) -> Any:
    """What a task of the run says of itself, and where its output stands."""
    record = at / "out" / "workspace" / "runs" / summary(at)["run"] / f"{task}.json"
    output = Path(json.loads(record.read_text())["output"])
    return json.loads((output / "result.json").read_text()), output


def test_every_stage_succeeds_and_every_task_is_scored(finished: Path) -> None:
    body = summary(finished)
    assert body["status"] == "succeeded"
    assert set(body["stages"]) == STAGES
    assert all(stage["status"] == "succeeded" for stage in body["stages"].values())
    assert set(body["metrics"]["baselines"]) == {"scratch"}
    for scores in (body["metrics"]["pipeline"], body["metrics"]["baselines"]["scratch"]):
        assert 0 <= scores["segmentation.miou"] <= 1
        assert scores["depth.mae"] > 0
        assert 0 < scores["normals.mean"] < 90
        assert 0 <= scores["boundary.ods_f"] <= 1
    assert body["model_version"] == "rooms/1"
    weights = finished / "out" / body["checkpoint"] / "model.safetensors"
    assert weights.parent.parent.resolve() == result(finished, "train")[1].resolve()
    assert weights.is_file()
    assert (finished / "out" / body["page"]).is_file()


def test_the_baseline_is_plain_and_the_model_had_more_than_its_labels(finished: Path) -> None:
    (train, model), (scratch, plain) = (result(finished, name) for name in ("train", "scratch"))
    # the baseline trains as long as the model and its student together
    assert (train["steps"], scratch["steps"]) == (20, 40)
    assert any("loss.depth.teacher" in entry for entry in train["history"])
    assert not any("loss.depth.teacher" in entry for entry in scratch["history"])
    assert train["digest"] != scratch["digest"]
    configs = [json.loads((at / "checkpoint" / "config.json").read_text()) for at in (model, plain)]
    # one network: what differs is what it was taught
    assert configs[0]["model"] == configs[1]["model"]
    assert configs[0]["tasks"] == configs[1]["tasks"]
