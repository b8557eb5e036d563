"""goldseam trains vision models on broken labels and says what those labels are worth.

The names in `__all__` are the public API; each is imported when it is first used, so that
`import goldseam` costs milliseconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

from goldseam import telemetry as telemetry  # first of all: it turns telemetry off

if TYPE_CHECKING:
    from goldseam.audit.config import AuditConfig, ValidateConfig
    from goldseam.audit.expectations.validate import validate
    from goldseam.dashboard.config import PublishConfig
    from goldseam.dashboard.stage import publish
    from goldseam.dataset.checking import check_dataset
    from goldseam.dataset.codecs import Boxes
    from goldseam.dataset.formats import (
        CocoImport,
        CsvImport,
        import_coco,
        import_csv,
        open_source,
    )
    from goldseam.dataset.ingest import IngestConfig, ingest
    from goldseam.dataset.reading import Dataset, open_dataset
    from goldseam.dataset.schema import DatasetInfo, Kind, Task
    from goldseam.dataset.writing import Sample, write_dataset
    from goldseam.errors import GoldseamError
    from goldseam.evaluation.config import EvaluateConfig
    from goldseam.evaluation.stage import evaluate
    from goldseam.finetuning.config import FinetuneConfig
    from goldseam.finetuning.stage import finetune
    from goldseam.models.checkpoint import load_checkpoint
    from goldseam.multitask.config import TrainConfig
    from goldseam.multitask.stage import train
    from goldseam.pretraining.config import PretrainConfig
    from goldseam.pretraining.stage import pretrain
    from goldseam.recipe import Recipe, load_recipe
    from goldseam.registry.config import PromoteConfig
    from goldseam.registry.stage import promote

__version__ = "0.1.0"

# `audit` is a room, and its stage is `goldseam.audit.audit`: the room has more to call than that
_HOMES = {
    "AuditConfig": "audit.config",
    "Boxes": "dataset.codecs",
    "CocoImport": "dataset.formats",
    "CsvImport": "dataset.formats",
    "Dataset": "dataset.reading",
    "DatasetInfo": "dataset.schema",
    "EvaluateConfig": "evaluation.config",
    "FinetuneConfig": "finetuning.config",
    "GoldseamError": "errors",
    "IngestConfig": "dataset.ingest",
    "Kind": "dataset.schema",
    "PretrainConfig": "pretraining.config",
    "PromoteConfig": "registry.config",
    "PublishConfig": "dashboard.config",
    "Recipe": "recipe",
    "Sample": "dataset.writing",
    "Task": "dataset.schema",
    "TrainConfig": "multitask.config",
    "ValidateConfig": "audit.config",
    "check_dataset": "dataset.checking",
    "evaluate": "evaluation.stage",
    "finetune": "finetuning.stage",
    "import_coco": "dataset.formats",
    "import_csv": "dataset.formats",
    "ingest": "dataset.ingest",
    "load_checkpoint": "models.checkpoint",
    "load_recipe": "recipe",
    "open_dataset": "dataset.reading",
    "open_source": "dataset.formats",
    "pretrain": "pretraining.stage",
    "promote": "registry.stage",
    "publish": "dashboard.stage",
    "train": "multitask.stage",
    "validate": "audit.expectations.validate",
    "write_dataset": "dataset.writing",
}

__all__ = [
    "AuditConfig",
    "Boxes",
    "CocoImport",
    "CsvImport",
    "Dataset",
    "DatasetInfo",
    "EvaluateConfig",
    "FinetuneConfig",
    "GoldseamError",
    "IngestConfig",
    "Kind",
    "PretrainConfig",
    "PromoteConfig",
    "PublishConfig",
    "Recipe",
    "Sample",
    "Task",
    "TrainConfig",
    "ValidateConfig",
    "audit",
    "check_dataset",
    "evaluate",
    "finetune",
    "import_coco",
    "import_csv",
    "ingest",
    "load_checkpoint",
    "load_recipe",
    "open_dataset",
    "open_source",
    "pretrain",
    "promote",
    "publish",
    "train",
    "validate",
    "write_dataset",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"goldseam.{_HOMES[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"goldseam.{name}")
    raise AttributeError(f"module 'goldseam' has no attribute '{name}'")
