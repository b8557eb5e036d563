"""Long work of a benchmark: one process a core, and a ledger from which it goes on.

A piece of work is named by everything that its numbers depend on; one that stands in the ledger is
not done again.
"""

import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar


class Piece(Protocol):
    """A piece of work."""

    @property
    def name(self) -> str:
        """Unique among pieces whose numbers can differ."""
        ...


S = TypeVar("S")
P = TypeVar("P", bound=Piece)


class Ledger(Generic[S]):
    """Scores of finished work, one JSON file a piece.

    Args:
        folder: where the files stand.
        form: dataclass of a score.
    """

    def __init__(self, folder: Path, form: Callable[..., S]) -> None:
        self.folder = folder
        self.form = form
        folder.mkdir(parents=True, exist_ok=True)

    def find(self, piece: Piece) -> list[S] | None:
        """The scores of a piece; None when it is not there."""
        path = self.folder / f"{piece.name}.json"
        if not path.is_file():
            return None
        return [self.form(**body) for body in json.loads(path.read_text())]

    def add(self, piece: Piece, scores: Sequence[Any]) -> None:
        """Keep the scores of a piece."""
        from goldseam.storage.atomic import write_text

        body = json.dumps([dataclasses.asdict(score) for score in scores], indent=1)
        write_text(self.folder / f"{piece.name}.json", body + "\n")


def do_all(
    pieces: Iterable[P],
    do: Callable[[P], list[S]],
    ledger: Ledger[S],
    told: Callable[[P, S], str],
    *,
    jobs: int | None = None,
) -> list[S]:
    """Do what the ledger lacks; the scores of all pieces in their order.

    Args:
        pieces: what is wanted; one that is named twice is done once.
        do: a function of a module, called in a process of its own that has one thread.
        ledger: where finished pieces stand.
        told: what is printed of a score when it is there; never a number of the test split, which
            is not looked at before everything is done.
        jobs: processes; as many as cores by default.
    """
    pieces = list({piece.name: piece for piece in pieces}.values())
    missing = [piece for piece in pieces if ledger.find(piece) is None]
    if missing:
        context = multiprocessing.get_context("spawn")
        workers = min(jobs or os.cpu_count() or 1, len(missing))
        began = time.monotonic()
        with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
            futures = {pool.submit(_one, do, piece, ledger): piece for piece in missing}
            for done, future in enumerate(concurrent.futures.as_completed(futures), 1):
                spent = time.monotonic() - began
                for score in future.result():
                    words = told(futures[future], score)
                    print(f"[{done}/{len(missing)} {spent:.0f} s] {words}", flush=True)
    return [score for piece in pieces for score in ledger.find(piece) or ()]


def _one(do: Callable[[P], list[S]], piece: P, ledger: Ledger[S]) -> list[S]:
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    scores = do(piece)
    ledger.add(piece, scores)
    return scores
