"""Fetching the champion: exact files, none where there is none, and quickly so."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow.artifacts
import pytest

from goldseam.artifacts import digest_folder
from goldseam.errors import DigestMismatch
from goldseam.registry.champion import fetch_champion
from goldseam.registry.config import PromoteConfig
from goldseam.registry.stage import promote
from goldseam.results import EvaluationResult

WITHOUT_MLFLOW = """
import sys
from pathlib import Path
from goldseam.registry.champion import fetch_champion
from goldseam.registry.config import PromoteConfig
assert fetch_champion(PromoteConfig(tracking_uri=sys.argv[1]), Path(sys.argv[2])) is None
assert "mlflow" not in sys.modules and "torch" not in sys.modules
"""


def test_missing_database_needs_no_mlflow(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    command = [sys.executable, "-c", WITHOUT_MLFLOW, uri, tmp_path / "champion"]
    subprocess.run(command, check=True)
    assert list(tmp_path.iterdir()) == []


def test_none_without_model_or_alias(config: PromoteConfig, tmp_path: Path) -> None:
    assert fetch_champion(config, tmp_path / "champion") is None
    assert not (tmp_path / "champion").exists()


def test_fetches_the_registered_files(
    config: PromoteConfig,
    checkpoint: Callable[..., Path],
    evaluate: Callable[..., EvaluationResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = checkpoint(0)
    promote(config, evaluate(model), model, tmp_path / "out", recipe={}, lineage={})
    to = tmp_path / "champion"
    for _ in range(2):
        assert fetch_champion(config, to) == to
        assert digest_folder(to) == digest_folder(model)
    # the way that the model card tells
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(config.tracking_uri))
    downloaded = mlflow.artifacts.download_artifacts(
        "models:/coast@champion", dst_path=str(tmp_path / "download")
    )
    assert (Path(downloaded) / "model_card.md").is_file()
    other = config.model_copy(update={"alias": "candidate"})
    assert fetch_champion(other, tmp_path / "candidate") is None

    registered = next((tmp_path / "registry").rglob("model.safetensors"))
    registered.write_bytes(b"tampered")
    with pytest.raises(DigestMismatch, match="coast version 1"):
        fetch_champion(config, tmp_path / "tampered")
    assert not (tmp_path / "tampered").exists()
