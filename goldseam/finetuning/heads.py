"""Category-wise fine-tuning for any model: arrays in, new heads and a report out.

Legend: N images, D features, C categories, M known labels of a category, R weightings of a
bootstrap (the first counts each label once), G clusters of groups.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from goldseam.errors import InvalidConfig, closest
from goldseam.finetuning.config import PENALTIES
from goldseam.finetuning.own_features import read_features
from goldseam.finetuning.ranking.options import RankingSearch
from goldseam.finetuning.ranking.search import replaced, search_heads
from goldseam.finetuning.resampling import clusters_of, estimate, weightings
from goldseam.finetuning.solving.correlated import Variant, fit_correlated
from goldseam.finetuning.solving.known import FeatureRows, check_shapes
from goldseam.finetuning.solving.logistic import Floats, log_loss
from goldseam.finetuning.solving.solver import HeadFit, Method, fit_heads
from goldseam.metrics.ranking import weighted_ranking
from goldseam.metrics.sums import ratio
from goldseam.page import count
from goldseam.results import ScoreChange


@dataclasses.dataclass(frozen=True)
class CategoryReport:
    """What fine-tuning did to one category.

    Attributes:
        category: its name.
        known_present: known positives that count.
        known_absent: known negatives that count.
        kept: True when the trained head stays.
        why: one sentence.
        penalty: ridge penalty chosen by cross-validation; None when kept or only re-scaled.
        gradient_norm: of the objective at the new head, in scaled features; None when kept.
        log_loss: per known label, in nats.
        ap: average precision; None within where positives or negatives are missing.
        auc: area under the ROC curve, likewise.
        together: log-loss of the category fit alone, and with the others' help; None where
            `correlated` was not asked for.
    """

    category: str
    known_present: int
    known_absent: int
    kept: bool
    why: str
    penalty: float | None
    gradient_norm: float | None
    log_loss: ScoreChange
    ap: ScoreChange
    auc: ScoreChange
    together: ScoreChange | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class FinetunedHeads:
    """New heads and what was done.

    Attributes:
        weight_CD: float64.
        bias_C: float64.
        categories: a report each.
        fits: what the reports were made from: held-out margins, folds, rows.
    """

    weight_CD: Floats
    bias_C: Floats
    categories: tuple[CategoryReport, ...]
    fits: tuple[HeadFit, ...] = dataclasses.field(repr=False)

    @property
    def sentence(self) -> str:
        """What happened, in one sentence."""
        replaced = sum(not report.kept for report in self.categories)
        return (
            f"{count(replaced)} of {count(len(self.categories))} classifiers were replaced; the "
            "others stay as they were."
        )


def finetune_categories(
    features: FeatureRows | Path | str,
    labels: npt.NDArray[Any],
    weight: npt.NDArray[Any],
    bias: npt.NDArray[Any],
    *,
    categories: Sequence[str] | None = None,
    only: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    image_ids: Sequence[str] | None = None,
    sample_weight: npt.NDArray[Any] | None = None,
    penalties: Sequence[float] = PENALTIES,
    folds: int = 5,
    min_known: int = 10,
    seed: int = 0,
    resamples: int = 200,
    method: Method = "auto",
    ranking: RankingSearch | None = None,
    correlated: Variant | None = None,
    device: str = "cpu",
) -> FinetunedHeads:
    """Repair the linear classifiers of a multi-label model on the labels that somebody gave.

    Works for any model that ends in one logistic regression a category. The features should not
    come from images that the network has learned by heart: then its margins on known labels are too
    good, and nothing is found to repair. Intervals are 95 % bootstrap intervals over groups; they
    hold the folds and the choice of the penalty fixed, so they are somewhat narrow.

    Source: Chong et al., "Category-wise Fine-Tuning" (arXiv 2401.16991), in a convex form; see
    `goldseam.finetuning.solving.solver.fit_heads`.

    Args:
        features: `N D`, an array, `ShardedFeatures`, or a `.npy` or `.parquet` file.
        labels: `N C`: 1 present, 0 absent, -1 unknown. Unknown labels are never read.
        weight: `C D`, of the trained heads.
        bias: `C`.
        categories: names; numbers by default.
        only: names of the categories to repair; the others keep their heads. All by default.
        groups: unit of leakage of each image (patient, scene); None where images are independent.
        image_ids: of the rows of `labels`; finds them in a Parquet file.
        sample_weight: `N C`, how much each known label counts, not negative; 1 by default.
        penalties: candidates, positive.
        folds: of the cross-validation; whole groups go to one fold.
        min_known: known positives, and known negatives, that a category needs to be fit.
        seed: of folds and draws.
        resamples: draws for the intervals; 0 leaves them out.
        method: see `fit_heads`.
        ranking: options of a search for heads that rank better, see `search_heads`; None searches
            nothing. A dozen times the fit's time.
        correlated: fits categories with each other's help where that is proven better, see
            `fit_correlated`; None fits each alone.
        device: `cpu` or a CUDA device.

    Raises:
        InvalidConfig: shapes, values or options are not as said, `only` names no such category, or
            `correlated` is given together with `ranking` or `sample_weight`.
        InvalidArray: a file of features is not as said.
        MissingInput: it cannot be read.
    """
    labels, weight, bias = np.asarray(labels), np.asarray(weight), np.asarray(bias)
    if labels.dtype.kind in "bu":
        labels = labels.astype(np.int16)  # room for -1
    if resamples < 0:
        raise InvalidConfig(
            f"resamples is {resamples}.", remedy="Give 0 for no intervals, or some hundreds."
        )
    names = [str(c) for c in range(len(weight))] if categories is None else list(categories)
    if isinstance(features, Path | str):
        features = read_features(Path(features), image_ids)
    weight_CD, bias_C = weight.astype(np.float64), bias.astype(np.float64)
    weights_NC = None if sample_weight is None else np.asarray(sample_weight)
    check_shapes(features, labels, weight_CD, bias_C, weights_NC, categories=names, groups=groups)
    chosen = _chosen(names, only)
    if correlated and (ranking is not None or weights_NC is not None):
        raise InvalidConfig(
            "correlated heads are neither searched for their ranking nor fit to weighted labels.",
            remedy="Leave out 'correlated', or 'ranking' and 'sample_weight'.",
        )
    # a category that is not named is as one of which nothing is known; so its place stays, and
    # with it the folds of the others
    shown_NC = np.where(np.isin(np.arange(len(names)), chosen), labels, -1)
    common: dict[str, Any] = {
        "categories": names,
        "penalties": penalties,
        "folds": folds,
        "groups": groups,
        "min_known": min_known,
        "seed": seed,
    }
    fits = fit_heads(
        features,
        shown_NC,
        weight_CD,
        bias_C,
        sample_weight_NC=weights_NC,
        method=method,
        device=device,
        **common,
    )
    if correlated:
        # categories that are not named help those that are
        together = fit_correlated(
            features,
            labels,
            weight_CD,
            bias_C,
            variant=correlated,
            resamples=resamples,
            **common,
        )
        for c in chosen:
            fits[c] = together[c].replaces(fits[c])
    if ranking is not None:
        searched = search_heads(
            features,
            labels,
            [fits[c] for c in chosen],
            columns=chosen,
            groups=groups,
            sample_weight_NC=weights_NC,
            options=ranking,
        )
        for c, head in zip(chosen, searched, strict=True):
            fits[c] = replaced(fits[c], head)
    reports = tuple(
        report_category(
            fits[c],
            labels[fits[c].row_M, c],
            groups=groups,
            weight_M=None if weights_NC is None else weights_NC[fits[c].row_M, c],
            resamples=resamples,
            seed=seed,
        )
        for c in chosen
    )
    return FinetunedHeads(
        weight_CD=np.stack([fit.weight_D for fit in fits]),
        bias_C=np.asarray([fit.bias for fit in fits]),
        categories=reports,
        fits=tuple(fits[c] for c in chosen),
    )


def _chosen(names: list[str], only: Sequence[str] | None) -> list[int]:
    if only is None:
        return list(range(len(names)))
    for name in only:
        if name not in names:
            raise InvalidConfig(
                f"there is no category '{name}'.", remedy=f"Closest: {closest(name, names)}."
            )
    return [c for c, name in enumerate(names) if name in set(only)]


def report_category(
    fit: HeadFit,
    label_M: npt.NDArray[Any],
    *,
    groups: Sequence[str] | None,
    weight_M: npt.NDArray[Any] | None = None,
    resamples: int,
    seed: int,
) -> CategoryReport:
    """The report of one category; see `finetune_categories`.

    Args:
        fit: its fit.
        label_M: its known labels, in the order of `fit.row_M`.
        groups: of all images.
        weight_M: of the known labels; 1 by default. Rankings are not weighted.
        resamples: draws for the intervals.
        seed: of the draws.
    """
    names_M = fit.row_M if groups is None else np.asarray(groups)[fit.row_M]
    cluster_M = clusters_of(names_M)
    clusters = int(cluster_M.max(initial=-1)) + 1
    weight_RG = weightings(clusters, resamples, seed)
    count_M = np.ones(len(fit.row_M)) if weight_M is None else np.asarray(weight_M, np.float64)
    sides = [
        _scores(*margins, np.asarray(label_M), cluster_M, count_M, weight_RG)
        for margins in (
            (fit.margin_before_M, fit.margin_before_M),
            (fit.held_out_margin_M, fit.ranked_by_M),
        )
    ]
    compared = [
        ScoreChange(
            before=estimate(before_R, unit=unit, better=better),
            after=estimate(after_R, unit=unit, better=better),
            change=estimate(after_R - before_R, unit=unit, better=better),
        )
        for before_R, after_R, unit, better in zip(
            *sides, ("nats", "", ""), ("lower", "higher", "higher"), strict=True
        )
    ]
    return CategoryReport(
        category=fit.category,
        known_present=fit.known_present,
        known_absent=fit.known_absent,
        kept=fit.kept,
        why=fit.why,
        penalty=fit.penalty,
        gradient_norm=fit.gradient_norm,
        log_loss=compared[0],
        ap=compared[1],
        auc=compared[2],
        together=fit.together,
    )


def _scores(
    margin_M: Floats,
    ordering_M: Floats,
    label_M: npt.NDArray[Any],
    cluster_M: npt.NDArray[np.intp],
    count_M: Floats,
    weight_RG: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Log-loss, average precision and AUC under each weighting of the clusters, `R` each."""
    clusters = weight_RG.shape[1]
    loss_M = count_M * log_loss(margin_M, (label_M == 1).astype(np.float64))
    sums_G = np.bincount(cluster_M, loss_M, clusters)
    totals_G = np.bincount(cluster_M, count_M, clusters)
    loss_R = ratio(weight_RG @ sums_G, weight_RG @ totals_G)
    ap_R, auc_R = weighted_ranking(ordering_M, label_M, cluster_M, weight_RG)
    return loss_R, ap_R, auc_R
