"""How far out-of-fold predictions can be trusted: judged on the known labels they never saw.

Wrong labels count against them, so what is said here is a lower bound. Legend: N images,
C categories, H and W pixels.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from goldseam.audit.label_side import LabelSide
from goldseam.dataset.codecs import PRESENT, UNKNOWN, Array
from goldseam.dataset.schema import Kind, Task
from goldseam.metrics import metric_for

Scores = dict[str, float | None]
# 255 codes cannot tell a probability of 0 from one of 1/510
LEAST = 1 / 510


def score_tags(labels: LabelSide, task: str, probability_NC: Array) -> Scores:
    """`map`, `log_loss` and `skill` over known entries with a prediction.

    `skill` is the share of the log-loss of each category's base rate that the predictions save:
    1 is perfect, 0 as good as knowing how frequent each category is, below 0 worse. None without
    labels.
    """
    spec, state_NC = labels.info.tasks[task], labels.states[task]
    known_NC = (state_NC != UNKNOWN) & np.isfinite(probability_NC)
    row_M = np.flatnonzero(known_NC.any(axis=1))
    if not len(row_M):
        return {f"{task}.map": None, f"{task}.log_loss": None, f"{task}.skill": None}
    state_MC, known_MC = state_NC[row_M], known_NC[row_M]
    probability_MC = probability_NC[row_M].astype(np.float64)
    groups = [labels.groups[code] for code in labels.group_N[row_M]]
    metric = metric_for(spec)
    state_MC = np.where(known_MC, state_MC, UNKNOWN)
    filled_MC = np.where(known_MC, probability_MC, 0.5)
    metric.update(filled_MC, state_MC, np.ones(len(row_M), bool), groups)
    present_MC = state_MC == PRESENT
    rate_C = (present_MC & known_MC).sum(axis=0) / np.maximum(known_MC.sum(axis=0), 1)
    loss = _log_loss(filled_MC, present_MC)[known_MC].mean()
    base = _log_loss(np.broadcast_to(rate_C, state_MC.shape), present_MC)[known_MC].mean()
    return {
        f"{task}.map": metric.compute()["map"],
        f"{task}.log_loss": float(loss),
        f"{task}.skill": _skill(float(loss), float(base)),
    }


def score_maps(labels: LabelSide, task: str, pairs: Iterable[tuple[int, Any, Array]]) -> Scores:
    """The task's own metric, `log_loss` where predictions are probabilities, and `skill`.

    `skill` compares with the base rate of each category, or for regression with the mean: there it
    is the share of explained variance. None without labels.

    Args:
        labels: of the dataset.
        task: segmentation, boundary, saliency or regression.
        pairs: (position, label, prediction).
    """
    spec = labels.info.tasks[task]
    metric = metric_for(spec)
    sums = _ValueSums() if spec.kind is Kind.REGRESSION else _ProbabilitySums(spec)
    for position, label, predicted in pairs:
        group = [labels.groups[int(labels.group_N[position])]]
        decided = predicted.argmax(axis=0) if spec.kind is Kind.SEGMENTATION else predicted
        metric.update(decided[None], np.asarray(label)[None], np.ones(1, bool), group)
        sums.update(label, predicted)
    scores = {f"{task}.{metric.primary}": metric.compute()[metric.primary]}
    return scores | {f"{task}.{name}": value for name, value in sums.compute().items()}


class _ProbabilitySums:
    """Log-loss over all pixels, beside that of the base rates."""

    def __init__(self, spec: Task) -> None:
        self._spec = spec
        self._loss = 0.0
        self._count_C = np.zeros(max(len(spec.categories), 2), np.int64)

    def update(self, label_HW: Array, predicted: Array) -> None:
        counted_HW = label_HW != self._spec.ignore
        truth_P = label_HW[counted_HW].astype(np.int64)
        if self._spec.kind is not Kind.SEGMENTATION:
            predicted = np.stack([1 - predicted, predicted])
        probability_P = predicted[:, counted_HW][truth_P, np.arange(len(truth_P))]
        self._loss -= float(np.log(probability_P.clip(LEAST, 1)).sum(dtype=np.float64))
        self._count_C += np.bincount(truth_P, minlength=len(self._count_C))

    def compute(self) -> Scores:
        total = int(self._count_C.sum())
        if not total:
            return {"log_loss": None, "skill": None}
        present_C = self._count_C[self._count_C > 0]
        base = -float((present_C * np.log(present_C / total)).sum()) / total
        return {"log_loss": self._loss / total, "skill": _skill(self._loss / total, base)}


class _ValueSums:
    """Explained variance over all pixels with a value, by sums around the first mean."""

    def __init__(self) -> None:
        self._residual = 0.0
        self._origin: float | None = None
        self._moments = np.zeros(3)  # of the labels: how many, sum, sum of squares

    def update(self, label_HW: Array, predicted_HW: Array) -> None:
        valid_HW = np.isfinite(label_HW)
        value_P = label_HW[valid_HW].astype(np.float64)
        if not len(value_P):
            return
        if self._origin is None:
            self._origin = float(value_P.mean())
        self._residual += float(((predicted_HW[valid_HW] - value_P) ** 2).sum())
        value_P -= self._origin
        self._moments += (len(value_P), value_P.sum(), (value_P**2).sum())

    def compute(self) -> Scores:
        count, total, squares = self._moments.tolist()
        if not count:
            return {"skill": None}
        return {"skill": _skill(self._residual, squares - total**2 / count)}


def _log_loss(probability: Array, present: Array) -> Array:
    chance = np.where(present, probability, 1 - probability)
    loss: Array = -np.log(chance.clip(1e-7, 1))
    return loss


def _skill(loss: float, base: float) -> float | None:
    return 1 - loss / base if base > 0 else None
