"""An exported program predicts what its checkpoint does, and says what it takes."""

import json

import numpy as np
import pytest
import torch

from goldseam.errors import InvalidConfig, MissingExtra, MissingInput, OutputExists
from goldseam.export.config import ExportConfig
from goldseam.export.formats import open_program
from goldseam.export.stage import ExportDiffers, Exported, export
from goldseam.models.checkpoint import load_checkpoint
from tests.unit.prediction.samples import STRIDE, TASKS, make_checkpoint

CLOSE = 1e-4


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")

    def make(variant):
        if not (folder / variant).exists():
            make_checkpoint(folder / variant, variant)
        return folder / variant

    return make


def differences(checkpoint, run, size, *, batch=2, initial=False):
    """Task → largest difference between a program and its checkpoint on random pictures."""
    images = np.random.default_rng(5).random((batch, 3, *size), np.float32)
    expected = load_checkpoint(checkpoint).predict(torch.from_numpy(images), initial=initial)
    found = run(images)
    assert {task: array.shape for task, array in found.items()} == {
        task: tuple(expected[task].shape) for task in found
    }
    return {task: float(np.abs(found[task] - expected[task].numpy()).max()) for task in found}


@pytest.mark.parametrize(
    "variant",
    ["feature", *(pytest.param(v, marks=pytest.mark.slow) for v in ("plain", "prediction"))],
)
def test_torch_program_of_any_size_is_the_checkpoint(checkpoints, tmp_path, variant):
    checkpoint = checkpoints(variant)
    result = export(ExportConfig(), checkpoint, tmp_path / "out")
    assert result.stride == STRIDE
    assert result.input_shape == ("batch", 3, f"{STRIDE}*h", f"{STRIDE}*w")
    run = open_program(tmp_path / "out" / result.file)
    for batch, size in ((1, (64, 32)), (3, (32, 48)), (2, (128, 160))):
        found = differences(checkpoint, run, size, batch=batch)
        assert set(found) == set(TASKS)
        assert max(found.values()) <= CLOSE, found


@pytest.mark.parametrize(
    "variant",
    ["plain", *(pytest.param(v, marks=pytest.mark.slow) for v in ("feature", "prediction"))],
)
def test_onnx_of_any_size_is_the_checkpoint(checkpoints, tmp_path, variant):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    checkpoint = checkpoints(variant)
    result = export(ExportConfig(format="onnx"), checkpoint, tmp_path / "out")
    assert set(result.versions) == {"torch", "onnx", "onnxscript", "onnxruntime"}
    run = open_program(tmp_path / "out" / result.file)
    for batch, size in ((1, (64, 32)), (3, (32, 48))):
        found = differences(checkpoint, run, size, batch=batch)
        assert set(found) == set(TASKS)
        assert max(found.values()) <= CLOSE, found


def test_fixed_size_onnx_of_a_model_that_refines(checkpoints, tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    config = ExportConfig(format="onnx", size=(16, 24), tasks=("relief", "facing"))
    result = export(config, checkpoints("feature"), tmp_path / "out")
    run = open_program(tmp_path / "out" / result.file)
    found = differences(checkpoints("feature"), run, (16, 24), batch=5)
    assert set(found) == {"relief", "facing"}
    assert max(found.values()) <= CLOSE, found


def test_initial_predictions_can_be_exported(checkpoints, tmp_path):
    config = ExportConfig(initial=True, size=(32, 32))
    result = export(config, checkpoints("feature"), tmp_path / "out")
    run = open_program(tmp_path / "out" / result.file)
    found = differences(checkpoints("feature"), run, (32, 32), initial=True)
    assert max(found.values()) <= CLOSE
    final = differences(checkpoints("feature"), run, (32, 32))
    assert final["relief"] > CLOSE  # the check above can fail


def test_metadata_says_what_goes_in_and_comes_out(checkpoints, tmp_path):
    result = export(ExportConfig(size=(16, 24)), checkpoints("plain"), tmp_path / "out")
    body = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert body["input"] == "images"
    assert body["input_shape"] == ["batch", 3, 16, 24]
    assert body["outputs"] == {
        "cover": ["batch", 3, 16, 24],
        "edge": ["batch", 16, 24],
        "relief": ["batch", 16, 24],
        "facing": ["batch", 3, 16, 24],
        "tags": ["batch", 2],
    }
    assert body["output_meanings"]["relief"] == "value in m"
    assert body["output_meanings"]["facing"].startswith("unit vectors, x right")
    assert body["tag_thresholds"] == {"tags": {"disk": 0.5, "bar": 0.5}}
    assert body["model_digest"] == result.model_digest
    assert isinstance(result, Exported)


def test_bad_requests(checkpoints, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InvalidConfig, match="no multiple of the model's stride, 4 px"):
        export(ExportConfig(size=(30, 32)), checkpoints("plain"), out)
    with pytest.raises(InvalidConfig, match="'covr'"):
        export(ExportConfig(tasks=("covr",)), checkpoints("plain"), out)
    with pytest.raises(MissingInput, match="no checkpoint"):
        export(ExportConfig(), tmp_path, out)
    out.mkdir()
    with pytest.raises(OutputExists, match="--replace"):
        export(ExportConfig(), checkpoints("plain"), out)
    with pytest.raises(OutputExists, match=r"holds no metadata\.json"):
        export(ExportConfig(), checkpoints("plain"), out, replace=True)


def test_program_that_differs_is_not_written(checkpoints, tmp_path, monkeypatch):
    def wrong(file):
        run = open_program(file)

        def shifted(images):
            return {task: array + 0.1 * (task == "edge") for task, array in run(images).items()}

        return shifted

    monkeypatch.setattr("goldseam.export.stage.open_program", wrong)
    with pytest.raises(ExportDiffers, match="'edge' differs"):
        export(ExportConfig(size=(16, 16)), checkpoints("plain"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named(checkpoints, tmp_path, monkeypatch):
    import importlib.metadata

    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(MissingExtra, match="'onnx'"):
        export(ExportConfig(format="onnx"), checkpoints("plain"), tmp_path / "out")


def test_command(checkpoints, tmp_path, monkeypatch, capsys):
    from goldseam.cli import main

    def run(*arguments):
        given = ["goldseam", "export", "--model", str(checkpoints("plain")), *arguments]
        monkeypatch.setattr("sys.argv", given)
        try:
            main()
        except SystemExit as stop:
            return stop.code or 0, capsys.readouterr()
        return 0, capsys.readouterr()

    code, printed = run("--out", str(tmp_path / "out"), "--size", "16x24")
    assert code == 0
    assert "'images' float32 [batch, 3, 16, 24]" in printed.out
    for wrong, said in (
        (("--size", "512"), "--size is '512'"),
        (("--size", "²x16"), "--size is '²x16'"),
        (("--size", "17x24"), "no multiple"),
        (("--format", "tflite"), "--format is 'tflite'"),
    ):
        code, printed = run("--out", str(tmp_path / "x"), *wrong)
        assert code == 2
        assert said in printed.err
        assert "goldseam predict" not in printed.err
