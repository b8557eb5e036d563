"""The way to MLflow: address, lock, errors and silence, around one client.

Nothing here touches MLflow's global state (`set_tracking_uri`, active runs), so a program that uses
MLflow itself may call goldseam in the middle of its own run.
"""

import contextlib
import dataclasses
import fcntl
import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from goldseam.errors import GoldseamError, MissingInput

# MLflow's limits: characters of a key; points of one log_batch
KEY_LENGTH, METRIC_BATCH = 250, 1000
SQLITE_HEADER = b"SQLite format 3\0"
# loggers that tell about the making of a fresh database and about waiting, at level INFO
CHATTY = (
    "alembic",
    "alembic.runtime.migration",
    "mlflow.store.db.utils",
    "mlflow.store.model_registry.abstract_store",
    "mlflow.tracking._model_registry.client",
)


class RegistryFailed(GoldseamError):
    """MLflow refused, or cannot be reached."""

    def __init__(self, uri: str, message: str) -> None:
        super().__init__(
            f"MLflow at {public_uri(uri)}: {message}",
            remedy="Check promote.tracking_uri (or MLFLOW_TRACKING_URI) and that MLflow runs "
            "there; then run the same command again, which goes on where it stopped.",
        )


@dataclasses.dataclass(frozen=True)
class Tracking:
    """An open way to an MLflow tracking server and registry.

    Attributes:
        uri: its address, absolute; may hold a password (show `public_uri(uri)`).
        client: an `mlflow.MlflowClient` on it.
        artifact_root: where a new experiment keeps its files; None where the server decides.
    """

    uri: str
    client: Any
    artifact_root: Path | None

    def experiment(self, name: str) -> str:
        """Id of the experiment of that name, which is made where there is none."""
        found = self.client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        if found is not None:
            return str(found.experiment_id)
        # beside the database; MLflow itself would take the working directory of the moment
        location = None
        if self.artifact_root is not None:
            location = (self.artifact_root / re.sub(r"[^\w.-]", "_", name)).as_uri()
        return str(self.client.create_experiment(name, artifact_location=location))


def absolute_uri(uri: str) -> str:
    """The address, with the path of a SQLite file made absolute."""
    file = sqlite_file(uri)
    return uri if file is None else f"sqlite:///{file}"


def sqlite_file(uri: str) -> Path | None:
    """The file behind a SQLite address; None for any other address."""
    scheme, _, path = uri.partition(":///")
    if not scheme.startswith("sqlite") or not path:
        return None
    return Path(path.partition("?")[0]).absolute()


def public_uri(uri: str) -> str:
    """The address without user name and password, in which an `@` may stand as it is."""
    return re.sub(r"://[^/\s]*@", "://***@", uri)


def registry_keys(names: Iterable[str]) -> dict[str, str]:
    """Each name as a key that MLflow accepts; different names stay different."""
    keys: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        # a key must also be a plain relative path: no empty, '.' or '..' parts
        parts = [part for part in re.sub(r"[^\w./: -]", "_", name).split("/") if part.strip(".")]
        key = candidate = "/".join(parts)[: KEY_LENGTH - 8] or "_"
        number = 1
        while candidate in taken:
            number += 1
            candidate = f"{key}_{number}"
        taken.add(candidate)
        keys[name] = candidate
    return keys


@contextlib.contextmanager
def open_tracking(uri: str) -> Iterator[Tracking]:
    """Open the server or database at `uri`. A SQLite file is locked for the length of the block.

    Two processes that make a fresh SQLite database at once break it, and compare-and-swap of the
    alias needs that nobody comes between; the lock (`mlflow.db.lock`) gives both.

    Raises:
        RegistryFailed: MLflow refused or cannot be reached.
        MissingInput: the database file is not SQLite, or its folder cannot be written.
    """
    uri = absolute_uri(uri)
    file = sqlite_file(uri)
    with contextlib.ExitStack() as stack:
        if file is not None:
            stack.enter_context(_locked(file))
            _check_sqlite(file)
        stack.enter_context(_quiet())
        import mlflow
        import mlflow.exceptions
        import sqlalchemy.exc

        try:
            # registry_uri is given too: MLFLOW_REGISTRY_URI must not split runs from versions
            client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
            yield Tracking(uri, client, None if file is None else file.parent / "mlartifacts")
        except (mlflow.exceptions.MlflowException, sqlalchemy.exc.SQLAlchemyError) as error:
            raise RegistryFailed(uri, public_uri(str(error)).split("\n", 1)[0]) from error


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = file.with_name(file.name + ".lock").open("w")
    except OSError as error:
        raise MissingInput(file, f"the registry cannot be written ({error.strerror})") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:
            raise MissingInput(
                file,
                f"the registry cannot be locked ({error.strerror})",
                "Keep the database on a local disk, or name a server in promote.tracking_uri.",
            ) from error
        yield


def _check_sqlite(file: Path) -> None:
    if not file.exists():
        return
    with file.open("rb") as stream:
        header = stream.read(len(SQLITE_HEADER))
    if header not in (b"", SQLITE_HEADER):
        raise MissingInput(file, "is no SQLite database", "Name another file in tracking_uri.")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence MLflow's migration lines and progress bars, and nothing else."""
    bar = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
    before = os.environ.get(bar)
    loggers = [logging.getLogger(name) for name in CHATTY]
    levels = [logger.level for logger in loggers]
    os.environ[bar] = "false"
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if before is None:
            del os.environ[bar]
        else:
            os.environ[bar] = before
