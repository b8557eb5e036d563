"""The files that make a checkpoint folder a model of MLflow, beside the checkpoint's own.

With them `mlflow models serve` answers for a registered version; without pickle, since the model is
loaded by the name of a module (`goldseam.export.pyfunc`) from the checkpoint's own files.
"""

import json
import platform
from pathlib import Path
from typing import Any

from goldseam.dataset.schema import Kind, Task
from goldseam.export.pyfunc import IMAGE_COLUMN, PARAMETERS, output_columns

# as in `goldseam.models.checkpoint`, which would import torch for it
CONFIG_FILE = "config.json"
LOADER = "goldseam.export.pyfunc"
MODEL_FILE, REQUIREMENTS_FILE, ENVIRONMENT_FILE = "MLmodel", "requirements.txt", "python_env.yaml"
SERVING_FILES = (MODEL_FILE, REQUIREMENTS_FILE, ENVIRONMENT_FILE)


def signature(tasks: dict[str, Task]) -> Any:
    """The `mlflow.models.ModelSignature` of a model with these tasks."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    outputs = []
    for column, (task, decides) in output_columns(tasks).items():
        held = Array(DataType.boolean if decides else DataType.double)
        outputs.append(ColSpec(held if tasks[task].kind is Kind.TAGS else DataType.string, column))
    params = [ParamSpec(name, kind, default) for name, (kind, default) in PARAMETERS.items()]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, IMAGE_COLUMN)]),
        outputs=Schema(outputs),
        params=ParamSchema(params),
    )


def write_serving_files(checkpoint: Path, folder: Path, *, run_id: str | None = None) -> None:
    """Write what MLflow needs beside a copy of the checkpoint.

    Args:
        checkpoint: checkpoint folder; only its `config.json` is read.
        folder: where to write; exists.
        run_id: of the run that keeps the model.
    """
    import mlflow.pyfunc
    import yaml
    from mlflow.models import Model

    from goldseam import __version__

    declared = json.loads((checkpoint / CONFIG_FILE).read_text())["tasks"]
    tasks = {name: Task.model_validate(task) for name, task in declared.items()}
    model = Model(run_id=run_id, signature=signature(tasks))
    # without `data` MLflow hands the loader the folder itself, where the checkpoint stands
    mlflow.pyfunc.add_to_model(model, loader_module=LOADER, python_env=ENVIRONMENT_FILE)
    model.save(str(folder / MODEL_FILE))
    (folder / REQUIREMENTS_FILE).write_text(f"goldseam=={__version__}\n")
    environment = {
        "python": platform.python_version(),
        "build_dependencies": ["pip"],
        "dependencies": [f"-r {REQUIREMENTS_FILE}"],
    }
    (folder / ENVIRONMENT_FILE).write_text(yaml.safe_dump(environment, sort_keys=False))
