"""How wrong pseudo-tags are, on arrays that a user already has.

Legend: N images, C categories, S states (absent, present), B bins of confidence, G clusters of
groups. States of an entry: 1 present, 0 absent, -1 unknown.
"""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from goldseam.audit.pseudo_labels.judged import PseudoLabelErrors
from goldseam.audit.pseudo_labels.strata import Compared, Expected, expected_wrong
from goldseam.dataset.codecs import UNKNOWN, Array
from goldseam.errors import InvalidArray

# finer towards the ends, where pseudo-labels are made
UPPER = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
EDGES = np.array([*(round(1 - edge, 3) for edge in UPPER[:0:-1]), *UPPER])
ROWS_AT_ONCE = 1 << 15
# numbers in memory; with many categories groups are drawn in fewer, larger clusters
CELLS = 1 << 24
MOST_CLUSTERS, FEWEST_CLUSTERS = 1000, 40
RANDOM_SAMPLE = (
    "The known labels of a category are a random sample of what its pseudo-labels of each state "
    "stand on, by group, and none of them was used to make a pseudo-label."
)
WITHIN_CONFIDENCE = (
    "Among pseudo-labels of one category, state and confidence of the model, whether a label is "
    "known says nothing about whether the pseudo-label is right; and no known label was used to "
    "make one."
)


def pseudo_label_errors(
    pseudo_NC: npt.ArrayLike,
    labels_NC: npt.ArrayLike,
    *,
    categories: Sequence[str] | None = None,
    groups: Sequence[Hashable] | None = None,
    probabilities_NC: npt.ArrayLike | None = None,
    transition_C22: npt.ArrayLike | None = None,
    minimum_compared: int = 20,
    resamples: int = 1000,
    seed: int = 0,
) -> PseudoLabelErrors:
    """Expected wrong share of pseudo-tags, from known labels that did not make them.

    Compared are the entries that carry both; the shares are taken over to all pseudo-labels. With
    `probabilities_NC` that is done bin by bin of the model's confidence, so that known labels may
    have been bought where the model is unsure; without, they have to be a random sample. The
    result's `assumption` says which. Intervals are 95 %, from draws of whole groups; the number of
    pseudo-labels is taken as given.

    Args:
        pseudo_NC: 1 present, 0 absent, -1 no pseudo-label.
        labels_NC: held-out known labels; 1, 0, or -1 unknown, whose content never matters.
        categories: C names; numbers by default.
        groups: N; what is alike (scene, patient). Every image stands alone by default.
        probabilities_NC: of "present", 0 to 1; read only where there is a pseudo-label.
        transition_C22: P(given | true) of the known labels, absent before present, such as
            `goldseam.audit.transition_matrix` gives them; then shares are those against the truth.
        minimum_compared: known labels in each bin of confidence.
        resamples: number of draws.
        seed: of the draws.

    Raises:
        InvalidArray: the arrays do not fit each other or hold what they should not, or no
            pseudo-label stands on a known label.
    """
    pseudo_NC, labels_NC = states(pseudo_NC, "pseudo_NC"), states(labels_NC, "labels_NC")
    same_shape(labels_NC, pseudo_NC.shape, "labels_NC")
    probability_NC = None
    if probabilities_NC is not None:
        probability_NC = np.asarray(probabilities_NC)
        same_shape(probability_NC, pseudo_NC.shape, "probabilities_NC")
    count = pseudo_NC.shape[1]
    names = tuple(str(n) for n in range(count)) if categories is None else tuple(categories)
    if len(names) != count:
        raise InvalidArray(
            "categories", f"{len(names)} names for {count} columns", "Name every column."
        )
    compared = _compare(pseudo_NC, labels_NC, probability_NC, _group_numbers(groups, pseudo_NC))
    if not compared.known().any():
        raise InvalidArray(
            "labels_NC",
            "no pseudo-label stands on a known label, so there is nothing to judge by",
            "Hold out some known labels, make pseudo-labels for them too, and hand over both.",
        )
    expected = expected_wrong(
        compared,
        minimum=minimum_compared,
        transition_C22=transitions(transition_C22, count),
        resamples=resamples,
        seed=seed,
    )
    assumption = RANDOM_SAMPLE if probability_NC is None else WITHIN_CONFIDENCE
    return verdict(names, compared, expected, assumption)


def verdict(
    categories: tuple[str, ...], compared: Compared, expected: Expected, assumption: str
) -> PseudoLabelErrors:
    """Estimates category by category."""
    numbers = range(len(categories))
    total_CS, judged_CS = compared.total(), expected.judged()
    return PseudoLabelErrors(
        categories=categories,
        unit="labels",
        compared_C2=compared.known(),
        differing_C2=compared.differing(),
        total_C2=total_CS,
        wrong_absent=tuple(expected.share(number, 0) for number in numbers),
        wrong_present=tuple(expected.share(number, 1) for number in numbers),
        expected_wrong=tuple(expected.number(number) for number in numbers),
        overall=expected.overall(),
        unjudged=int(total_CS[~judged_CS].sum()),
        assumption=assumption,
    )


def states(array: npt.ArrayLike, name: str) -> Array:
    """An array of states as it is.

    Raises:
        InvalidArray: it has not two axes, is empty, or holds another value.
    """
    state_NC = np.asarray(array)
    if state_NC.ndim != 2 or not state_NC.size:
        raise InvalidArray(
            name, f"its shape is {state_NC.shape}", "Give images × categories, at least one each."
        )
    for first in range(0, len(state_NC), ROWS_AT_ONCE):
        block = state_NC[first : first + ROWS_AT_ONCE]
        wrong = ~((block == 1) | (block == 0) | (block == UNKNOWN))
        if wrong.any():
            row, category = np.argwhere(wrong)[0]
            raise InvalidArray(
                name,
                f"row {first + row}, category {category} is {block[row, category]}",
                "Write 1 for present, 0 for absent and -1 for unknown.",
            )
    return state_NC


def same_shape(array: Array, shape: tuple[int, ...], name: str) -> None:
    """Whether an array has the shape of the pseudo-labels.

    Raises:
        InvalidArray: it has not.
    """
    if array.shape != shape:
        raise InvalidArray(
            name,
            f"its shape is {array.shape}, that of the pseudo-labels {shape}",
            "Give the same images and categories in the same order.",
        )


def transitions(transition_C22: npt.ArrayLike | None, categories: int) -> Array | None:
    """P(given | true), checked.

    Raises:
        InvalidArray: it has another shape, or rows that do not add up to 1.
    """
    if transition_C22 is None:
        return None
    array = np.asarray(transition_C22, np.float64)
    if array.shape != (categories, 2, 2) or not (
        (array >= 0).all() and np.allclose(array.sum(axis=2), 1, atol=1e-6)
    ):
        raise InvalidArray(
            "transition_C22",
            f"an array of shape {array.shape}",
            f"Give {categories} × 2 × 2 probabilities P(given | true), rows adding up to 1.",
        )
    return array


def _group_numbers(groups: Sequence[Hashable] | None, pseudo_NC: Array) -> Array:
    if groups is None:
        return np.arange(len(pseudo_NC))
    if len(groups) != len(pseudo_NC):
        raise InvalidArray(
            "groups",
            f"{len(groups)} values for {len(pseudo_NC)} images",
            "Give one group an image.",
        )
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(group, len(number)) for group in groups], np.int64)


def folded(group_N: Array, cells: int) -> tuple[Array, int]:
    """Each image's cluster, and how many there are.

    Args:
        group_N: numbers of groups, from 0 without a gap.
        cells: numbers that are kept for each cluster.
    """
    most = int(np.clip(CELLS // max(cells, 1), FEWEST_CLUSTERS, MOST_CLUSTERS))
    return group_N % most, min(int(group_N.max()) + 1, most)


def _compare(
    pseudo_NC: Array, labels_NC: Array, probability_NC: Array | None, group_N: Array
) -> Compared:
    """Count by stratum, some rows at a time."""
    categories = pseudo_NC.shape[1]
    bins = 1 if probability_NC is None else len(EDGES) + 1
    cells = categories * 2 * bins
    cluster_N, clusters = folded(group_N, cells * 2)
    known, differing = np.zeros(clusters * cells), np.zeros(clusters * cells)
    total = np.zeros(cells)
    for first in range(0, len(pseudo_NC), ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        made_BC = pseudo_NC[rows] != UNKNOWN
        row_M, category_M = np.nonzero(made_BC)
        state_M = pseudo_NC[rows][made_BC].astype(np.int64)
        bin_M = np.zeros(len(row_M), np.int64)
        if probability_NC is not None:
            probability_M = probability_NC[rows][made_BC].astype(np.float64)
            check_probabilities(probability_M, first + row_M, category_M)
            bin_M = np.searchsorted(EDGES, probability_M, side="right")
        cell_M = (category_M * 2 + state_M) * bins + bin_M
        total += np.bincount(cell_M, minlength=cells)
        label_M = labels_NC[rows][made_BC]
        known_M = label_M != UNKNOWN
        at_M = cluster_N[rows][row_M] * cells + cell_M
        known += np.bincount(at_M[known_M], minlength=len(known))
        differs_M = known_M & (label_M != state_M)
        differing += np.bincount(at_M[differs_M], minlength=len(known))
    shape = (categories, 2, bins)
    return Compared(
        known.reshape(clusters, *shape), differing.reshape(clusters, *shape), total.reshape(shape)
    )


def check_probabilities(probability_M: Array, row_M: Array, category_M: Array) -> None:
    """Whether probabilities are numbers from 0 to 1.

    Raises:
        InvalidArray: one is not; names its row and category.
    """
    inside_M = (probability_M >= 0) & (probability_M <= 1)  # NaN is not
    if not inside_M.all():
        at = int(np.argmin(inside_M))
        raise InvalidArray(
            "probabilities_NC",
            f"row {row_M[at]}, category {category_M[at]} is {probability_M[at]}, where there is "
            "a pseudo-label",
            "Give probabilities from 0 to 1: apply a sigmoid to logits.",
        )
