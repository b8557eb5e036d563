"""What several rooms of the unit tests share."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from goldseam.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def goldseam(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["goldseam", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


class Killed(BaseException):
    """Stands for `kill -9`: nothing that catches errors catches it."""


@dataclasses.dataclass
class Steps:
    """Training steps that were begun; the one of this number dies."""

    fatal: int = 0
    begun: int = 0


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Counts the steps of all trainings, and kills the one whose number is set as `fatal`."""
    from goldseam.trainer import loop

    counted, step = Steps(), loop._train_step

    def counting(*args: Any, **kwargs: Any) -> Any:
        counted.begun += 1
        if counted.begun == counted.fatal:
            raise Killed
        return step(*args, **kwargs)

    monkeypatch.setattr(loop, "_train_step", counting)
    return counted
