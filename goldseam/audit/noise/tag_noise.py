"""Rates and matrices of noisy tags beside their clean version; no picture is needed.

Only tags that both know count. Legend: N images, C categories, G clusters of groups; of 2 × 2
counts the first axis is the clean state and the second the noisy one, absent before present.
"""

import numpy as np

from goldseam.audit.label_side import LabelSide
from goldseam.audit.noise.config import NoiseConfig
from goldseam.audit.noise.matrices import measured_matrix
from goldseam.audit.noise.section import NoiseSection, RateKind
from goldseam.audit.noise.wording import images_seen, nothing_in_common, with_interval
from goldseam.audit.statistics.bootstrap import bundles_of, clusters_of, ratio_estimates
from goldseam.dataset.codecs import UNKNOWN, Array
from goldseam.results import NoiseRate

STATES = ("absent", "present")
ROWS_AT_ONCE = 1 << 16
KINDS: tuple[RateKind, ...] = ("flip", "omission", "invention")


def tag_noise(labels: LabelSide, noisy: str, config: NoiseConfig) -> NoiseSection:
    """What differs between a task of tags and its clean version.

    Args:
        labels: the label side.
        noisy: name of the noisy task.
        config: the options.
    """
    clean = str(labels.info.tasks[noisy].noisy_version_of)
    categories = labels.info.tasks[noisy].categories
    clean_NC, noisy_NC = labels.states[clean], labels.states[noisy]
    row_N = np.flatnonzero(labels.known[clean] & labels.known[noisy])
    cluster_N, clusters = clusters_of(bundles_of(labels.groups)[labels.group_N[row_N]])
    count_GC22, images_C1 = _counted(clean_NC, noisy_NC, row_N, cluster_N, clusters)
    if not images_C1[-1]:
        return NoiseSection(rates=(nothing_in_common(clean, noisy),))
    # of all categories together, last
    count_GK22 = np.concatenate([count_GC22, count_GC22.sum(axis=1, keepdims=True)], axis=1)
    missed_GK, added_GK = count_GK22[:, :, 1, 0], count_GK22[:, :, 0, 1]
    ratios = {
        "flip": (missed_GK + added_GK, count_GK22.sum(axis=(2, 3))),
        "omission": (missed_GK, count_GK22[:, :, 1].sum(axis=2)),
        "invention": (added_GK, count_GK22[:, :, 0].sum(axis=2)),
    }
    estimates = {
        kind: ratio_estimates(*ratio, resamples=config.resamples, seed=config.seed)
        for kind, ratio in ratios.items()
    }
    last = len(categories)
    rates = [
        NoiseRate(
            noisy,
            clean,
            None if number == last else categories[number],
            kind,
            estimates[kind][number],
            int(images_C1[number]),
            "measured",
            _sentence(kind, (clean, noisy), "" if number == last else categories[number], shown)
            + (f" ({images_seen(int(images_C1[number]))} with both)." if kind == "flip" else "."),
        )
        for number in (last, *range(last))
        for kind in KINDS
        if estimates[kind][number].value is not None
        for shown in (with_interval(estimates[kind][number]),)
    ]
    count_C22 = count_GC22.sum(axis=0).astype(np.int64)
    matrices = [
        measured_matrix(noisy, STATES, count_22, category=category, part="all")
        for category, count_22 in zip(categories, count_C22, strict=True)
        if count_22.sum()
    ]
    return NoiseSection(rates=tuple(rates), matrices=tuple(matrices))


def _counted(
    clean_NC: Array, noisy_NC: Array, row_N: Array, cluster_N: Array, clusters: int
) -> tuple[Array, Array]:
    """Tags by cluster, category, clean and noisy state; and images by category, then of any."""
    categories = clean_NC.shape[1]
    count_X = np.zeros(clusters * categories * 4)
    images_C1 = np.zeros(categories + 1, np.int64)
    for first in range(0, len(row_N), ROWS_AT_ONCE):
        some = slice(first, first + ROWS_AT_ONCE)
        clean_BC, noisy_BC = clean_NC[row_N[some]], noisy_NC[row_N[some]]
        known_BC = (clean_BC != UNKNOWN) & (noisy_BC != UNKNOWN)
        image_M, category_M = np.nonzero(known_BC)
        state_M = clean_BC[known_BC].astype(np.int64) * 2 + noisy_BC[known_BC]
        cell_M = (cluster_N[some][image_M] * categories + category_M) * 4 + state_M
        count_X += np.bincount(cell_M, minlength=len(count_X))
        images_C1[:-1] += known_BC.sum(axis=0)
        images_C1[-1] += known_BC.any(axis=1).sum()
    return count_X.reshape(clusters, categories, 2, 2), images_C1


def _sentence(kind: str, pair: tuple[str, str], category: str, shown: str) -> str:
    clean, noisy = pair
    on = f"{category} tags" if category else "tags"
    if kind == "flip":
        return f"{noisy} differs from {clean} on {shown} of the {on} that both know"
    if kind == "omission":
        return f"Of the {on} that are present in {clean}, {noisy} calls {shown} absent"
    return f"Of the {on} that are absent in {clean}, {noisy} calls {shown} present"
