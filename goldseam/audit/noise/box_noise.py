"""Rates and matrices of noisy boxes beside their clean version; no picture is needed.

Legend: A clean boxes, B noisy boxes, P matched pairs, C categories, G clusters of groups.
"""

import dataclasses
import math

import numpy as np

from goldseam.audit.label_side import BoxTable, LabelSide
from goldseam.audit.noise.box_matching import covered, match
from goldseam.audit.noise.config import NoiseConfig
from goldseam.audit.noise.matrices import measured_matrix
from goldseam.audit.noise.section import NoiseSection, RateKind
from goldseam.audit.noise.wording import RATIO, direction, nothing_in_common, with_interval
from goldseam.audit.statistics.bootstrap import (
    bundles_of,
    clusters_of,
    ratio_estimates,
    sum_by_cluster,
)
from goldseam.dataset.codecs import Array
from goldseam.results import Estimate, NoiseRate

METHOD = "measured"


def box_noise(labels: LabelSide, noisy: str, config: NoiseConfig) -> NoiseSection:
    """What differs between a task of boxes and its clean version, on images that carry both.

    Boxes are matched by overlap. A clean box without a partner was left out, unless the noisy task
    is not exhaustive or marks the place as ignored; a noisy box without one was put in, unless the
    clean task is not exhaustive or ignores the place.

    Args:
        labels: the label side.
        noisy: name of the noisy task.
        config: the options.
    """
    clean = str(labels.info.tasks[noisy].noisy_version_of)
    both_N = labels.known[clean] & labels.known[noisy]
    if not both_N.any():
        return NoiseSection(rates=(nothing_in_common(clean, noisy),))
    sides = _Sides(labels, clean, noisy, both_N, config)
    rates = [*sides.missed("omission"), *sides.missed("invention")]
    if len(sides.clean_P):
        rates += [*sides.flips(), *sides.geometry()]
    matrix = measured_matrix(noisy, sides.categories, sides.confusion(), category=None, part="all")
    return NoiseSection(rates=tuple(rates), matrices=(matrix,) if matrix.labels else ())


class _Sides:
    """Boxes of both labels on the images that carry both, with their matches."""

    def __init__(
        self, labels: LabelSide, clean: str, noisy: str, both_N: Array, config: NoiseConfig
    ) -> None:
        self.names = (clean, noisy)
        self.tasks = labels.info.tasks[clean], labels.info.tasks[noisy]
        self.categories = self.tasks[0].categories
        self.images = int(both_N.sum())
        self.config = config
        self.cluster_N = np.full(len(labels), -1)
        self.cluster_N[both_N], self.clusters = clusters_of(
            bundles_of(labels.groups)[labels.group_N[both_N]]
        )
        tables = [labels.boxes[name] for name in (clean, noisy)]
        inside = [both_N[table.image_M] for table in tables]
        self.clean, self.noisy = (
            chosen(table, inside_M & ~table.ignore_M)
            for table, inside_M in zip(tables, inside, strict=True)
        )
        self.ignored = [
            chosen(table, inside_M & table.ignore_M)
            for table, inside_M in zip(tables, inside, strict=True)
        ]
        partner_A = match(self.clean, self.noisy, config.minimum_overlap)
        self.clean_P = np.flatnonzero(partner_A >= 0)
        self.noisy_P = partner_A[self.clean_P]

    def confusion(self) -> Array:
        """Matched boxes by clean and noisy category: int64 CC."""
        count_CC = np.zeros((len(self.categories),) * 2, np.int64)
        of = self.clean.category_M[self.clean_P], self.noisy.category_M[self.noisy_P]
        np.add.at(count_CC, of, 1)
        return count_CC

    def missed(self, kind: RateKind) -> list[NoiseRate]:
        """Clean boxes without a noisy one, or the reverse."""
        omitted = kind == "omission"
        own, matched_P = (self.clean, self.clean_P) if omitted else (self.noisy, self.noisy_P)
        if not self.tasks[1 if omitted else 0].exhaustive:
            return []
        missed_M = np.ones(len(own.image_M), bool)
        missed_M[matched_P] = False
        counted_M = ~(missed_M & covered(own, self.ignored[1 if omitted else 0]))
        estimates = self._shares(own, missed_M & counted_M, counted_M)
        here, there = self.names if omitted else self.names[::-1]
        found = []
        for category, estimate in zip((*self.categories, None), estimates, strict=True):
            if estimate.value is not None:
                of = "boxes" if category is None else f"{category} boxes"
                sentence = (
                    f"{there} has no box for {with_interval(estimate)} of the {of} of {here}."
                )
                found.append(self._rate(kind, category, estimate, sentence))
        return found

    def flips(self) -> list[NoiseRate]:
        """Matched boxes whose category differs, by clean category."""
        own = chosen(self.clean, self.clean_P)
        wrong_P = own.category_M != self.noisy.category_M[self.noisy_P]
        estimates = self._shares(own, wrong_P, np.ones(len(wrong_P), bool))
        found = []
        for category, estimate in zip((*self.categories, None), estimates, strict=True):
            if estimate.value is not None:
                of = "boxes" if category is None else f"{category} boxes"
                sentence = (
                    f"Of the {of} of {self.names[0]} that {self.names[1]} has too, it calls "
                    f"{with_interval(estimate)} something else."
                )
                found.append(self._rate("flip", category, estimate, sentence))
        return found

    def geometry(self) -> list[NoiseRate]:
        """How matched boxes are moved, and how their sides and areas change."""
        clean_P4 = self.clean.corners_M4[self.clean_P].astype(np.float64)
        noisy_P4 = self.noisy.corners_M4[self.noisy_P].astype(np.float64)
        side_P2, noisy_side_P2 = (c_P4[:, 2:] - c_P4[:, :2] for c_P4 in (clean_P4, noisy_P4))
        moved_P2 = (noisy_P4[:, :2] + noisy_P4[:, 2:] - clean_P4[:, :2] - clean_P4[:, 2:]) / 2
        grown_P = (noisy_side_P2 - side_P2).mean(axis=1) / 2
        scale_P = np.log(np.prod(noisy_side_P2, axis=1) / np.prod(side_P2, axis=1)) / 2
        value_P3 = np.stack([np.hypot(*moved_P2.T), grown_P, scale_P], axis=1)
        cluster_P = self.cluster_N[self.clean.image_M[self.clean_P]]
        sums_G3 = sum_by_cluster(cluster_P, self.clusters, value_P3)
        count_G3 = np.repeat(np.bincount(cluster_P, minlength=self.clusters)[:, None], 3, axis=1)
        shift, dilation, log_scale = (
            dataclasses.replace(estimate, unit="px")
            for estimate in ratio_estimates(
                sums_G3,
                count_G3,
                resamples=self.config.resamples,
                seed=self.config.seed,
                share=False,
            )
        )
        clean, noisy = self.names
        scale = exponential(log_scale)
        across, down = moved_P2.mean(axis=0)
        side = "outside" if (dilation.value or 0) >= 0 else "inside"
        return [
            self._rate(
                "shift",
                None,
                shift,
                f"The centers of boxes in {noisy} lie {with_interval(shift)} from those in {clean} "
                f"on average; all together they are moved {direction(across, down)}.",
            ),
            self._rate(
                "dilation",
                None,
                dilation,
                f"The sides of boxes in {noisy} lie {with_interval(dilation, magnitude=True)} "
                f"{side} of those in {clean}.",
            ),
            self._rate(
                "scale",
                None,
                scale,
                f"Boxes in {noisy} are {with_interval(scale)} as long and wide as in {clean}.",
            ),
        ]

    def _shares(self, boxes: BoxTable, wrong_M: Array, counted_M: Array) -> list[Estimate]:
        """Share of wrong boxes by category, and of all."""
        cluster_M, categories = self.cluster_N[boxes.image_M], len(self.categories)
        cell_M = cluster_M * categories + boxes.category_M
        sums = []
        for some_M in (wrong_M, counted_M):
            count_X = np.bincount(cell_M[some_M], minlength=self.clusters * categories)
            count_GC = count_X.reshape(self.clusters, categories).astype(np.float64)
            sums.append(np.concatenate([count_GC, count_GC.sum(axis=1, keepdims=True)], axis=1))
        return ratio_estimates(*sums, resamples=self.config.resamples, seed=self.config.seed)

    def _rate(
        self, kind: RateKind, category: str | None, rate: Estimate, sentence: str
    ) -> NoiseRate:
        clean, noisy = self.names
        return NoiseRate(noisy, clean, category, kind, rate, self.images, METHOD, sentence)


def chosen(table: BoxTable, which_M: Array) -> BoxTable:
    """Some of the boxes, by a mask or by positions."""
    return BoxTable(
        table.image_M[which_M],
        table.category_M[which_M],
        table.corners_M4[which_M],
        table.ignore_M[which_M],
    )


def exponential(estimate: Estimate) -> Estimate:
    """The ratio whose logarithm was estimated."""
    value, low, high = (
        None if number is None else math.exp(number)
        for number in (estimate.value, estimate.low, estimate.high)
    )
    return Estimate(value, low, high, unit=RATIO, better="lower")
