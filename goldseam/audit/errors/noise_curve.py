"""How often a label is wrong, read off the curve of given labels over a prediction's logit.

Shapes: K curves (one a category, or one an annotator), B bins of the logit, 2 given states (absent,
present).

A label is present with probability q(x) = b + (1 - a - b) η(x), where η = σ(slope · logit + offset)
is the probability that the category is there, a the share of presences labeled absent (omission)
and b the share of absences labeled present (invention). Far from the decision the prediction is
sure, and what is left of doubt there are the lapses: a and b are the distances of the two plateaus
from 1 and 0. This is the psychometric function with guess and lapse rates (Wichmann and Hill 2001),
fit by maximum a posteriori; class-dependent noise as in Natarajan et al. (2013).

Labels that were guessed where an image is ambiguous leave no trace in the curve. A fixed share
`ambiguous` of the labels without a lapse is therefore taken to be drawn from η anew; intervals run
from none of that to twice as much.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from goldseam.dataset.codecs import Array
from goldseam.results import Estimate

Floats = npt.NDArray[np.float64]

# weak priors: as if of 9.5 labels half a one had lapsed; curves rise, and are near 1 : 1
LAPSE_PRIOR = (0.5, 9.0)
SLOPE_PRIOR = (0.0, 1.0)  # of log slope: mean, standard deviation
OFFSET_PRIOR = (0.0, 2.0)
START = (-1.4, -2.5, 0.4, 0.0)  # logit omission, logit invention, log slope, offset
STEPS = 40
CONVERGED = 1e-2  # nats that a step would still gain: far below what data can tell


@dataclasses.dataclass(frozen=True, eq=False)
class NoiseCurves:
    """Fitted curves.

    Attributes:
        parameters_K4: logit of omission, logit of invention, log of the slope, offset.
        covariance_K44: of the parameters, from the expected information and the priors.
        ambiguous: share of the labels without a lapse that is taken to be guessed.
    """

    parameters_K4: Floats
    covariance_K44: Floats
    ambiguous: float

    def truth(self, curve: Array, logit: Array) -> Floats:
        """Probability that the category is there; `curve` picks a row and broadcasts."""
        # before the rows are picked: there are far fewer curves than labels
        slope_K, offset_K = np.exp(self.parameters_K4[:, 2]), self.parameters_K4[:, 3]
        return _sigmoid(slope_K[curve] * logit + offset_K[curve])

    def wrong(
        self, curve: Array, logit: Array, given: Array, ambiguous: float | None = None
    ) -> Floats:
        """Probability that a given label is wrong, by Bayes' rule.

        Args:
            curve: of each label.
            logit: of the prediction.
            given: 1 present, 0 absent.
            ambiguous: another share of guessed labels than that of the curves.
        """
        guess = self.ambiguous if ambiguous is None else ambiguous
        truth = self.truth(curve, logit)
        omission, invention = (lapse_K[curve] for lapse_K in _sigmoid(self.parameters_K4[:, :2]).T)
        kept = 1 - omission - invention
        present = invention + kept * truth
        guessed = guess * np.maximum(kept, 0) * truth * (1 - truth)
        is_present = np.asarray(given) == 1
        wrong = np.where(is_present, invention * (1 - truth), omission * truth) + guessed
        share: Floats = wrong / np.where(is_present, present, 1 - present)
        return np.minimum(share, 1)


def fit_noise_curves(
    counts_K2B: Array, logit_B: Array, ambiguous: float, *, lapses_only: bool = False
) -> NoiseCurves:
    """Fit every curve to its counts by damped Fisher scoring.

    Args:
        counts_K2B: labels by curve, given state (absent, present) and bin.
        logit_B: the logit that stands for each bin.
        ambiguous: see `NoiseCurves`.
        lapses_only: keep slope 1 and offset 0: `logit_B` is that of η itself.
    """
    counts_K2B = counts_K2B.astype(np.float64)
    parameters_K4 = np.tile(np.array(START), (len(counts_K2B), 1))
    free_4 = np.array([True, True, not lapses_only, not lapses_only])
    parameters_K4[:, ~free_4] = 0
    damping_K = np.full(len(counts_K2B), 1e-2)
    value_K, gradient_K4, information_K44 = _posterior(counts_K2B, logit_B, parameters_K4, free_4)
    for _ in range(STEPS):
        diagonal_K4 = np.einsum("kii->ki", information_K44)
        damped_K44 = information_K44 + damping_K[:, None, None] * diagonal_K4[:, None] * np.eye(4)
        step_K4 = np.linalg.solve(damped_K44, gradient_K4[..., None])[..., 0]
        if ((gradient_K4 * step_K4).sum(axis=1) < CONVERGED).all():
            break
        tried_K4 = parameters_K4 + np.clip(step_K4, -2, 2)
        tried = _posterior(counts_K2B, logit_B, tried_K4, free_4)
        better_K = tried[0] >= value_K
        parameters_K4 = np.where(better_K[:, None], tried_K4, parameters_K4)
        value_K = np.where(better_K, tried[0], value_K)
        gradient_K4 = np.where(better_K[:, None], tried[1], gradient_K4)
        information_K44 = np.where(better_K[:, None, None], tried[2], information_K44)
        damping_K = np.clip(np.where(better_K, damping_K / 8, damping_K * 8), 1e-6, 1e6)
    covariance_K44 = np.linalg.inv(information_K44) * (free_4[:, None] & free_4)
    return NoiseCurves(parameters_K4, covariance_K44, ambiguous)


def _posterior(
    counts_K2B: Floats, logit_B: Array, parameters_K4: Floats, free_4: Array
) -> tuple[Floats, Floats, Floats]:
    """Log posterior, gradient and expected information of every curve."""
    omission_K1, invention_K1 = np.split(_sigmoid(parameters_K4[:, :2]), 2, axis=1)
    steep_KB = np.exp(parameters_K4[:, 2:3]) * logit_B
    truth_KB = _sigmoid(steep_KB + parameters_K4[:, 3:])
    kept_K1 = 1 - omission_K1 - invention_K1
    present_KB = np.clip(invention_K1 + kept_K1 * truth_KB, 1e-9, 1 - 1e-9)
    bend_KB = kept_K1 * truth_KB * (1 - truth_KB)
    slope_K4B = np.stack(
        [
            -omission_K1 * (1 - omission_K1) * truth_KB,
            invention_K1 * (1 - invention_K1) * (1 - truth_KB),
            bend_KB * steep_KB,
            bend_KB,
        ],
        axis=1,
    )
    absent_KB, given_KB = counts_K2B[:, 0], counts_K2B[:, 1]
    value_K = (given_KB * np.log(present_KB) + absent_KB * np.log1p(-present_KB)).sum(axis=1)
    spread_KB = present_KB * (1 - present_KB)
    residual_KB = (given_KB - (absent_KB + given_KB) * present_KB) / spread_KB
    gradient_K4 = (slope_K4B @ residual_KB[..., None])[..., 0]
    weight_KB = (absent_KB + given_KB) / spread_KB
    information_K44 = (slope_K4B * weight_KB[:, None]) @ slope_K4B.transpose(0, 2, 1)
    # priors: Beta on the lapses (in logit scale, with its Jacobian), normal on slope and offset
    lapse_K2 = np.concatenate([omission_K1, invention_K1], axis=1)
    wrong, right = LAPSE_PRIOR
    mean_2, variance_2 = np.array([SLOPE_PRIOR, OFFSET_PRIOR]).T ** np.array([[1], [2]])
    distance_K2 = parameters_K4[:, 2:] - mean_2
    value_K += (wrong * np.log(lapse_K2) + right * np.log1p(-lapse_K2)).sum(axis=1)
    value_K -= (distance_K2**2 / (2 * variance_2)).sum(axis=1)
    gradient_K4[:, :2] += wrong - (wrong + right) * lapse_K2
    gradient_K4[:, 2:] -= distance_K2 / variance_2
    curvature_K2 = (wrong + right) * lapse_K2 * (1 - lapse_K2)
    prior_K4 = np.concatenate([curvature_K2, np.broadcast_to(1 / variance_2, (len(value_K), 2))], 1)
    information_K44 += prior_K4[:, :, None] * np.eye(4)
    return (
        value_K,
        gradient_K4 * free_4,
        np.where(free_4[:, None] & free_4, information_K44, np.eye(4)),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class WrongLabels:
    """How many labels of each curve are wrong.

    Attributes:
        labels_K: how many there are.
        expected_K2: expected wrong ones among those given as absent and as present.
        ends_2K: expected wrong ones without guessed labels, and with twice their assumed share.
        variance_2K: of the two.
    """

    labels_K: Floats
    expected_K2: Floats
    ends_2K: Floats
    variance_2K: Floats

    def rates(self) -> tuple[Estimate, ...]:
        """The share of wrong labels of each curve, with its interval."""
        return _shares(self.labels_K, self.expected_K2.sum(axis=1), self.ends_2K, self.variance_2K)

    def overall(self) -> Estimate:
        """The share over all curves; their errors are taken to be independent."""
        parts = (self.labels_K, self.expected_K2.sum(axis=1), self.ends_2K, self.variance_2K)
        return _shares(*(part.sum(axis=-1, keepdims=True) for part in parts))[0]


def count_wrong(counts_K2B: Array, logit_B: Array, curves: NoiseCurves) -> WrongLabels:
    """Expected wrong labels of every curve, with their uncertainty.

    The variance is that of the fitted parameters (delta method) and of the labels themselves given
    the parameters; images are taken to be independent.

    Args:
        counts_K2B: the counts that the curves were fitted to.
        logit_B: of each bin.
        curves: fitted.
    """
    curve_K11 = np.arange(len(counts_K2B))[:, None, None]
    given_21 = np.array([[0], [1]])
    ends, variances = [], []
    for guess in (0.0, 2 * curves.ambiguous):
        wrong_K2B = curves.wrong(curve_K11, logit_B, given_21, guess)
        slope_K4 = _wrong_slope(counts_K2B.sum(axis=1), logit_B, curves, guess)
        ends.append((counts_K2B * wrong_K2B).sum(axis=(1, 2)))
        variances.append(
            (counts_K2B * wrong_K2B * (1 - wrong_K2B)).sum(axis=(1, 2))
            + np.einsum("ki,kij,kj->k", slope_K4, curves.covariance_K44, slope_K4)
        )
    return WrongLabels(
        labels_K=counts_K2B.sum(axis=(1, 2)).astype(np.float64),
        expected_K2=(counts_K2B * curves.wrong(curve_K11, logit_B, given_21)).sum(axis=2),
        ends_2K=np.stack(ends),
        variance_2K=np.stack(variances),
    )


def _wrong_slope(labels_KB: Array, logit_B: Array, curves: NoiseCurves, guess: float) -> Floats:
    """Derivative of the expected number of wrong labels by the parameters, as `curves` has them."""
    lapse_K2 = _sigmoid(curves.parameters_K4[:, :2])
    omission_K1, invention_K1 = lapse_K2[:, :1], lapse_K2[:, 1:]
    truth_KB = curves.truth(np.arange(len(labels_KB))[:, None], logit_B)
    doubt_KB = truth_KB * (1 - truth_KB)
    guessed = 2 * guess * (1 - omission_K1 - invention_K1)
    bend_KB = (omission_K1 - invention_K1 + guessed * (1 - 2 * truth_KB)) * doubt_KB
    terms = (
        omission_K1 * (1 - omission_K1) * (truth_KB - 2 * guess * doubt_KB),
        invention_K1 * (1 - invention_K1) * (1 - truth_KB - 2 * guess * doubt_KB),
        bend_KB * np.exp(curves.parameters_K4[:, 2:3]) * logit_B,
        bend_KB,
    )
    return np.stack([(labels_KB * term_KB).sum(axis=1) for term_KB in terms], axis=1)


def _shares(
    labels_K: Floats, expected_K: Floats, end_2K: Floats, variance_2K: Floats
) -> tuple[Estimate, ...]:
    """Shares with 95 % intervals: quantiles of the Beta distributions of these means and variances.

    A normal interval would leave 0 to 1 where few labels or rare errors make it wide.
    """
    from scipy import special

    some_K = labels_K > 0
    labels_K = np.where(some_K, labels_K, 1)
    mean_2K = np.clip(end_2K / labels_K, 1e-6, 1 - 1e-6)
    # at least as sure as one label would make it
    size_2K = np.maximum(mean_2K * (1 - mean_2K) * labels_K**2 / np.maximum(variance_2K, 1e-9), 2)
    first_2K, second_2K = mean_2K * (size_2K - 1), (1 - mean_2K) * (size_2K - 1)
    low_K = special.betaincinv(first_2K[0], second_2K[0], 0.025)
    # less than one label is none
    low_K = np.where(low_K * labels_K < 1, 0, low_K)
    high_K = special.betaincinv(first_2K[1], second_2K[1], 0.975)
    value_K = expected_K / labels_K
    return tuple(
        Estimate(float(value), float(min(low, value)), float(max(high, value)), better="lower")
        if some
        else Estimate(None, better="lower")
        for some, value, low, high in zip(some_K, value_K, low_K, high_K, strict=True)
    )


def _sigmoid(logit: Array) -> Floats:
    # beyond these a float32 prediction is 0 or 1 anyway, and exp would overflow
    sigmoid: Floats = 1 / (1 + np.exp(-np.clip(logit, -30, 30)))
    return sigmoid
