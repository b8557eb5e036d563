"""What the labels are worth: `validate` checks their form, `audit` measures what they say.

The single questions of an audit can be asked of arrays that are in memory already: `tag_errors`,
`mask_errors`, `box_errors`, `value_errors`, `pseudo_label_errors`, `find_duplicates`. Everything is
imported when it is first used; see `goldseam`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goldseam.audit.config import AuditConfig, MeasureConfig, ValidateConfig
    from goldseam.audit.duplicates.finding import AlikeImages, find_duplicates
    from goldseam.audit.errors.boxes import BoxErrors, PredictedBoxes, box_errors
    from goldseam.audit.errors.masks import MaskErrors, mask_errors
    from goldseam.audit.errors.tags import TagErrors, tag_errors
    from goldseam.audit.errors.values import ValueErrors, value_errors
    from goldseam.audit.export import export_findings
    from goldseam.audit.measuring.stage import join_measures, measure
    from goldseam.audit.noise.transition import read_transition, transition_matrix
    from goldseam.audit.predictions.config import PredictionsConfig
    from goldseam.audit.predictions.stage import crossfit
    from goldseam.audit.pseudo_labels.judged import PseudoLabelErrors
    from goldseam.audit.pseudo_labels.masks import pseudo_mask_errors
    from goldseam.audit.pseudo_labels.tags import pseudo_label_errors
    from goldseam.audit.stage import audit
    from goldseam.dataset.codecs import Boxes

__all__ = [
    "AlikeImages",
    "AuditConfig",
    "BoxErrors",
    "Boxes",
    "MaskErrors",
    "MeasureConfig",
    "PredictedBoxes",
    "PredictionsConfig",
    "PseudoLabelErrors",
    "TagErrors",
    "ValidateConfig",
    "ValueErrors",
    "audit",
    "box_errors",
    "crossfit",
    "export_findings",
    "find_duplicates",
    "join_measures",
    "mask_errors",
    "measure",
    "pseudo_label_errors",
    "pseudo_mask_errors",
    "read_transition",
    "tag_errors",
    "transition_matrix",
    "value_errors",
]

_HOMES = {
    "AlikeImages": "duplicates.finding",
    "AuditConfig": "config",
    "BoxErrors": "errors.boxes",
    "Boxes": "errors.boxes",
    "MaskErrors": "errors.masks",
    "MeasureConfig": "config",
    "PredictedBoxes": "errors.boxes",
    "PredictionsConfig": "predictions.config",
    "PseudoLabelErrors": "pseudo_labels.judged",
    "TagErrors": "errors.tags",
    "ValidateConfig": "config",
    "ValueErrors": "errors.values",
    "audit": "stage",
    "box_errors": "errors.boxes",
    "crossfit": "predictions.stage",
    "export_findings": "export",
    "find_duplicates": "duplicates.finding",
    "join_measures": "measuring.stage",
    "mask_errors": "errors.masks",
    "measure": "measuring.stage",
    "pseudo_label_errors": "pseudo_labels.tags",
    "pseudo_mask_errors": "pseudo_labels.masks",
    "read_transition": "noise.transition",
    "tag_errors": "errors.tags",
    "transition_matrix": "noise.transition",
    "value_errors": "errors.values",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"goldseam.audit.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'goldseam.audit' has no attribute '{name}'")
