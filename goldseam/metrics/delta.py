"""How much better a multi-task model is than its references, over all tasks: Δm, and its spread.

Δm = mean over tasks of (score - reference) / reference, with the sign turned where lower is better
(Maninis et al. 2019; used by MTPSL and DiffusionMTL). Here it is a share: 0.0365 is the +3.65 of a
published table.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from goldseam.errors import closest
from goldseam.metrics.sums import InvalidMetricInput, Scores
from goldseam.results import Estimate


@dataclasses.dataclass(frozen=True)
class Delta:
    """Δm of one model.

    Attributes:
        per_task: task → relative difference to its reference, positive where better; None where
            either score is None or the reference is 0.
        mean: Δm; None where a task has none, since a mean over fewer tasks is not comparable.
    """

    per_task: dict[str, float | None]
    mean: float | None


@dataclasses.dataclass(frozen=True)
class PairedDelta:
    """Δm over seeds.

    Attributes:
        mean: over seeds, with its 95 % interval; None where a seed has none.
        per_task: task → the same of its relative difference.
        seeds: Δm of each seed, in the order given.
    """

    mean: Estimate
    per_task: dict[str, Estimate]
    seeds: tuple[float | None, ...]


def delta_m(
    scores: Mapping[str, float | None],
    references: Mapping[str, float | None],
    lower_is_better: Collection[str],
) -> Delta:
    """Δm of one model against references, such as single-task models trained on the same labels.

    Args:
        scores: task → the model's score, at least 0.
        references: task → the reference's score, of the same tasks and in the same units.
        lower_is_better: tasks whose score is an error.

    Raises:
        InvalidMetricInput: the tasks differ, or a score is negative or not finite.
    """
    _require_same(scores, references, lower_is_better)
    per_task: dict[str, float | None] = {}
    for task, score in scores.items():
        reference = references[task]
        per_task[task] = None
        # nothing is relative to a reference of 0
        if score is not None and reference:
            sign = -1 if task in lower_is_better else 1
            per_task[task] = sign * (score - reference) / reference
    defined = [value for value in per_task.values() if value is not None]
    whole = bool(per_task) and len(defined) == len(per_task)
    return Delta(per_task, sum(defined) / len(defined) if whole else None)


def paired_delta(
    scores: Sequence[Scores],
    references: Sequence[Scores],
    lower_is_better: Collection[str],
    *,
    baseline: Sequence[Scores] | None = None,
) -> PairedDelta:
    """Δm over seeds with a 95 % interval; what a seed makes easy or hard for both cancels out.

    The interval is Student's, over seeds. It assumes that the seeds (labels, weights, order of
    images) are independent draws and their differences roughly normal. It says how Δm varies when
    training is repeated; how it varies with the test images is what `paired_difference` says.

    Args:
        scores: of the model, one mapping a seed.
        references: of the references, the same seeds in the same order.
        lower_is_better: tasks whose score is an error.
        baseline: of another model, the same seeds in the same order: the result is then Δm of the
            model minus Δm of the baseline, both against the references.

    Raises:
        InvalidMetricInput: the seeds differ in number, or the tasks differ.
    """
    others = [references] if baseline is None else [references, baseline]
    if not scores or any(len(other) != len(scores) for other in others):
        raise InvalidMetricInput(
            f"{len(scores)} seeds of a model stand beside {[len(other) for other in others]}.",
            remedy="Give the scores of every model for the same seeds, in the same order.",
        )
    rows = [
        delta_m(mine, reference, lower_is_better)
        for mine, reference in zip(scores, references, strict=True)
    ]
    if len({tuple(sorted(row.per_task)) for row in rows}) > 1:
        raise InvalidMetricInput(
            "the seeds differ in their tasks.", remedy="Give the same tasks for every seed."
        )
    if baseline is not None:
        rows = [
            _minus(row, delta_m(other, reference, lower_is_better))
            for row, other, reference in zip(rows, baseline, references, strict=True)
        ]
    seeds = tuple(row.mean for row in rows)
    per_task = {
        task: _over_seeds([row.per_task[task] for row in rows]) for task in rows[0].per_task
    }
    return PairedDelta(_over_seeds(seeds), per_task, seeds)


def _require_same(
    scores: Mapping[str, float | None],
    references: Mapping[str, float | None],
    lower_is_better: Collection[str],
) -> None:
    for task in sorted({*scores, *references, *lower_is_better}):
        if task not in scores or task not in references:
            raise InvalidMetricInput(
                f"task '{task}' has no score or no reference.",
                remedy=f"Name the same tasks; closest: {closest(task, {*scores, *references})}.",
            )
    for values in (scores, references):
        for task, value in values.items():
            if value is not None and not (np.isfinite(value) and value >= 0):
                raise InvalidMetricInput(
                    f"task '{task}' has the score {value}, expected a finite number of at least 0.",
                    remedy="Give a score that does not change sign, such as mIoU, F or an error.",
                )


def _minus(first: Delta, second: Delta) -> Delta:
    def difference(a: float | None, b: float | None) -> float | None:
        return None if a is None or b is None else a - b

    per_task = {
        task: difference(first.per_task[task], second.per_task[task]) for task in first.per_task
    }
    return Delta(per_task, difference(first.mean, second.mean))


def _over_seeds(values: Sequence[float | None]) -> Estimate:
    """Mean and Student's interval; no interval from one seed, nothing where a seed is undefined."""
    from scipy import stats

    found = [value for value in values if value is not None]
    if len(found) < len(values):
        return Estimate(None)
    mean = float(np.mean(found))
    if len(found) < 2:
        return Estimate(mean)
    half = float(stats.t.ppf(0.975, len(found) - 1) * np.std(found, ddof=1) / np.sqrt(len(found)))
    return Estimate(mean, mean - half, mean + half)
