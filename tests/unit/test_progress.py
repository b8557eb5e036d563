"""A pod's log says how far a stage is and when it will be done."""

import io
import logging
import re

from goldseam import progress as progress_module
from goldseam.progress import progress


def test_lines_in_a_log_carry_the_time_that_is_left(monkeypatch, caplog):
    monkeypatch.setattr(progress_module, "LINE_SECONDS", 0.0)
    times = iter([0.0, 10.0, 20.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(times))
    monkeypatch.setattr(progress_module.sys, "stderr", io.StringIO())
    with caplog.at_level(logging.INFO, "goldseam"), progress("train", 6, done=2) as step:
        step(note="loss 1.000")
        step(note="loss 0.500")
    lines = [record.getMessage() for record in caplog.records]
    # two of the four steps that were left took 20 s: what an earlier run did says nothing of speed
    assert lines == [
        "train step=3/6 eta_s=30 loss 1.000",
        "train step=4/6 eta_s=20 loss 0.500",
    ]


def test_a_terminal_shows_a_bar_with_the_time_that_is_left(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(progress_module.sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with progress("train", 3) as step:
        for _ in range(3):
            step(note="loss 0.500")
    assert "3/3" in terminal.getvalue()
    assert re.search(r"\d:\d\d:\d\d", terminal.getvalue())
    assert "loss 0.500" in terminal.getvalue()
