"""Which head each category gets: as trained, fitted, searched for its ranking, or as published.

Legend: N images, C categories, D features, M known labels of a category.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from goldseam.errors import InvalidConfig
from goldseam.finetuning.config import FinetuneConfig
from goldseam.finetuning.evidence.trust import (
    AnnotatorTrust,
    KnownEntries,
    annotator_trust,
    annotator_weights,
    label_weights,
)
from goldseam.finetuning.heads import FinetunedHeads, finetune_categories, report_category
from goldseam.finetuning.probabilities.reliability import expit
from goldseam.finetuning.ranking.options import PublishedBP, PublishedGA
from goldseam.finetuning.ranking.published import CleanLabels, published_bp, published_ga
from goldseam.finetuning.solving.folds import group_folds
from goldseam.finetuning.solving.known import FeatureRows
from goldseam.finetuning.solving.logistic import Floats, log_loss
from goldseam.finetuning.solving.solver import HeadFit
from goldseam.trainer.devices import choose_device

Heads = tuple[Floats, Floats]
# least number of draws by which something has to be proven
PROVING_RESAMPLES = 200


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


def fitted_heads(
    config: FinetuneConfig, heads: Heads, known: LabeledFeatures, categories: Sequence[str]
) -> tuple[FinetunedHeads, tuple[AnnotatorTrust, ...]]:
    """Our heads; fitted twice where labels do not all count alike, by what the first fit says.

    Args:
        config: options; `ranking` searches after the last fit.
        heads: weights `C D` and intercepts `C` as trained.
        known: what is fitted to.
        categories: names.
    """
    search = None if isinstance(config.ranking, PublishedBP | PublishedGA) else config.ranking
    if search is not None and search.seed is None:
        search = search.model_copy(update={"seed": config.seed})

    # another categories' help is taken where it is proven
    resamples = config.resamples
    if config.correlated:
        resamples = max(resamples, PROVING_RESAMPLES)

    def fitted(weight_NC: Floats | None, *, last: bool) -> FinetunedHeads:
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
            resamples=resamples if last else 0,
            method=config.method,
            ranking=search if last else None,
            correlated=config.correlated or None,
            device=str(choose_device(config.device)),
        )

    weighted = bool(config.flip_rate or known.annotators)
    found = fitted(None, last=not weighted)
    trusted: tuple[AnnotatorTrust, ...] = ()
    if weighted:
        entries = _out_of_fold(found.fits, known, categories)
        weight_NC = label_weights(entries, config.flip_rate)
        if known.annotators:
            trusted = annotator_trust(
                entries,
                known.annotators,
                groups=known.groups,
                # without intervals nobody could be proven to err
                resamples=max(config.resamples, PROVING_RESAMPLES),
                seed=config.seed,
            )
            weight_NC = weight_NC * annotator_weights(trusted, known.annotators)[:, None]
        found = fitted(weight_NC, last=True)
        # labels that the first fit contradicts count less in the fit; they count in the report, or
        # it would be judged by its own opinion
        reports = tuple(
            report_category(
                fit,
                known.labels_NC[fit.row_M, categories.index(fit.category)],
                groups=known.groups,
                resamples=config.resamples,
                seed=config.seed,
            )
            for fit in found.fits
        )
        found = dataclasses.replace(found, categories=reports)
    return found, trusted


def published_heads(
    config: FinetuneConfig,
    heads: Heads,
    known: LabeledFeatures,
    clean: LabeledFeatures | None,
    categories: Sequence[str],
) -> tuple[HeadFit, ...]:
    """Heads by a published method, judged on the clean labels that also chose them.

    Args:
        config: options; `ranking` is a published method.
        heads: as trained.
        known: what the method learns from.
        clean: labels that choose.
        categories: names.

    Raises:
        InvalidConfig: there are no clean labels.
    """
    if clean is None:
        raise InvalidConfig(
            "finetune.ranking names a published method, which chooses heads by clean labels, and "
            f"there are none in split '{config.held_out}'.",
            remedy="Name a split with clean labels under finetune.held_out, or take "
            "'method: search', which needs none.",
        )
    chosen = [c for c, name in enumerate(categories) if not config.only or name in config.only]
    common: dict[str, Any] = {
        "clean": CleanLabels(clean.features, clean.labels_NC[:, chosen], clean.groups),
        "categories": [categories[c] for c in chosen],
    }
    arrays = (known.features, known.labels_NC[:, chosen], heads[0][chosen], heads[1][chosen])
    options = config.ranking
    if options is not None and options.seed is None:
        options = options.model_copy(update={"seed": config.seed})
    if isinstance(options, PublishedGA):
        found = published_ga(*arrays, **common, options=options)
    else:
        assert isinstance(options, PublishedBP)
        found = published_bp(*arrays, **common, options=options)
    fits = []
    for c, head in zip(chosen, found, strict=True):
        trained = _as_trained(config, heads, clean, c, categories[c], head.why)
        margin_M = np.asarray(clean.features[trained.row_M], np.float64) @ head.weight_D + head.bias
        fits.append(
            dataclasses.replace(
                trained,
                weight_D=head.weight_D,
                bias=head.bias,
                kept=not head.accepted,
                log_loss_after=_loss(margin_M, clean.labels_NC[trained.row_M, c] == 1),
                held_out_margin_M=margin_M,
            )
        )
    return tuple(fits)


def heads_as_trained(
    config: FinetuneConfig,
    heads: Heads,
    used: LabeledFeatures,
    categories: Sequence[str],
    why: str,
) -> tuple[HeadFit, ...]:
    """The trained heads of the categories that were named, ready to be calibrated on `used`."""
    return tuple(
        _as_trained(config, heads, used, c, name, f"The head stays. {why}")
        for c, name in enumerate(categories)
        if not config.only or name in config.only
    )


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
    loss = _loss(margin_M, present_M == 1)
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
        judged=min(present_M.sum(), len(row_M) - present_M.sum()) >= config.minimum_known,
    )


def _loss(margin_M: Floats, present_M: npt.NDArray[np.bool_]) -> float | None:
    if not len(margin_M):
        return None
    return float(log_loss(margin_M, present_M.astype(np.float64)).mean())


def _out_of_fold(
    fits: Sequence[HeadFit], known: LabeledFeatures, categories: Sequence[str]
) -> KnownEntries:
    probability_NC = np.full(known.labels_NC.shape, np.nan)
    for fit in fits:
        if fit.judged:
            column = categories.index(fit.category)
            probability_NC[fit.row_M, column] = expit(fit.held_out_margin_M)
    return KnownEntries.of(probability_NC, known.labels_NC, categories)
