"""What a fresh clone relies on: the lock, the extras, the wheel, the commands that README names."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import goldseam

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("goldseam", "components", "pipelines")
HEAVY = (
    "dvc",
    "datasets",
    "great_expectations",
    "kfp",
    "mlflow",
    "pandas",
    "plotly",
    "scipy",
    "torch",
    "transformers",
)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    content: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    return content["project"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def lock_lines() -> list[str]:
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def requirements(project: dict[str, Any], *extras: str) -> list[Requirement]:
    """The direct requirements on other projects: of the library, and of the extras."""
    texts = list(project["dependencies"])
    for extra in extras:
        texts += project["optional-dependencies"][extra]
    parsed = [Requirement(text) for text in texts]
    return [requirement for requirement in parsed if requirement.name != project["name"]]


def test_lock_is_nothing_but_pins(lock_lines: list[str]) -> None:
    pin = re.compile(r"[a-z0-9][a-z0-9._-]*==[0-9][0-9a-z.!]*")
    assert [line for line in lock_lines if not pin.fullmatch(line)] == []


def test_lock_names_no_machine() -> None:
    text = (REPOSITORY / "requirements.lock").read_text()
    assert re.findall(r"file:|https?:|@|[\\/]|--\S*index\S*|--find-links|\+cpu|\+cu\d*", text) == []


def test_lock_leaves_the_accelerator_open(lock_lines: list[str]) -> None:
    accelerator = re.compile(r"nvidia|cuda|cudnn|triton|rocm|xpu")
    assert [line for line in lock_lines if accelerator.search(line)] == []


def test_lock_pins_each_project_once(lock_lines: list[str]) -> None:
    names = [canonicalize_name(line.split("==")[0]) for line in lock_lines]
    assert len(names) == len(set(names))
    assert len(names) > 150  # all of them, not the direct ones alone


def test_lock_satisfies_every_direct_requirement(
    project: dict[str, Any], lock_lines: list[str]
) -> None:
    pinned = {
        canonicalize_name(name): version for name, version in (x.split("==") for x in lock_lines)
    }
    wanted = requirements(project, *project["optional-dependencies"])
    unmet = [
        f"{requirement}: lock has {pinned.get(canonicalize_name(requirement.name))}"
        for requirement in wanted
        if not requirement.specifier.contains(pinned.get(canonicalize_name(requirement.name), "0"))
    ]
    assert unmet == []


def test_every_requirement_is_a_range(project: dict[str, Any]) -> None:
    wanted = requirements(project, *project["optional-dependencies"])
    assert [str(r) for r in wanted if ">=" not in str(r.specifier)] == []


def test_extras_name_each_other_and_repeat_nothing(project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"]
    for texts in extras.values():
        for requirement in map(Requirement, texts):
            if requirement.name == project["name"]:
                assert requirement.extras <= set(extras)
    names = [canonicalize_name(r.name) for r in requirements(project, *extras)]
    assert sorted(names) == sorted(set(names))


def imported_modules(package: str) -> set[str]:
    """The top-level modules of other projects that the sources of a package import."""
    modules: set[str] = set()
    for path in (REPOSITORY / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                modules.add(node.module.split(".")[0])
    return modules - set(sys.stdlib_module_names) - set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_package_imports_is_declared(package: str, project: dict[str, Any]) -> None:
    declared = {
        canonicalize_name(r.name)
        for r in requirements(project, "demo", "kubeflow", "onnx", "rooms")
    }
    providers = importlib.metadata.packages_distributions()
    undeclared = {
        module: providers.get(module, [])
        for module in imported_modules(package)
        if not declared & {canonicalize_name(name) for name in providers.get(module, [module])}
    }
    assert undeclared == {}


def test_version_is_the_same_everywhere(project: dict[str, Any]) -> None:
    assert goldseam.__version__ == project["version"]
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[?{re.escape(project['version'])}\b", changelog, re.MULTILINE)


def test_license_is_the_whole_text(project: dict[str, Any]) -> None:
    text = (REPOSITORY / "LICENSE").read_text()
    assert project["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_ci_runs_the_test_command_of_readme() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text().splitlines()
    command = [line for line in script if line.strip()][-1]  # its closing line is pytest's own
    readme = (REPOSITORY / "README.md").read_text()
    blocks = re.findall(r"^```(?:bash|sh|console)?\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    commands = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    assert command == "make test"
    assert command in commands
    assert "make lint" in script


def test_make_lists_every_target() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    listed = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert re.findall(r"^  make ([a-z-]+)", listed.stdout, re.MULTILINE) == phony[1].split()


def test_setup_refuses_an_old_python(tmp_path: Path) -> None:
    old = tmp_path / "old-python"
    old.write_text('#!/bin/sh\ntest "$1" = --version && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        (tmp_path / name).write_text((REPOSITORY / name).read_text())
    done = subprocess.run(
        ["make", "setup", f"PYTHON={old}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Python 3.11 or newer" in done.stderr
    assert "Python 3.9.2" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_wheel_carries_the_packages_and_their_files(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == set(PACKAGES)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    sources = {
        path.relative_to(REPOSITORY).as_posix()
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "goldseam/py.typed" in sources
    assert sorted(sources - names) == []  # templates, metadata and recipes too


@pytest.mark.parametrize("module", ["goldseam", "goldseam.errors", "goldseam.cli"])
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
