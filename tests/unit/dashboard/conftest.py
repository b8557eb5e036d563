"""The results of a whole run, written anew for each test."""

from pathlib import Path

import pytest

from tests.unit.dashboard.demo_run import DemoRun, make_run


@pytest.fixture
def demo(tmp_path: Path) -> DemoRun:
    return make_run(tmp_path / "stages")
