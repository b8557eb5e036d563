"""One base error; each subclass says what happened and what to do about it.

The command line prints `message` and `remedy` and exits with code 2; a traceback appears only with
`--debug`. Library users catch `GoldseamError`.
"""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def closest(value: object, known: Iterable[object]) -> str:
    """The known word nearest to `value`, for a remedy; all of them when none is near."""
    words = list(dict.fromkeys(str(word) for word in known))
    near = difflib.get_close_matches(str(value), words, n=1, cutoff=0.5)
    return near[0] if near else ", ".join(words) or "none"


class GoldseamError(Exception):
    """Something that the user can mend.

    Attributes:
        message: what happened: file, row, value, what was expected.
        remedy: what to do.
    """

    exit_code = 2

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        # a worker process hands its error to the parent by pickle, which knows no keyword arguments
        return _revive, (type(self), self.message, self.remedy)

    def __str__(self) -> str:
        return f"{self.message}\n  remedy: {self.remedy}"


def _revive(kind: type[GoldseamError], message: str, remedy: str) -> GoldseamError:
    error = kind.__new__(kind)
    GoldseamError.__init__(error, message, remedy=remedy)
    return error


class MissingInput(GoldseamError):
    """A file or folder that a command needs is not there, or cannot be read."""

    def __init__(self, path: Path | str, what: str, remedy: str | None = None) -> None:
        super().__init__(
            f"{path}: {what}.",
            remedy=remedy or "Check the path and its permissions.",
        )


class InvalidDataset(GoldseamError):
    """A dataset breaks the format; names the file, row and column where it does."""


class InvalidRecipe(GoldseamError):
    """A recipe has a wrong key or value; names the line and the nearest right key."""


class InvalidConfig(GoldseamError):
    """Options of a stage contradict each other or the dataset."""


class InvalidArray(GoldseamError):
    """An array that was passed to a function does not hold what it should."""

    def __init__(self, what: str, found: str, remedy: str) -> None:
        super().__init__(f"{what}: {found}.", remedy=remedy)


class DigestMismatch(GoldseamError):
    """Content differs from what its reference promises."""

    def __init__(self, path: Path | str, expected: str, found: str, remedy: str) -> None:
        super().__init__(f"{path}: digest is {found}, expected {expected}.", remedy=remedy)


class StorageFull(GoldseamError):
    """The disk filled up while writing; nothing half-written stays."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(
            f"{path}: no space left on the disk; it was not written.",
            remedy="Free space or choose another --out, then run the same command again: training "
            "goes on from its last checkpoint.",
        )


class Interrupted(GoldseamError):
    """Somebody asked this process to end, and it did so with its work saved."""

    exit_code = 143  # what a shell says of a process that SIGTERM ended

    def __init__(self, what: str, done: int, total: int) -> None:
        super().__init__(
            f"{what} was asked to end (SIGTERM); its state after step {done} of {total} is saved.",
            remedy="Run the same command again: it goes on from there.",
        )


class OutputExists(GoldseamError):
    """The output is there already and was made from something else."""

    def __init__(self, path: Path | str, why: str) -> None:
        super().__init__(
            f"{path} exists: {why}.",
            remedy="Choose another --out, or remove that folder.",
        )


class MissingExtra(GoldseamError):
    """An optional dependency is not installed."""

    def __init__(self, module: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{module}'.",
            remedy=f"pip install 'goldseam[{extra}]'",
        )


class StageFailed(GoldseamError):
    """A stage of a pipeline failed; carries that stage's own message."""

    def __init__(self, stage: str, message: str, remedy: str) -> None:
        super().__init__(f"stage '{stage}': {message}", remedy=remedy)
        self.stage = stage


class GateClosed(GoldseamError):
    """A gate refused what came before it."""

    def __init__(self, gate: str, reasons: Sequence[str], remedy: str) -> None:
        said = [*(reason.removesuffix(".") for reason in reasons[:-1]), *reasons[-1:]]
        super().__init__(f"gate '{gate}' is closed: " + "; ".join(said), remedy=remedy)
        self.reasons = tuple(reasons)
