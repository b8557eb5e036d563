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
        ChestXray14Import,
        ChexpertImport,
        CityscapesImport,
        CocoImport,
        CocoTagsImport,
        CsvImport,
        NyuImport,
        OpenImagesImport,
        PascalImport,
        import_chest_xray14,
        import_chexpert,
        import_cityscapes,
        import_coco,
        import_coco_tags,
        import_csv,
        import_nyud,
        import_nyuv2,
        import_open_images,
        import_pascal_context,
        open_source,
    )
    from goldseam.dataset.ingest import IngestConfig, ingest
    from goldseam.dataset.partial import LabelMask, TagScheme, label_mask, read_mask, tag_mask
    from goldseam.dataset.partial.apply import apply_mask, draw_mask, make_partial
    from goldseam.dataset.partial.drawn_tags import draw_tags
    from goldseam.dataset.reading import Dataset, open_dataset
    from goldseam.dataset.schema import DatasetInfo, Derivation, Kind, Task
    from goldseam.dataset.writing import Sample, write_dataset
    from goldseam.errors import GoldseamError
    from goldseam.evaluation.config import EvaluateConfig
    from goldseam.evaluation.stage import evaluate
    from goldseam.finetuning.config import FinetuneConfig
    from goldseam.finetuning.heads import finetune_categories
    from goldseam.finetuning.stage import finetune
    from goldseam.models.checkpoint import load_checkpoint
    from goldseam.multitask.affinity import AffinityConfig, affinity
    from goldseam.multitask.config import TrainConfig
    from goldseam.multitask.distillation import DistilConfig, distil
    from goldseam.multitask.stage import train
    from goldseam.prediction.config import PredictConfig
    from goldseam.prediction.stage import predict
    from goldseam.pretraining.config import PretrainConfig
    from goldseam.pretraining.stage import pretrain
    from goldseam.recipe import PartialRecipe, Recipe, TagsRecipe, load_recipe
    from goldseam.registry.config import PromoteConfig
    from goldseam.registry.stage import promote

__version__ = "0.1.0"

# `audit` is a room, and its stage is `goldseam.audit.audit`: the room has more to call than that
_HOMES = {
    "AffinityConfig": "multitask.affinity",
    "AuditConfig": "audit.config",
    "Boxes": "dataset.codecs",
    "ChestXray14Import": "dataset.formats",
    "ChexpertImport": "dataset.formats",
    "CityscapesImport": "dataset.formats",
    "CocoImport": "dataset.formats",
    "CocoTagsImport": "dataset.formats",
    "CsvImport": "dataset.formats",
    "Dataset": "dataset.reading",
    "DatasetInfo": "dataset.schema",
    "Derivation": "dataset.schema",
    "DistilConfig": "multitask.distillation",
    "EvaluateConfig": "evaluation.config",
    "FinetuneConfig": "finetuning.config",
    "GoldseamError": "errors",
    "IngestConfig": "dataset.ingest",
    "Kind": "dataset.schema",
    "LabelMask": "dataset.partial",
    "NyuImport": "dataset.formats",
    "OpenImagesImport": "dataset.formats",
    "PartialRecipe": "recipe",
    "PascalImport": "dataset.formats",
    "PredictConfig": "prediction.config",
    "PretrainConfig": "pretraining.config",
    "PromoteConfig": "registry.config",
    "PublishConfig": "dashboard.config",
    "Recipe": "recipe",
    "Sample": "dataset.writing",
    "TagScheme": "dataset.partial",
    "TagsRecipe": "recipe",
    "Task": "dataset.schema",
    "TrainConfig": "multitask.config",
    "ValidateConfig": "audit.config",
    "affinity": "multitask.affinity",
    "apply_mask": "dataset.partial.apply",
    "check_dataset": "dataset.checking",
    "distil": "multitask.distillation",
    "draw_mask": "dataset.partial.apply",
    "draw_tags": "dataset.partial.drawn_tags",
    "evaluate": "evaluation.stage",
    "finetune": "finetuning.stage",
    "finetune_categories": "finetuning.heads",
    "import_chest_xray14": "dataset.formats",
    "import_chexpert": "dataset.formats",
    "import_cityscapes": "dataset.formats",
    "import_coco": "dataset.formats",
    "import_coco_tags": "dataset.formats",
    "import_csv": "dataset.formats",
    "import_nyud": "dataset.formats",
    "import_nyuv2": "dataset.formats",
    "import_open_images": "dataset.formats",
    "import_pascal_context": "dataset.formats",
    "ingest": "dataset.ingest",
    "label_mask": "dataset.partial",
    "load_checkpoint": "models.checkpoint",
    "load_recipe": "recipe",
    "make_partial": "dataset.partial.apply",
    "open_dataset": "dataset.reading",
    "open_source": "dataset.formats",
    "predict": "prediction.stage",
    "pretrain": "pretraining.stage",
    "promote": "registry.stage",
    "publish": "dashboard.stage",
    "read_mask": "dataset.partial",
    "tag_mask": "dataset.partial",
    "train": "multitask.stage",
    "validate": "audit.expectations.validate",
    "write_dataset": "dataset.writing",
}

__all__ = [
    "AffinityConfig",
    "AuditConfig",
    "Boxes",
    "ChestXray14Import",
    "ChexpertImport",
    "CityscapesImport",
    "CocoImport",
    "CocoTagsImport",
    "CsvImport",
    "Dataset",
    "DatasetInfo",
    "Derivation",
    "DistilConfig",
    "EvaluateConfig",
    "FinetuneConfig",
    "GoldseamError",
    "IngestConfig",
    "Kind",
    "LabelMask",
    "NyuImport",
    "OpenImagesImport",
    "PartialRecipe",
    "PascalImport",
    "PredictConfig",
    "PretrainConfig",
    "PromoteConfig",
    "PublishConfig",
    "Recipe",
    "Sample",
    "TagScheme",
    "TagsRecipe",
    "Task",
    "TrainConfig",
    "ValidateConfig",
    "affinity",
    "apply_mask",
    "audit",
    "check_dataset",
    "distil",
    "draw_mask",
    "draw_tags",
    "evaluate",
    "finetune",
    "finetune_categories",
    "import_chest_xray14",
    "import_chexpert",
    "import_cityscapes",
    "import_coco",
    "import_coco_tags",
    "import_csv",
    "import_nyud",
    "import_nyuv2",
    "import_open_images",
    "import_pascal_context",
    "ingest",
    "label_mask",
    "load_checkpoint",
    "load_recipe",
    "make_partial",
    "open_dataset",
    "open_source",
    "predict",
    "pretrain",
    "promote",
    "publish",
    "read_mask",
    "tag_mask",
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
