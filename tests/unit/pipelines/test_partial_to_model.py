"""The compiled pipeline for partial labels.

After a change that is meant, write the golden file anew and read the difference:
`GOLDSEAM_UPDATE_GOLDEN=1 pytest tests/unit/pipelines -k golden`.
"""

import os
from pathlib import Path

import pytest
import yaml

from pipelines.compiling import compiled
from pipelines.partial_to_model.pipeline import partial_to_model
from pipelines.settings import Settings
from tests.unit.pipelines.test_label_to_model import normalized

GOLDEN = Path(__file__).parent / "golden" / "partial_to_model.yaml"


@pytest.fixture(scope="module")
def text() -> str:
    return compiled(partial_to_model(Settings(cluster=True)))


def test_golden(text: str) -> None:
    if os.environ.get("GOLDSEAM_UPDATE_GOLDEN"):
        GOLDEN.write_text(normalized(text))
    assert normalized(text) == GOLDEN.read_text(), (
        "the compiled pipeline changed; if that is meant: "
        "GOLDSEAM_UPDATE_GOLDEN=1 pytest tests/unit/pipelines -k golden"
    )


def test_model_and_baseline_learn_from_the_same_data(text: str) -> None:
    body = next(yaml.safe_load_all(text))
    dags = [c["dag"]["tasks"] for c in body["components"].values() if "dag" in c]
    (tasks,) = (dag for dag in dags if "train" in dag)
    inputs = [tasks[name]["inputs"] for name in ("train", "train-2")]
    assert inputs[0]["artifacts"] == inputs[1]["artifacts"]
    assert "init" not in inputs[0]["artifacts"]
    sections = [task["parameters"]["config"]["componentInputParameter"] for task in inputs]
    assert [name.rpartition("--")[2] for name in sections] == [
        "read-partial-recipe-train",
        "read-partial-recipe-scratch",
    ]


def test_the_page_of_a_run_that_died_knows_the_recipe(text: str) -> None:
    body = next(yaml.safe_load_all(text))
    last = body["root"]["dag"]["tasks"]["report-status"]
    assert last["inputs"]["parameters"]["recipe"] == {"componentInputParameter": "recipe"}
    assert last["dependentTasks"] == ["exit-handler-1"]
