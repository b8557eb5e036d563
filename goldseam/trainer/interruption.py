"""SIGTERM ends training between two steps, with its state saved: a preempted pod loses nothing."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Asked(BaseException):
    """SIGTERM came inside a block that may be left at once; no `except Exception` stops it."""


class Interruption:
    """Whether this process was asked to end.

    Attributes:
        asked: True from the signal on.
    """

    def __init__(self) -> None:
        self.asked = False
        self._at_once = False

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """A block that changes nothing that counts, and so may be left in the middle.

        Raises:
            Asked: the signal came before or in the block.
        """
        try:
            self._at_once = True
            if self.asked:
                raise Asked
            yield
        finally:
            self._at_once = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.asked = True
        if self._at_once:
            raise Asked


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """Note SIGTERM instead of dying from it; outside the main thread signals stay as they are."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = signal.signal(signal.SIGTERM, interruption._on_signal)  # noqa: SLF001
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
