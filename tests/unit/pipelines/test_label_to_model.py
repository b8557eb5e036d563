"""The compiled pipeline: what Kubeflow Pipelines gets.

After a change that is meant, write the golden file anew and read the difference:
`GOLDSEAM_UPDATE_GOLDEN=1 pytest tests/unit/pipelines -k golden`.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from goldseam.errors import InvalidConfig
from pipelines.compiling import compiled
from pipelines.label_to_model import RECIPES, compile_to
from pipelines.label_to_model.pipeline import label_to_model
from pipelines.settings import Settings

GOLDEN = Path(__file__).parent / "golden" / "label_to_model.yaml"
IMAGE = "registry.example/goldseam@sha256:" + "a" * 64


@pytest.fixture(scope="module")
def text() -> str:
    return compiled(label_to_model(Settings(cluster=True)))


@pytest.fixture(scope="module")
def spec(text: str) -> Any:
    return json_format.ParseDict(next(yaml.safe_load_all(text)), pipeline_spec_pb2.PipelineSpec())


def normalized(text: str) -> str:
    """Without what another version of kfp writes in the same meaning."""
    return re.sub(r"sdkVersion: kfp-[\d.]+", "sdkVersion: kfp", text)


def tasks(spec: Any, dag: Any = None) -> Iterator[tuple[str, Any, Any]]:
    """Every (name, task, component) of the pipeline, branches included."""
    for name, task in (dag or spec.root.dag).tasks.items():
        component = spec.components[task.component_ref.name]
        yield name, task, component
        if component.HasField("dag"):
            yield from tasks(spec, component.dag)


def executors(text: str) -> dict[str, Any]:
    body = next(yaml.safe_load_all(text))
    found: dict[str, Any] = body["deploymentSpec"]["executors"]
    return found


def test_golden(text: str) -> None:
    if os.environ.get("GOLDSEAM_UPDATE_GOLDEN"):
        GOLDEN.write_text(normalized(text))
    assert normalized(text) == GOLDEN.read_text(), (
        "the compiled pipeline changed; if that is meant: "
        "GOLDSEAM_UPDATE_GOLDEN=1 pytest tests/unit/pipelines -k golden"
    )


def test_it_is_the_same_every_time(text: str) -> None:
    assert compiled(label_to_model(Settings(cluster=True))) == text


def test_it_holds_no_path_of_a_machine_and_no_secret(text: str) -> None:
    # the lightweight component of kfp makes its own temporary folder, under no fixed name
    for word in ("/work", "/root", "/home", "/tmp", "/Users", "file://", str(Path.cwd())):
        assert word not in text
    assert not re.search(r"password|secret|token|api_key|AKIA[0-9A-Z]{16}", text, re.IGNORECASE)


def test_every_branch_has_an_else_that_stops(spec: Any) -> None:
    branches = [c.dag for name, _, c in tasks(spec) if name.startswith("condition-branches")]
    assert len(branches) == 3
    for dag in branches:
        conditions = [task.trigger_policy.condition for task in dag.tasks.values()]
        (opened,) = (c for c in conditions if not c.startswith("!"))
        assert set(conditions) == {opened, f"!({opened})"}
        # kfp.local finds the single output only; a named one closes both branches in silence
        assert re.fullmatch(
            r"inputs\.parameter_values\['pipelinechannel--[a-z-]+-Output'\] == 'pass'", opened
        )
        (otherwise,) = (
            spec.components[task.component_ref.name].dag
            for task in dag.tasks.values()
            if task.trigger_policy.condition.startswith("!")
        )
        assert any(name.startswith("stop") for name in otherwise.tasks)


def test_promotion_stands_behind_every_gate(spec: Any) -> None:
    def path_to(name: str, dag: Any) -> list[str] | None:
        for inner, task in dag.tasks.items():
            if inner == name:
                return []
            component = spec.components[task.component_ref.name]
            rest = path_to(name, component.dag) if component.HasField("dag") else None
            if rest is not None:
                return [task.trigger_policy.condition, *rest]
        return None

    conditions = [c for c in path_to("promote", spec.root.dag) or [] if c]
    assert len(conditions) == 3
    for condition, task in zip(conditions, ("validate", "audit", "gate"), strict=True):
        assert f"{task}-Output" in condition
    assert not any(condition.startswith("!") for condition in conditions)


def test_the_exit_handler_runs_last_whatever_happens(spec: Any) -> None:
    last = spec.root.dag.tasks["report-status"]
    policy = pipeline_spec_pb2.PipelineTaskSpec.TriggerPolicy
    assert last.trigger_policy.strategy == policy.ALL_UPSTREAM_TASKS_COMPLETED
    assert list(last.dependent_tasks) == ["exit-handler-1"]


def test_what_depends_on_the_registry_is_never_taken_from_the_cache(spec: Any) -> None:
    cached = {name for name, task, _ in tasks(spec) if task.caching_options.enable_cache}
    leaves = {name for name, _, component in tasks(spec) if component.executor_label}
    assert leaves & cached == {
        "ingest",
        "validate",
        "audit",
        "pretrain",
        "pretrain-2",
        "train",
        "train-2",
        "finetune",
    }


def test_no_cached_task_has_the_run_in_its_key(spec: Any) -> None:
    for _, task, _ in tasks(spec):
        for value in task.inputs.parameters.values():
            assert "{{$." not in value.runtime_value.constant.string_value


def test_a_section_of_the_recipe_reaches_its_own_stage_only(spec: Any) -> None:
    sections = {
        name: value.task_output_parameter.output_parameter_key
        or value.component_input_parameter.rpartition("--read-recipe-")[2]
        for name, task, component in tasks(spec)
        if component.executor_label
        for key, value in task.inputs.parameters.items()
        if key == "config"
    }
    assert sections == {
        "audit": "audit",
        "evaluate": "evaluate",
        "finetune": "finetune",
        "gate": "promote",
        "pretrain": "pretrain",
        "pretrain-2": "noisy_direct",
        "promote": "promote",
        "publish": "publish",
        "publish-2": "publish",
        "publish-3": "publish",
        "publish-4": "publish",
        "train": "train",
        "train-2": "scratch",
        "validate": "validate",
    }


def test_memory_is_asked_for(text: str) -> None:
    for executor in executors(text).values():
        assert executor["container"]["resources"]["resourceMemoryLimit"] in ("3Gi", "4Gi")


def test_a_gpu_is_asked_for_on_demand_and_for_learning_only(text: str) -> None:
    assert "accelerator" not in text
    with_gpu = executors(compiled(label_to_model(Settings(cluster=True, gpu=True))))
    asking = {
        name: resources["accelerator"]["resourceCount"]
        for name, executor in with_gpu.items()
        if "accelerator" in (resources := executor["container"]["resources"])
    }
    assert set(asking.values()) == {"1"}
    assert set(asking) == {
        "exec-pretrain",
        "exec-pretrain-2",
        "exec-train",
        "exec-train-2",
        "exec-finetune",
        "exec-evaluate",
    }


def test_an_image_is_pinned_by_digest() -> None:
    text = compiled(label_to_model(Settings(cluster=True, image=IMAGE)))
    assert {e["container"]["image"] for e in executors(text).values()} == {IMAGE}
    with pytest.raises(InvalidConfig, match="not pinned by digest"):
        Settings(cluster=True, image="goldseam:latest")


def test_a_workspace_volume_is_mounted_and_the_run_comes_by_the_environment() -> None:
    pytest.importorskip("kfp.kubernetes")
    text = compiled(label_to_model(Settings(cluster=True, workspace_claim="shared")))
    _, platform = yaml.safe_load_all(text)
    deployed = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(deployed) == set(executors(text))
    for executor in deployed.values():
        (volume,) = executor["pvcMount"]
        assert (volume["constant"], volume["mountPath"]) == ("shared", "/mnt/goldseam")
        (variable,) = executor["fieldPathAsEnv"]
        assert variable == {
            "name": "GOLDSEAM_RUN",
            "fieldPath": "metadata.labels['pipeline/runid']",
        }


def test_compile_to_writes_yaml_whole_or_not_at_all(tmp_path: Path) -> None:
    compile_to(tmp_path / "out" / "pipeline.yaml")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["pipeline.yaml"]
    with pytest.raises(InvalidConfig, match=r"is YAML"):
        compile_to(tmp_path / "pipeline.json")
    assert not (tmp_path / "pipeline.json").exists()


def test_recipes_are_shipped() -> None:
    assert RECIPES.is_dir()
