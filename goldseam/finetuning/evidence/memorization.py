"""Whether a network has learned its training labels by heart, so that its features mislead heads.

A head that is fitted on features which already know the label learns nothing about new images; its
margins, and any calibration made from them, look right on training images only (Chong et al. 2024
fit on training features and rely on a validation set to notice).
Legend: N training images, M held-out images, C categories, G clusters of groups, R weightings.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from goldseam.errors import InvalidArray
from goldseam.finetuning.probabilities.calibration import Calibration, fit_platt
from goldseam.finetuning.resampling import (
    Floats,
    Groups,
    KnownColumn,
    clusters_of,
    estimate,
    weightings,
)
from goldseam.finetuning.solving.logistic import log_loss
from goldseam.metrics.ranking import weighted_ranking
from goldseam.metrics.sums import mean_defined, ratio
from goldseam.page import between, count, percent
from goldseam.results import Estimate

Verdict = Literal["ok", "warn", "refuse", "unknown"]

# Gaps in AUC, training minus held out. A repair gains 0.01 to 0.05 in ranking (the published
# tables, and ours): a gap surely above 0.02 is of that size and may eat the gain; one surely above
# 0.10 is larger than any gain, so that what training features say of a head is worth nothing.
WARN_GAP = 0.02
REFUSE_GAP = 0.10
# Nats a label by which re-scaled margins must be worse than a constant, beyond what fitting two
# numbers to n labels costs anyway: expected 1 / n (Akaike 1974), of which twice is allowed.
USELESS = 0.02
QUANTITIES = 8  # what `_compare` gives
REMEDY = (
    "Fine-tune on a slice of images that the network was not trained on; or on cross-fitted "
    "features (each part of the images through a network trained on the others); or start from an "
    "earlier checkpoint."
)


@dataclasses.dataclass(frozen=True)
class Contrast:
    """One number on training images, on held-out images, and their difference.

    Attributes:
        train: on known labels of training images.
        held_out: on known labels of images that the network has not seen.
        gap: `train` minus `held_out`.
    """

    train: Estimate
    held_out: Estimate
    gap: Estimate


@dataclasses.dataclass(frozen=True)
class CategoryMemorization:
    """What tells for or against memorization of one category.

    Attributes:
        category: its name; empty for the mean over the categories that are defined.
        verdict: see `memorization`.
        positive_margin: mean margin of known positives, in standard deviations of the held-out
            margins of that category.
        auc: area under the ROC curve of the margins.
        log_loss: of the margins re-scaled on the training labels (Platt), nats a label.
        useless: held-out log-loss minus that of one constant probability. Above 0, margins that
            were re-scaled on training images tell less than no picture at all.
        sentence: the verdict in words.
        remedy: what to do; empty where nothing needs doing.
    """

    category: str
    verdict: Verdict
    positive_margin: Contrast
    auc: Contrast
    log_loss: Contrast
    useless: Estimate
    sentence: str
    remedy: str


@dataclasses.dataclass(frozen=True)
class Memorization:
    """The verdict on a network, and on each category.

    Attributes:
        overall: of means over the categories that are defined.
        categories: each of them.
    """

    overall: CategoryMemorization
    categories: tuple[CategoryMemorization, ...]

    @property
    def verdict(self) -> Verdict:
        """Of the network as a whole."""
        return self.overall.verdict


def memorization(
    train_margins_NC: npt.NDArray[Any],
    train_labels_NC: npt.NDArray[Any],
    held_margins_MC: npt.NDArray[Any],
    held_labels_MC: npt.NDArray[Any],
    *,
    categories: Sequence[str],
    train_groups: Groups = None,
    held_groups: Groups = None,
    minimum_known: int = 10,
    resamples: int = 400,
    seed: int = 0,
) -> Memorization:
    """Compare what one head says of the images that trained the network and of others.

    Verdict, by the 95 % intervals of the gap in AUC and of `useless`:
    - `refuse`: the gap is surely above 0.10, or `useless` is surely above 0.02 + 2 / n, of n
      known training labels.
    - `warn`: the gap is surely above 0.02.
    - `unknown`: neither, but a gap above 0.10 cannot be excluded, or nothing is defined (fewer than
      `minimum_known` positives or negatives on either side).
    - `ok`: otherwise.

    Assumed: known labels of both sides were chosen alike, given whether the category is present.
    The share of positives may differ: it moves neither AUC nor the margin of positives, and for the
    log-loss held-out labels are weighted to the share that the training labels have. Groups do not
    stand on both sides. The re-scaling is the same in every draw.

    Args:
        train_margins_NC: margins of the trained head on images that the network was trained on.
        train_labels_NC: 1 present, 0 absent, -1 unknown; unknown entries are never read.
        held_margins_MC: margins of the same head on images that it has not seen.
        held_labels_MC: their labels.
        categories: names of the columns.
        train_groups: group of each training image; None where images are independent.
        held_groups: group of each held-out image.
        minimum_known: positives, and negatives, that either side needs.
        resamples: draws of groups behind the intervals; both sides are drawn independently.
        seed: of the draws.

    Raises:
        InvalidArray: shapes do not fit, a label is none of 1, 0, -1, or a known margin not finite.
    """
    train_C = _columns(train_margins_NC, train_labels_NC, train_groups, categories, "training")
    held_C = _columns(held_margins_MC, held_labels_MC, held_groups, categories, "held-out")
    judged, values, allowances = [], [], []
    for name, train, held in zip(categories, train_C, held_C, strict=True):
        least = min(train.presents, train.absents, held.presents, held.absents)
        value_QR = np.full((QUANTITIES, resamples + 1), np.nan)
        allowance = USELESS + 2 / max(1, len(train))
        if least >= max(minimum_known, 1):
            value_QR = np.stack(_compare(train, held, resamples, seed))
            values.append(value_QR)
            allowances.append(allowance)
        judged.append(_judge(name, value_QR, allowance, _told(name, train, held, minimum_known)))
    mean_QR = np.full((QUANTITIES, resamples + 1), np.nan)
    if values:
        mean_QR = mean_defined(np.stack(values), axis=0)
    told = (
        f"the network (mean over {len(values)} of {len(categories)} categories)",
        (
            "Whether the network learned labels by heart cannot be told: no category has enough "
            "known labels both in training and held out."
        ),
    )
    overall = _judge("", mean_QR, float(np.mean(allowances or [USELESS])), told)
    return Memorization(overall, tuple(judged))


def _columns(
    margins: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    groups: Groups,
    categories: Sequence[str],
    side: str,
) -> list[KnownColumn]:
    if margins.shape != labels.shape or labels.shape[1:] != (len(categories),):
        raise InvalidArray(
            f"{side} margins",
            f"shape {margins.shape}, labels {labels.shape}, {len(categories)} categories",
            "Hand over one row an image and one column a category, for both.",
        )
    columns = [
        KnownColumn.of(margins[:, c], labels[:, c], groups, name)
        for c, name in enumerate(categories)
    ]
    # one set of groups for all categories, so that a draw means the same for each
    used_N = (labels != -1).any(axis=1)
    names = np.arange(len(labels)) if groups is None else np.asarray(groups)
    cluster_N = np.zeros(len(labels), np.intp)
    cluster_N[used_N] = clusters_of(names[used_N])
    clusters = int(cluster_N.max(initial=0)) + 1
    return [
        dataclasses.replace(column, cluster_N=cluster_N[column.row_N], clusters=clusters)
        for column in columns
    ]


def _compare(train: KnownColumn, held: KnownColumn, resamples: int, seed: int) -> list[Floats]:
    """Margin of positives, AUC, log-loss and a constant's, each of training and held out."""
    spread = float(held.score_N.std()) or 1.0
    calibration = fit_platt(train.score_N, train.present_N)
    share, held_share = train.presents / len(train), held.presents / len(held)
    # held-out labels count as if they had the training labels' share of positives
    value_N = np.where(held.present_N == 1, share / held_share, (1 - share) / (1 - held_share))
    constant = float(np.log(share) - np.log1p(-share))
    trained = _side(train, np.ones(len(train)), calibration, constant, resamples, seed)
    others = _side(held, value_N, calibration, constant, resamples, seed + 1)
    pairs = [side for pair in zip(trained[1:], others[1:], strict=True) for side in pair]
    return [trained[0] / spread, others[0] / spread, *pairs]


def _side(
    known: KnownColumn,
    value_N: Floats,
    calibration: Calibration,
    constant: float,
    resamples: int,
    seed: int,
) -> list[Floats]:
    """Mean margin of positives, AUC, log-loss, and the constant's log-loss; `R` each."""
    weight_RG = weightings(known.clusters, resamples, seed)
    loss_N = log_loss(calibration.logit(known.score_N), known.present_N)
    constant_N = log_loss(np.full(len(known), constant), known.present_N)
    present_N = known.present_N
    columns = (
        known.score_N * present_N,
        present_N,
        value_N,
        value_N * loss_N,
        value_N * constant_N,
    )
    margin_R, presents_R, count_R, loss_R, constant_R = (
        weight_RG @ known.sums(np.stack(columns, axis=1))
    ).T
    auc_R = weighted_ranking(known.score_N, present_N, known.cluster_N, weight_RG)[1]
    found = [
        ratio(margin_R, presents_R),
        auc_R,
        ratio(loss_R, count_R),
        ratio(constant_R, count_R),
    ]
    if len(np.unique(known.cluster_N)) >= 2:
        return found
    # draws of a single group are all alike and would claim certainty
    return [np.append(value_R[:1], np.full(resamples, np.nan)) for value_R in found]


def _told(
    category: str, train: KnownColumn, held: KnownColumn, minimum_known: int
) -> tuple[str, str]:
    """How sentences call a category, and what is said where nothing can be told."""
    return f"'{category}'", (
        f"Whether '{category}' was learned by heart cannot be told: {count(train.presents)} "
        f"present and {count(train.absents)} absent labels in training, {count(held.presents)} and "
        f"{count(held.absents)} held out; {minimum_known} of each are needed."
    )


def _judge(
    category: str, value_QR: Floats, allowance: float, told: tuple[str, str]
) -> CategoryMemorization:
    margin = _contrast(value_QR[0:2], "standard deviations", "higher")
    auc = _contrast(value_QR[2:4], "", "higher")
    # the constant is that of training; both losses are of the same held-out labels and draws
    useless = estimate(value_QR[5] - value_QR[7], unit="nats", better="lower")
    harmful = useless.low is not None and useless.low > allowance
    verdict = _verdict(auc.gap, harmful=harmful)
    name, untold = told
    return CategoryMemorization(
        category=category,
        verdict=verdict,
        positive_margin=margin,
        auc=auc,
        log_loss=_contrast(value_QR[4:6], "nats", "lower"),
        useless=useless,
        sentence=untold
        if auc.gap.value is None
        else _sentence(name, verdict, auc, harmful=harmful),
        remedy=_remedy(verdict),
    )


def _contrast(value_2R: Floats, unit: str, better: Literal["higher", "lower"]) -> Contrast:
    sides = (*value_2R, value_2R[0] - value_2R[1])
    train, held_out, gap = (estimate(value_R, unit=unit, better=better) for value_R in sides)
    return Contrast(train, held_out, gap)


def _verdict(gap: Estimate, *, harmful: bool) -> Verdict:
    if harmful:
        return "refuse"
    if gap.low is None or gap.high is None:
        return "unknown"
    if gap.low > REFUSE_GAP:
        return "refuse"
    if gap.low > WARN_GAP:
        return "warn"
    return "unknown" if gap.high > REFUSE_GAP else "ok"


def _sentence(name: str, verdict: Verdict, auc: Contrast, *, harmful: bool) -> str:
    facts = (
        "of two images, the one that shows the category ranks higher in "
        f"{percent(auc.train.value)} of cases among training images and in "
        f"{percent(auc.held_out.value)} among others"
    )
    if span := between(auc.gap):
        facts += f" (95 % interval of the difference {span})"
    if harmful:
        return (
            f"Labels of {name} were learned by heart: what training images say of it does worse on "
            f"other images than one fixed probability; {facts}."
        )
    match verdict:
        case "refuse":
            return f"Labels of {name} were learned by heart: {facts}."
        case "warn":
            return f"Labels of {name} were partly learned by heart: {facts}."
        case "ok":
            return f"No sign that labels of {name} were learned by heart: {facts}."
        case _:
            return f"Whether labels of {name} were learned by heart cannot be told yet: {facts}."


def _remedy(verdict: Verdict) -> str:
    match verdict:
        case "refuse" | "warn":
            return REMEDY
        case "unknown":
            return "Label more held-out images, present and absent."
        case _:
            return ""
