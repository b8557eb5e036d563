"""Folds of a cross-validation in which whole groups stand together.

Legend: N rows, G groups, K folds.
"""

import heapq

import numpy as np
import numpy.typing as npt

from goldseam.finetuning.solving.logistic import Floats

Integers = npt.NDArray[np.intp]


def group_folds(
    present_N: Floats, group_N: Integers, folds: int, rng: np.random.Generator
) -> Integers:
    """A fold for each row: groups whole, positives and negatives spread evenly.

    Groups are dealt from the heaviest to the fold that holds least, where a group weighs its share
    of the positives plus its share of the negatives; equal ones in random order.
    """
    _, group_N = np.unique(group_N, return_inverse=True)
    presents_G = np.bincount(group_N, weights=present_N)
    absents_G = np.bincount(group_N, weights=1 - present_N)
    weight_G = presents_G / max(1, presents_G.sum()) + absents_G / max(1, absents_G.sum())
    return _deal(weight_G, folds, rng)[group_N]


def shared_folds(
    labels_NC: npt.NDArray[np.int8], group_N: Integers, folds: int, rng: np.random.Generator
) -> Integers:
    """One fold for each row, the same for all categories; rare labels weigh most in the dealing."""
    _, group_N = np.unique(group_N, return_inverse=True)
    groups = int(group_N.max(initial=-1)) + 1
    weight_G = np.zeros(groups)
    for value in (0, 1):
        share_NC = labels_NC == value
        share_N = (share_NC / np.maximum(1, share_NC.sum(axis=0))).sum(axis=1)
        weight_G += np.bincount(group_N, weights=share_N, minlength=groups)
    return _deal(weight_G, folds, rng)[group_N]


def _deal(weight_G: Floats, folds: int, rng: np.random.Generator) -> Integers:
    order = rng.permutation(len(weight_G))
    order = order[np.argsort(-weight_G[order], kind="stable")]
    fold_G = np.zeros(len(order), np.intp)
    # a heap hands out the lightest fold, the first of equal ones, in time that does not grow with
    # the number of folds
    load = [(0.0, fold) for fold in range(min(folds, len(order)))]
    for group in order.tolist():
        held, fold = load[0]
        fold_G[group] = fold
        heapq.heapreplace(load, (held + float(weight_G[group]), fold))
    return fold_G


def one_sided_fold(present_N: Floats, fold_N: Integers) -> bool:
    """Whether leaving out some fold leaves no positives, or no negatives, to fit to."""
    folds = int(fold_N.max(initial=-1)) + 1
    presents_K = np.bincount(fold_N, weights=present_N, minlength=folds)
    absents_K = np.bincount(fold_N, weights=1 - present_N, minlength=folds)
    return bool(
        folds < 2
        or (presents_K.sum() - presents_K == 0).any()
        or (absents_K.sum() - absents_K == 0).any()
    )
