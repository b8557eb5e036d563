"""Rates and matrices of noisy masks, boundaries and saliency, from what was counted on pictures.

Legend: C categories, G clusters of groups, M rows of a table, N images.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.audit.label_side import LabelSide
from goldseam.audit.noise.config import NoiseConfig
from goldseam.audit.noise.counts import Counted, column, counts_of
from goldseam.audit.noise.disagreement import PixelCounts, disagreement, vocabulary
from goldseam.audit.noise.matrices import measured_matrix
from goldseam.audit.noise.measure import NOISE_COUNTS, NOISE_IMAGES
from goldseam.audit.noise.section import NoiseSection, RateKind
from goldseam.audit.noise.wording import direction, images_seen, nothing_in_common, with_interval
from goldseam.audit.statistics.bootstrap import (
    bundles_of,
    clusters_of,
    ratio_estimates,
    sum_by_cluster,
)
from goldseam.dataset.codecs import Array
from goldseam.results import Disagreement, Estimate, NoiseMatrix, NoiseRate

PIXELS = (Counted.INTERIOR, Counted.BOUNDARY)
OBJECTS: tuple[tuple[RateKind, Counted, Counted, str], ...] = (
    ("omission", Counted.CLEAN_OBJECTS, Counted.OMITTED, "clean"),
    ("invention", Counted.NOISY_OBJECTS, Counted.INVENTED, "noisy"),
)
METHOD = "measured"


def mask_noise(
    labels: LabelSide, noisy: str, tables: Mapping[str, pa.Table], config: NoiseConfig
) -> NoiseSection:
    """What was measured of one noisy task of category ids.

    Args:
        labels: the label side.
        noisy: name of the noisy task.
        tables: of `NoiseMeasure`.
        config: the options.
    """
    clean = str(labels.info.tasks[noisy].noisy_version_of)
    categories = vocabulary(labels.info.tasks[noisy])
    counts = tables[NOISE_COUNTS]
    disagreements = tuple(
        _disagreement(counts, (clean, noisy), split, categories, config.band)
        for split in labels.splits
    )
    images = sum(one.images for one in disagreements)
    if not images:
        return NoiseSection(disagreements=disagreements, rates=(nothing_in_common(clean, noisy),))
    rates = [
        *_flips(counts, (clean, noisy), categories, images, config),
        *_objects(counts, (clean, noisy), categories, images, config),
        *_outlines(labels, tables[NOISE_IMAGES], (clean, noisy), categories, config),
    ]
    return NoiseSection(
        disagreements=disagreements,
        rates=tuple(rates),
        matrices=_matrices(counts, noisy, categories),
    )


def _confusion(table: pa.Table, categories: int) -> Array:
    """Counts of a table by clean and noisy category: int64 CC."""
    count_CC = np.zeros((categories, categories), np.int64)
    np.add.at(count_CC, (column(table, "clean"), column(table, "noisy")), column(table, "count"))
    return count_CC


def _disagreement(
    counts: pa.Table, pair: tuple[str, str], split: str, categories: tuple[str, ...], band: int
) -> Disagreement:
    of_split = counts.filter(pc.equal(counts.column("split"), split))
    images = column(counts_of(of_split, pair[1], Counted.IMAGES), "count").sum()
    parts = [_confusion(counts_of(of_split, pair[1], part), len(categories)) for part in PIXELS]
    return disagreement(pair, split, band, categories, PixelCounts(int(images), np.stack(parts)))


def _matrices(counts: pa.Table, noisy: str, categories: tuple[str, ...]) -> tuple[NoiseMatrix, ...]:
    interior_CC, boundary_CC = (
        _confusion(counts_of(counts, noisy, part), len(categories)) for part in PIXELS
    )
    parts = {"all": interior_CC + boundary_CC, "interior": interior_CC, "boundary": boundary_CC}
    return tuple(
        measured_matrix(noisy, categories, count_CC, category=None, part=part)
        for part, count_CC in parts.items()
        if count_CC.sum()
    )


def _by_cluster(table: pa.Table, key: str, categories: int, chosen_M: Array | None = None) -> Array:
    """Counts by cluster and category, and last of all categories: float64 `G C+1`."""
    cluster_M, clusters = clusters_of(column(table, "bundle"))
    count_M = column(table, "count") * (1 if chosen_M is None else chosen_M)
    cell_M = cluster_M * categories + column(table, key)
    counted_GC = np.bincount(cell_M, count_M, clusters * categories).reshape(clusters, categories)
    return np.concatenate([counted_GC, counted_GC.sum(axis=1, keepdims=True)], axis=1)


def _flips(
    counts: pa.Table,
    pair: tuple[str, str],
    categories: tuple[str, ...],
    images: int,
    config: NoiseConfig,
) -> list[NoiseRate]:
    clean, noisy = pair
    pixels = counts_of(counts, noisy, *PIXELS)
    if not len(pixels):
        return []
    wrong_M = column(pixels, "clean") != column(pixels, "noisy")
    total_GK = _by_cluster(pixels, "clean", len(categories))
    estimates = ratio_estimates(
        _by_cluster(pixels, "clean", len(categories), wrong_M),
        total_GK,
        resamples=config.resamples,
        seed=config.seed,
    )
    shown = with_interval(estimates[-1])
    sentence = f"{noisy} differs from {clean} on {shown} of the pixels of {images_seen(images)}."
    found = [NoiseRate(noisy, clean, None, "flip", estimates[-1], images, METHOD, sentence)]
    for category, estimate in zip(categories, estimates, strict=False):
        if estimate.value is not None:
            sentence = (
                f"Of the pixels that are {category} in {clean}, {noisy} calls "
                f"{with_interval(estimate)} something else."
            )
            found.append(
                NoiseRate(noisy, clean, category, "flip", estimate, images, METHOD, sentence)
            )
    return found


def _objects(
    counts: pa.Table,
    pair: tuple[str, str],
    categories: tuple[str, ...],
    images: int,
    config: NoiseConfig,
) -> list[NoiseRate]:
    """Regions left out of all clean ones, and put in of all noisy ones."""
    clean, noisy = pair
    found: list[NoiseRate] = []
    for kind, objects, missed, key in OBJECTS:
        # omitted ones have rows of their own, so that the table holds both under equal clusters
        both = counts_of(counts, noisy, objects, missed)
        if not len(both):
            continue
        is_missed_M = (
            both.column("counted").combine_chunks().to_numpy(zero_copy_only=False) == missed
        )
        estimates = ratio_estimates(
            _by_cluster(both, key, len(categories), is_missed_M),
            _by_cluster(both, key, len(categories), ~is_missed_M),
            resamples=config.resamples,
            seed=config.seed,
        )
        for category, estimate in zip((*categories, None), estimates, strict=True):
            if estimate.value is not None:
                of = "regions" if category is None else f"{category} regions"
                share = with_interval(estimate)
                sentence = (
                    f"{noisy} leaves out {share} of the {of} of {clean}."
                    if kind == "omission"
                    else f"Of the {of} of {noisy}, {share} are not in {clean}."
                )
                found.append(
                    NoiseRate(noisy, clean, category, kind, estimate, images, METHOD, sentence)
                )
    return found


def _outlines(
    labels: LabelSide,
    images: pa.Table,
    pair: tuple[str, str],
    categories: tuple[str, ...],
    config: NoiseConfig,
) -> list[NoiseRate]:
    """Shift of the label as a whole, and dilation by category.

    An image counts as much as its outlines tell. The dilation of one category is the erosion of
    its neighbors, so the label as a whole has none, unless its only category is `present`.
    """
    table = images.filter(pc.equal(images.column("noisy_task"), pair[1]))
    row_M = labels.rows_of(table.column("image_id"))
    # sums of fractions depend on their order: take that of the dataset, whatever the shards were
    order = np.lexsort((column(table, "category"), row_M))
    table, row_M = table.take(pa.array(order)), row_M[order]
    bundle_M = bundles_of(labels.groups)[labels.group_N[row_M]]
    category_M = column(table, "category")
    numbers = {
        name: np.nan_to_num(column(table, name))
        for name in ("dx", "dy", "shift_weight", "dilation", "dilation_weight")
    }
    found = _shifts(row_M, bundle_M, numbers, pair, config)
    for number, category in enumerate(categories):
        of_M = (category_M == number) & (numbers["dilation_weight"] > 0)
        if of_M.any():
            estimate = _weighted(
                bundle_M[of_M], numbers["dilation"][of_M], numbers["dilation_weight"][of_M], config
            )
            found.append(_dilation(pair, category, estimate, int(of_M.sum())))
    return found


def _weighted(bundle_M: Array, value_M: Array, weight_M: Array, config: NoiseConfig) -> Estimate:
    cluster_M, clusters = clusters_of(bundle_M)
    sums_G2 = sum_by_cluster(cluster_M, clusters, np.stack([value_M * weight_M, weight_M], axis=1))
    return ratio_estimates(
        sums_G2[:, :1],
        sums_G2[:, 1:],
        resamples=config.resamples,
        seed=config.seed,
        unit="px",
        share=False,
    )[0]


def _shifts(
    row_M: Array,
    bundle_M: Array,
    numbers: Mapping[str, Array],
    pair: tuple[str, str],
    config: NoiseConfig,
) -> list[NoiseRate]:
    """How far images lie beside their clean label: mean length, and the mean direction."""
    told_M = numbers["shift_weight"] > 0
    if not told_M.any():
        return []
    rows, first_N, place_M = np.unique(row_M[told_M], return_index=True, return_inverse=True)
    weight_M = numbers["shift_weight"][told_M]
    weight_N: Array = np.bincount(place_M, weight_M)
    x_N, y_N = (
        np.bincount(place_M, numbers[name][told_M] * weight_M) / weight_N for name in ("dx", "dy")
    )
    estimate = _weighted(bundle_M[told_M][first_N], np.hypot(x_N, y_N), weight_N, config)
    across, down = np.average(x_N, weights=weight_N), np.average(y_N, weights=weight_N)
    clean, noisy = pair
    sentence = (
        f"{noisy} lies {with_interval(estimate)} beside {clean} on the average image; all "
        f"{images_seen(len(rows))} together are moved {direction(across, down)}."
    )
    return [NoiseRate(noisy, clean, None, "shift", estimate, len(rows), METHOD, sentence)]


def _dilation(pair: tuple[str, str], category: str, estimate: Estimate, images: int) -> NoiseRate:
    clean, noisy = pair
    assert estimate.value is not None
    side = "outside" if estimate.value >= 0 else "inside"
    sentence = (
        f"The outlines of {category} in {noisy} lie {with_interval(estimate, magnitude=True)} "
        f"{side} of those in {clean}."
    )
    return NoiseRate(noisy, clean, category, "dilation", estimate, images, METHOD, sentence)
