"""One category's way from a trained head to a head, probabilities and a threshold one can use.

Legend: N images, C categories, D features, M known labels of a category.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from goldseam.errors import InvalidConfig
from goldseam.finetuning.config import FinetuneConfig
from goldseam.finetuning.evidence.memorization import Memorization, memorization
from goldseam.finetuning.evidence.trust import (
    AnnotatorTrust,
    KnownEntries,
    annotator_trust,
    annotator_weights,
    label_weights,
)
from goldseam.finetuning.heads import CategoryReport, finetune_categories, report_category
from goldseam.finetuning.probabilities.calibration import (
    Calibration,
    CategoryCalibration,
    calibrate,
)
from goldseam.finetuning.probabilities.priors import InterceptShift, shift_by_audit
from goldseam.finetuning.probabilities.reliability import ReliabilityBin, expit, reliability
from goldseam.finetuning.probabilities.thresholds import Threshold, choose_threshold
from goldseam.finetuning.solving.folds import group_folds
from goldseam.finetuning.solving.known import FeatureRows
from goldseam.finetuning.solving.logistic import Floats, log_loss
from goldseam.finetuning.solving.solver import HeadFit

Heads = tuple[Floats, Floats]


@dataclasses.dataclass(frozen=True, eq=False)
class LabeledFeatures:
    """What the heads see of a split, and what somebody said of it.

    Attributes:
        features: rows.
        labels_NC: 1 present, 0 absent, -1 unknown.
        groups: unit of leakage of each image.
        annotators: who labeled each image; None where nobody knows, or nobody asks.
    """

    features: FeatureRows
    labels_NC: npt.NDArray[np.int8]
    groups: Sequence[str]
    annotators: Sequence[str | None] = ()

    def margins(self, heads: Heads) -> Floats:
        """`N C`, of all rows."""
        rows = np.asarray(self.features[np.arange(len(self.labels_NC))], np.float64)
        return np.asarray(rows @ heads[0].T + heads[1], np.float64)


@dataclasses.dataclass(frozen=True, eq=False)
class Repair:
    """What became of one category.

    Attributes:
        report: of the head.
        fit: head before its probabilities were calibrated, and margins that no fit has seen.
        calibration: of those margins; None where probabilities stay as they are.
        shift: of the intercept, from images labeled at random; None without such.
        threshold: from which probability on the category is called present; None before it is
            chosen.
        before: predicted and true share in bins, of the trained head.
        after: the same of what replaces it, on labels that it has not seen.
    """

    report: CategoryReport
    fit: HeadFit
    calibration: CategoryCalibration | None
    shift: InterceptShift | None = None
    threshold: Threshold | None = None
    before: tuple[ReliabilityBin, ...] = ()
    after: tuple[ReliabilityBin, ...] = ()

    @property
    def prevalence(self) -> float | None:
        """Share of all images that show the category; None unless random images told it."""
        # where all of them do or none, there is no share that labels could be weighted to
        known = self.shift is not None and self.shift.shift.value is not None
        return self.shift.prevalence.value if self.shift is not None and known else None

    @property
    def moved(self) -> float:
        """What is added to every calibrated logit."""
        return 0.0 if self.shift is None else self.shift.shift.value or 0.0

    @property
    def map(self) -> Calibration:
        """From margins of the head to calibrated logits, before `moved`."""
        return Calibration() if self.calibration is None else self.calibration.calibration

    def logit(self, margin_N: npt.ArrayLike) -> Floats:
        """Calibrated logits of margins."""
        return self.map.logit(margin_N) + self.moved


@dataclasses.dataclass(frozen=True, eq=False)
class Repairs:
    """What became of all categories that were named.

    Attributes:
        categories: in the order of the task's.
        memorization: whether the network knows its training labels by heart; None if nobody asked.
        annotators: whom the labels came from and what their labels count.
        entries: known labels with the probabilities of fits that have not seen them.
    """

    categories: tuple[Repair, ...]
    memorization: Memorization | None
    annotators: tuple[AnnotatorTrust, ...]
    entries: KnownEntries


def repair_categories(
    config: FinetuneConfig,
    heads: Heads,
    known: LabeledFeatures,
    *,
    categories: Sequence[str],
    held_out: LabeledFeatures | None = None,
    random: LabeledFeatures | None = None,
) -> Repairs:
    """Fit, calibrate and choose thresholds, category by category.

    Args:
        config: options; those that name splits have been followed.
        heads: weights `C D` and intercepts `C` as trained.
        known: features and labels to repair with.
        categories: names.
        held_out: of images that the network was not trained on; None does not ask whether it has
            learned its training labels by heart.
        random: of images that were labeled at random.

    Raises:
        InvalidConfig: there is no such category, or the network has learned its labels by heart and
            `config.memorized` is `stop`.
    """
    trusted: tuple[AnnotatorTrust, ...] = ()
    seen = None if held_out is None else _memorized(config, heads, known, held_out, categories)
    by_heart = seen is not None and seen.verdict == "refuse"
    if by_heart and config.memorized == "stop":
        assert seen is not None
        raise InvalidConfig(seen.overall.sentence, remedy=seen.overall.remedy)
    if by_heart and config.memorized == "keep":
        assert seen is not None
        assert held_out is not None
        used = held_out
        why = f"The head stays. {seen.overall.sentence}"
        chosen = [name for name in categories if not config.only or name in config.only]
        fits = [
            _as_trained(config, heads, used, categories.index(name), name, why) for name in chosen
        ]
        reports = [_report(config, fit, used, categories.index(fit.category)) for fit in fits]
    else:
        used = known
        fits, reports, trusted = _fits(config, heads, known, categories)
    repairs = tuple(
        _finish(config, fit, report, used, categories.index(fit.category), random)
        for fit, report in zip(fits, reports, strict=True)
    )
    return Repairs(repairs, seen, trusted, _entries(repairs, used, categories))


def _memorized(
    config: FinetuneConfig,
    heads: Heads,
    known: LabeledFeatures,
    held_out: LabeledFeatures,
    categories: Sequence[str],
) -> Memorization:
    return memorization(
        known.margins(heads),
        known.labels_NC,
        held_out.margins(heads),
        held_out.labels_NC,
        categories=categories,
        train_groups=known.groups,
        held_groups=held_out.groups,
        minimum_known=config.minimum_known,
        resamples=config.resamples,
        seed=config.seed,
    )


def _fits(
    config: FinetuneConfig, heads: Heads, known: LabeledFeatures, categories: Sequence[str]
) -> tuple[list[HeadFit], list[CategoryReport], tuple[AnnotatorTrust, ...]]:
    """Heads and reports; fitted twice where labels do not all count alike."""

    def fitted(weight_NC: Floats | None) -> Any:
        return finetune_categories(
            known.features,
            known.labels_NC,
            *heads,
            categories=categories,
            only=config.only or None,
            groups=known.groups,
            sample_weight=weight_NC,
            penalties=config.penalties,
            folds=config.folds,
            min_known=config.minimum_known,
            seed=config.seed,
            resamples=config.resamples,
            method=config.method,
        )

    found = fitted(None)
    trusted: tuple[AnnotatorTrust, ...] = ()
    if config.flip_rate or known.annotators:
        entries = _out_of_fold(found.fits, known, categories)
        weight_NC = label_weights(entries, config.flip_rate)
        if known.annotators:
            trusted = annotator_trust(
                entries,
                known.annotators,
                groups=known.groups,
                resamples=config.resamples,
                seed=config.seed,
            )
            weight_NC = weight_NC * annotator_weights(trusted, known.annotators)[:, None]
        found = fitted(weight_NC)
    return list(found.fits), list(found.categories), trusted


def _as_trained(
    config: FinetuneConfig,
    heads: Heads,
    used: LabeledFeatures,
    column: int,
    category: str,
    why: str,
) -> HeadFit:
    """The trained head, with its margins on labels that nothing was fitted to."""
    label_N = used.labels_NC[:, column]
    row_M = np.flatnonzero(label_N != -1)
    present_M = (label_N[row_M] == 1).astype(np.float64)
    group_M = np.unique(np.asarray(used.groups)[row_M], return_inverse=True)[1]
    margin_M = np.asarray(used.features[row_M], np.float64) @ heads[0][column] + heads[1][column]
    loss = float(log_loss(margin_M, present_M).mean()) if len(row_M) else None
    random = np.random.default_rng((config.seed, column))
    return HeadFit(
        category=category,
        weight_D=heads[0][column].copy(),
        bias=float(heads[1][column]),
        penalty=None,
        kept=True,
        why=why,
        known_present=int(present_M.sum()),
        known_absent=int(len(row_M) - present_M.sum()),
        log_loss_before=loss,
        log_loss_after=loss,
        gradient_norm=None,
        row_M=row_M,
        fold_M=group_folds(present_M, group_M, config.folds, random),
        margin_before_M=margin_M,
        held_out_margin_M=margin_M,
    )


def _report(
    config: FinetuneConfig, fit: HeadFit, used: LabeledFeatures, column: int
) -> CategoryReport:
    return report_category(
        fit,
        used.labels_NC[fit.row_M, column],
        groups=used.groups,
        resamples=config.resamples,
        seed=config.seed,
    )


def _finish(
    config: FinetuneConfig,
    fit: HeadFit,
    report: CategoryReport,
    used: LabeledFeatures,
    column: int,
    random: LabeledFeatures | None,
) -> Repair:
    """Calibrate a category's margins, move them to the share of random images, and cut."""
    label_M = used.labels_NC[fit.row_M, column]
    group_M = [used.groups[row] for row in fit.row_M.tolist()]
    common: dict[str, Any] = {"category": fit.category, "groups": group_M}
    calibration = (
        calibrate(
            fit.held_out_margin_M,
            label_M,
            fit.fold_M,
            replaced_N=fit.margin_before_M,
            **common,
            minimum_known=config.minimum_known,
            resamples=config.resamples,
            seed=config.seed,
        )
        if config.calibrate
        else None
    )
    found = Repair(report, fit, calibration)
    if random is not None:
        rows = np.asarray(random.features[np.arange(len(random.labels_NC))], np.float64)
        logit_A = found.map.logit(rows @ fit.weight_D + fit.bias)
        shift = shift_by_audit(logit_A, random.labels_NC[:, column], category=fit.category)
        found = dataclasses.replace(found, shift=shift)
    probability_M = expit(found.logit(fit.held_out_margin_M))
    threshold = choose_threshold(
        probability_M,
        label_M,
        fit.fold_M,
        objective=config.objective,
        **common,
        prevalence=found.prevalence,
        minimum_known=config.minimum_known,
        resamples=config.resamples,
        seed=config.seed,
    )
    return dataclasses.replace(
        found,
        threshold=threshold,
        before=reliability(expit(fit.margin_before_M), label_M, groups=group_M),
        after=reliability(probability_M, label_M, groups=group_M),
    )


def _entries(
    repairs: Sequence[Repair], used: LabeledFeatures, categories: Sequence[str]
) -> KnownEntries:
    """Known labels of the repaired categories, with calibrated probabilities out of fold."""
    probability_NC = np.full(used.labels_NC.shape, np.nan)
    for repair in repairs:
        column = categories.index(repair.fit.category)
        logit_M = repair.logit(repair.fit.held_out_margin_M)
        probability_NC[repair.fit.row_M, column] = expit(logit_M)
    return KnownEntries.of(probability_NC, used.labels_NC, categories)


def _out_of_fold(
    fits: Sequence[HeadFit], known: LabeledFeatures, categories: Sequence[str]
) -> KnownEntries:
    probability_NC = np.full(known.labels_NC.shape, np.nan)
    for fit in fits:
        column = categories.index(fit.category)
        probability_NC[fit.row_M, column] = expit(fit.held_out_margin_M)
    return KnownEntries.of(probability_NC, known.labels_NC, categories)
