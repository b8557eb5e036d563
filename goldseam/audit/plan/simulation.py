"""Whether the plan's order would have helped before: replays over seeds, compared in pairs.

Legend: N images that may be bought for, M that enter the replay, J seeds, S purchases, C
categories.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from goldseam.audit.plan.config import PlanConfig
from goldseam.audit.plan.offers import Offers, TaskOffers
from goldseam.audit.plan.replay import (
    LOG_LOSS,
    MEAN_AP,
    OURS,
    RANDOM,
    Curve,
    Pool,
    replay,
)
from goldseam.audit.statistics.groups import Groups, draw_groups, folds_of
from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, Array
from goldseam.dataset.order import generator
from goldseam.page.numbers import count, percent
from goldseam.progress import progress
from goldseam.results import Strategy

STREAM = 0x9E7A
# one in so many groups is held out
HELD_OUT = 3
FEWEST_IMAGES, FEWEST_GROUPS, FEWEST_EACH = 60, 6, 5


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The plan's order beside random choice, on one task.

    Attributes:
        task: that was replayed.
        verdict: of the plan's order.
        saved: log-loss that it leaves below that of random choice, as a share of the latter, over
            all purchases; negative where random choice is better.
        low: lower end of the 95 % interval of `saved`.
        high: upper end.
        seeds: repeats.
    """

    task: str
    verdict: Literal["better", "worse", "equal"]
    saved: float
    low: float
    high: float
    seeds: int


@dataclasses.dataclass(frozen=True)
class Simulation:
    """What the replays showed.

    Attributes:
        rows: one for each task, metric, order and purchase.
        comparisons: one for each task that was replayed.
        sentence: the verdict in words, or why nothing was replayed.
    """

    rows: tuple[Strategy, ...]
    comparisons: tuple[Comparison, ...]
    sentence: str


def simulate(offers: Offers, look_ND: Array, group_N: Array, config: PlanConfig) -> Simulation:
    """Replay every task of tags with enough known labels.

    What images look like comes from embeddings. Where their encoder was trained on labels of this
    dataset it is the same for all orders. Held-out labels are those that are known: where labels
    are not missing at random the replay says what helps on images like the labeled ones.

    Args:
        offers: known labels.
        look_ND: see `looks`; of one column there is nothing to learn from.
        group_N: integers; a group is either learned from or judged by.
        config: options.
    """
    if look_ND.shape[1] == 1:
        why = "there are no embeddings: cross-fitted predictions bring them"
        return Simulation((), (), f"The order was not replayed on known labels, since {why}.")
    rows: list[Strategy] = []
    comparisons: list[Comparison] = []
    for task in offers.tasks:
        chosen = None if task.whole else _replayable(task, group_N, config)
        if chosen is not None:
            found = _replays(task, *chosen, look_ND, group_N, config)
            rows += _rows(task.task, found)
            comparisons.append(compare(task.task, found))
    if not rows:
        why = (
            f"no task of tags has {FEWEST_IMAGES} labeled images in {FEWEST_GROUPS} groups with "
            f"{FEWEST_EACH} presences and {FEWEST_EACH} absences of a category"
        )
        return Simulation((), (), f"The order was not replayed on known labels, since {why}.")
    return Simulation(tuple(rows), tuple(comparisons), verdict_sentence(comparisons))


def _replayable(task: TaskOffers, group_N: Array, config: PlanConfig) -> tuple[Array, Array] | None:
    """Images and categories that enter; None where too little is known."""
    state_NC = task.state_NC
    least_C = np.minimum((state_NC == PRESENT).sum(axis=0), (state_NC == ABSENT).sum(axis=0))
    order_C = np.argsort(-least_C, kind="stable")[: config.simulated_categories]
    column_C = np.sort(order_C[least_C[order_C] >= FEWEST_EACH])
    row_M = np.flatnonzero((state_NC[:, column_C] != UNKNOWN).any(axis=1))
    row_M = row_M[
        draw_groups(group_N[row_M], config.simulated_images, generator(config.seed, STREAM))
    ]
    if len(row_M) < FEWEST_IMAGES or len(np.unique(group_N[row_M])) < FEWEST_GROUPS:
        return None
    return row_M, column_C


def _replays(
    task: TaskOffers,
    row_M: Array,
    column_C: Array,
    look_ND: Array,
    group_N: Array,
    config: PlanConfig,
) -> list[dict[str, Curve]]:
    state_MC = task.state_NC[np.ix_(row_M, column_C)]
    look_MD, groups = look_ND[row_M], Groups.of(group_N[row_M])
    found = []
    with progress("replay of the plan", config.seeds) as step:
        for seed in range(config.seeds):
            fold_M = folds_of(groups, HELD_OUT, generator(config.seed, STREAM, seed))
            judge_M = fold_M == 0
            pool = Pool(
                look_NK=look_MD[~judge_M],
                truth_NC=state_MC[~judge_M],
                group_N=groups.code_N[~judge_M],
                seconds_C=task.seconds_C[column_C],
                judge_EK=look_MD[judge_M],
                judge_EC=state_MC[judge_M],
            )
            found.append(replay(pool, config, config.seed * 1000 + seed))
            step()
    return found


def compare(task: str, found: Sequence[dict[str, Curve]]) -> Comparison:
    """Paired comparison of the area under the curve of log-loss, after the start.

    Repeats share images, so their spread understates the error of the mean: its variance is taken
    as (1 / J + test / train) of theirs, with Student's t (corrected resampled t-test, Nadeau and
    Bengio 2003).

    Args:
        task: that was replayed.
        found: of each repeat the curve of each order.
    """
    from scipy.stats import t as student

    area_J2 = np.array([[one[name].loss_S[1:].mean() for name in (RANDOM, OURS)] for one in found])
    saved_J = 1 - area_J2[:, 1] / area_J2[:, 0]
    saved = float(saved_J.mean())
    variance = float(saved_J.var(ddof=1)) * (1 / len(found) + 1 / (HELD_OUT - 1))
    half = float(student.ppf(0.975, len(found) - 1)) * math.sqrt(variance)
    verdict: Literal["better", "worse", "equal"] = "equal"
    if abs(saved) > half:
        verdict = "better" if saved > 0 else "worse"
    return Comparison(task, verdict, saved, saved - half, saved + half, len(found))


def verdict_sentence(comparisons: Sequence[Comparison]) -> str:
    """What the replays say to somebody who has to decide."""
    better, worse, equal = (
        [one for one in comparisons if one.verdict == verdict]
        for verdict in ("better", "worse", "equal")
    )
    parts = []
    if better:
        told = ", ".join(f"{percent(one.saved)} lower ({one.task})" for one in better)
        parts.append(
            "In a replay on your own labels this order left a prediction error (log-loss) "
            f"{told} than choosing images at random for the same time."
        )
    if worse:
        told = ", ".join(f"{percent(-one.saved)} lower ({one.task})" for one in worse)
        parts.append(
            "In a replay on your own labels random choice left a prediction error (log-loss) "
            f"{told} than this order: buy at random, it also keeps the estimates unbiased."
        )
    if equal:
        told = " and ".join(one.task for one in equal)
        parts.append(
            f"In a replay on your own labels ({told}) random choice was as good, as far as "
            f"{count(equal[0].seeds)} repeats can tell: buy at random, it keeps the estimates "
            "unbiased."
        )
    return " ".join(parts)


def _rows(task: str, found: Sequence[dict[str, Curve]]) -> list[Strategy]:
    rows = []
    for name in found[0]:
        curves = [one[name] for one in found]
        labels_S = np.mean([one.labels_S for one in curves], axis=0)
        seconds_S = np.mean([one.seconds_S for one in curves], axis=0)
        scores = {
            LOG_LOSS: np.array([one.loss_S for one in curves]),
            MEAN_AP: np.array([one.precision_S for one in curves]),
        }
        for metric, score_JS in scores.items():
            if not np.isfinite(score_JS).all():
                continue
            rows += [
                Strategy(
                    strategy=name,
                    task=task,
                    labels=round(float(labels_S[step])),
                    seconds=round(float(seconds_S[step]), 1),
                    metric=metric,
                    mean=float(score_JS[:, step].mean()),
                    deviation=float(score_JS[:, step].std(ddof=1)),
                    seeds=len(found),
                )
                for step in range(len(labels_S))
            ]
    return rows
