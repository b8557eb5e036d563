"""A replay: known labels are hidden, bought back in several orders, and a model learns from them.

Legend: N images of the pool, E images held out, C categories, K numbers of an image, B labels, S
purchases.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from goldseam.audit.plan.buying import Market, buy
from goldseam.audit.plan.config import PlanConfig
from goldseam.audit.plan.design import LENGTH, Design
from goldseam.audit.plan.offers import Offers, TaskOffers
from goldseam.audit.plan.redundancy import Correction, Redundancy
from goldseam.audit.predictions.heads import LinearHead, fit_binary
from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, Array

OURS, RANDOM = "gain_per_cost", "random"
LOG_LOSS, MEAN_AP = "log-loss", "mean average precision"
# share of the pool's images that are labeled at the start, and of hidden time that is bought
STARTED, BOUGHT = 0.1, 0.5
FEWEST_STARTED = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Pool:
    """Labels of one task to learn from, and labels of other groups to be judged by.

    Attributes:
        look_NK: features of the pool, first column 1.
        truth_NC: int8; what is unknown stays unknown and is never bought.
        group_N: integers.
        seconds_C: of one label.
        judge_EK: features of held-out images.
        judge_EC: their states; unknown ones judge nothing.
    """

    look_NK: Array
    truth_NC: Array
    group_N: Array
    seconds_C: Array
    judge_EK: Array
    judge_EC: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """What one order achieved.

    Attributes:
        labels_S: bought so far.
        seconds_S: spent so far.
        loss_S: mean over categories of the log-loss on held-out labels, nats.
        precision_S: mean over categories of their average precision; NaN without both states.
    """

    labels_S: Array
    seconds_S: Array
    loss_S: Array
    precision_S: Array


@dataclasses.dataclass(eq=False)
class Learner:
    """Heads on what is known so far.

    Attributes:
        pool: what can be bought.
        state_NC: known so far.
        config: options of the plan.
    """

    pool: Pool
    state_NC: Array
    config: PlanConfig

    def fit(self) -> LinearHead:
        """A standard normal prior on weights of features whose mean squared length is `LENGTH`."""
        width = max(self.pool.look_NK.shape[1] - 1, 1)
        row_M = np.flatnonzero((self.state_NC != UNKNOWN).any(axis=1))
        # `fit_binary` scales each feature to a variance of 1
        penalty_C = np.full(self.state_NC.shape[1], width / LENGTH)
        return fit_binary(self.pool.look_NK[row_M][:, 1:], self.state_NC[row_M], penalty_C)

    def predict(self, head: LinearHead, look_MK: Array) -> Array:
        """P(present) `MC`, no surer than the number of labels allows."""
        from scipy.special import expit

        floor_C = 0.5 / ((self.state_NC != UNKNOWN).sum(axis=0) + 1)
        found_MC: Array = np.clip(expit(head(look_MK[:, 1:])), floor_C, 1 - floor_C)
        return found_MC

    @property
    def hidden(self) -> Array:
        """Bool: known to the replay, not yet to the learner."""
        hidden_NC: Array = (self.state_NC == UNKNOWN) & (self.pool.truth_NC != UNKNOWN)
        return hidden_NC


Order = Callable[[Learner, Array, float, np.random.Generator], tuple[Array, Array]]


def _gain_per_cost(
    learner: Learner, probability_NC: Array, seconds: float, _: np.random.Generator
) -> tuple[Array, Array]:
    """The order of the plan itself."""
    pool, config = learner.pool, learner.config
    columns = learner.state_NC.shape[1]
    task = TaskOffers(
        task="replay",
        categories=tuple(str(number) for number in range(columns)),
        seconds_C=pool.seconds_C,
        worth_C=np.ones(columns),
        state_NC=learner.state_NC,
        probability_NC=probability_NC,
        offered_NC=pool.truth_NC != UNKNOWN,
    )
    offers = Offers((task,))
    market = Market(
        offers,
        pool.look_NK,
        Design.of(offers, pool.look_NK),
        Redundancy(
            offers,
            pool.group_N,
            pool.look_NK,
            correlation=config.group_correlation,
            near=config.near,
        ),
        Correction({}, (None,) * columns, ()),
        config.open_seconds,
    )
    bought = buy(market, seconds=seconds, labels=learner.state_NC.size)
    return bought.row_B, bought.column_B


def _random(
    learner: Learner, probability_NC: Array, seconds: float, random: np.random.Generator
) -> tuple[Array, Array]:
    """Whole images at random: all hidden labels of each, so that few images are opened."""
    del probability_NC
    order_N = random.permutation(len(learner.state_NC))
    return _in_order(learner, order_N, seconds)


def _uncertainty(
    learner: Learner, probability_NC: Array, seconds: float, random: np.random.Generator
) -> tuple[Array, Array]:
    """Whole images, those first whose hidden labels are least certain on average (entropy)."""
    p_NC = probability_NC
    entropy_NC = -p_NC * np.log(p_NC) - (1 - p_NC) * np.log1p(-p_NC)
    hidden_NC = learner.hidden
    mean_N = (entropy_NC * hidden_NC).sum(axis=1) / np.maximum(hidden_NC.sum(axis=1), 1)
    shuffled_N = random.permutation(len(mean_N))
    return _in_order(learner, shuffled_N[np.argsort(-mean_N[shuffled_N], kind="stable")], seconds)


def _scarcity(
    learner: Learner, probability_NC: Array, seconds: float, random: np.random.Generator
) -> tuple[Array, Array]:
    """Whole images, those first that are likeliest to show what is known to be present least."""
    present_C = (learner.state_NC == PRESENT).sum(axis=0)
    value_N = (learner.hidden * probability_NC / (present_C + 1)).sum(axis=1)
    shuffled_N = random.permutation(len(value_N))
    return _in_order(learner, shuffled_N[np.argsort(-value_N[shuffled_N], kind="stable")], seconds)


ORDERS: dict[str, Order] = {
    OURS: _gain_per_cost,
    RANDOM: _random,
    "uncertainty": _uncertainty,
    "scarcity": _scarcity,
}


def _in_order(learner: Learner, order_N: Array, seconds: float) -> tuple[Array, Array]:
    """Hidden labels image by image, as many as the time allows."""
    hidden_NC = learner.hidden[order_N]
    place_B, column_B = np.nonzero(hidden_NC)
    first_B = np.diff(place_B, prepend=-1) > 0
    cost_B = learner.pool.seconds_C[column_B] + learner.config.open_seconds * first_B
    fits_B = cost_B.cumsum() <= seconds
    return order_N[place_B[fits_B]], column_B[fits_B]


def replay(pool: Pool, config: PlanConfig, seed: int) -> dict[str, Curve]:
    """Every order from the same start, in purchases of the same time; heads are refit after each.

    Args:
        pool: labels to hide, and labels to judge by.
        config: costs of opening, and the number of purchases.
        seed: of the start and of random choices.
    """
    random = np.random.default_rng(seed)
    images = len(pool.truth_NC)
    started = max(round(STARTED * images), min(FEWEST_STARTED, images))
    start_NC = np.full_like(pool.truth_NC, UNKNOWN)
    rows = random.permutation(images)[:started]
    start_NC[rows] = pool.truth_NC[rows]
    hidden_NC = (start_NC == UNKNOWN) & (pool.truth_NC != UNKNOWN)
    whole = (hidden_NC * pool.seconds_C).sum() + config.open_seconds * hidden_NC.any(axis=1).sum()
    step = float(whole) * BOUGHT / config.steps
    found = {}
    for number, (name, order) in enumerate(ORDERS.items()):
        learner = Learner(pool, start_NC.copy(), config)
        found[name] = _learn(learner, order, step, np.random.default_rng([seed, number]))
    return found


def _learn(learner: Learner, order: Order, step: float, random: np.random.Generator) -> Curve:
    pool = learner.pool
    rows: list[tuple[float, float, float, float]] = []
    labels, seconds = 0, 0.0
    head = learner.fit()
    for number in range(learner.config.steps + 1):
        if number:
            probability_NC = learner.predict(head, pool.look_NK)
            row_B, column_B = order(learner, probability_NC, number * step - seconds, random)
            learner.state_NC[row_B, column_B] = pool.truth_NC[row_B, column_B]
            labels += len(row_B)
            seconds += float(pool.seconds_C[column_B].sum())
            seconds += learner.config.open_seconds * len(np.unique(row_B))
            head = learner.fit()
        rows.append(
            (labels, seconds, *_scores(learner.predict(head, pool.judge_EK), pool.judge_EC))
        )
    return Curve(*np.array(rows).T)


def _scores(probability_EC: Array, state_EC: Array) -> tuple[float, float]:
    """Mean log-loss and mean average precision over the categories that can be judged."""
    from sklearn.metrics import average_precision_score

    known_EC = state_EC != UNKNOWN
    right_EC = np.where(state_EC == PRESENT, probability_EC, 1 - probability_EC)
    judged_C = known_EC.any(axis=0)
    loss_C = -(np.log(right_EC) * known_EC).sum(axis=0)[judged_C] / known_EC.sum(axis=0)[judged_C]
    both_C = (state_EC == PRESENT).any(axis=0) & (state_EC == ABSENT).any(axis=0)
    precisions = [
        average_precision_score(
            state_EC[known_EC[:, c], c] == PRESENT, probability_EC[known_EC[:, c], c]
        )
        for c in np.flatnonzero(both_C)
    ]
    return float(loss_C.mean()), float(np.mean(precisions)) if precisions else float("nan")
