"""Evolution of many heads at once, each in a few directions of its own.

A candidate's margins are base + point @ move: one product of P x K with K x N numbers a problem,
whatever the number of features. Legend: L problems, N rows (padded), P candidates, C children,
K directions.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from goldseam.finetuning.ranking.options import RankingSearch
from goldseam.finetuning.ranking.ranked import fitness
from goldseam.finetuning.solving.folds import Integers
from goldseam.finetuning.solving.logistic import Floats
from goldseam.metrics.ranking import Bools

Singles = npt.NDArray[np.float32]
# margins of a generation that are held at a time
BLOCK = 4_000_000
# a gain below this is rounding
GAIN = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class Landscape:
    """One problem: known rows of one category, and the directions in which its head may move.

    Attributes:
        base_N: margins where the search starts.
        move_KN: what a unit step in each direction adds.
        present_N: labels.
    """

    base_N: Floats
    move_KN: Floats
    present_N: Bools


@dataclasses.dataclass(frozen=True, eq=False)
class Summit:
    """The best candidate of one problem.

    Attributes:
        point_K: its coordinates; zeros where nothing is better than the start.
        start: score at zeros.
        score: score there.
        generations: that were scored.
    """

    point_K: Floats
    start: float
    score: float
    generations: int


def evolve(landscapes: list[Landscape], options: RankingSearch) -> list[Summit]:
    """Search every problem; the result for one does not depend on which others there are.

    Every problem meets the same random numbers (which ranks become parents, which genes cross over,
    mutations in whitened coordinates), so a generation is drawn once. Problems are batched with
    those of the same padded length, which follows from their own length alone.
    """
    summits: dict[int, Summit] = {}
    by_width: dict[int, list[int]] = {}
    for number, landscape in enumerate(landscapes):
        by_width.setdefault(_padded(len(landscape.base_N)), []).append(number)
    for width, numbers in by_width.items():
        size = max(1, BLOCK // (options.population * width))
        for start in range(0, len(numbers), size):
            part = numbers[start : start + size]
            found = _Run([landscapes[number] for number in part], width, options).summits()
            summits.update(zip(part, found, strict=True))
    return [summits[number] for number in range(len(landscapes))]


def _padded(rows: int) -> int:
    """The length of a batch that takes this many rows: at most a quarter of it is empty."""
    unit = max(16, 1 << max(0, rows.bit_length() - 3))
    return -(-rows // unit) * unit


class _Run:
    """The state of the problems of one batch; those that are done leave it."""

    def __init__(self, landscapes: list[Landscape], width: int, options: RankingSearch) -> None:
        count = len(landscapes)
        self.options = options
        self.base_L1N: Singles = np.zeros((count, 1, width), np.float32)
        self.move_LKN: Singles = np.zeros((count, options.directions, width), np.float32)
        self.present_L1N: Bools = np.zeros((count, 1, width), bool)
        self.known_L1N: Bools = np.zeros((count, 1, width), bool)
        for number, landscape in enumerate(landscapes):
            rows = len(landscape.base_N)
            self.base_L1N[number, 0, :rows] = landscape.base_N
            self.move_LKN[number, : len(landscape.move_KN), :rows] = landscape.move_KN
            self.present_L1N[number, 0, :rows] = landscape.present_N
            self.known_L1N[number, 0, :rows] = True
        self.active_L: Integers = np.arange(count)

    def summits(self) -> list[Summit]:
        """Evolve until every problem is done."""
        options, count = self.options, len(self.active_L)
        rng = np.random.default_rng((options.seed or 0, 0))
        reach_P = np.geomspace(options.shortest, options.longest, options.population - 1)
        point_LPK = np.zeros((count, options.population, options.directions))
        point_LPK[:, 1:] = _mutations(rng, reach_P, options)
        score_LP = self._score(point_LPK)
        start_L, best_L = score_LP[:, 0].copy(), score_LP[:, 0].copy()
        since_L = np.zeros(count, int)
        found: list[Summit | None] = [None] * count
        for generation in range(1, options.generations + 1):
            order_LP = np.argsort(-score_LP, axis=1, kind="stable")
            score_LP = np.take_along_axis(score_LP, order_LP, axis=1)
            point_LPK = np.take_along_axis(point_LPK, order_LP[..., None], axis=1)
            gained_L = score_LP[:, 0] > best_L + GAIN
            since_L = np.where(gained_L, 0, since_L + 1)
            best_L = np.where(gained_L, score_LP[:, 0], best_L)
            done_L = (since_L >= options.patience) | (best_L >= 1 - GAIN)
            done_L |= generation == options.generations
            for row in np.flatnonzero(done_L):
                found[self.active_L[row]] = _summit(
                    point_LPK[row, 0], start_L[row], score_LP[row, 0], generation
                )
            if done_L.all():
                break
            going_L = ~done_L
            self._keep(going_L)
            point_LPK, score_LP = point_LPK[going_L], score_LP[going_L]
            start_L, best_L, since_L = start_L[going_L], best_L[going_L], since_L[going_L]
            child_LCK = _children(rng, point_LPK, reach_P, generation, options)
            point_LPK[:, options.elite :] = child_LCK
            score_LP[:, options.elite :] = self._score(child_LCK)
        return [summit for summit in found if summit is not None]

    def _score(self, point_LPK: Floats) -> Floats:
        margin_LPN = self.base_L1N + point_LPK.astype(np.float32) @ self.move_LKN
        return fitness(self.options.score, margin_LPN, self.present_L1N, self.known_L1N)

    def _keep(self, going_L: Bools) -> None:
        if going_L.all():
            return
        self.active_L = self.active_L[going_L]
        for name in ("base_L1N", "move_LKN", "present_L1N", "known_L1N"):
            setattr(self, name, getattr(self, name)[going_L])


def _summit(point_K: Floats, start: float, score: float, generations: int) -> Summit:
    if score <= start + GAIN:
        point_K, score = np.zeros_like(point_K), start
    return Summit(point_K.copy(), float(start), float(score), generations)


def rank_chances(population: int) -> Floats:
    """Chance of each rank, the best first, to become a parent: falls evenly, the last one's least.

    Ranks and not scores, since the scores of a generation differ by little (Baker 1985).
    """
    weight_P = np.arange(population, 0, -1.0)
    return np.asarray(weight_P / weight_P.sum(), np.float64)


def _children(
    rng: np.random.Generator,
    point_LPK: Floats,
    reach_P: Floats,
    generation: int,
    options: RankingSearch,
) -> Floats:
    """Uniform crossover of two parents, then a mutation; `point_LPK` stands in order of rank."""
    count = options.population - options.elite
    parent_C2 = rng.choice(options.population, size=(count, 2), p=rank_chances(options.population))
    first_CK = rng.random((count, options.directions)) < 0.5
    child_LCK = np.where(first_CK, point_LPK[:, parent_C2[:, 0]], point_LPK[:, parent_C2[:, 1]])
    shrunk = options.final_share ** (generation / options.generations)
    return np.asarray(child_LCK + _mutations(rng, shrunk * reach_P[-count:], options))


def _mutations(rng: np.random.Generator, reach_C: Floats, options: RankingSearch) -> Floats:
    """Gaussian steps of about the lengths asked for, in some of the coordinates."""
    shape = (len(reach_C), options.directions)
    step_CK = rng.normal(size=shape) * (rng.random(shape) < options.gene_rate)
    length = np.sqrt(options.directions * options.gene_rate)
    return np.asarray(step_CK * reach_C[:, None] / length, np.float64)
