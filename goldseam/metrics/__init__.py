"""Metrics that stream, merge, and never score what nobody labeled.

Each keeps one state per group, so that `bootstrap` can draw groups; an undefined score is None.
"""

from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig
from goldseam.metrics.boundary import BoundaryMetric
from goldseam.metrics.intervals import bootstrap, paired_difference
from goldseam.metrics.regression import NormalsMetric, RegressionMetric
from goldseam.metrics.segmentation import SegmentationMetric
from goldseam.metrics.sums import InvalidMetricInput, Metric
from goldseam.metrics.tags import TagsMetric

__all__ = [
    "BoundaryMetric",
    "InvalidMetricInput",
    "Metric",
    "NormalsMetric",
    "RegressionMetric",
    "SegmentationMetric",
    "TagsMetric",
    "bootstrap",
    "metric_for",
    "paired_difference",
]


def metric_for(task: Task) -> Metric:
    """The metric that scores a task, empty.

    It takes category ids for segmentation, probabilities for boundary, saliency and tags, values
    for regression and vectors for normals. Saliency is scored as a boundary without tolerance.

    Raises:
        InvalidConfig: there is none for the task's kind.
    """
    match task.kind:
        case Kind.SEGMENTATION:
            return SegmentationMetric(task.categories, task.ignore)
        case Kind.BOUNDARY:
            return BoundaryMetric(ignore=task.ignore)
        case Kind.SALIENCY:
            return BoundaryMetric(tolerance_px=0.0, ignore=task.ignore)
        case Kind.REGRESSION:
            return RegressionMetric(task.unit or "")
        case Kind.NORMALS:
            return NormalsMetric()
        case Kind.TAGS:
            return TagsMetric(task.categories)
        case _:
            raise InvalidConfig(
                f"a {task.kind} task has no metric.",
                remedy="Leave the task out of those that are scored.",
            )
