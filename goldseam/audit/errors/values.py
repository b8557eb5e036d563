"""Depths, distances and normals that are outliers, in a wrong unit, or turned over.

Labels are compared with predictions that never saw them, and with each other; pixels without a
value (NaN) and images nobody looked at (None) are never read. N images, M findings.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from goldseam.audit.errors.normal_slips import normal_slips
from goldseam.audit.errors.slip import Slip, one_each
from goldseam.audit.errors.value_config import ValuesConfig
from goldseam.audit.errors.value_slips import value_slips
from goldseam.audit.errors.value_statistics import (
    NORMALS,
    REGRESSION,
    Statistics,
    check_shapes,
    measure_normals,
    measure_regression,
    stack_statistics,
)
from goldseam.audit.statistics.shares import Trials, shares
from goldseam.dataset.codecs import Array
from goldseam.errors import InvalidArray
from goldseam.results import Estimate

__all__ = ["ValueErrors", "ValueKind", "ValuesConfig", "find_value_errors", "value_errors"]

ValueKind = Literal["regression", "normals"]
MISSING: Any = object()


@dataclasses.dataclass(frozen=True, eq=False)
class ValueErrors:
    """What `value_errors` found; an image is in one slip at most.

    Attributes:
        slips: kinds of suspicion with their images, scores (0 to 1) and sentences. A score of 0.5
            is at the limit. Outliers: `1 - limit / (2 z)` of the robust distance z. Units: how near
            the factor is to a unit's. Reversed: the size of the negative rank correlation. Axes:
            half, and half of what the mean cosine gains.
        statistics: name → N; NaN where an image has none. They are those of `value_statistics`.
        images: position of each row of `statistics`.
        error_rate: share of the known images with a finding.
    """

    slips: tuple[Slip, ...]
    statistics: Statistics
    images: Array
    error_rate: Estimate

    def __len__(self) -> int:
        return sum(len(slip.image_M) for slip in self.slips)

    def to_frame(self) -> Any:
        """The findings as a pandas data frame, the most suspicious first."""
        import pandas as pd

        rows = [
            {
                "image": int(image),
                "issue": str(slip.issue),
                "slip": slip.name,
                "score": float(score),
                "evidence": evidence,
                "suggested": suggested,
            }
            for slip in self.slips
            for image, score, evidence, suggested in zip(
                slip.image_M, slip.score_M, slip.evidence, slip.suggested, strict=True
            )
        ]
        columns = ["image", "issue", "slip", "score", "evidence", "suggested"]
        frame = pd.DataFrame(rows, columns=columns)
        return frame.sort_values(["score", "image"], ascending=[False, True], ignore_index=True)


def value_errors(
    labels: Iterable[Array | None],
    predictions: Iterable[Array | None] | None = None,
    *,
    kind: ValueKind = "regression",
    unit: str = "",
    groups: Sequence[Any] | Array | None = None,
    config: ValuesConfig | None = None,
) -> ValueErrors:
    """Find labels whose values are outliers, constant, saturated, in a wrong unit, or reversed.

    Labels and predictions are read once, one image at a time; a few numbers of each are kept. An
    image stands out by its robust distance (median and median absolute deviation) from the other
    images, so at least `config.minimum_images` are needed, and what most images do is the
    reference. Without predictions only the labels' own magnitudes, extremes and sides are compared.

    Args:
        labels: N arrays, `H W` or for normals `3 H W`; NaN where a pixel has no value; None where
            nobody looked.
        predictions: N arrays of the same shapes, from a model that never saw the labels; None for
            an image without, or for all.
        kind: what the arrays are.
        unit: of regression values; the names of lengths tell which other units are likely.
        groups: N; images of one group are not independent in the interval of the rate.
        config: thresholds.

    Raises:
        InvalidArray: the shapes do not fit, a value is infinite, the numbers of images differ, or
            nobody looked at any image.
    """
    config = config or ValuesConfig()
    errors = find_value_errors(_pairs(labels, predictions), kind=kind, unit=unit, config=config)
    if not len(errors.images):
        raise InvalidArray(
            "labels", "no image that somebody looked at", "Give at least one label that is no None."
        )
    if groups is None:
        return errors
    cluster_N = np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
    return dataclasses.replace(errors, error_rate=rate(errors, cluster_N))


def _pairs(
    labels: Iterable[Array | None], predictions: Iterable[Array | None] | None
) -> Iterator[tuple[int, Array, Array | None]]:
    """(position, label, prediction) of the images that are known."""
    seen = itertools.repeat(None) if predictions is None else iter(predictions)
    row = -1
    for row, label in enumerate(labels):
        prediction = next(seen, MISSING)
        if prediction is MISSING:
            raise _different_numbers(row)
        if label is not None:
            yield row, label, prediction
    if predictions is not None and next(seen, MISSING) is not MISSING:
        raise _different_numbers(row + 1)


def _different_numbers(row: int) -> InvalidArray:
    return InvalidArray(
        "predictions",
        f"labels and predictions differ in number from image {row} on",
        "Give one entry an image, None where no prediction was made.",
    )


def find_value_errors(
    images: Iterable[tuple[int, Array, Array | None]],
    *,
    kind: ValueKind,
    unit: str,
    config: ValuesConfig,
) -> ValueErrors:
    """`value_errors` of (position, label, prediction or None) of the images that are known."""
    rows: list[dict[str, float]] = []
    positions: list[int] = []
    measure = measure_regression if kind == "regression" else measure_normals
    for row, label, prediction in images:
        label_array = np.asarray(label)
        seen = None if prediction is None else np.asarray(prediction)
        check_shapes(row, label_array, seen, 2 if kind == "regression" else 3)
        for what, array in (("labels", label_array), ("predictions", seen)):
            if array is not None and np.isinf(array).any():
                raise InvalidArray(
                    f"{what}, image {row}", "an infinite value", "Mark pixels without one by NaN."
                )
        rows.append(measure(label_array, seen, config))
        positions.append(row)
    statistics = stack_statistics(rows, REGRESSION if kind == "regression" else NORMALS)
    image_N = np.array(positions, np.int64)
    slips: list[Slip] = []
    if rows:
        found = (
            value_slips(statistics, unit, config)
            if kind == "regression"
            else normal_slips(statistics, config)
        )
        slips = [
            dataclasses.replace(slip, image_M=image_N[slip.image_M])
            for slip in one_each(found)
            if len(slip.image_M)
        ]
    errors = ValueErrors(tuple(slips), statistics, image_N, Estimate(None, better="lower"))
    return dataclasses.replace(
        errors, error_rate=rate(errors, np.arange(image_N.max(initial=0) + 1))
    )


def rate(errors: ValueErrors, cluster_N: Array) -> Estimate:
    """Share of the images with a finding; `cluster_N` is the group of every position."""
    clustered = dataclasses.replace(trials(errors), cluster_K=cluster_N[errors.images])
    return shares([clustered], 1)[0]


def trials(errors: ValueErrors) -> Trials:
    """One trial an image: a hit where it is in a slip; clusters are the images."""
    flagged = np.concatenate([np.zeros(0, np.int64), *(slip.image_M for slip in errors.slips)])
    hit_N = np.isin(errors.images, flagged)
    return Trials(hit_N, np.zeros(len(hit_N), np.int64), errors.images)
