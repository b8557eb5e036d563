"""Progress that a person reads as a bar and a pod's log as lines.

On a terminal `rich` draws a bar with an ETA; in CI, in a pod or in a pipe there is one structured
line every `LINE_SECONDS`.
"""

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from typing import Protocol

logger = logging.getLogger("goldseam")
LINE_SECONDS = 15.0


class Step(Protocol):
    """Call it after each unit of work; `note` is shown beside the bar."""

    def __call__(self, advance: int = 1, note: str = "") -> None:
        """Say that `advance` more units are done."""


@contextlib.contextmanager
def progress(what: str, total: int, done: int = 0) -> Iterator[Step]:
    """Show how far `what` is.

    Args:
        what: a word or two.
        total: units of work.
        done: units that an earlier, interrupted run did already.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Remaining(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total, completed=done, note="")

            def draw(advance: int = 1, note: str = "") -> None:
                bar.update(task, advance=advance, note=note)

            yield draw
        return

    start = last = time.monotonic()
    count = begun = done

    def log(advance: int = 1, note: str = "") -> None:
        nonlocal count, last
        count += advance
        now = time.monotonic()
        if now - last >= LINE_SECONDS:
            last = now
            remaining = (now - start) / max(count - begun, 1) * (total - count)
            logger.info("%s step=%d/%d eta_s=%.0f %s", what, count, total, remaining, note)

    yield log


def log_to_stderr(*, verbose: bool = False) -> None:
    """Send the library's log lines to standard error, once."""
    if logger.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
