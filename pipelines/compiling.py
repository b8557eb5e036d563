"""Writes a pipeline as the intermediate representation that Kubeflow Pipelines runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfp import compiler
from kfp.dsl.base_component import BaseComponent

from goldseam.errors import InvalidConfig
from goldseam.storage.atomic import write_text
from pipelines.settings import Settings

SUFFIXES = (".yaml", ".yml")


def write_pipeline(pipeline: BaseComponent, path: Path) -> None:
    """Compile a pipeline; the file appears whole or not at all.

    Raises:
        InvalidConfig: `path` does not end in .yaml or .yml, which Kubeflow Pipelines asks for.
        StorageFull: no space on the disk.
    """
    if path.suffix not in SUFFIXES:
        raise InvalidConfig(
            f"{path}: a compiled pipeline is YAML.", remedy="Name a file that ends in .yaml."
        )
    write_text(path, compiled(pipeline))


def compile_for_cluster(
    build: Callable[[Settings], BaseComponent], path: Path, **settings: Any
) -> None:
    """Build a pipeline for a cluster and compile it.

    Args:
        build: makes the pipeline.
        path: the YAML file to write.
        settings: fields of `Settings`, such as `image`, `gpu`, `workspace_claim`.

    Raises:
        InvalidConfig: the image is not pinned by digest, or `path` is no YAML file.
        MissingExtra: a workspace volume is asked for, and kfp-kubernetes is not installed.
    """
    write_pipeline(build(Settings(cluster=True, **settings)), path)


def compiled(pipeline: BaseComponent) -> str:
    """The compiled pipeline as YAML."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pipeline.yaml")
        compiler.Compiler().compile(pipeline, str(file))
        return file.read_text()
