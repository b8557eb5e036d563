"""How wrong pseudo-masks are, pixel by pixel, from a stream of pairs.

A stratum is a category of the pseudo-mask, near one of its boundaries or away from them: the
pseudo-mask is there on every image, so wrong shares can be taken over to images without a label.

Legend: H and W pixels, C categories, P parts (interior, boundary), E cells (part, pseudo-label,
label) that hold a pixel, K strata (part, pseudo-label), G clusters of groups, R draws.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from goldseam.audit.noise.counts import NO_CATEGORY, Counted, CountTable, column
from goldseam.audit.noise.disagreement import boundary_band
from goldseam.audit.pseudo_labels.judged import PseudoLabelErrors
from goldseam.audit.statistics.bootstrap import bundle_of, clusters_of, drawn_estimate, draws
from goldseam.dataset.codecs import Array
from goldseam.errors import InvalidArray
from goldseam.results import Estimate

PARTS = (Counted.INTERIOR, Counted.BOUNDARY)
DRAWS_AT_ONCE = 64
LARGEST_CONDITION = 50.0
ASSUMPTION = (
    "Among pixels of one pseudo-labeled category, near its boundary or away from it, those of "
    "labeled images are as often wrong as those of images without a label; and no label was used "
    "to make a pseudo-mask."
)


def pseudo_mask_errors(
    pairs: Iterable[tuple[str, Array, Array | None]],
    *,
    categories: Sequence[str],
    ignore: int = 255,
    band: int = 2,
    transition_CC: npt.ArrayLike | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> PseudoLabelErrors:
    """Expected wrong pixels of pseudo-masks, from known masks that did not make them.

    Reads the pairs once; memory does not grow with their number.

    Args:
        pairs: (group, pseudo-mask HW, known mask HW or None where there is none); what is alike
            (scene, patient) shares a group. Ids from 0, `ignore` where there is no label.
        categories: C names.
        ignore: the id of pixels that count for nothing.
        band: px; pixels of the pseudo-mask so near to another of its categories are a stratum of
            their own.
        transition_CC: P(given | true) of the known masks, such as
            `goldseam.audit.transition_matrix` gives it; then shares are those against the truth.
        resamples: number of draws of groups.
        seed: of the draws.

    Raises:
        InvalidArray: a mask holds an id that is no category or has not the size of its partner, no
            pixel carries both, or the transition matrix cannot be solved for the truth.
    """
    names, count = tuple(categories), len(categories)
    inverse_CC = _inverse(transition_CC, count)
    table = CountTable()
    for number, (group, pseudo_HW, label_HW) in enumerate(pairs):
        _count(table, bundle_of(group), number, (pseudo_HW, label_HW), (count, ignore, band))
    cells = _Cells.of(table, count)
    if not cells.known_K.any():
        raise InvalidArray(
            "pairs",
            "no pixel carries both a pseudo-label and a known label",
            "Hold out some known masks, make pseudo-masks for their images too, and hand over "
            "both.",
        )
    return _verdict(names, cells, _true_shares(cells, inverse_CC, resamples, seed))


def _inverse(transition_CC: npt.ArrayLike | None, categories: int) -> Array:
    if transition_CC is None:
        return np.eye(categories)
    array = np.asarray(transition_CC, np.float64)
    fits = array.shape == (categories, categories) and bool((array >= 0).all())
    if not fits or not np.allclose(array.sum(axis=1), 1, atol=1e-6):
        raise InvalidArray(
            "transition_CC",
            f"an array of shape {array.shape}",
            f"Give {categories} × {categories} probabilities P(given | true), rows adding up to 1.",
        )
    if np.linalg.cond(array) > LARGEST_CONDITION:
        raise InvalidArray(
            "transition_CC",
            "a matrix that is nearly singular: the given labels say too little about the truth",
            "Compare with cleaner labels, or leave the matrix out.",
        )
    return np.linalg.inv(array)


def _count(
    table: CountTable,
    bundle: int,
    number: int,
    masks: tuple[Array, Array | None],
    options: tuple[int, int, int],
) -> None:
    pseudo_HW, label_HW = masks
    count, ignore, band = options
    made_HW = pseudo_HW != ignore
    given_HW = np.full(pseudo_HW.shape, ignore) if label_HW is None else label_HW
    if given_HW.shape != pseudo_HW.shape:
        raise InvalidArray(
            f"pair {number}",
            f"a pseudo-mask of shape {pseudo_HW.shape} and a label of shape {given_HW.shape}",
            "Give both in the size of the image.",
        )
    for name, mask_HW in (("pseudo-mask", pseudo_HW), ("label", given_HW)):
        outside_HW = (mask_HW != ignore) & ((mask_HW < 0) | (mask_HW >= count))
        if outside_HW.any():
            raise InvalidArray(
                f"pair {number}",
                f"its {name} has the id {mask_HW[outside_HW][0]}",
                f"Give ids of 0 to {count - 1}, or {ignore} where there is no label.",
            )
    band_HW = boundary_band(pseudo_HW, made_HW, band)
    label_P = np.where(given_HW == ignore, count, given_HW).astype(np.int64)
    for part, part_HW in zip(PARTS, (~band_HW, band_HW), strict=True):
        chosen_HW = made_HW & part_HW
        cell = pseudo_HW[chosen_HW].astype(np.int64) * (count + 1) + label_P[chosen_HW]
        cell_E, count_E = np.unique(cell, return_counts=True)
        pseudo_E, label_E = np.divmod(cell_E, count + 1)
        label_E[label_E == count] = NO_CATEGORY
        table.add(("", "", bundle), part, count_E, label_E, pseudo_E)


@dataclasses.dataclass(frozen=True, eq=False)
class _Cells:
    """Pixels by cell and cluster.

    Attributes:
        stratum_E: part × C + pseudo-label, of the cells with a known label.
        label_E: of the same.
        count_GE: pixels.
        total_K: pixels with a pseudo-label, known or not.
        known_K: those with a known label.
        clusters: that have a known pixel.
        categories: C.
    """

    stratum_E: Array
    label_E: Array
    count_GE: Array
    total_K: Array
    known_K: Array
    clusters: int
    categories: int

    @classmethod
    def of(cls, counts: CountTable, categories: int) -> "_Cells":
        table = counts.table()
        is_boundary_M = table.column("counted").combine_chunks().to_numpy(False) == PARTS[1]
        stratum_M = is_boundary_M * categories + column(table, "noisy")
        label_M, count_M = column(table, "clean"), column(table, "count")
        known_M = label_M != NO_CATEGORY
        cell_M = stratum_M[known_M] * categories + label_M[known_M]
        cell_E, place_M = np.unique(cell_M, return_inverse=True)
        cluster_M, clusters = clusters_of(column(table, "bundle")[known_M])
        count_GE = np.bincount(
            cluster_M * len(cell_E) + place_M, count_M[known_M], clusters * len(cell_E)
        )
        strata = 2 * categories
        return cls(
            stratum_E=cell_E // categories,
            label_E=cell_E % categories,
            count_GE=count_GE.reshape(clusters, len(cell_E)),
            total_K=np.bincount(stratum_M, count_M, strata),
            known_K=np.bincount(stratum_M[known_M], count_M[known_M], strata),
            clusters=clusters,
            categories=categories,
        )


def _true_shares(cells: _Cells, inverse_CC: Array, resamples: int, seed: int) -> Array:
    """Expected pixels by pseudo-labeled and true category: `R 2 C C`; the first R is the estimate.

    NaN where a category of the pseudo-mask was never compared. Where only one of its parts was,
    that one stands for both.
    """
    drawn_RG = np.ones((1, cells.clusters))
    if cells.clusters > 1:
        drawn_RG = np.concatenate([drawn_RG, draws(cells.clusters, resamples, seed)])
    blocks = []
    whole_2CC = None
    for first in range(0, len(drawn_RG), DRAWS_AT_ONCE):
        drawn_RE = drawn_RG[first : first + DRAWS_AT_ONCE] @ cells.count_GE
        given = np.zeros((len(drawn_RE), 2 * cells.categories, cells.categories))
        given[:, cells.stratum_E, cells.label_E] = drawn_RE
        known_RK1 = given.sum(axis=2, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = ((given / known_RK1) @ inverse_CC).clip(0, 1)
            shares /= shares.sum(axis=2, keepdims=True)
        share_R2CC = shares.reshape(len(drawn_RE), 2, cells.categories, cells.categories)
        if whole_2CC is None:
            other_2CC = share_R2CC[0, ::-1]
            whole_2CC = np.where(np.isnan(share_R2CC[0]), other_2CC, share_R2CC[0])
        # a draw without a pixel of a stratum says nothing about it
        blocks.append(np.where(np.isnan(share_R2CC), whole_2CC, share_R2CC))
    total_2C1 = cells.total_K.reshape(2, cells.categories, 1)
    expected: Array = np.concatenate(blocks) * total_2C1
    return expected


def _verdict(names: tuple[str, ...], cells: _Cells, true_R2CC: Array) -> PseudoLabelErrors:
    categories = len(names)
    judged_C = np.isfinite(true_R2CC[0]).all(axis=(0, 2))
    total_2C = cells.total_K.reshape(2, categories) * judged_C
    true_R2CC = np.where(judged_C[:, None], true_R2CC, 0)
    true_RCC, total_C = true_R2CC.sum(axis=1), total_2C.sum(axis=0)
    right_RC = np.einsum("rcc->rc", true_RCC)
    wrong_RC = total_C - right_RC
    elsewhere_C = total_C.sum() - total_C
    with np.errstate(invalid="ignore", divide="ignore"):
        present_RC = wrong_RC / np.where(judged_C, total_C, np.nan)
        absent_RC = (true_RCC.sum(axis=1) - right_RC) / elsewhere_C
        wrong_R2 = (total_2C[None] - np.einsum("rpcc->rpc", true_R2CC)).sum(axis=2)
        part_R2 = wrong_R2 / total_2C.sum(axis=1)
        overall_R1 = wrong_RC.sum(axis=1, keepdims=True) / total_C.sum()
    (overall,) = _summaries(overall_R1, cells.clusters)
    (expected,) = _summaries(
        wrong_RC.sum(axis=1, keepdims=True), cells.clusters, total_C.sum(keepdims=True)
    )
    all_C = cells.total_K.reshape(2, categories).sum(axis=0).astype(np.int64)
    known_CC = np.zeros((categories, categories), np.int64)
    np.add.at(
        known_CC,
        (cells.stratum_E % categories, cells.label_E),
        cells.count_GE.sum(axis=0).astype(np.int64),
    )
    agreeing_C, known_C = np.diag(known_CC), known_CC.sum(axis=1)
    differing_2C = [known_CC.sum(axis=0) - agreeing_C, known_C - agreeing_C]
    return PseudoLabelErrors(
        categories=names,
        unit="pixels",
        compared_C2=np.stack([known_C.sum() - known_C, known_C], axis=1),
        differing_C2=np.stack(differing_2C, axis=1),
        total_C2=np.stack([all_C.sum() - all_C, all_C], axis=1),
        wrong_absent=_summaries(absent_RC, cells.clusters),
        wrong_present=_summaries(present_RC, cells.clusters),
        expected_wrong=_summaries(np.where(judged_C, wrong_RC, np.nan), cells.clusters, total_C),
        overall=(Estimate(None, better="lower"), overall, expected),
        unjudged=int(all_C[~judged_C].sum()),
        assumption=ASSUMPTION,
        by_part=tuple(
            zip((str(part) for part in PARTS), _summaries(part_R2, cells.clusters), strict=True)
        ),
    )


def _summaries(
    value_RK: Array, clusters: int, whole_K: Array | float = 1.0
) -> tuple[Estimate, ...]:
    """Estimates of shares, or of numbers out of `whole_K`."""
    return tuple(
        drawn_estimate(value_R, clusters, whole)
        for value_R, whole in zip(
            value_RK.T, np.broadcast_to(whole_K, value_RK.shape[1:]).tolist(), strict=True
        )
    )
