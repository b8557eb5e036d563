"""Folds of whole groups, over all splits together: labels of the test split can be wrong as well.

Legend: N images, G groups, K folds, T things that are balanced.
"""

import numpy as np

from goldseam.audit.label_side import LabelSide
from goldseam.dataset.codecs import UNKNOWN, Array
from goldseam.dataset.order import generator

FOLD_STREAM = 0xF01D


def group_folds(
    labels: LabelSide, tasks: tuple[str, ...], folds: int, seed: int, used_N: Array
) -> Array:
    """A fold for each image, `int16 N`; -1 for images that are not used.

    Groups are dealt from the heaviest to the fold in which the sum of squared loads grows least,
    where a load is a share of all images or of all known labels of a task (known entries, for
    tags). What a label says has no part in it: folds that follow labels would tell about them.

    Args:
        labels: of the dataset.
        tasks: whose labels are spread evenly.
        folds: K; fewer where there are fewer groups.
        seed: decides among groups of equal weight.
        used_N: images that are dealt.
    """
    amount_NT = np.stack([used_N, *(_known(labels, task) * used_N for task in tasks)], axis=1)
    dealt_G, group_N = np.unique(labels.group_N[used_N], return_inverse=True)
    fold_N = np.full(len(labels), -1, np.int16)
    if not len(dealt_G):
        return fold_N
    count_GT = np.stack(
        [np.bincount(group_N, weights=amount_N[used_N]) for amount_N in amount_NT.T], axis=1
    )
    weight_GT = count_GT / np.maximum(count_GT.sum(axis=0), 1)
    order = generator(seed, FOLD_STREAM).permutation(len(dealt_G))
    order = order[np.argsort(-weight_GT[order].sum(axis=1), kind="stable")]
    load_KT = np.zeros((min(folds, len(dealt_G)), weight_GT.shape[1]))
    fold_G = np.zeros(len(dealt_G), np.int16)
    for group in order:
        # (load + w)^2 - load^2 = 2 w load + w^2, and w^2 is the same for every fold
        fold_G[group] = fold = int((load_KT @ weight_GT[group]).argmin())
        load_KT[fold] += weight_GT[group]
    fold_N[used_N] = fold_G[group_N]
    return fold_N


def _known(labels: LabelSide, task: str) -> Array:
    """How many labels of a task each image carries."""
    if task in labels.states:
        known_N: Array = (labels.states[task] != UNKNOWN).sum(axis=1)
        return known_N
    return labels.known[task].astype(np.int64)
