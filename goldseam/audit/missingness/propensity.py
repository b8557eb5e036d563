"""How often a category is there, corrected for which images got looked at.

Augmented inverse-propensity weighting with cross-fitted models (Robins, Rotnitzky and Zhao 1994;
Chernozhukov et al. 2018): right where either the model of "known" or that of "present" is.

Legend: N images, D covariates, C categories, G groups.
"""

import copy
import dataclasses
from typing import Self

import numpy as np

from goldseam.audit.missingness.config import MissingnessConfig
from goldseam.audit.missingness.embedding import principal_components
from goldseam.audit.missingness.factors import Factor
from goldseam.audit.statistics.groups import Groups, folds_of
from goldseam.dataset.codecs import ABSENT, PRESENT, Array

FOLDS = 5
COMPONENTS = 16
# images that are labeled less often than this are weighted as if they were so often
LEAST_PROPENSITY = 0.02
# known presences and known absences below which no model is fit
FEWEST = 10
# strength of the ridge, in images: keeps the fit finite where a level tells all
RIDGE = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class CorrectedPrior:
    """A prior with its standard error, beside the naive one.

    Attributes:
        value: share of images that show the category.
        error: standard error over groups.
        naive: share among known images.
        p_value: that both are equal, two-sided.
    """

    value: float
    error: float
    naive: float
    p_value: float


def covariates(factors: list[Factor], embedding_ND: Array | None, images: int) -> Array:
    """What may explain why an image was looked at: levels, numbers (0 mean, 1 sd), components.

    Missing numbers stand at the mean; their absence is a factor of its own in the metadata.
    """
    parts = [np.zeros((images, 0))]
    for factor in factors:
        if factor.levels:
            parts.append((factor.value_N[:, None] == np.arange(1, len(factor.levels))) * 1.0)
        else:
            value_N = np.where(factor.applies, factor.value_N, np.nan)
            if np.isfinite(value_N).any():
                spread = float(np.nanstd(value_N))
                centered_N = (value_N - np.nanmean(value_N)) / (spread or 1.0)
                parts.append(np.nan_to_num(centered_N)[:, None])
    if embedding_ND is not None:
        complete_N = np.isfinite(embedding_ND).all(axis=1)
        if complete_N.sum() > COMPONENTS:
            component_ND = np.zeros((images, min(COMPONENTS, embedding_ND.shape[1])))
            component_ND[complete_N] = principal_components(embedding_ND[complete_N], COMPONENTS)
            parts.append(component_ND)
    return np.concatenate(parts, axis=1)


def ridge_logistic(
    feature_ND: Array, label_N: Array, ridge: float = RIDGE, steps: int = 25
) -> Array:
    """Weights and, last, the free intercept of ridge logistic regression, by Newton steps."""
    from scipy.special import expit

    design_NP = np.concatenate([feature_ND, np.ones((len(feature_ND), 1))], axis=1)
    penalty_P = np.append(np.full(feature_ND.shape[1], ridge), 1e-6)
    # begins at the intercept of the smoothed share, from where Newton's steps do not overshoot
    share = (label_N.sum() + 0.5) / (len(label_N) + 1)
    weight_P = np.append(np.zeros(feature_ND.shape[1]), np.log(share / (1 - share)))
    for _ in range(steps):
        probability_N = expit(design_NP @ weight_P)
        slope_P = design_NP.T @ (label_N - probability_N) - penalty_P * weight_P
        spread_N = np.maximum(probability_N * (1 - probability_N), 1e-6)
        curvature_PP = (design_NP * spread_N[:, None]).T @ design_NP + np.diag(penalty_P)
        step_P = np.linalg.solve(curvature_PP, slope_P)
        # a step of more than 4 on the logit scale is cut, which keeps the search from swinging
        widest = float(np.abs(design_NP @ step_P).max())
        weight_P = weight_P + step_P * min(1.0, 4.0 / max(widest, 1e-12))
        if widest < 1e-6:
            break
    return weight_P


class CrossFit:
    """Cross-fitted probabilities of 0/1 labels given covariates; folds keep groups whole."""

    def __init__(
        self,
        feature_ND: Array,
        groups: Groups,
        config: MissingnessConfig,
        random: np.random.Generator,
    ) -> None:
        self.feature_ND = feature_ND
        self.fold_N = folds_of(groups, min(FOLDS, len(groups)), random)
        self._order_N = random.permutation(len(feature_ND))
        self._most = config.fitted_images

    def beside(self, probability_N: Array) -> Self:
        """The same folds with one more covariate: the logit of a prediction."""
        from scipy.special import logit

        margin_N1 = logit(np.clip(probability_N, 1e-4, 1 - 1e-4))[:, None]
        wider = copy.copy(self)
        wider.feature_ND = np.concatenate([self.feature_ND, margin_N1], axis=1)
        return wider

    def probabilities(self, label_N: Array, known_N: Array) -> Array:
        """P(label = 1) of every image, by models that saw known images of other folds: float N."""
        from scipy.special import expit

        probability_N = np.full(len(label_N), np.nan)
        for fold in np.unique(self.fold_N):
            usable_N = known_N & (self.fold_N != fold)
            row_M = self._order_N[usable_N[self._order_N]][: self._most]
            inside_N = self.fold_N == fold
            if len(row_M) == 0:
                continue
            weight_P = ridge_logistic(self.feature_ND[row_M], label_N[row_M].astype(np.float64))
            margin_M = self.feature_ND[inside_N] @ weight_P[:-1] + weight_P[-1]
            probability_N[inside_N] = expit(margin_M)
        return probability_N


def corrected_prior(
    state_N: Array, propensity_N: Array, outcome_N: Array, groups: Groups
) -> CorrectedPrior | None:
    """Augmented inverse-propensity estimate of the share of images that show a category.

    Assumes that, given the covariates, being known does not depend on the label, and that every
    kind of image had a chance to be labeled. Weights are normalized (Hájek). Standard errors are
    those of group sums of the influence function.

    Args:
        state_N: 1 present, 0 absent, -1 unknown.
        propensity_N: P(known | covariates), cross-fitted.
        outcome_N: P(present | covariates), cross-fitted.
        groups: of the images; at least two.

    Returns:
        None where too little is known.
    """
    from scipy.stats import t

    known_N = (state_N == PRESENT) | (state_N == ABSENT)
    usable = np.isfinite(propensity_N).all() and np.isfinite(outcome_N).all()
    if not usable or not known_N.any() or len(groups) < 2:
        return None
    weight_N = known_N / np.maximum(propensity_N, LEAST_PROPENSITY)
    weight_N = weight_N / weight_N.mean()
    present_N = state_N == PRESENT
    value_N = outcome_N + weight_N * (present_N - outcome_N)
    value = float(value_N.mean())
    residual_N = present_N - outcome_N
    # the second term is what normalizing the weights adds to the influence of an image
    influence_N = value_N - value - (weight_N - 1) * float((weight_N * residual_N).mean())
    naive = float(present_N[known_N].mean())
    naive_N = known_N * (present_N - naive) / known_N.mean()
    error = _standard_error(influence_N, groups)
    apart = abs(value - naive) / max(_standard_error(influence_N - naive_N, groups), 1e-12)
    return CorrectedPrior(
        value=min(max(value, 0.0), 1.0),
        error=error,
        naive=naive,
        p_value=2 * float(t.sf(apart, len(groups) - 1)),
    )


def _standard_error(influence_N: Array, groups: Groups) -> float:
    sum_G = groups.sums(influence_N)
    scale = len(groups) / (len(groups) - 1)
    return float(np.sqrt(scale * np.square(sum_G).sum()) / len(influence_N))
