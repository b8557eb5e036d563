"""Every component: its folder, its imports, its interface, its generated README."""

import ast
import importlib
import sys
from pathlib import Path

import pytest
import yaml
from kfp.dsl.base_component import BaseComponent

from components import images, readme

ROOT = Path(readme.__file__).parent
FOLDERS = sorted(file.parent for file in ROOT.glob("*/component.py"))
NAMES = [folder.name for folder in FOLDERS]
# what a task is made of; everything else it imports itself, where it runs
AT_THE_TOP = {"components", "kfp", *sys.stdlib_module_names}
BODY_LINES = 60


def load(name: str) -> BaseComponent:
    component = getattr(importlib.import_module(f"components.{name}.component"), name)
    assert isinstance(component, BaseComponent)
    return component


def function_of(folder: Path) -> ast.FunctionDef:
    tree = ast.parse((folder / "component.py").read_text())
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return function


def test_every_stage_of_the_design_is_a_component() -> None:
    stages = [
        "ingest",
        "validate",
        "audit",
        "pretrain",
        "train",
        "finetune",
        "evaluate",
        "promote",
        "publish",
    ]
    assert set(stages) <= set(NAMES)


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_only_kfp_and_the_standard_library_are_imported_at_the_top(folder: Path) -> None:
    for node in ast.parse((folder / "component.py").read_text()).body:
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= AT_THE_TOP
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert node.module.split(".")[0] in AT_THE_TOP


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_a_component_is_thin(folder: Path) -> None:
    function = function_of(folder)
    body = function.body[1:]  # without the docstring
    assert body[-1].end_lineno is not None
    assert body[-1].end_lineno - body[0].lineno < BODY_LINES


@pytest.mark.parametrize("name", NAMES)
def test_it_records_itself_in_the_shared_workspace(name: str) -> None:
    spec = next(iter(load(name).pipeline_spec.components.values()))
    assert "workspace" in spec.input_definitions.parameters
    assert "with running_task(" in (ROOT / name / "component.py").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_in_our_image_and_installs_nothing(name: str) -> None:
    executors = load(name).pipeline_spec.deployment_spec["executors"]
    (executor,) = (executors[label] for label in executors)  # type: ignore[attr-defined]
    container = executor["container"]
    assert container["image"] == images.GOLDSEAM
    assert not any("pip install" in part for part in container["command"])


@pytest.mark.parametrize("name", NAMES)
def test_every_input_is_described(name: str) -> None:
    text = readme.component_readme(load(name), ROOT / name)
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    undescribed = [row for row in rows if row.split("|")[-2].strip() == ""]
    # the sections of a recipe say what they are by their names
    assert undescribed == [] or name.startswith("read_")


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_metadata_is_complete(folder: Path) -> None:
    body = yaml.safe_load((folder / "metadata.yaml").read_text())
    assert set(body) == {"name", "stability", "dependencies", "tags", "lastVerified"}
    assert body["name"] == folder.name
    assert body["stability"] in {"alpha", "beta", "stable"}
    assert body["dependencies"]["kubeflow"][0]["name"] == "Pipelines"


def test_readmes_say_what_the_code_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert readme.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_readme_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(readme, "readmes", lambda: iter([(ROOT / "train/README.md", "other")]))
    assert readme.main(["--check"]) == 2
    assert "components/train/README.md" in capsys.readouterr().err
