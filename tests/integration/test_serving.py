"""One checkpoint, three ways to its predictions: `goldseam predict`, an export, MLflow's server."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from goldseam.artifacts import digest_folder
from goldseam.export.config import ExportConfig
from goldseam.export.formats import open_program
from goldseam.export.pyfunc import decode_array
from goldseam.export.stage import export
from goldseam.models.checkpoint import load_checkpoint
from goldseam.prediction.config import PredictConfig
from goldseam.prediction.stage import predict
from goldseam.registry.champion import fetch_champion
from goldseam.registry.config import PromoteConfig
from goldseam.registry.stage import promote
from goldseam.results import Estimate, EvaluationResult, ModelScores
from tests.unit.prediction.samples import TASKS, make_checkpoint, make_picture

SIZE = (48, 64)  # multiples of the model's stride, so that an export takes the picture as it is
EXPORT = ExportConfig(size=SIZE)  # one size is traced in a fraction of the time of all sizes
STARTS_WITHIN = 240  # seconds, on a busy machine


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("train") / "checkpoint", "feature")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pictures") / "room.png"
    Image.fromarray(make_picture(*SIZE)).save(file)
    return file


@pytest.fixture(scope="module")
def predicted(
    checkpoint: Path, picture: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, np.ndarray]:
    """What `goldseam predict` writes."""
    out = tmp_path_factory.mktemp("predict") / "out"
    result = predict(PredictConfig(device="cpu"), [picture], checkpoint, out)
    with np.load(out / result.images[0].arrays["cover"]) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def registry(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> PromoteConfig:
    """A registry in which the checkpoint is champion."""
    folder = tmp_path_factory.mktemp("registry")
    database = f"sqlite:///{folder / 'mlflow.db'}"
    config = PromoteConfig(tracking_uri=database, model_name="discs")
    digest = digest_folder(checkpoint)
    evaluation = EvaluationResult(
        key="sha256:evaluation",
        digest="sha256:scores",
        dataset_digest="sha256:" + "d" * 64,
        split="test",
        images=1,
        groups=1,
        resamples=10,
        models={"pipeline": ModelScores(digest, {"cover.miou": Estimate(0.5)})},
        differences={},
        examples=(),
    )
    result = promote(config, evaluation, checkpoint, folder / "out", recipe={}, lineage={})
    assert result.promoted
    return config


@pytest.fixture(scope="module")
def server(registry: PromoteConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`mlflow models serve` on a free port, as a user types it; stopped by its own group."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    assert registry.tracking_uri is not None
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": registry.tracking_uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "mlflow", "models", "serve"]
    command += ["-m", "models:/discs@champion", "--env-manager", "local"]
    command += ["-h", "127.0.0.1", "-p", str(port)]
    with log.open("w") as stream:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + STARTS_WITHIN
        while not _answers(address):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/ping", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def ask(address: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The status and the JSON that the server answers."""
    request = urllib.request.Request(
        f"{address}/invocations",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_predict_is_the_checkpoint(checkpoint: Path, predicted: dict[str, np.ndarray]) -> None:
    import torch

    image = torch.from_numpy(make_picture(*SIZE)).permute(2, 0, 1)[None].float() / 255
    expected = load_checkpoint(checkpoint).predict(image.contiguous())
    assert set(predicted) == set(expected) == set(TASKS)
    for task, tensor in expected.items():
        np.testing.assert_allclose(predicted[task], tensor[0].numpy(), atol=1e-5, err_msg=task)


def test_export_is_predict(
    checkpoint: Path, predicted: dict[str, np.ndarray], tmp_path: Path
) -> None:
    result = export(EXPORT, checkpoint, tmp_path / "out")
    images = make_picture(*SIZE).transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
    found = open_program(tmp_path / "out" / result.file)(images)
    for task, array in predicted.items():
        np.testing.assert_allclose(found[task][0], array, atol=1e-4, err_msg=task)


def test_server_is_predict(server: str, picture: Path, predicted: dict[str, np.ndarray]) -> None:
    cell = base64.b64encode(picture.read_bytes()).decode()
    for body in (
        {"dataframe_split": {"columns": ["image"], "data": [[cell], [cell]]}},
        {"dataframe_records": [{"image": cell}, {"image": cell}], "params": {"tile": 256}},
    ):
        status, answer = ask(server, body)
        assert status == 200, answer
        assert len(answer["predictions"]) == 2
        for row in answer["predictions"]:
            assert list(row) == [*TASKS, "tags_present"]
            assert row["tags_present"] == [p >= 0.5 for p in row["tags"]]
            for task, array in predicted.items():
                found = np.array(row[task]) if task == "tags" else decode_array(row[task])
                np.testing.assert_allclose(found, array, atol=1e-4, err_msg=task)


def test_server_says_what_is_wrong(server: str) -> None:
    cell = base64.b64encode(b"no picture").decode()
    status, answer = ask(server, {"dataframe_split": {"columns": ["image"], "data": [[cell]]}})
    assert status == 400
    assert "row 0, column 'image'" in answer["message"]
    status, answer = ask(server, {"dataframe_split": {"columns": ["photo"], "data": [[cell]]}})
    assert status == 400


def test_champion_comes_back_as_the_checkpoint(
    registry: PromoteConfig, checkpoint: Path, tmp_path: Path
) -> None:
    fetched = fetch_champion(registry, tmp_path / "champion")
    assert fetched is not None
    assert digest_folder(fetched) == digest_folder(checkpoint)
