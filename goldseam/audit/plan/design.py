"""What one more label would teach: expected loss that it saves, by optimal design.

Legend: N images, M some of them, U columns (labels an image can carry), D numbers of an image, of
which the first is 1, P = D (D + 1) / 2 products of two of them.
"""

import dataclasses
from collections.abc import Iterator
from typing import Self

import numpy as np

from goldseam.audit.plan.offers import Offers
from goldseam.dataset.codecs import Array

# images from which the principal components are computed
COMPONENT_IMAGES = 20_000
# numbers of one chunk of images
CHUNK = 4_000_000
# mean squared length of what an image looks like: logits of a standard normal prior then vary by 2
LENGTH = 4.0


def looks(embedding_ND: Array | None, images: int, components: int) -> Array:
    """What images look like, in few numbers: 1, then principal components; float32 `ND`.

    Args:
        embedding_ND: rows that are not finite stand at the mean; None for no embeddings.
        images: N.
        components: at most so many.
    """
    one_N1 = np.ones((images, 1), np.float32)
    if embedding_ND is None or not images:
        return one_N1
    finite_N: Array = np.all(np.isfinite(embedding_ND), axis=1)
    row_M = np.flatnonzero(finite_N)
    row_M = row_M[:: max(len(row_M) // COMPONENT_IMAGES, 1)]
    if len(row_M) < 2:
        return one_N1
    sample_MD = embedding_ND[row_M].astype(np.float64)
    center_D = sample_MD.mean(axis=0)
    variance_D, vector_DD = np.linalg.eigh(
        np.cov(sample_MD, rowvar=False).reshape(len(center_D), -1)
    )
    leading_K: Array = variance_D[::-1][:components]
    floor = 1e-9 * max(float(leading_K[0]), 1e-30)
    kept_K = np.flatnonzero(leading_K > floor)
    direction_DK = vector_DD[:, ::-1][:, kept_K]
    total = float(leading_K[kept_K].sum())
    if not total:
        return one_N1
    direction_DK = (direction_DK * np.sqrt(LENGTH / total)).astype(np.float32)
    score_NK = np.zeros((images, direction_DK.shape[1]), np.float32)
    for part in chunks(images, embedding_ND.shape[1]):
        given_MD = embedding_ND[part] - center_D.astype(np.float32)
        score_NK[part] = np.where(finite_N[part][:, None], given_MD, 0) @ direction_DK
    return np.concatenate([one_N1, score_NK], axis=1)


def chunks(images: int, width: int) -> Iterator[slice]:
    """Slices of images, so that an array of `width` numbers an image stays small."""
    step = max(CHUNK // max(width, 1), 64)
    for start in range(0, images, step):
        yield slice(start, min(start + step, images))


@dataclasses.dataclass(eq=False)
class Design:
    """Ridge-logistic models of all columns on what is known, and what more labels do to them.

    The model of a column is logistic in x, with a standard normal prior on its weights. The
    precision of its posterior is `H = I + sum over known labels of p (1 - p) x x'`, its expected
    excess log-loss half the mean over all images of `p (1 - p) x' H^-1 x` (the quadratic
    approximation behind A-optimal design for logistic regression: Schein and Ungar 2007; for least
    squares: Cohn, Ghahramani and Jordan 1996). One label on image x saves, by Sherman and Morrison,

        w x' H^-1 M H^-1 x / (2 (1 + w x' H^-1 x)),  w = p (1 - p),  M = mean over images of w x x'.

    That one term holds what is usually multiplied by hand: uncertainty (w; Lewis and Gale 1994),
    scarcity (H is small where little is known), representativeness (M is over all images, also
    unlabeled ones), and diversity (H grows along what is known or bought). Without embeddings
    x is 1 and scarcity and uncertainty remain. For other kinds than tags the same is said of least
    squares with noise 1.

    The gain is that saving over the log-loss of the column's base rate: the share of what there is
    to learn that one label is expected to bring. So a rare category counts as much as a common one.
    It assumes that predictions are calibrated, and ranks labels; it forecasts no score.

    Attributes:
        inverse_UDD: H^-1.
        saved_UDD: H^-1 M H^-1.
        scale_U: worth over twice the log-loss of the base rate.
    """

    inverse_UDD: Array
    saved_UDD: Array
    scale_U: Array

    @classmethod
    def of(cls, offers: Offers, look_ND: Array) -> Self:
        """Of what is known now."""
        images, size = look_ND.shape
        scale_U = offers.of_all("worth_C") / (2 * offers.of_all("entropy"))
        precision_UP = np.zeros((len(scale_U), size * (size + 1) // 2))
        mean_UP = np.zeros_like(precision_UP)
        for part in chunks(images, max(precision_UP.shape)):
            row_M = np.arange(part.start, part.stop)
            product_MP = _products(look_ND[part])
            information_MU = offers.information(row_M)
            mean_UP += information_MU.T @ product_MP / max(images, 1)
            precision_UP += np.where(offers.known(row_M), information_MU, 0).T @ product_MP
        inverse_UDD = np.linalg.inv(_matrices(precision_UP, size) + np.eye(size))
        return cls(inverse_UDD, inverse_UDD @ _matrices(mean_UP, size) @ inverse_UDD, scale_U)

    def gains(self, look_MD: Array, information_MU: Array) -> Array:
        """Gain of each label, were it the only one bought; float32 `MU`."""
        product_MP = _products(look_MD)
        leverage_MU = product_MP @ _packed(self.inverse_UDD).T
        saved_MU = product_MP @ _packed(self.saved_UDD).T
        gain_MU: Array = self.scale_U.astype(np.float32) * information_MU * saved_MU
        gain_MU /= 1 + information_MU * leverage_MU
        return np.maximum(gain_MU, 0)

    def gains_of(self, look_D: Array, information_U: Array) -> Array:
        """The same of one image; float64 `U`."""
        leverage_U = (self.inverse_UDD @ look_D) @ look_D
        saved_U = (self.saved_UDD @ look_D) @ look_D
        gain_U: Array = self.scale_U * information_U * saved_U / (1 + information_U * leverage_U)
        return np.maximum(gain_U, 0)

    def add(self, column: int, look_D: Array, information: float) -> None:
        """Take a label as bought: whatever it will say, it adds `w x x'` to H."""
        seen_D = self.inverse_UDD[column] @ look_D
        saved_D = self.saved_UDD[column] @ look_D
        factor = information / (1 + information * float(look_D @ seen_D))
        cross_DD = np.outer(seen_D, saved_D)
        self.saved_UDD[column] += factor**2 * float(look_D @ saved_D) * np.outer(seen_D, seen_D)
        self.saved_UDD[column] -= factor * (cross_DD + cross_DD.T)
        self.inverse_UDD[column] -= factor * np.outer(seen_D, seen_D)


def _products(look_MD: Array) -> Array:
    left_P, right_P = np.triu_indices(look_MD.shape[1])
    product_MP: Array = look_MD[:, left_P] * look_MD[:, right_P]
    return product_MP


def _matrices(sum_UP: Array, size: int) -> Array:
    left_P, right_P = np.triu_indices(size)
    matrix_UDD = np.empty((len(sum_UP), size, size))
    matrix_UDD[:, left_P, right_P] = sum_UP
    matrix_UDD[:, right_P, left_P] = sum_UP
    return matrix_UDD


def _packed(matrix_UDD: Array) -> Array:
    """So that products of x with it give x' A x; float32 `UP`."""
    left_P, right_P = np.triu_indices(matrix_UDD.shape[1])
    twice_P = np.where(left_P == right_P, 1.0, 2.0)
    packed_UP: Array = (matrix_UDD[:, left_P, right_P] * twice_P).astype(np.float32)
    return packed_UP
