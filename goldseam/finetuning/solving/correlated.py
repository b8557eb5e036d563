"""Heads that learn from each other: other categories' logits as inputs, or shared directions.

Both stay linear in the features, so a head is still weights and an intercept. `logits` adds the
trained margins of all other categories to the inputs: what it changes is the ridge, which lets a
head move cheaply along other heads. `shared` restricts a head's update to a few directions that the
updates of the other categories have in common: theta = theta0 + U v.
Legend: N rows, D features, C categories, M known rows of a category, R directions, F folds.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from goldseam.finetuning.config import PENALTIES
from goldseam.finetuning.resampling import clusters_of, estimate, weightings
from goldseam.finetuning.solving.folds import Integers, shared_folds
from goldseam.finetuning.solving.known import (
    FeatureRows,
    ScaledRows,
    check_options,
    check_shapes,
    check_values,
    read_rows,
    why_not_fit,
)
from goldseam.finetuning.solving.logistic import Floats, log_loss, rescale
from goldseam.finetuning.solving.solver import HeadFit, minimize_ridge
from goldseam.metrics.sums import ratio
from goldseam.results import Estimate, ScoreChange

Variant = Literal["logits", "shared"]
Head = tuple[Floats, float]
RANKS = (2, 4, 8)


@dataclasses.dataclass(frozen=True, eq=False)
class CorrelatedFit:
    """One category fit with the others' help, against the same category fit alone.

    Attributes:
        category: its name.
        weight_D: weights of the variant's head; the trained ones where it could not be fit.
        bias: its intercept.
        log_loss_alone: cross-validated, of the best penalty without the others; None within where
            the category could not be fit.
        log_loss: of the variant.
        change: variant minus alone, on the same labels and folds; below 0 the variant is better.
        better: True when the interval of `change` lies below 0.
        why: one sentence.
        penalty: ridge of the variant's head; None where the category could not be fit.
        fold_M: fold of each known label, the same for all categories.
        held_out_margin_M: margin of each by the variant's head, fit without its fold; empty where
            the category could not be fit.
    """

    category: str
    weight_D: Floats
    bias: float
    log_loss_alone: Estimate
    log_loss: Estimate
    change: Estimate
    better: bool
    why: str
    penalty: float | None
    fold_M: Integers
    held_out_margin_M: Floats

    def replaces(self, alone: HeadFit) -> HeadFit:
        """The fit with this head, for whatever follows; the fit itself where this is no better.

        It has to be better than the head that was chosen too, which may be the trained one.
        """
        together = ScoreChange(self.log_loss_alone, self.log_loss, self.change)
        alone = dataclasses.replace(alone, together=together)
        chosen, loss = alone.log_loss_after, self.log_loss.value
        if not self.better or (chosen is not None and loss is not None and loss >= chosen):
            return alone
        return dataclasses.replace(
            alone,
            weight_D=self.weight_D,
            bias=self.bias,
            penalty=self.penalty,
            kept=False,
            why=self.why,
            log_loss_after=self.log_loss.value,
            gradient_norm=None,
            fold_M=self.fold_M,
            held_out_margin_M=self.held_out_margin_M,
            ordering_M=None,
        )


def fit_correlated(
    features_ND: FeatureRows,
    labels_NC: npt.NDArray[np.int8],
    weight_CD: npt.NDArray[Any],
    bias_C: npt.NDArray[Any],
    *,
    categories: Sequence[str],
    variant: Variant,
    penalties: Sequence[float] = PENALTIES,
    ranks: Sequence[int] = RANKS,
    folds: int = 5,
    groups: Sequence[str] | None = None,
    min_known: int = 10,
    seed: int = 0,
    resamples: int = 200,
) -> list[CorrelatedFit]:
    """Fit every category alone and with the others, and compare by cross-validated log-loss.

    All categories share one assignment of groups to folds. In a fold, the shared directions come
    from updates of the other categories that have not seen the fold's images either, so no label
    of a held-out image, of whatever category, is fitted to by what it is scored by. The best
    penalty and rank, of the others' updates as well, are chosen on the same folds, and the variant
    has more to choose from: its advantage is slightly overstated.

    Args:
        features_ND: what the classifier reads, one row an image.
        labels_NC: 1 present, 0 absent, -1 unknown; unknown labels are never read.
        weight_CD: weights of the trained heads.
        bias_C: their intercepts.
        categories: names.
        variant: `logits` or `shared`.
        penalties: candidates, positive.
        ranks: numbers of shared directions to choose from.
        folds: of the cross-validation.
        groups: group of each row. None: rows are independent.
        min_known: known positives, and known negatives, that a category needs.
        seed: of folds and draws.
        resamples: draws for the intervals.

    Raises:
        InvalidConfig: shapes do not fit, or a value is outside what is declared.
    """
    labels_NC = np.asarray(labels_NC)
    weight_CD, bias_C = np.asarray(weight_CD, np.float64), np.asarray(bias_C, np.float64)
    check_shapes(
        features_ND, labels_NC, weight_CD, bias_C, None, categories=categories, groups=groups
    )
    check_values(labels_NC, None)
    check_options(penalties, folds, min_known)
    group_N = (
        np.arange(len(labels_NC)) if groups is None else np.unique(groups, return_inverse=True)[1]
    )
    fold_N = shared_folds(labels_NC, group_N, folds, np.random.default_rng(seed))
    table = [
        _Category.read(
            name,
            features_ND,
            labels_NC[:, c],
            fold_N,
            head=(weight_CD[c], float(bias_C[c])),
            folds=folds,
            min_known=min_known,
        )
        for c, name in enumerate(categories)
    ]
    strengths = sorted(set(penalties), reverse=True)
    alone = [one.best([[None] * (folds + 1)], strengths) for one in table]
    results = []
    for c, (one, single) in enumerate(zip(table, alone, strict=True)):
        found = None
        if single is not None:
            others = [update for j, update in enumerate(alone) if j != c and update is not None]
            maps = (
                [[one.logit_map(np.delete(weight_CD, c, axis=0))] * (folds + 1)]
                if variant == "logits"
                else one.shared_maps([update.added_FD for update in others], ranks)
            )
            found = one.best(maps, strengths)
        results.append(one.compare(single, found, group_N, resamples, seed))
    return results


@dataclasses.dataclass(frozen=True, eq=False)
class _Candidate:
    """A way to fit a category, cross-validated.

    Attributes:
        margin_M: held-out margins.
        loss: their mean log-loss.
        added_FD: what each fold, and last all rows, add to the re-scaled head's weights, in the
            unit of the features.
        bias: of the head fit to all rows.
        weight_D: likewise.
        penalty: its ridge.
    """

    margin_M: Floats
    loss: float
    added_FD: Floats
    weight_D: Floats
    bias: float
    penalty: float


@dataclasses.dataclass(frozen=True, eq=False)
class _Category:
    """The known rows of one category, in folds that all categories share."""

    category: str
    row_M: Integers
    scaled: ScaledRows
    present_M: Floats
    fold_M: Integers
    head: Head
    folds: int
    reason: str

    @classmethod
    def read(
        cls,
        category: str,
        features: FeatureRows,
        label_N: npt.NDArray[np.int8],
        fold_N: Integers,
        *,
        head: Head,
        folds: int,
        min_known: int,
    ) -> "_Category":
        row_M = np.flatnonzero(label_N != -1)
        present_M = (label_N[row_M] == 1).astype(np.float64)
        reason = why_not_fit(present_M, fold_N[row_M], min_known)
        feature_MD = read_rows(features, row_M, category)
        # a category that cannot be fit may have no rows to scale by
        scaled = (
            ScaledRows(feature_MD, np.zeros(feature_MD.shape[1]), 1.0)
            if reason
            else ScaledRows.of(feature_MD)
        )
        return cls(category, row_M, scaled, present_M, fold_N[row_M], head, folds, reason)

    def logit_map(self, weight_JD: Floats) -> Floats:
        """Features, and the other heads' margins at unit variance, as products of the features."""
        direction_DJ = (weight_JD * self.scaled.scale).T
        spread_J = (self.scaled.feature_ND @ direction_DJ).std(axis=0)
        direction_DJ = direction_DJ[:, spread_J > 1e-12] / spread_J[spread_J > 1e-12]
        return np.concatenate([np.eye(len(direction_DJ)), direction_DJ], axis=1)

    def shared_maps(
        self, others: Sequence[Floats], ranks: Sequence[int]
    ) -> list[list[Floats | None]]:
        """For each rank, the directions of each fold: leading right singular vectors of updates."""
        if not others:
            return []
        update_FJD = np.stack(others, axis=1)
        direction_FRD = np.linalg.svd(update_FJD, full_matrices=False)[2]
        return [[basis_RD[:rank].T for basis_RD in direction_FRD] for rank in sorted(set(ranks))]

    def best(
        self, maps: Sequence[Sequence[Floats | None]], penalties: Sequence[float]
    ) -> _Candidate | None:
        """The candidate of least cross-validated log-loss; None where the category cannot be fit.

        Args:
            maps: for each candidate, inputs as products of the scaled features, `D R` for each
                fold and last for all rows; None for the features themselves.
            penalties: of each.
        """
        if self.reason or not maps:
            return None
        found = [self._fit(maps_F, penalty) for maps_F in maps for penalty in penalties]
        return min(found, key=lambda candidate: candidate.loss)

    def _fit(self, maps_F: Sequence[Floats | None], penalty: float) -> _Candidate:
        center_D, scale = self.scaled.center_D, self.scaled.scale
        trained_M = self.scaled.feature_ND @ (scale * self.head[0]) + (
            center_D @ self.head[0] + self.head[1]
        )
        held_M, added_FD = np.empty(len(trained_M)), []
        weight_D, bias = self.head
        for fold, map_DR in enumerate(maps_F):  # no row stands in the last fold
            held = self.fold_M == fold
            slope, intercept, _ = rescale(trained_M[~held], self.present_M[~held])
            offset_M = slope * trained_M + intercept
            input_MR = self.scaled.feature_ND if map_DR is None else self.scaled.feature_ND @ map_DR
            minimum = minimize_ridge(
                input_MR[~held], self.present_M[~held], offset_M[~held], penalty
            )
            margin_M = offset_M + input_MR @ minimum.weight_F + minimum.intercept
            held_M[held] = margin_M[held]
            scaled_D = minimum.weight_F if map_DR is None else map_DR @ minimum.weight_F
            added_D, added = self.scaled.unscaled(scaled_D, minimum.intercept)
            added_FD.append(added_D)
            weight_D = slope * self.head[0] + added_D
            bias = slope * self.head[1] + intercept + added
        loss = float(log_loss(held_M, self.present_M).mean())
        return _Candidate(held_M, loss, np.stack(added_FD), weight_D, bias, penalty)

    def compare(
        self,
        single: _Candidate | None,
        found: _Candidate | None,
        group_N: Integers,
        resamples: int,
        seed: int,
    ) -> CorrelatedFit:
        """The variant's head beside the category's own."""
        if single is None or found is None:
            nothing = Estimate(None, unit="nats", better="lower")
            alone = (
                nothing if single is None else Estimate(single.loss, unit="nats", better="lower")
            )
            why = self.reason or "No other category could be fit, so there is nothing to share."
            weight_D, bias = self.head
            return CorrelatedFit(
                self.category,
                weight_D.copy(),
                bias,
                alone,
                nothing,
                nothing,
                better=False,
                why=why,
                penalty=None,
                fold_M=self.fold_M,
                held_out_margin_M=np.empty(0),
            )
        cluster_M = clusters_of(group_N[self.row_M])
        weight_RG = weightings(int(cluster_M.max()) + 1, resamples, seed)
        total_R = weight_RG @ np.bincount(cluster_M).astype(np.float64)
        losses_R = [
            ratio(
                weight_RG @ np.bincount(cluster_M, log_loss(one.margin_M, self.present_M)), total_R
            )
            for one in (single, found)
        ]
        before, after, change = (
            estimate(value_R, unit="nats", better="lower")
            for value_R in (*losses_R, losses_R[1] - losses_R[0])
        )
        better = change.verdict == "better"
        why = (
            "Fit with the other categories' help, which is clearly better than alone."
            if better
            else "The other categories are no clear help."
        )
        return CorrelatedFit(
            self.category,
            found.weight_D,
            found.bias,
            before,
            after,
            change,
            better,
            why,
            found.penalty,
            self.fold_M,
            found.margin_M,
        )
