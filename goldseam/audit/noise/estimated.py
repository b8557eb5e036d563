"""Rates of noise where there is no clean label: read off matrices that were estimated.

The searches for label errors estimate, from out-of-fold predictions, how the truth turns into what
is written (`NoiseMatrix`) and how often it turns wrong (`LabelErrors`); here both become the rates
that the audit lists. C categories.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from goldseam.audit.noise.section import RateKind
from goldseam.audit.noise.tag_noise import STATES
from goldseam.audit.noise.wording import estimated
from goldseam.audit.statistics.intervals import NORMAL_95, estimate, wilson
from goldseam.dataset.codecs import Array
from goldseam.results import Estimate, LabelErrors, NoiseMatrix, NoiseRate

NOTHING = "nothing"
MEASURED = "measured"


def rates_from_matrices(
    matrices: Sequence[NoiseMatrix], errors: Sequence[LabelErrors]
) -> tuple[NoiseRate, ...]:
    """Flip, omission and invention of tasks without a clean version.

    - `flip`: the estimated error rate of the task and of each category, as `errors` has it.
    - `omission`: of tags P(given absent | truly present); of boxes P(no box | object).
    - `invention`: of tags P(given present | truly absent); of boxes the share that shows nothing.

    Masks have flips alone: an estimate by pixels knows no objects. The intervals of omission and
    invention are Wilson's. Their number of labels is lowered by the factor by which the interval of
    the error rate is wider than that of as many independent labels, so that labels of one image or
    group do not count for many. They say nothing about an error of the predictions themselves.

    Args:
        matrices: those of the method `measured` are left out.
        errors: of the same tasks. Rows of single sources and annotators are left out, and those of
            a method that made no matrix of the task: a contradiction with another task, say, is
            no estimate of how many labels are wrong.
    """
    methods = {(matrix.task, matrix.method) for matrix in matrices}
    whole = {
        (row.task, row.category): row
        for row in errors
        if row.source is None and row.annotator is None and (row.task, row.method) in methods
    }
    # masks alone are counted in parts, pixel by pixel
    masks = {matrix.task for matrix in matrices if matrix.part != "all"}
    found = [
        _flip(row, category, "pixels" if task in masks else "labels")
        for (task, category), row in whole.items()
    ]
    for matrix in matrices:
        if matrix.method == MEASURED or matrix.part != "all":
            continue
        if matrix.category is not None and matrix.categories == STATES:
            found += _of_tags(matrix, whole.get((matrix.task, matrix.category)))
        elif matrix.categories[-1] == NOTHING:
            found += _of_boxes(matrix, whole)
    return tuple(found)


def _flip(row: LabelErrors, category: str | None, unit: str) -> NoiseRate:
    what = f"{category} {unit}" if category is not None else unit
    sentence = (
        f"How many of the {what} of {row.task} are wrong is unknown."
        if row.error_rate.value is None
        else f"Of the {what} of {row.task} {estimated(row.error_rate)} are wrong."
    )
    return NoiseRate(
        row.task, None, category, "flip", row.error_rate, row.labels, row.method, sentence
    )


def _of_tags(matrix: NoiseMatrix, row: LabelErrors | None) -> list[NoiseRate]:
    """Of a 2 × 2 matrix: absent, present."""
    joint_22, transition_22 = _array(matrix.joint), _array(matrix.transition)
    true_2 = joint_22.sum(axis=1) * matrix.labels
    found = []
    kinds: tuple[tuple[RateKind, int], ...] = (("omission", 1), ("invention", 0))
    for kind, state in kinds:
        rate = _with_interval(transition_22[state, 1 - state], true_2[state], row)
        if rate.value is not None:
            sentence = (
                f"Where {matrix.category} is {STATES[state]}, {matrix.task} calls it "
                f"{STATES[1 - state]} in {estimated(rate)} of the cases."
            )
            found.append(_rate(matrix, matrix.category, kind, rate, sentence))
    return found


def _of_boxes(
    matrix: NoiseMatrix, whole: Mapping[tuple[str, str | None], LabelErrors]
) -> list[NoiseRate]:
    """Of a matrix whose last row and column are "nothing"."""
    joint_CC = np.nan_to_num(_array(matrix.joint))
    found = []
    for number, category in enumerate(matrix.categories[:-1]):
        true, given = joint_CC[number].sum(), joint_CC[:, number].sum()
        kinds: tuple[tuple[RateKind, float, float], ...] = (
            ("omission", joint_CC[number, -1], true),
            ("invention", joint_CC[-1, number], given),
        )
        for kind, part, total in kinds:
            share = part / total if total > 0 else math.nan
            row = whole.get((matrix.task, category))
            rate = _with_interval(share, total * matrix.labels, row)
            if rate.value is not None:
                sentence = (
                    f"Of all {category} objects {estimated(rate)} have no box in {matrix.task}."
                    if kind == "omission"
                    else f"Of the {category} boxes of {matrix.task} {estimated(rate)} show nothing."
                )
                found.append(_rate(matrix, category, kind, rate, sentence))
    return found


def _rate(
    matrix: NoiseMatrix, category: str | None, kind: RateKind, rate: Estimate, sentence: str
) -> NoiseRate:
    return NoiseRate(
        matrix.task, None, category, kind, rate, matrix.labels, matrix.method, sentence
    )


def _with_interval(share: float, labels: float, row: LabelErrors | None) -> Estimate:
    """A share of so many labels, with Wilson's interval at their effective number."""
    factor = _design_effect(row)
    if factor is None or math.isnan(share) or labels <= 0:
        return estimate(share, math.nan, math.nan)
    low_1, high_1 = wilson(np.array([share]), np.array([max(labels / factor, 1.0)]))
    return estimate(share, low_1[0], high_1[0])


def _design_effect(row: LabelErrors | None) -> float | None:
    """How many labels count for one: variance of the error rate over that of a binomial share.

    At least 1; None where the error rate has no interval.
    """
    if row is None:
        return None
    rate = row.error_rate
    if rate.value is None or rate.low is None or rate.high is None or not row.labels:
        return None
    binomial = rate.value * (1 - rate.value) / row.labels
    deviation = (rate.high - rate.low) / (2 * NORMAL_95)
    return max(1.0, deviation**2 / binomial) if binomial > 0 else 1.0


def _array(rows: tuple[tuple[float | None, ...], ...]) -> Array:
    return np.array([[math.nan if cell is None else cell for cell in row] for row in rows])
