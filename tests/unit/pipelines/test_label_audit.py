"""The compiled audit: cut into parts, two gates that stop, nothing of a machine in it."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from goldseam.recipe import AuditRecipe, as_struct, from_struct, load_recipe
from pipelines.compiling import compiled
from pipelines.label_audit import RECIPES, compile_to
from pipelines.label_audit.pipeline import label_audit
from pipelines.settings import Settings
from tests.unit.pipelines.test_label_to_model import normalized, tasks

GOLDEN = Path(__file__).parent / "golden" / "label_audit.yaml"


@pytest.fixture(scope="module")
def text() -> str:
    return compiled(label_audit(Settings(cluster=True)))


@pytest.fixture(scope="module")
def spec(text: str) -> Any:
    return json_format.ParseDict(next(yaml.safe_load_all(text)), pipeline_spec_pb2.PipelineSpec())


def test_golden(text: str) -> None:
    if os.environ.get("GOLDSEAM_UPDATE_GOLDEN"):
        GOLDEN.write_text(normalized(text))
    assert normalized(text) == GOLDEN.read_text(), (
        "the compiled pipeline changed; if that is meant: "
        "GOLDSEAM_UPDATE_GOLDEN=1 pytest tests/unit/pipelines -k golden"
    )


def test_both_gates_have_an_else_that_stops(spec: Any) -> None:
    branches = [c.dag for name, _, c in tasks(spec) if name.startswith("condition-branches")]
    assert len(branches) == 2
    for dag in branches:
        (otherwise,) = (
            spec.components[task.component_ref.name].dag
            for task in dag.tasks.values()
            if task.trigger_policy.condition.startswith("!")
        )
        assert any(name.startswith("stop") for name in otherwise.tasks)


def test_pictures_are_measured_part_by_part_and_joined(spec: Any) -> None:
    found = {name: task for name, task, _ in tasks(spec)}
    (loop,) = (task for name, task in found.items() if name.startswith("for-loop"))
    assert "list-parts" in loop.dependent_tasks
    assert "list-parts" in loop.parameter_iterator.items.input_parameter
    joined = found["join-measures"]
    assert any(name.startswith("for-loop") for name in joined.dependent_tasks)


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_recipe_that_ships_passes_its_own_check_and_kubeflow(file: Path) -> None:
    recipe = load_recipe(file)
    assert isinstance(recipe, AuditRecipe)
    assert from_struct(as_struct(recipe)) == recipe
    assert isinstance(load_recipe(file, tiny=True), AuditRecipe)


def test_it_is_compiled_to_a_file(tmp_path: Path) -> None:
    compile_to(tmp_path / "audit.yaml")
    assert "label-audit" in (tmp_path / "audit.yaml").read_text()
