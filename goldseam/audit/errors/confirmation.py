"""How often others like this one are confirmed, learned from the other images.

K cases (predictions, labels), each with a value that should make confirmation likelier (a score, a
size), a category and an image.
"""

from collections.abc import Iterator

import numpy as np

from goldseam.dataset.codecs import Array


def by_category(category_K: Array) -> Iterator[tuple[int, Array]]:
    """Each category that occurs, with the positions of its cases."""
    order_K = np.argsort(category_K, kind="stable")
    starts = np.flatnonzero(np.diff(category_K[order_K], prepend=-1))
    for case_J in np.split(order_K, starts[1:]):
        if len(case_J):
            yield int(category_K[case_J[0]]), case_J


def confirmed_elsewhere(
    confirmed_K: Array, value_K: Array, category_K: Array, image_K: Array
) -> Array:
    """The share of similar cases of the same category that are confirmed in other images.

    Similar are those that isotonic regression of `confirmed` on `value` puts into one block: the
    share never falls with the value. One case of the category's own share is added to each block,
    which keeps small blocks modest.

    Args:
        confirmed_K: bool.
        value_K: float; larger should mean confirmed more often.
        category_K: ids; categories share nothing.
        image_K: cases of one image say nothing about each other.

    Returns:
        float K in [0, 1]; NaN where the category has cases in one image only.
    """
    from scipy import optimize

    share_K = np.full(len(confirmed_K), np.nan)
    for _, case_J in by_category(category_K):
        image_J = image_K[case_J]
        if (image_J == image_J[0]).all():
            continue
        # equal values stand in one block
        _, at_J, count_V = np.unique(value_K[case_J], return_inverse=True, return_counts=True)
        hit_J = confirmed_K[case_J].astype(np.float64)
        mean_V = np.bincount(at_J, hit_J) / count_V
        fitted = optimize.isotonic_regression(mean_V, weights=count_V)
        block_J = np.repeat(np.arange(len(fitted.blocks) - 1), np.diff(fitted.blocks))[at_J]
        share_K[case_J] = _without_own_image(hit_J, block_J, image_J)
    return share_K


def _without_own_image(hit_J: Array, block_J: Array, image_J: Array) -> Array:
    """Mean of the hits of each case's block in other images, with one case of the overall mean."""
    hits_J, count_J = _block_sums(hit_J, block_J, image_J)
    all_hits_J, all_count_J = _block_sums(hit_J, np.zeros_like(block_J), image_J)
    share_J: Array = (hits_J + all_hits_J / all_count_J) / (count_J + 1)
    return share_J


def _block_sums(hit_J: Array, block_J: Array, image_J: Array) -> tuple[Array, Array]:
    """Hits and cases of each case's block, less those of its own image."""
    key_J = block_J.astype(np.int64) * (int(image_J.max()) + 1) + image_J
    own_J = np.unique(key_J, return_inverse=True)[1].ravel()
    hits_J = np.bincount(block_J, hit_J)[block_J] - np.bincount(own_J, hit_J)[own_J]
    count_J = np.bincount(block_J)[block_J] - np.bincount(own_J)[own_J]
    return hits_J, count_J
