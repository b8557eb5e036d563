"""The telemetry of our dependencies is off before they are imported; a user's own values stay."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from goldseam.telemetry import OFF

REPOSITORY = Path(__file__).parents[2]
# what makes the libraries believe that they run in CI, where they report nothing anyway
CI_VARIABLES = {"CI", "GITHUB_ACTIONS", "PYTEST_CURRENT_TEST", "PYTEST_VERSION", "TF_BUILD"}


def run(code: str, **variables: str) -> str:
    """Standard output of a fresh interpreter that knows nothing of our settings."""
    hidden = {*OFF, *CI_VARIABLES}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | variables,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def test_variables_are_set_before_a_library_is_imported() -> None:
    found = json.loads(
        run(
            "import json, os, sys, goldseam\n"
            "libraries = {'mlflow', 'dvc', 'great_expectations', 'datasets', 'huggingface_hub'}\n"
            "print(json.dumps([dict(os.environ), sorted(libraries & set(sys.modules))]))"
        )
    )
    environment, imported = found
    assert imported == []
    assert {name: environment.get(name) for name in OFF} == OFF


def is_of_python(node: ast.Import | ast.ImportFrom) -> bool:
    names = [node.module] if isinstance(node, ast.ImportFrom) else [n.name for n in node.names]
    return all((name or "").partition(".")[0] in sys.stdlib_module_names for name in names)


def test_importing_any_part_turns_telemetry_off_first() -> None:
    tree = ast.parse((REPOSITORY / "goldseam" / "__init__.py").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    first = next(node for node in imports if not is_of_python(node))
    assert isinstance(first, ast.ImportFrom)
    assert first.module == "goldseam"
    assert [name.name for name in first.names] == ["telemetry"]


@pytest.mark.parametrize("name", sorted(OFF))
def test_the_users_own_value_stays(name: str) -> None:
    code = f"import os, goldseam; print(os.environ[{name!r}])"
    assert run(code, **{name: "as-the-user-said"}).strip() == "as-the-user-said"


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        ("from mlflow.telemetry.utils import is_telemetry_disabled as f; print(f())", "True"),
        ("from dvc.analytics import is_enabled as f; print(f())", "False"),
        ("from huggingface_hub.constants import HF_HUB_DISABLE_TELEMETRY as v; print(v)", "True"),
    ],
    ids=["mlflow", "dvc", "huggingface"],
)
def test_the_library_itself_says_that_it_is_off(ask: str, expected: str) -> None:
    assert run(f"import goldseam\n{ask}").splitlines()[-1] == expected
