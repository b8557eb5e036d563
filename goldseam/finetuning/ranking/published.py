"""The two published forms of category-wise fine-tuning, for comparison only.

Both pick each category's head by its score on clean, that is fully and rightly labeled, validation
images, which is what somebody with partial labels does not have. Source: Chong et al.,
"Category-wise Fine-Tuning" (arXiv 2401.16991) and its code.
Legend: N rows, V validation rows, D features, P = D + 1 genes with the intercept last, C
categories, M known rows of a category, I individuals.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from goldseam.finetuning.ranking.options import PublishedBP, PublishedGA, RankingScore
from goldseam.finetuning.ranking.ranked import SCORE_NAMES, RankedHead, compare, fitness, undefined
from goldseam.finetuning.solving.known import FeatureRows, check_shapes, check_values, read_rows
from goldseam.finetuning.solving.logistic import Floats
from goldseam.metrics.ranking import Bools
from goldseam.page import count, percent
from goldseam.progress import progress

Singles = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class CleanLabels:
    """The validation images that both methods need.

    Attributes:
        features: `V D`.
        labels_VC: 1 present, 0 absent; -1 is never read.
        groups: group of each row, for the reported intervals; None where rows are independent.
    """

    features: FeatureRows
    labels_VC: npt.NDArray[np.int8]
    groups: Sequence[str] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """The known rows of one category, with a last column of ones, in float32 as published.

    Attributes:
        design_MP: features.
        present_M: labels.
    """

    design_MP: Singles
    present_M: Bools

    @classmethod
    def of(cls, features: FeatureRows, label_N: npt.NDArray[Any], category: str) -> "Rows":
        """Read the rows of known labels; the others are not touched."""
        row_M = np.flatnonzero(label_N != -1)
        feature_MD = read_rows(features, row_M, category).astype(np.float32)
        ones_M1 = np.ones((len(row_M), 1), np.float32)
        return cls(np.concatenate([feature_MD, ones_M1], axis=1), label_N[row_M] == 1)

    @property
    def one_sided(self) -> bool:
        """Whether positives or negatives are missing."""
        return bool(self.present_M.all() or not self.present_M.any())

    def scores(self, score: RankingScore, theta_IP: Singles) -> Floats:
        """Score of each head."""
        every_M = np.ones(len(self.present_M), bool)
        return fitness(score, theta_IP @ self.design_MP.T, self.present_M, every_M)


def published_bp(
    features: FeatureRows,
    labels_NC: npt.NDArray[np.int8],
    weight_CD: npt.NDArray[Any],
    bias_C: npt.NDArray[Any],
    *,
    clean: CleanLabels,
    categories: Sequence[str],
    options: PublishedBP | None = None,
) -> list[RankedHead]:
    """CFT_BP: full-batch Adam on the summed loss of a category's known rows, stopped by validation.

    After every step the head is scored on the clean validation labels; the best of all, the
    untouched head among them, is taken. The official code selects on the set that it also reports;
    give other images here. It works in float32 on a GPU, one category after the other; this works
    in float32 on the CPU, one after the other, with the gradient written out.

    Args:
        features: `N D`.
        labels_NC: 1 present, 0 absent, -1 unknown; unknown labels are never read.
        weight_CD: weights of the trained heads.
        bias_C: their intercepts.
        clean: validation images.
        categories: names.
        options: the published constants by default.

    Raises:
        InvalidConfig: shapes do not fit, or a value is none of those declared.
    """
    options = options or PublishedBP()
    inputs = _Inputs.of(features, labels_NC, (weight_CD, bias_C), clean, categories)

    def steps(rows: Rows, theta_P: Singles, _category: int) -> Iterator[Singles]:
        return adam(rows, theta_P, options)

    return _each(inputs, options, steps)


def published_ga(
    features: FeatureRows,
    labels_NC: npt.NDArray[np.int8],
    weight_CD: npt.NDArray[Any],
    bias_C: npt.NDArray[Any],
    *,
    clean: CleanLabels,
    categories: Sequence[str],
    options: PublishedGA | None = None,
) -> list[RankedHead]:
    """CFT_GA: a genetic search for the score on known training labels, stopped by validation.

    The best individual of each generation is scored on the clean validation labels; the best of
    these, the untouched head among them, is taken. The official code never writes the intercept
    that it found (it assigns it to the optimizer, not to the head), so its weights and intercepts
    do not belong together, which no ranking shows but every probability; here both are returned as
    found. It draws without a seed.

    Arguments, result and errors are those of `published_bp`.
    """
    options = options or PublishedGA()
    inputs = _Inputs.of(features, labels_NC, (weight_CD, bias_C), clean, categories)

    def generations(rows: Rows, theta_P: Singles, category: int) -> Iterator[Singles]:
        rng = np.random.default_rng((options.seed or 0, category))
        return genetic(rows, theta_P, options, rng)

    return _each(inputs, options, generations)


def adam(rows: Rows, theta_P: Singles, options: PublishedBP) -> Iterator[Singles]:
    """The head after each step of Adam (Kingma and Ba 2015), without end."""
    first_P, second_P = np.zeros_like(theta_P), np.zeros_like(theta_P)
    for step in itertools.count(1):
        residual_M = _residuals(rows.design_MP @ theta_P, rows.present_M, options)
        gradient_P = residual_M @ rows.design_MP
        first_P = 0.9 * first_P + 0.1 * gradient_P
        second_P = 0.999 * second_P + 0.001 * gradient_P**2
        size_P = np.sqrt(second_P / np.float32(1 - 0.999**step)) + np.float32(1e-8)
        rate = np.float32(options.learning_rate / (1 - 0.9**step))
        theta_P = theta_P - rate * first_P / size_P
        yield theta_P


def _residuals(margin_M: Singles, present_M: Bools, options: PublishedBP) -> Singles:
    """Derivative of each row's loss by its margin; ASL's focusing weights are constants to it."""
    probability_M, absent_M = expit(margin_M), expit(-margin_M)
    if options.loss == "bce":
        return np.asarray(np.where(present_M, -absent_M, probability_M), np.float32)
    positive_M = -(absent_M ** (options.gamma_positive + 1))
    shifted_M = np.maximum(probability_M - options.margin, 0)
    # d/dz of -log(1 - q) with q = p - margin; without a margin this is p
    share_M = absent_M / (absent_M + options.margin) if options.margin else 1
    # where q is cut off at 0 the loss is flat, also without an exponent
    inside_M = probability_M > options.margin
    negative_M = inside_M * shifted_M**options.gamma_negative * probability_M * share_M
    return np.asarray(np.where(present_M, positive_M, negative_M), np.float32)


def genetic(
    rows: Rows, theta_P: Singles, options: PublishedGA, rng: np.random.Generator
) -> Iterator[Singles]:
    """The best individual of each generation, without end."""
    theta_IP = np.repeat(theta_P[None], options.population, axis=0)
    fitness_I = rows.scores(options.score, theta_IP)
    shape = (options.population - options.elite, len(theta_P))
    while True:
        parent_I2 = rng.choice(
            options.population, size=(shape[0], 2), p=selection_chances(fitness_I)
        )
        first_IP = rng.random(shape, dtype=np.float32) < options.crossover
        child_IP = np.where(first_IP, theta_IP[parent_I2[:, 0]], theta_IP[parent_I2[:, 1]])
        mutated_I1 = rng.random((shape[0], 1)) < options.mutation
        noise_IP = (2 * rng.random(shape, dtype=np.float32) - 1) * np.float32(options.amplitude)
        child_IP = child_IP + noise_IP * mutated_I1
        best_I = np.argsort(-fitness_I, kind="stable")[: options.elite]
        theta_IP = np.concatenate([theta_IP[best_I], child_IP])
        fitness_I = np.append(fitness_I[best_I], rows.scores(options.score, child_IP))
        yield theta_IP[int(np.argmax(fitness_I))]


def selection_chances(fitness_I: Floats) -> Floats:
    """Roulette on raw fitness: an individual's chance is its share of the sum.

    Fitness differs by a few per cent within a generation, so this is nearly uniform. Where all have
    0 it is uniform.
    """
    total = float(fitness_I.sum())
    return fitness_I / total if total > 0 else np.full(len(fitness_I), 1 / len(fitness_I))


# (rows, the trained head, number of the category) -> a candidate after each epoch
Epochs = Callable[[Rows, Singles, int], Iterator[Singles]]


@dataclasses.dataclass(frozen=True, eq=False)
class _Inputs:
    """What both methods are given."""

    features: FeatureRows
    labels_NC: npt.NDArray[np.int8]
    weight_CD: Floats
    bias_C: Floats
    clean: CleanLabels
    categories: Sequence[str]

    @classmethod
    def of(
        cls,
        features: FeatureRows,
        labels_NC: npt.NDArray[np.int8],
        heads: tuple[npt.NDArray[Any], npt.NDArray[Any]],
        clean: CleanLabels,
        categories: Sequence[str],
    ) -> "_Inputs":
        labels_NC = np.asarray(labels_NC)
        clean = dataclasses.replace(clean, labels_VC=np.asarray(clean.labels_VC))
        weight_CD, bias_C = (np.asarray(part, np.float64) for part in heads)
        for rows, table, groups in (
            (features, labels_NC, None),
            (clean.features, clean.labels_VC, clean.groups),
        ):
            check_shapes(rows, table, weight_CD, bias_C, None, categories=categories, groups=groups)
            check_values(table, None)
        return cls(features, labels_NC, weight_CD, bias_C, clean, categories)

    def kept(self, c: int, score: RankingScore) -> RankedHead:
        """A category's head, untouched."""
        return RankedHead(
            category=self.categories[c],
            weight_D=self.weight_CD[c].copy(),
            bias=float(self.bias_C[c]),
            accepted=False,
            why="",
            score=score,
            change=undefined(),
            steps=0,
            seconds=0.0,
            known_present=int((self.labels_NC[:, c] == 1).sum()),
            known_absent=int((self.labels_NC[:, c] == 0).sum()),
        )

    def clean_groups(self, c: int) -> npt.NDArray[Any]:
        """Groups of the validation rows that know a category."""
        groups, label_V = self.clean.groups, self.clean.labels_VC[:, c]
        row_M = np.flatnonzero(label_V != -1)
        return row_M if groups is None else np.asarray(np.asarray(groups)[row_M])


def _each(inputs: _Inputs, options: PublishedBP | PublishedGA, epochs: Epochs) -> list[RankedHead]:
    """Run one of the methods on category after category."""
    heads = []
    with progress(options.method, total=len(inputs.categories)) as step:
        for c, name in enumerate(inputs.categories):
            started = time.perf_counter()
            head = _one(inputs, c, options, epochs)
            heads.append(dataclasses.replace(head, seconds=time.perf_counter() - started))
            step(note=name)
    return heads


def _one(inputs: _Inputs, c: int, options: PublishedBP | PublishedGA, epochs: Epochs) -> RankedHead:
    name, clean = inputs.categories[c], inputs.clean
    kept = inputs.kept(c, options.score)
    train = Rows.of(inputs.features, inputs.labels_NC[:, c], name)
    valid = Rows.of(clean.features, clean.labels_VC[:, c], name)
    reason = _reason(train, valid)
    if reason:
        return dataclasses.replace(kept, why=reason)
    theta_P = np.append(kept.weight_D, kept.bias).astype(np.float32)
    found = _select(epochs(train, theta_P, c), theta_P, valid, options)
    return _conclude(kept, found, theta_P, valid, inputs.clean_groups(c), options)


def _reason(train: Rows, valid: Rows) -> str:
    """Why the method cannot be run; empty where it can."""
    for rows, which in ((train, "training"), (valid, "validation")):
        if rows.one_sided:
            presents = int(rows.present_M.sum())
            return (
                f"The known {which} labels are {count(presents)} present and "
                f"{count(len(rows.present_M) - presents)} absent; both are needed."
            )
    return ""


@dataclasses.dataclass(frozen=True, eq=False)
class _Found:
    theta_P: Singles
    gained: bool
    epochs: int


def _select(
    candidates: Iterator[Singles],
    theta_P: Singles,
    valid: Rows,
    options: PublishedBP | PublishedGA,
) -> _Found:
    """The best candidate on validation; ends after `patience` epochs without a better one."""
    best_P, gained_at, epoch = theta_P, 0, 0
    best = float(valid.scores(options.score, theta_P[None])[0])
    for epoch, candidate_P in enumerate(itertools.islice(candidates, options.epochs), start=1):
        score = float(valid.scores(options.score, candidate_P[None])[0])
        if score > best:
            best_P, best, gained_at = candidate_P, score, epoch
        elif epoch - gained_at >= options.patience:
            break
    return _Found(best_P, gained_at > 0, epoch)


def _conclude(
    kept: RankedHead,
    found: _Found,
    theta_P: Singles,
    valid: Rows,
    group_M: npt.NDArray[Any],
    options: PublishedBP | PublishedGA,
) -> RankedHead:
    present_M = valid.present_M.astype(np.float64)
    # margins in float32, as the selection saw them
    before_M, after_M = (
        (valid.design_MP @ head_P).astype(np.float64) for head_P in (theta_P, found.theta_P)
    )
    change = compare(
        options.score,
        before_M,
        after_M,
        present_M,
        group_M,
        resamples=options.resamples,
        seed=options.seed or 0,
    )
    said = f"{count(found.epochs)} epochs"
    if not found.gained:
        why = f"None of {said} ranks the clean validation labels better."
        return dataclasses.replace(kept, change=change, why=why, steps=found.epochs)
    return dataclasses.replace(
        kept,
        weight_D=found.theta_P[:-1].astype(np.float64),
        bias=float(found.theta_P[-1]),
        accepted=True,
        why=(
            f"{SCORE_NAMES[options.score]} on the clean validation labels, which also chose this "
            f"head among {said}: {percent(change.before.value)} before and "
            f"{percent(change.after.value)} after."
        ),
        change=change,
        steps=found.epochs,
    )
