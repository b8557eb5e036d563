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
from goldseam.finetuning.evidence.supply import LabelSupply, label_supply
from goldseam.finetuning.evidence.trust import AnnotatorTrust, KnownEntries
from goldseam.finetuning.fitting import (
    PROVING_RESAMPLES,
    Heads,
    LabeledFeatures,
    fitted_heads,
    heads_as_trained,
    published_heads,
)
from goldseam.finetuning.heads import CategoryReport, report_category
from goldseam.finetuning.probabilities.calibration import (
    Calibration,
    CategoryCalibration,
    calibrate,
)
from goldseam.finetuning.probabilities.priors import InterceptShift, shift_by_audit
from goldseam.finetuning.probabilities.reliability import ReliabilityBin, expit, reliability
from goldseam.finetuning.probabilities.thresholds import Threshold, choose_threshold
from goldseam.finetuning.ranking.options import PublishedBP, PublishedGA
from goldseam.finetuning.solving.logistic import Floats
from goldseam.finetuning.solving.solver import HeadFit

# said of each category; the whole sentence with its numbers is said once
BY_HEART = "The network knows its training labels by heart."


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
        supply: whether the known labels suffice; None before they are counted.
    """

    report: CategoryReport
    fit: HeadFit
    calibration: CategoryCalibration | None
    shift: InterceptShift | None = None
    threshold: Threshold | None = None
    before: tuple[ReliabilityBin, ...] = ()
    after: tuple[ReliabilityBin, ...] = ()
    supply: LabelSupply | None = None

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

    @property
    def held_out_logit_M(self) -> Floats:  # noqa: N802 - shape suffix
        """Logits of the known labels, by head and calibration that were fitted without them."""
        margin_M = self.fit.held_out_margin_M
        if self.calibration is not None and len(self.calibration.held_out_logit_M):
            margin_M = self.calibration.held_out_logit_M
        return margin_M + self.moved

    def logit(self, margin_N: npt.ArrayLike) -> Floats:
        """Calibrated logits of margins."""
        if self.map.form == "isotonic":
            return self.moved_curve.logit(margin_N)
        return self.map.logit(margin_N) + self.moved

    @property
    def moved_curve(self) -> Calibration:
        """An isotonic calibration whose knots are moved; between them it is straight again."""
        share_K = np.asarray(self.map.probabilities)
        logit_K = np.log(share_K) - np.log1p(-share_K) + self.moved
        return dataclasses.replace(self.map, probabilities=tuple(expit(logit_K).tolist()))


@dataclasses.dataclass(frozen=True, eq=False)
class Repairs:
    """What became of all categories that were named.

    Attributes:
        categories: in the order of the task's.
        memorization: whether the network knows its training labels by heart; None if nobody asked.
        annotators: whom the labels came from and what their labels count.
        entries: known labels with the probabilities of fits that have not seen them.
        on_held_out: whether everything was judged on the held-out labels, since heads stayed or
            the published methods chose by them; otherwise on those that the heads were fitted to.
    """

    categories: tuple[Repair, ...]
    memorization: Memorization | None
    annotators: tuple[AnnotatorTrust, ...]
    entries: KnownEntries
    on_held_out: bool


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
            learned its training labels by heart. The published methods choose heads by them.
        random: of images that were labeled at random.

    Raises:
        InvalidConfig: there is no such category, the network has learned its labels by heart and
            `config.memorized` is `stop`, or a published method has no clean labels.
    """
    seen = None if held_out is None else _memorized(config, heads, known, held_out, categories)
    by_heart = seen is not None and seen.verdict == "refuse" and config.memorized != "ignore"
    if seen is not None and by_heart and config.memorized == "stop":
        raise InvalidConfig(seen.overall.sentence, remedy=seen.overall.remedy)
    trusted: tuple[AnnotatorTrust, ...] = ()
    if not by_heart and not isinstance(config.ranking, PublishedBP | PublishedGA):
        found, trusted = fitted_heads(config, heads, known, categories)
        fits, reports, used = found.fits, found.categories, known
    else:
        if seen is not None and held_out is not None and by_heart:
            fits = heads_as_trained(config, heads, held_out, categories, BY_HEART)
        else:
            fits = published_heads(config, heads, known, held_out, categories)
        assert held_out is not None
        used = held_out
        reports = tuple(_report(config, fit, used, categories.index(fit.category)) for fit in fits)
    supplies = label_supply(used.labels_NC, categories, minimum_known=config.minimum_known)
    repairs = []
    for fit, report in zip(fits, reports, strict=True):
        column = categories.index(fit.category)
        repair = _finish(config, fit, report, used, column, random)
        repairs.append(dataclasses.replace(repair, supply=supplies[column]))
    entries = _entries(repairs, used, categories)
    return Repairs(tuple(repairs), seen, trusted, entries, on_held_out=used is held_out)


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
        # without intervals nothing could be said, and the guard would be off
        resamples=max(config.resamples, PROVING_RESAMPLES),
        seed=config.seed,
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
        # labels that are taken to be partly wrong fit a head with weights; a calibration on all of
        # them alike would undo that
        if config.calibrate and not config.flip_rate and not config.annotator
        else None
    )
    found = Repair(report, fit, calibration)
    # without labels to compare heads by, probabilities stay as well
    if random is not None and fit.judged:
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
        judged_N=expit(found.held_out_logit_M),
        trained_N=expit(fit.margin_before_M),
        **common,
        prevalence=found.prevalence,
        minimum_known=config.minimum_known,
        resamples=config.resamples,
        seed=config.seed,
    )
    return dataclasses.replace(
        found,
        # what was not compared is not decided by the model either
        threshold=threshold if fit.judged else None,
        before=reliability(expit(fit.margin_before_M), label_M, groups=group_M),
        # known labels have their own share of positives, for which nothing was shifted
        after=reliability(expit(found.held_out_logit_M - found.moved), label_M, groups=group_M),
    )


def _entries(
    repairs: Sequence[Repair], used: LabeledFeatures, categories: Sequence[str]
) -> KnownEntries:
    """Known labels of the repaired categories, with calibrated probabilities out of fold."""
    probability_NC = np.full(used.labels_NC.shape, np.nan)
    for repair in repairs:
        if repair.fit.judged:
            column = categories.index(repair.fit.category)
            probability_NC[repair.fit.row_M, column] = expit(repair.held_out_logit_M)
    return KnownEntries.of(probability_NC, used.labels_NC, categories)
