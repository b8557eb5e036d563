"""A run's numbers and pictures, written to MLflow while it trains.

They are written by a thread of their own, in batches, so that training waits for nothing; when the
server cannot be reached, training goes on and says so once.
"""

import contextlib
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

from goldseam.artifacts import StageConfig
from goldseam.dataset.codecs import Array
from goldseam.errors import GoldseamError, Interrupted
from goldseam.tracking import (
    METRIC_BATCH,
    RegistryFailed,
    Tracking,
    open_tracking,
    public_uri,
    registry_keys,
)
from goldseam.trainer import distributed
from goldseam.workspace import RUN_VARIABLE

logger = logging.getLogger(__name__)
KEY_TAG = "goldseam.stage_key"
EXPERIMENT = "goldseam"
FLUSH_SECONDS = 10.0
# how long the end of training waits for what is not written yet
CLOSE_SECONDS = 30.0
# points that are kept while a server cannot be reached
WAITING_POINTS = 100_000
# MLflow's limits: characters of a parameter, and how many in one log_batch
PARAM_LENGTH, PARAM_BATCH = 6000, 100
Status = Literal["FINISHED", "KILLED", "FAILED"]


class Recorder(Protocol):
    """Takes what a run says of itself; None is no number and is left out."""

    def numbers(self, step: int, values: Mapping[str, float | None]) -> None:
        """Values after a step."""

    def pictures(self, step: int, pictures: Mapping[str, Array]) -> None:
        """Named pictures, uint8 `H W 3`."""

    @property
    def wants_pictures(self) -> bool:
        """False when drawing them would be for nothing."""


class NoRecorder:
    """Where nothing is recorded."""

    wants_pictures = False

    def numbers(self, step: int, values: Mapping[str, float | None]) -> None:
        """Forget them."""

    def pictures(self, step: int, pictures: Mapping[str, Array]) -> None:
        """Forget them."""


@contextlib.contextmanager
def recorded(what: str, key: str, config: StageConfig) -> Iterator[Recorder]:
    """The recorder of a training run, for its length.

    `MLFLOW_TRACKING_URI` turns it on. A run that `MLFLOW_RUN_ID` names is joined, under names that
    begin with `live/` and tell the trainings of a pipeline apart. Otherwise the run is our own, and
    found again by `key` when training goes on after a kill. Inside a pipeline that brings no run
    nothing is recorded: its promote stage makes the one run that there is to be, with all curves.

    Args:
        what: name of the training.
        key: digest of everything the result depends on.
        config: its options, which become the parameters of a run of our own.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    joined = os.environ.get("MLFLOW_RUN_ID")
    in_pipeline = bool(os.environ.get(RUN_VARIABLE))
    if not uri or (in_pipeline and not joined) or not distributed.is_main():
        yield NoRecorder()
        return
    recorder = MlflowRecorder(uri, what, key, config, joined)
    status: Status = "FAILED"
    try:
        yield recorder
        status = "FINISHED"
    except Interrupted:
        status = "KILLED"
        raise
    finally:
        recorder.close(status)


class MlflowRecorder:
    """Writes to one MLflow run from a thread of its own; see `recorded`."""

    wants_pictures = True

    def __init__(
        self, uri: str, what: str, key: str, config: StageConfig, joined: str | None
    ) -> None:
        self.uri = uri
        self.what = what
        self.key = key
        self.config = config
        self.joined = joined
        short = key.removeprefix("sha256:")[:8]
        self.prefix = f"live/{what}-{short}/" if joined else ""
        self._run_id: str | None = None
        self._failed = False
        self._points: list[tuple[str, float, int, int]] = []
        self._pictures: list[tuple[int, str, Array]] = []
        self._asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._closing: Status | None = None
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def numbers(self, step: int, values: Mapping[str, float | None]) -> None:
        """Values after a step; written within `FLUSH_SECONDS`."""
        self._asked.put((step, int(time.time() * 1000), dict(values)))

    def pictures(self, step: int, pictures: Mapping[str, Array]) -> None:
        """Named pictures, uint8 `H W 3`; those of a later step stand beside these."""
        self._asked.put((step, dict(pictures)))

    def close(self, status: Status) -> None:
        """Write the rest and end the run, unless it is one that was joined."""
        self._asked.put(status)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            self._warn("it did not answer in time; the last numbers are not there")

    def _work(self) -> None:
        last = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                self._take(self._asked.get(timeout=FLUSH_SECONDS))
            if self._closing is not None or time.monotonic() - last >= FLUSH_SECONDS:
                self._flush()
                last = time.monotonic()
            if self._closing is not None:
                return

    def _take(self, item: Any) -> None:
        match item:
            case "FINISHED" | "KILLED" | "FAILED":
                self._closing = item
            case step, milliseconds, values:
                points = [(k, v, milliseconds, step) for k, v in values.items() if v is not None]
                self._points = (self._points + points)[-WAITING_POINTS:]
            case step, pictures:
                self._pictures = [(step, name, picture) for name, picture in pictures.items()]

    def _flush(self) -> None:
        """Write what waits; what cannot be written goes on waiting."""
        try:
            with open_tracking(self.uri) as tracking:
                self._write(tracking)
        except RegistryFailed as error:
            self._warn(error.message)
        except (GoldseamError, OSError) as error:
            self._warn(str(error))
        except Exception as error:  # noqa: BLE001  a fault of recording must not end training
            self._warn(f"{type(error).__name__}: {error}")

    def _write(self, tracking: Tracking) -> None:
        from mlflow.entities import Metric

        run_id = self._run_id = self._run_id or self._open_run(tracking)
        names = registry_keys(dict.fromkeys(name for name, *_ in self._points))
        while self._points:
            batch = self._points[:METRIC_BATCH]
            metrics = [Metric(self.prefix + names[name], *rest) for name, *rest in batch]
            tracking.client.log_batch(run_id, metrics=metrics)
            self._points = self._points[METRIC_BATCH:]
        while self._pictures:
            step, name, picture = self._pictures[0]
            file = f"{self.prefix}examples/{name}-step-{step:08d}.png"
            tracking.client.log_image(run_id, picture, artifact_file=file)
            self._pictures = self._pictures[1:]
        if self._closing and not self.joined:
            tracking.client.set_terminated(run_id, self._closing)

    def _open_run(self, tracking: Tracking) -> str:
        from mlflow.entities import Param

        if self.joined:
            return self.joined
        client = tracking.client
        experiment = os.environ.get("MLFLOW_EXPERIMENT_ID") or tracking.experiment(
            os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        )
        found = client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{self.key}'", max_results=1)
        if found:
            run_id = str(found[0].info.run_id)
            client.update_run(run_id, status="RUNNING")
            return run_id
        tags = {KEY_TAG: self.key, "mlflow.source.name": "goldseam"}
        run = client.create_run(experiment, tags=tags, run_name=self.what)
        options = _flat(self.config.model_dump(mode="json"))
        params = [Param(name, text) for name, text in options.items()]
        for start in range(0, len(params), PARAM_BATCH):
            client.log_batch(run.info.run_id, params=params[start : start + PARAM_BATCH])
        return str(run.info.run_id)

    def _warn(self, why: str) -> None:
        if not self._failed:
            self._failed = True
            logger.warning(
                "training is not recorded for now at %s, and goes on: %s",
                public_uri(self.uri),
                why,
            )


def _flat(body: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested options as `loop.seed` → text, each within MLflow's limit."""
    found: dict[str, str] = {}
    for name, value in body.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            found[f"{prefix}{name}"] = text[:PARAM_LENGTH]
    return found
