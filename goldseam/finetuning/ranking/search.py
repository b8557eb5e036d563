"""Search for heads that rank better than the convex optimum, accepted only on proof.

Log-loss and ranking agree where the model is right; where it is not (outliers, features that act on
part of the images only), the head with the least log-loss is not the one with the best average
precision. Legend: N rows, C categories, M known rows of a category, K directions, F folds.
"""

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from goldseam.errors import InvalidConfig
from goldseam.finetuning.ranking.directions import Surroundings
from goldseam.finetuning.ranking.evolution import Summit, evolve
from goldseam.finetuning.ranking.held_out import HeldOut
from goldseam.finetuning.ranking.options import RankingScore, RankingSearch
from goldseam.finetuning.ranking.ranked import SCORE_NAMES, RankedHead, compare, undefined
from goldseam.finetuning.solving.folds import one_sided_fold
from goldseam.finetuning.solving.known import FeatureRows, KnownLabels, check_values
from goldseam.finetuning.solving.logistic import rescale
from goldseam.finetuning.solving.solver import HeadFit
from goldseam.page import count, percent
from goldseam.progress import progress
from goldseam.results import Estimate, ScoreChange

# bytes of margins and moves that are held at a time
HELD_BYTES = 256_000_000


def search_heads(
    features: FeatureRows,
    labels_NC: npt.NDArray[np.int8],
    fits: Sequence[HeadFit],
    *,
    columns: Sequence[int] | None = None,
    groups: Sequence[str] | None = None,
    sample_weight_NC: npt.NDArray[Any] | None = None,
    options: RankingSearch | None = None,
) -> list[RankedHead]:
    """Raise the ranking of each category's head; where that is not proven, keep the head.

    Candidates are theta* + sum of a_k d_k: the convex optimum moved in a few whitened directions
    (`directions`), found by evolution with rank selection, uniform crossover, Gaussian mutations
    that shrink, and elitism (`evolution`). Their fitness is the score on known training labels and
    nothing else, so a search always finds something there. Four things keep that from passing for
    a gain: a head has as many free numbers as directions, not as features; the whole search,
    directions included, is repeated without each fold and judged on that fold; of the way to the
    best candidate only the share is gone that ranks best on held-out folds, where a fold's share is
    chosen by the other folds; and a new head is accepted only where the paired bootstrap interval,
    over groups, of this held-out gain lies above 0. Then the search runs on all known rows, and
    slope and intercept, of which a ranking says nothing, are re-fitted on them (Platt 1999). A head
    whose slope comes out negative is refused.

    Assumed: groups are independent, and known labels are a fair sample. The interval is of one
    category: of a hundred without any gain two or three may pass. It holds the folds fixed.

    Args:
        features: `N D`, what the fits were made from.
        labels_NC: 1 present, 0 absent, -1 unknown; unknown labels are never read.
        fits: of `fit_heads`, a category each.
        columns: of `labels_NC` that the fits belong to; all in order by default.
        groups: group of each row, as in `fit_heads`; None where rows are independent.
        sample_weight_NC: as in `fit_heads`. Rankings are not weighted.
        options: of the search.

    Returns:
        A head for each fit. Order, number and content of the other fits change nothing about it.

    Raises:
        InvalidConfig: shapes do not fit, a value is none of those declared, or the fits belong to
            other labels.
    """
    options = options or RankingSearch()
    labels_NC = np.asarray(labels_NC)
    columns = list(range(len(fits))) if columns is None else list(columns)
    weights_NC = None if sample_weight_NC is None else np.asarray(sample_weight_NC)
    _check(features, labels_NC, fits, columns, groups, weights_NC)
    known = [
        _known(fit, labels_NC[:, c], None if weights_NC is None else weights_NC[:, c], options)
        for fit, c in zip(fits, columns, strict=True)
    ]
    heads = {
        number: _untouched(fit, one, one.reason, options)
        for number, (fit, one) in enumerate(zip(fits, known, strict=True))
        if one.reason
    }
    group_N = np.arange(len(labels_NC)) if groups is None else np.asarray(groups)
    with progress("search rankings", total=len(fits), done=len(heads)) as step:
        for numbers, around, spent in _batches(features, fits, known, options):
            started = time.perf_counter()
            found = _search(around, group_N, options)
            seconds = (spent + time.perf_counter() - started) / len(numbers)
            for number, head in zip(numbers, found, strict=True):
                heads[number] = dataclasses.replace(head, seconds=seconds)
                step(note=head.category)
    return [heads[number] for number in range(len(fits))]


def replaced(fit: HeadFit, head: RankedHead) -> HeadFit:
    """The fit with the head that a search found, for whatever follows; itself where none was."""
    if not head.accepted or head.held_out_margin_M is None:
        return fit
    return dataclasses.replace(
        fit,
        weight_D=head.weight_D,
        bias=head.bias,
        kept=False,
        why=f"{fit.why} {head.why}",
        log_loss_after=head.log_loss_after,
        gradient_norm=None,
        held_out_margin_M=head.held_out_margin_M,
        ordering_M=None,
    )


def _check(
    features: FeatureRows,
    labels_NC: npt.NDArray[Any],
    fits: Sequence[HeadFit],
    columns: Sequence[int],
    groups: Sequence[str] | None,
    sample_weight_NC: npt.NDArray[Any] | None,
) -> None:
    rows = len(labels_NC)
    fit_shapes = (
        labels_NC.ndim == 2
        and tuple(features.shape[:1]) == (rows,)
        and len(columns) == len(fits)
        and all(0 <= c < labels_NC.shape[1] for c in columns)
        and (groups is None or len(groups) == rows)
        and (sample_weight_NC is None or sample_weight_NC.shape == labels_NC.shape)
        and all(fit.weight_D.shape == tuple(features.shape[1:]) for fit in fits)
    )
    if not fit_shapes:
        raise InvalidConfig(
            f"features {tuple(features.shape)}, labels {labels_NC.shape}, {len(fits)} fits and "
            f"columns {list(columns)[:5]} do not fit; expected N D, N C, and a column of the "
            "labels for each fit.",
            remedy="Hand over the features, labels, weights and groups that the fits were made of.",
        )
    check_values(labels_NC, sample_weight_NC)


def _known(
    fit: HeadFit,
    label_N: npt.NDArray[Any],
    weight_N: npt.NDArray[Any] | None,
    options: RankingSearch,
) -> KnownLabels:
    """The labels of a fit with the folds that it was cross-validated in.

    Raises:
        InvalidConfig: the fit was made from other labels or weights.
    """
    counted_N = label_N != -1
    if weight_N is not None:
        counted_N &= np.where(counted_N, weight_N, 0) > 0
    row_M = np.flatnonzero(counted_N)
    present_M = (label_N[row_M] == 1).astype(np.float64)
    weight_M = np.ones(len(row_M)) if weight_N is None else weight_N[row_M].astype(np.float64)
    known = KnownLabels(fit.category, row_M, present_M, weight_M, fit.fold_M, "")
    # the loss of the trained head is a fingerprint of the labels and weights
    same = np.array_equal(row_M, fit.row_M)
    if same and len(row_M):
        loss = known.loss(fit.margin_before_M)
        assert loss is not None
        assert fit.log_loss_before is not None
        same = math.isclose(loss, fit.log_loss_before, rel_tol=1e-9)
    if not same:
        raise InvalidConfig(
            f"category '{fit.category}': the labels or weights are not those of its fit "
            f"({len(row_M)} known labels, {len(fit.row_M)} in the fit).",
            remedy="Hand over the labels, weights and columns that the fits were made of.",
        )
    reason = ""
    if min(fit.known_present, fit.known_absent) < options.minimum_known:
        reason = (
            f"{count(fit.known_present)} known present and {count(fit.known_absent)} known absent "
            f"labels, fewer than the {options.minimum_known} of each that a search needs."
        )
    elif one_sided_fold(present_M, fit.fold_M):
        reason = "The known labels stand in too few groups to cross-validate."
    return dataclasses.replace(known, reason=reason)


def _batches(
    features: FeatureRows,
    fits: Sequence[HeadFit],
    known: Sequence[KnownLabels],
    options: RankingSearch,
) -> Iterator[tuple[list[int], list[Surroundings], float]]:
    """Categories that fit into memory together, with the seconds spent to lay them out."""
    numbers: list[int] = []
    around: list[Surroundings] = []
    held, started = 0, time.perf_counter()
    for number, (fit, one) in enumerate(zip(fits, known, strict=True)):
        if one.reason:
            continue
        numbers.append(number)
        around.append(Surroundings.of(features, fit, one, options.directions))
        held += sum(part.move_KN.nbytes for part in around[-1].folds)
        held += around[-1].scaled.feature_ND.nbytes
        if held > HELD_BYTES:
            yield numbers, around, time.perf_counter() - started
            numbers, around, held, started = [], [], 0, time.perf_counter()
    if numbers:
        yield numbers, around, time.perf_counter() - started


def _search(
    around: list[Surroundings], group_N: npt.NDArray[Any], options: RankingSearch
) -> list[RankedHead]:
    """Cross-fit every category, then search those again on all rows that have proven a gain."""
    landscapes = [fold.landscape(one.known.present_N) for one in around for fold in one.folds[:-1]]
    summits = iter(evolve(landscapes, options))
    held_out = [
        HeldOut.of(one, [next(summits) for _ in one.folds[:-1]], options.score) for one in around
    ]
    changes = [
        compare(
            options.score,
            held.before_M,
            held.after_M,
            one.known.present_N,
            group_N[one.known.row_N],
            resamples=options.resamples,
            seed=options.seed or 0,
        )
        for one, held in zip(around, held_out, strict=True)
    ]
    proven = [number for number, change in enumerate(changes) if _proven(change.change)]
    final = evolve(
        [around[number].folds[-1].landscape(around[number].known.present_N) for number in proven],
        options,
    )
    by_number = dict(zip(proven, final, strict=True))
    return [
        _conclude(one, change, held, by_number.get(number), options)
        for number, (one, change, held) in enumerate(zip(around, changes, held_out, strict=True))
    ]


def _proven(change: Estimate) -> bool:
    return change.low is not None and change.low > 0


def _conclude(
    around: Surroundings,
    change: ScoreChange,
    held_out: HeldOut,
    summit: Summit | None,
    options: RankingSearch,
) -> RankedHead:
    """The new head with slope and intercept re-fitted, or the old one and why."""
    fit, known = around.fit, around.known
    kept = dataclasses.replace(
        _untouched(fit, known, _doubt(change, options.score), options),
        change=change,
        steps=held_out.generations,
    )
    if summit is None:
        return kept
    kept = dataclasses.replace(kept, steps=summit.generations)
    if summit.score <= summit.start or held_out.share == 0:
        why = "Found a better ranking without some of the labels, but none on all of them."
        return dataclasses.replace(kept, why=why)
    point_K = held_out.share * summit.point_K
    weight_D, bias = around.head(point_K)
    margin_M = around.folds[-1].moved(point_K)
    slope, intercept, _ = rescale(margin_M, known.present_N, known.weight_N)
    if not min(slope, held_out.slope) > 0:
        why = (
            "The head that ranks better fits the labels best upside down: no probabilities for it."
        )
        return dataclasses.replace(kept, why=why)
    gain = change.change
    assert gain.value is not None
    return dataclasses.replace(
        kept,
        weight_D=slope * weight_D,
        bias=slope * bias + intercept,
        accepted=True,
        why=(
            f"{SCORE_NAMES[options.score]} on labels that the search had not seen: "
            f"{percent(change.before.value)} before and {percent(change.after.value)} after, a "
            f"change of {_interval(gain)}."
        ),
        held_out_margin_M=held_out.margin_M,
        log_loss_after=known.loss(held_out.margin_M),
    )


def _untouched(fit: HeadFit, known: KnownLabels, why: str, options: RankingSearch) -> RankedHead:
    return RankedHead(
        category=fit.category,
        weight_D=fit.weight_D.copy(),
        bias=fit.bias,
        accepted=False,
        why=why,
        score=options.score,
        change=undefined(),
        steps=0,
        seconds=0.0,
        known_present=int(known.present_N.sum()),
        known_absent=int((1 - known.present_N).sum()),
        held_out_margin_M=fit.held_out_margin_M,
        log_loss_after=fit.log_loss_after,
    )


def _doubt(change: ScoreChange, score: RankingScore) -> str:
    """Why a search is not believed."""
    gain = change.change
    if gain.value is None or gain.low is None:
        return "The known labels stand in too few groups to tell a gain from luck."
    assert gain.high is not None
    if gain.value == gain.low == gain.high == 0:
        return "The search found nothing that ranks unseen labels better."
    said = (
        f"{SCORE_NAMES[score]} changes by {_interval(gain)} on labels that the search had not seen"
    )
    return f"{said}: it got worse." if gain.high < 0 else f"{said}, which may be luck."


def _interval(gain: Estimate) -> str:
    assert gain.value is not None
    assert gain.low is not None
    assert gain.high is not None
    return (
        f"{100 * gain.value:+.1f} points (95 % interval {100 * gain.low:+.1f} to "
        f"{100 * gain.high:+.1f})"
    )
