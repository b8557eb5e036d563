"""Reads model versions from an MLflow registry, and writes nothing to it."""

import contextlib
import logging
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goldseam.dashboard.comparison import is_whole
from goldseam.dashboard.site.entries import registry_of
from goldseam.dashboard.site.history import VersionEntry
from goldseam.errors import GoldseamError, MissingInput
from goldseam.results import Estimate

PREFIX = "goldseam."
TABLE = "model_versions"


class UnreadableRegistry(GoldseamError):
    """MLflow refused, or cannot be reached."""


def read_versions(uri: str) -> dict[str, VersionEntry]:
    """Every version of every model of a registry, with its aliases and the metrics of its run.

    Args:
        uri: of the tracking server or database, such as `sqlite:///mlflow.db`.

    Raises:
        MissingInput: the SQLite file is not there, or is no MLflow database.
        UnreadableRegistry: MLflow refused or cannot be reached.
    """
    uri = _checked(uri)
    with _quiet():
        import mlflow
        import mlflow.exceptions
        import sqlalchemy.exc

        try:
            client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
            registry = registry_of(uri)
            aliases: dict[tuple[str, str], list[str]] = {}
            for model in _pages(client.search_registered_models):
                # a search leaves aliases out on some stores
                for alias, version in client.get_registered_model(model.name).aliases.items():
                    aliases.setdefault((model.name, str(version)), []).append(alias)
            entries = {}
            for found in _pages(client.search_model_versions):
                mine = tuple(sorted(aliases.get((found.name, str(found.version)), [])))
                entry = _entry(registry, client, found, mine)
                entries[f"{registry}/{entry.model}/{entry.version}"] = entry
        except (mlflow.exceptions.MlflowException, sqlalchemy.exc.SQLAlchemyError) as error:
            # what the driver says may hold the address, and the address a password
            why = type(error).__name__
            raise UnreadableRegistry(
                f"the MLflow registry of --mlflow cannot be read ({why}).",
                remedy="Check the address and that MLflow runs there, or leave --mlflow out.",
            ) from error
    return entries


def _checked(uri: str) -> str:
    """The address with an absolute path; MLflow would make a database that is not there."""
    scheme, _, rest = uri.partition(":///")
    if not scheme.startswith("sqlite"):
        return uri
    path = Path(rest.partition("?")[0]).absolute()
    if not path.is_file():
        raise MissingInput(path, "is no MLflow database", "Check the address after --mlflow.")
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
            (tables,) = database.execute(query, (TABLE,)).fetchone()
    except sqlite3.DatabaseError:
        tables = 0
    if not tables:
        raise MissingInput(path, "is no MLflow database", "Check the address after --mlflow.")
    return f"{scheme}:///{path}"


def _pages(search: Any, **options: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(**options, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _entry(registry: str, client: Any, found: Any, aliases: tuple[str, ...]) -> VersionEntry:
    import mlflow.exceptions

    try:
        metrics = client.get_run(found.run_id).data.metrics if found.run_id else {}
    except mlflow.exceptions.MlflowException:  # its run was deleted
        metrics = {}
    tags = {
        name.removeprefix(PREFIX): value
        for name, value in sorted(found.tags.items())
        if name.startswith(PREFIX)
    }
    return VersionEntry(
        registry=registry,
        model=found.name,
        version=str(found.version),
        run_id=found.run_id or "",
        created=found.creation_timestamp / 1000,
        aliases=aliases,
        tags=tags,
        metrics=_estimates(metrics),
    )


def _estimates(metrics: dict[str, float]) -> dict[str, Estimate]:
    """Metrics of whole tasks of the pipeline's model (`task.metric`) with their intervals."""
    return {
        name: Estimate(metrics[name], metrics.get(f"{name}.low"), metrics.get(f"{name}.high"))
        for name in sorted(metrics)
        # other models are logged as `model/task.metric`; NaN is a metric that was undefined
        if is_whole(name) and "/" not in name and not math.isnan(metrics[name])
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what MLflow says about itself while it is read."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
