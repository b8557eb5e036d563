"""Metrics that stream, merge, and never score what nobody labeled.

Each keeps one state per group, so that `bootstrap` can draw groups; an undefined score is None.
"""

from collections.abc import Mapping

from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig
from goldseam.metrics.boundary import BoundaryMetric
from goldseam.metrics.calibration import CalibrationMetric
from goldseam.metrics.delta import Delta, PairedDelta, delta_m, paired_delta
from goldseam.metrics.intervals import bootstrap, paired_difference
from goldseam.metrics.regression import NormalsMetric, RegressionMetric
from goldseam.metrics.saliency import SaliencyMetric
from goldseam.metrics.segmentation import SegmentationMetric
from goldseam.metrics.sparsification import SparsificationMetric
from goldseam.metrics.sums import InvalidMetricInput, Metric
from goldseam.metrics.tags import TagsMetric

METERS = "m"

__all__ = [
    "BoundaryMetric",
    "CalibrationMetric",
    "Delta",
    "InvalidMetricInput",
    "Metric",
    "NormalsMetric",
    "PairedDelta",
    "RegressionMetric",
    "SaliencyMetric",
    "SegmentationMetric",
    "SparsificationMetric",
    "TagsMetric",
    "bootstrap",
    "delta_m",
    "metric_for",
    "paired_delta",
    "paired_difference",
]


def metric_for(task: Task, thresholds: Mapping[str, float | None] | None = None) -> Metric:
    """The metric that scores a task, empty.

    It takes category ids for segmentation, probabilities for boundary, saliency and tags, values
    for regression and vectors for normals. Values in meters are taken for distances from the
    camera, of which the relative error is given too.

    Args:
        task: which.
        thresholds: of a tags task, see `TagsMetric`.

    Raises:
        InvalidConfig: there is none for the task's kind.
        InvalidMetricInput: a threshold is none, or of no category.
    """
    match task.kind:
        case Kind.SEGMENTATION:
            return SegmentationMetric(task.categories, task.ignore)
        case Kind.BOUNDARY:
            return BoundaryMetric(ignore=task.ignore)
        case Kind.SALIENCY:
            return SaliencyMetric(ignore=task.ignore)
        case Kind.REGRESSION:
            return RegressionMetric(task.unit or "", relative=task.unit == METERS)
        case Kind.NORMALS:
            return NormalsMetric()
        case Kind.TAGS:
            return TagsMetric(task.categories, thresholds)
        case _:
            raise InvalidConfig(
                f"a {task.kind} task has no metric.",
                remedy="Leave the task out of those that are scored.",
            )
