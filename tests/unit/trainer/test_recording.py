"""A run's numbers reach MLflow while it trains; without a server it trains all the same."""

import logging
import time

import numpy as np
import pytest

from goldseam.errors import Interrupted
from goldseam.models.config import EncoderConfig, NetworkConfig
from goldseam.multitask.config import TrainConfig
from goldseam.multitask.stage import train
from goldseam.tracking import open_tracking
from goldseam.trainer import recording
from goldseam.trainer.config import LoopConfig, OptimizerConfig
from goldseam.trainer.recording import KEY_TAG, MlflowRecorder, NoRecorder, recorded

TASKS = ("cover", "relief", "tags")


def config(**more) -> TrainConfig:
    return TrainConfig(
        tasks=TASKS,
        network=NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8),
        optimizer=OptimizerConfig(steps=6, batch_size=8),
        loop=LoopConfig(evaluate_every=3, log_every=1),
        **more,
    )


@pytest.fixture(autouse=True)
def _nothing_around_us(monkeypatch):
    for name in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "GOLDSEAM_RUN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(tmp_path_factory, monkeypatch):
    """A database that `MLFLOW_TRACKING_URI` names."""
    uri = f"sqlite:///{tmp_path_factory.getbasetemp()}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


def runs(uri):
    with open_tracking(uri) as tracking:
        experiment = tracking.experiment("goldseam")
        return {run.info.run_id: run for run in tracking.client.search_runs([experiment])}


def test_a_run_is_found_in_mlflow_with_its_curves_and_pictures(tmp_path, disc_data, server):
    before = set(runs(server))
    result = train(config(), disc_data, tmp_path / "out")
    after = runs(server)
    (run_id,) = set(after) - before
    run = after[run_id]
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "train"
    assert run.data.tags[KEY_TAG] == result.key
    assert run.data.params["optimizer.steps"] == "6"
    last = result.history[-1]
    for name in ("loss", "loss.cover", "learning_rate", "cover.miou", "selection"):
        assert run.data.metrics[name] == pytest.approx(last[name])
    with open_tracking(server) as tracking:
        points = tracking.client.get_metric_history(run_id, "loss")
        assert [point.step for point in points] == [1, 2, 3, 4, 5, 6]
        files = [f.path for f in tracking.client.list_artifacts(run_id, "examples")]
        step = f"{result.best_step:08d}"
        assert f"examples/validation-step-{step}.png" in files
        picture = tracking.client.download_artifacts(run_id, files[0], str(tmp_path))
    from PIL import Image

    # four images; the image itself, then label and prediction of two dense tasks
    assert Image.open(picture).size == ((16 + 4) * 5, (16 + 4) * 4)


def test_a_run_that_goes_on_is_the_same_run(tmp_path, server):
    known = set(runs(server))
    with (  # noqa: PT012
        pytest.raises(Interrupted),
        recorded("train", "sha256:resumed", config()) as recorder,
    ):
        recorder.numbers(1, {"loss": 2.0, "nothing": None})
        raise Interrupted("train", 1, 2)
    (run_id,) = set(runs(server)) - known
    assert runs(server)[run_id].info.status == "KILLED"
    with recorded("train", "sha256:resumed", config()) as recorder:
        recorder.numbers(2, {"loss": 1.0})
    assert set(runs(server)) - known == {run_id}
    run = runs(server)[run_id]
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"loss": 1.0}


def test_a_run_around_us_is_joined_and_not_ended(server, monkeypatch):
    with open_tracking(server) as tracking:
        run = tracking.client.create_run(tracking.experiment("goldseam"))
    known = set(runs(server))
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    monkeypatch.setenv("GOLDSEAM_RUN", "r1")
    for what, key in (("train", "sha256:1111111111"), ("train", "sha256:2222222222")):
        with recorded(what, key, config()) as recorder:
            recorder.numbers(1, {"loss": 2.0})
    found = runs(server)
    assert set(found) == known
    joined = found[run.info.run_id]
    assert joined.info.status == "RUNNING"
    # two trainings of one pipeline keep apart
    assert set(joined.data.metrics) == {"live/train-11111111/loss", "live/train-22222222/loss"}


def test_nothing_is_recorded_without_an_address_or_beside_the_run_of_a_pipeline(
    monkeypatch, server
):
    with monkeypatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI")
        with recorded("train", "sha256:0", config()) as recorder:
            assert isinstance(recorder, NoRecorder)
    monkeypatch.setenv("GOLDSEAM_RUN", "r1")  # its promote stage makes the one run
    with recorded("train", "sha256:0", config()) as recorder:
        assert isinstance(recorder, NoRecorder)
        recorder.numbers(1, {"loss": 1.0})
        recorder.pictures(1, {"x": np.zeros((2, 2, 3), np.uint8)})


def test_an_outage_is_said_once_and_ends_nothing(tmp_path, disc_data, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody answers there
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(recording, "FLUSH_SECONDS", 0.05)
    with caplog.at_level(logging.WARNING, logger="goldseam.trainer.recording"):
        result = train(config(), disc_data, tmp_path / "out")
    assert result.steps == 6
    said = [r.getMessage() for r in caplog.records if r.name == "goldseam.trainer.recording"]
    assert len(said) == 1
    assert "training is not recorded for now at http://127.0.0.1:9, and goes on" in said[0]


def test_what_waited_for_a_server_is_written_when_it_answers(server, monkeypatch, caplog):
    monkeypatch.setattr(recording, "FLUSH_SECONDS", 0.05)
    tried = []
    write = MlflowRecorder._write

    def failing(self, tracking):
        tried.append(time.monotonic())
        if len(tried) < 3:
            raise ConnectionError("the server is away")
        write(self, tracking)

    monkeypatch.setattr(MlflowRecorder, "_write", failing)
    known = set(runs(server))
    with recorded("train", "sha256:waiting", config()) as recorder:
        for step in range(40):
            recorder.numbers(step, {"loss": float(step)})
            time.sleep(0.02)
            if len(tried) >= 3:
                break
    (run_id,) = set(runs(server)) - known
    with open_tracking(server) as tracking:
        points = tracking.client.get_metric_history(run_id, "loss")
    assert sorted(point.step for point in points) == list(range(len(points)))
    assert len(points) > 2


def test_a_server_that_hangs_does_not_hold_up_the_end(monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(recording, "CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(MlflowRecorder, "_flush", lambda _self: time.sleep(3))
    began = time.monotonic()
    with (
        caplog.at_level(logging.WARNING, logger="goldseam.trainer.recording"),
        recorded("train", "sha256:hanging", config()) as recorder,
    ):
        recorder.numbers(1, {"loss": 1.0})
    assert time.monotonic() - began < 2
    assert "did not answer in time" in caplog.text
