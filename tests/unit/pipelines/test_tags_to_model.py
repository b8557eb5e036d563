"""The compiled pipeline for partly known tags.

After a change that is meant, write the golden file anew and read the difference:
`GOLDSEAM_UPDATE_GOLDEN=1 pytest tests/unit/pipelines -k golden`.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.compiling import compiled
from pipelines.settings import Settings
from pipelines.tags_to_model.pipeline import tags_to_model
from tests.unit.pipelines.test_label_to_model import normalized

GOLDEN = Path(__file__).parent / "golden" / "tags_to_model.yaml"


@pytest.fixture(scope="module")
def text() -> str:
    return compiled(tags_to_model(Settings(cluster=True)))


def test_golden(text: str) -> None:
    if os.environ.get("GOLDSEAM_UPDATE_GOLDEN"):
        GOLDEN.write_text(normalized(text))
    assert normalized(text) == GOLDEN.read_text(), (
        "the compiled pipeline changed; if that is meant: "
        "GOLDSEAM_UPDATE_GOLDEN=1 pytest tests/unit/pipelines -k golden"
    )


@pytest.fixture(scope="module")
def tasks(text: str) -> dict[str, Any]:
    """The tasks between the first gates and the last."""
    body = next(yaml.safe_load_all(text))
    dags = [c["dag"]["tasks"] for c in body["components"].values() if "dag" in c]
    (found,) = (dag for dag in dags if "finetune" in dag)
    return dict(found)


def made_by(tasks: dict[str, Any], task: str, name: str) -> str:
    """The task whose output an input is."""
    given = tasks[task]["inputs"]["artifacts"][name]["taskOutputArtifact"]
    assert given["outputArtifactKey"] == "model"
    return str(given["producerTask"])


def section(tasks: dict[str, Any], task: str) -> str:
    config = tasks[task]["inputs"]["parameters"]["config"]["componentInputParameter"]
    return str(config.rpartition("read-tags-recipe-")[2])


def test_the_repaired_model_is_compared_with_itself_before_and_with_plain_training(
    tasks: dict[str, Any],
) -> None:
    assert made_by(tasks, "finetune", "trained") == "train"
    found = {name: made_by(tasks, "evaluate", name) for name in ("model", "trained", "scratch")}
    assert found == {"model": "finetune", "trained": "train", "scratch": "train-2"}
    assert "noisy_direct" not in tasks["evaluate"]["inputs"]["artifacts"]


def test_each_task_is_told_its_own_section_and_no_more(tasks: dict[str, Any]) -> None:
    told = {task: section(tasks, task) for task in ("train", "finetune", "train-2", "evaluate")}
    assert told == {
        "train": "train",
        "finetune": "finetune",
        "train-2": "scratch",
        "evaluate": "evaluate",
    }
    # training starts from nothing
    assert all("init" not in tasks[name]["inputs"]["artifacts"] for name in ("train", "train-2"))


def test_the_repair_is_done_again_where_the_model_differs(tasks: dict[str, Any]) -> None:
    given = tasks["finetune"]["inputs"]["parameters"]["trained_digest"]
    assert given["taskOutputParameter"]["producerTask"] == "train"
