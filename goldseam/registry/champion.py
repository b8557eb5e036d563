"""The present champion as a checkpoint folder, for the evaluation that a newcomer must pass."""

import shutil
import tempfile
from pathlib import Path

from goldseam.artifacts import digest_folder
from goldseam.errors import DigestMismatch
from goldseam.registry.config import PromoteConfig
from goldseam.registry.recording import ADDED_FILES
from goldseam.registry.tracking import open_tracking, tracking_uri
from goldseam.registry.versions import MODEL_TAG, alias_version
from goldseam.storage.atomic import atomic_folder
from goldseam.tracking import sqlite_file


def fetch_champion(config: PromoteConfig, to: Path) -> Path | None:
    """Fetch the checkpoint that carries the alias.

    The model card and what MLflow serves it by stay in the registry: the folder holds the
    checkpoint's own files, so its digest is that of the checkpoint that was registered.

    Args:
        config: where the registry is; its gates do not matter.
        to: the folder to make; one that stands there from before is replaced.

    Returns:
        `to`; None when there is no champion. Where the SQLite file does not exist this is known
        without importing MLflow.

    Raises:
        RegistryFailed: MLflow refused or cannot be reached.
        DigestMismatch: the files are not those that were registered.
    """
    file = sqlite_file(tracking_uri(config))
    if file is not None and not file.exists():
        return None
    with open_tracking(config) as tracking:
        version = alias_version(tracking, config.model_name, config.alias)
        if version is None:
            return None
        import mlflow.artifacts

        with atomic_folder(to, replace=True) as folder, tempfile.TemporaryDirectory() as scratch:
            found = mlflow.artifacts.download_artifacts(
                artifact_uri=version.source, dst_path=scratch, tracking_uri=tracking.uri
            )
            shutil.copytree(found, folder, dirs_exist_ok=True)
            for name in ADDED_FILES:
                (folder / name).unlink(missing_ok=True)
            expected, digest = version.tags.get(MODEL_TAG), digest_folder(folder)
            if expected is not None and digest != expected:
                raise DigestMismatch(
                    f"{config.model_name} version {version.version}",
                    expected,
                    digest,
                    "The registry's files were changed: move the alias to another version.",
                )
    return to
