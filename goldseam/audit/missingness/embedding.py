"""Can one tell from what an image looks like whether it is labeled?

Legend: N images, D features, U tasks, B resamples.
"""

import dataclasses

import numpy as np

from goldseam.audit.missingness.config import MissingnessConfig
from goldseam.audit.statistics.groups import Groups, draw_groups, folds_of
from goldseam.audit.statistics.resampling import resampled_p
from goldseam.dataset.codecs import Array

FOLDS = 5
# principal components that enter; more are noise at the number of images that do
COMPONENTS = 64
# images for each effective degree of freedom of the ridge
IMAGES_EACH = 10
FEWEST = 5


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddingTest:
    """How well held-out groups tell labeled from unlabeled.

    Attributes:
        images: that entered.
        p_value: None where it cannot be tested.
        auc: held-out; None likewise.
        why_not: empty where it was tested.
    """

    images: int
    p_value: float | None
    auc: float | None
    why_not: str = ""


def embedding_tests(
    known_NU: Array,
    embedding_ND: Array,
    group_N: Array,
    config: MissingnessConfig,
    random: np.random.Generator,
) -> list[EmbeddingTest]:
    """Cross-fitted ridge logistic scores against "known", one test a task.

    The classifier is fit on the other folds (no group is in two) and scores held-out images; the
    statistic is the covariance of score and "known" on these. It is one Newton step of ridge
    logistic regression from the intercept, hence linear in the labels, so that every resample is
    fit anew at the price of a matrix product. Resamples permute "known" over independent images;
    where images come in groups they flip the sign of each group's deviation from the mean, a wild
    bootstrap of the degenerate U-statistic that the cross-fitted covariance is (Leucht and Neumann
    2013), which keeps any dependence within groups. One-sided.

    Args:
        known_NU: bool.
        embedding_ND: rows with NaN do not enter.
        group_N: integers.
        config: resamples, and how many images enter.
        random: of folds and resamples.
    """
    row_M = np.flatnonzero(np.isfinite(embedding_ND).all(axis=1))
    row_M = row_M[draw_groups(group_N[row_M], config.embedding_images, random)]
    groups = Groups.of(group_N[row_M]) if len(row_M) else None
    if groups is None or len(groups) < 2 * FEWEST:
        why = f"embeddings of at least {2 * FEWEST} groups of images are needed"
        return [EmbeddingTest(len(row_M), None, None, why)] * known_NU.shape[1]
    component_ND = principal_components(embedding_ND[row_M], COMPONENTS)
    fold_N = folds_of(groups, FOLDS, random)
    ridges = _ridges(component_ND, fold_N)
    return [
        _tested(known_NU[row_M, task], ridges, groups, config, random)
        for task in range(known_NU.shape[1])
    ]


def principal_components(feature_ND: Array, most: int) -> Array:
    """Scores on the leading principal components, scaled to a mean variance of 1; float64."""
    centered_ND = feature_ND.astype(np.float64) - feature_ND.mean(axis=0, dtype=np.float64)
    _, vector_DD = np.linalg.eigh(centered_ND.T @ centered_ND)
    score_ND: Array = centered_ND @ vector_DD[:, ::-1][:, :most]
    spread = float(np.sqrt(np.square(score_ND).mean()))
    return score_ND / spread if spread > 0 else score_ND


@dataclasses.dataclass(frozen=True, eq=False)
class _Ridge:
    """A fold: which images it holds out, and the linear map from labels to held-out scores."""

    inside_M: Array
    outside_K: Array
    feature_MD: Array
    solve_DK: Array

    def scores(self, label_NB: Array) -> Array:
        """Held-out scores, centered: float MB."""
        label_KB = label_NB[self.outside_K]
        score_MB = self.feature_MD @ (self.solve_DK @ (label_KB - label_KB.mean(axis=0)))
        centered_MB: Array = score_MB - score_MB.mean(axis=0)
        return centered_MB


def _ridges(feature_ND: Array, fold_N: Array) -> list[_Ridge]:
    ridges = []
    for fold in np.unique(fold_N):
        inside_M, outside_K = np.flatnonzero(fold_N == fold), np.flatnonzero(fold_N != fold)
        mean_D = feature_ND[outside_K].mean(axis=0)
        centered_KD = feature_ND[outside_K] - mean_D
        gram_DD = centered_KD.T @ centered_KD
        penalty = _penalty(np.linalg.eigvalsh(gram_DD), len(outside_K) / IMAGES_EACH)
        gram_DD[np.diag_indices_from(gram_DD)] += penalty
        solve_DK = np.linalg.solve(gram_DD, centered_KD.T)
        ridges.append(_Ridge(inside_M, outside_K, feature_ND[inside_M] - mean_D, solve_DK))
    return ridges


def _penalty(value_D: Array, freedom: float) -> float:
    """The ridge that leaves so many effective degrees of freedom; a small one where all fit."""
    top = float(value_D.max(initial=0)) or 1.0
    low, high = 1e-3 * top, 1e3 * top
    for _ in range(60):
        middle = float(np.sqrt(low * high))
        if (value_D.clip(0) / (value_D.clip(0) + middle)).sum() > freedom:
            low = middle
        else:
            high = middle
    return high


def _tested(
    known_N: Array,
    ridges: list[_Ridge],
    groups: Groups,
    config: MissingnessConfig,
    random: np.random.Generator,
) -> EmbeddingTest:
    images = len(known_N)
    rarer = int(min(known_N.sum(), images - known_N.sum()))
    if rarer < FEWEST:
        why = f"only {rarer} of the {images:,} images with an embedding are "
        why += "labeled" if known_N.mean() < 0.5 else "unlabeled"
        return EmbeddingTest(images, None, None, why)
    centered_N = known_N - known_N.mean()

    observed = _statistic(centered_N[:, None], ridges)
    if groups.single:

        def draw(count: int, _columns: Array) -> Array:
            repeated_BN = np.broadcast_to(centered_N, (count, images))
            return _statistic(random.permuted(repeated_BN, axis=1).T, ridges)[:, None]

    else:
        product_GG = _products(centered_N, groups, ridges)

        def draw(count: int, _columns: Array) -> Array:
            sign_BG = 2.0 * random.integers(2, size=(count, len(groups))) - 1
            flipped_B: Array = ((sign_BG @ product_GG) * sign_BG).sum(axis=1)
            return flipped_B[:, None]

    p_value = float(resampled_p(draw, observed, config.resamples, config.most_resamples)[0])
    return EmbeddingTest(images, p_value, _held_out_auc(known_N, ridges))


def _statistic(label_NB: Array, ridges: list[_Ridge]) -> Array:
    """Covariance of held-out scores and labels, summed over folds: float B."""
    total_B = np.zeros(label_NB.shape[1])
    for ridge in ridges:
        inside_MB = label_NB[ridge.inside_M]
        total_B += (ridge.scores(label_NB) * (inside_MB - inside_MB.mean(axis=0))).sum(axis=0)
    return total_B


def _products(centered_N: Array, groups: Groups, ridges: list[_Ridge]) -> Array:
    """The same as a quadratic form of the groups' signs: float GG, for it is linear in each."""
    label_NG = np.zeros((len(centered_N), len(groups)))
    label_NG[np.arange(len(centered_N)), groups.code_N] = centered_N
    product_GG = np.zeros((len(groups), len(groups)))
    for ridge in ridges:
        # scores are centered in each fold, so the labels need not be
        product_GG += label_NG[ridge.inside_M].T @ ridge.scores(label_NG)
    return product_GG


def _held_out_auc(known_N: Array, ridges: list[_Ridge]) -> float | None:
    """Share of (labeled, unlabeled) pairs of one fold that the scores put in order."""
    from scipy.stats import rankdata

    right = pairs = 0.0
    for ridge in ridges:
        score_M = ridge.scores(known_N[:, None].astype(np.float64))[:, 0]
        inside_M = known_N[ridge.inside_M].astype(bool)
        known, unknown = int(inside_M.sum()), int((~inside_M).sum())
        right += float(rankdata(score_M)[inside_M].sum()) - known * (known + 1) / 2
        pairs += known * unknown
    return right / pairs if pairs else None
