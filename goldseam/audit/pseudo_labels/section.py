"""Which pseudo-labels a model would make of the unknown tags, and how wrong they would be.

Legend: N images, C categories, S states (absent, present), B bins of confidence, T thresholds, G
clusters of groups.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from goldseam.audit.label_side import LabelSide
from goldseam.audit.pseudo_labels.config import PseudoLabelConfig
from goldseam.audit.pseudo_labels.judged import PseudoLabelErrors
from goldseam.audit.pseudo_labels.strata import ABSENT, PRESENT, Compared, Expected, expected_wrong
from goldseam.audit.pseudo_labels.tags import (
    EDGES,
    ROWS_AT_ONCE,
    WITHIN_CONFIDENCE,
    check_probabilities,
    folded,
    same_shape,
    verdict,
)
from goldseam.dataset.codecs import UNKNOWN, Array
from goldseam.errors import InvalidConfig
from goldseam.page import percent
from goldseam.results import Estimate, PseudoLabelAudit


def audit_pseudo_labels(
    labels: LabelSide, task: str, probabilities_NC: npt.ArrayLike, config: PseudoLabelConfig
) -> tuple[PseudoLabelAudit, ...]:
    """Judge the pseudo-labels that thresholds would make of a task's unknown entries.

    Known entries, which the out-of-fold predictions have never seen, say how wrong they would be;
    see `PseudoLabelErrors` for the assumption. First comes a row of the whole task for each of
    `config.thresholds`. Then a row for each category, at the thresholds that are advised for it:
    the lowest confidence at which the upper end of the interval of the wrong share stays within
    `config.maximum_wrong`, for "present" and for "absent" apart. Where there is none, no
    pseudo-label of that state is made, and the sentence says so.

    Args:
        labels: the label side.
        task: of tags or boxes, whose states are known without pictures.
        probabilities_NC: out-of-fold, of "present"; rows of NaN have no prediction.
        config: the options.

    Returns:
        Nothing where no entry with a prediction is unknown, or none is known.

    Raises:
        InvalidConfig: the task has no states.
        InvalidArray: the predictions do not fit, or are no probabilities.
    """
    if task not in labels.states:
        raise InvalidConfig(
            f"pseudo-labels of '{task}' cannot be judged on the label side.",
            remedy=f"Choose a task of tags or boxes ({', '.join(labels.states) or 'none'}); for "
            "masks use goldseam.audit.pseudo_mask_errors.",
        )
    states_NC = labels.states[task]
    probability_NC = np.asarray(probabilities_NC)
    same_shape(probability_NC, states_NC.shape, f"predictions of '{task}'")
    histogram = _Histogram.of(states_NC, probability_NC, labels.group_N, config)
    if not histogram.unknown_CB.any() or not histogram.known_GCSB.any():
        return ()
    categories = labels.info.tasks[task].categories
    rows = []
    for threshold in config.thresholds:
        compared = histogram.made(np.full((len(categories), 2), threshold))
        found = verdict(categories, compared, _expected(compared, config), WITHIN_CONFIDENCE)
        rows.append(found.whole(task, when=f"At a confidence of {_shown(threshold)} or more"))
    advised_CS = _advised(histogram, config)
    compared = histogram.made(advised_CS)
    found = verdict(categories, compared, _expected(compared, config), WITHIN_CONFIDENCE)
    return (*rows, *_category_rows(task, found, advised_CS, config))


@dataclasses.dataclass(frozen=True, eq=False)
class _Histogram:
    """Entries by bin of probability.

    Attributes:
        edges_E: probabilities between the bins, ascending; every threshold and its mirror image.
        known_GCSB: known entries; S is what the label says.
        unknown_CB: unknown entries.
    """

    edges_E: Array
    known_GCSB: Array
    unknown_CB: Array

    @classmethod
    def of(
        cls, states_NC: Array, probability_NC: Array, group_N: Array, config: PseudoLabelConfig
    ) -> "_Histogram":
        thresholds = np.array(config.thresholds, np.float64)
        edges_E = np.unique(np.round(np.concatenate([EDGES, thresholds, 1 - thresholds]), 9))
        categories, bins = states_NC.shape[1], len(edges_E) + 1
        cells = categories * 2 * bins
        cluster_N, clusters = folded(group_N, cells)
        known, unknown = np.zeros(clusters * cells), np.zeros(categories * bins)
        for first in range(0, len(states_NC), ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            # float32 at an edge falls on the side that its rounded value shows
            block_BC = np.round(probability_NC[rows].astype(np.float64), 7)
            row_M, category_M = np.nonzero(~np.isnan(block_BC))
            probability_M = block_BC[row_M, category_M]
            check_probabilities(probability_M, first + row_M, category_M)
            state_M = states_NC[rows][row_M, category_M].astype(np.int64)
            bin_M = _bins(edges_E, probability_M)
            is_known_M = state_M != UNKNOWN
            cell_M = (category_M * 2 + state_M) * bins + bin_M
            at_M = (cluster_N[rows][row_M] * cells + cell_M)[is_known_M]
            known += np.bincount(at_M, minlength=len(known))
            unknown += np.bincount((category_M * bins + bin_M)[~is_known_M], minlength=len(unknown))
        return cls(
            edges_E,
            known.reshape(clusters, categories, 2, bins),
            unknown.reshape(categories, bins),
        )

    def made(self, threshold_CS: Array) -> Compared:
        """The pseudo-labels that confidences of at least `threshold_CS` make.

        Args:
            threshold_CS: of "absent" and of "present"; infinite to make none.
        """
        lowest_B = np.concatenate([[0.0], self.edges_E])
        highest_B = np.concatenate([self.edges_E, [1.0]])
        # a bin is taken where all of it is
        made_CSB = np.stack(
            [
                highest_B <= np.round(1 - threshold_CS[:, [ABSENT]], 9),
                lowest_B >= np.round(threshold_CS[:, [PRESENT]], 9),
            ],
            axis=1,
        )
        total_CSB = made_CSB * self.unknown_CB[:, None]
        known_GCB = self.known_GCSB.sum(axis=2)
        return Compared(
            known_GCSB=made_CSB * known_GCB[:, :, None],
            # against a pseudo-label "absent" stands a label "present", and the other way round
            differing_GCSB=made_CSB * self.known_GCSB[:, :, ::-1],
            total_CSB=total_CSB,
        )


def _bins(edges_E: Array, probability_M: Array) -> Array:
    """Bins that hold their lower edge from one half on, and their upper edge below."""
    upper_M = np.searchsorted(edges_E, probability_M, side="right")
    lower_M = np.searchsorted(edges_E, probability_M, side="left")
    return np.where(probability_M >= 0.5, upper_M, lower_M)


def _expected(compared: Compared, config: PseudoLabelConfig) -> Expected:
    return expected_wrong(
        compared,
        minimum=config.minimum_compared,
        transition_C22=None,
        resamples=config.resamples,
        seed=config.seed,
    )


def _advised(histogram: _Histogram, config: PseudoLabelConfig) -> Array:
    """The lowest confidence at which the wrong share stays within bounds, by category and state.

    Every threshold that is tried has to keep to the bound by itself. The lowest that does is taken,
    and the interval does not know of that choice.
    """
    categories = len(histogram.unknown_CB)
    advised_CS = np.full((categories, 2), np.inf)
    for threshold in np.sort(histogram.edges_E[histogram.edges_E >= 0.5])[::-1]:
        compared = histogram.made(np.full((categories, 2), threshold))
        expected = _expected(compared, config)
        enough_CS = compared.known() >= config.minimum_compared
        for category, state in np.argwhere(enough_CS & (compared.total() > 0)).tolist():
            share = expected.share(category, state)
            if share.high is not None and share.high <= config.maximum_wrong:
                advised_CS[category, state] = threshold
    return advised_CS


def _category_rows(
    task: str, found: PseudoLabelErrors, advised_CS: Array, config: PseudoLabelConfig
) -> list[PseudoLabelAudit]:
    rows = {row.category: row for row in found.rows(task)[1:]}
    bound = percent(config.maximum_wrong)
    result = []
    for category, (absent, present) in zip(found.categories, advised_CS.tolist(), strict=True):
        advice = [
            f'"{state}" from a confidence of {_shown(threshold)} on'
            for state, threshold in (("present", present), ("absent", absent))
            if np.isfinite(threshold)
        ]
        if category in rows:
            begin = f"For {category}, make {' and '.join(advice)} to stay below {bound} wrong. "
            row = rows[category]
            result.append(dataclasses.replace(row, sentence=begin + row.sentence))
        else:
            sentence = (
                f"Make no pseudo-labels of {category}: at no confidence are enough known labels "
                f"there to show that fewer than {bound} would be wrong."
            )
            undefined = Estimate(None, better="lower")
            result.append(
                PseudoLabelAudit(task, category, 0, undefined, undefined, undefined, 0, sentence)
            )
    return result


def _shown(threshold: float) -> str:
    return f"{100 * threshold:.4g} %"
