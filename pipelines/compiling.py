"""Writes a pipeline as the intermediate representation that Kubeflow Pipelines runs."""

from pathlib import Path

from kfp import compiler
from kfp.dsl.base_component import BaseComponent

from goldseam.errors import InvalidConfig
from goldseam.storage.atomic import write_text

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


def compiled(pipeline: BaseComponent) -> str:
    """The compiled pipeline as YAML."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pipeline.yaml")
        compiler.Compiler().compile(pipeline, str(file))
        return file.read_text()
