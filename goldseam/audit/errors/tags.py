"""Wrong tags: known entries that out-of-fold predictions contradict, and how many there must be.

Shapes: N images, C categories, M flagged entries, B bins of the logit, 2 states (absent, present).

A curve per category tells what a given label means (`noise_curve`); every known entry then has a
probability to be wrong, which is comparable over categories. Flagged are the likeliest, as many as
are expected to be wrong. Unknown entries are never looked at.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from goldseam.audit.errors.noise_curve import (
    NoiseCurves,
    WrongLabels,
    count_wrong,
    fit_noise_curves,
)
from goldseam.audit.errors.tag_entries import BINS, LOGIT_B, WIDTH, TagMatrix, logit_of
from goldseam.dataset.codecs import Array
from goldseam.errors import InvalidArray
from goldseam.page import count, percent
from goldseam.results import Estimate

if TYPE_CHECKING:
    import pandas as pd

METHOD = "calibration curve with lapses"


@dataclasses.dataclass(frozen=True)
class RaterErrors:
    """The labels of one annotator or source.

    Attributes:
        name: of the annotator or source.
        labels: known labels.
        flagged: those of them that are flagged.
        error_rate: estimated share of wrong ones, in categories that are defined.
    """

    name: str
    labels: int
    flagged: int
    error_rate: Estimate


@dataclasses.dataclass(frozen=True, eq=False)
class TagErrors:
    """What `tag_errors` found; the most suspicious entry first.

    Attributes:
        categories: names.
        row_M: flagged images.
        category_M: flagged categories.
        given_M: what the label says, 1 present, 0 absent.
        probability_M: predicted probability of present.
        score_M: probability that the label is wrong.
        known_C2: known labels by given state.
        flagged_C: flagged labels.
        joint_C22: P(true, given), absent before present; sums to 1; NaN where undefined.
        transition_C22: P(given | true), rows sum to 1; NaN where undefined.
        error_rates: share of wrong labels by category; None where undefined.
        error_rate: of all categories that are defined.
        annotators: the same by annotator, in the order of their names; empty where none are named.
        comparison: what can be said of annotators in one sentence; None where none are named.
    """

    categories: tuple[str, ...]
    row_M: Array
    category_M: Array
    given_M: Array
    probability_M: Array
    score_M: Array
    known_C2: Array
    flagged_C: Array
    joint_C22: Array
    transition_C22: Array
    error_rates: tuple[Estimate, ...]
    error_rate: Estimate
    annotators: tuple[RaterErrors, ...] = ()
    comparison: str | None = None

    def __len__(self) -> int:
        return len(self.row_M)

    def to_frame(self) -> "pd.DataFrame":
        """The flagged entries as a data frame: row, category, given, probability, score."""
        import pandas as pd

        return pd.DataFrame(
            {
                "row": self.row_M,
                "category": np.array(self.categories, object)[self.category_M],
                "given": self.given_M,
                "probability": self.probability_M,
                "score": self.score_M,
            }
        )


def tag_errors(
    labels_NC: Array,
    probabilities_NC: Array,
    *,
    categories: Sequence[str] | None = None,
    annotators: Sequence[str | None] | None = None,
    minimum_known: int = 10,
    minimum_score: float = 0.3,
    ambiguous: float = 0.1,
    limit: int | None = None,
) -> TagErrors:
    """Find tags that are probably wrong, among known labels only.

    Assumed: predictions did not see the label they are compared with (out of fold). They need not
    be calibrated, but presence must not fall with them, and where they are surest they are right:
    what contradicts them there counts as wrong labels. Images are independent (intervals are too
    narrow where many show the same).

    Args:
        labels_NC: 1 present, 0 absent, -1 unknown.
        probabilities_NC: predicted probability of present; may be mapped from disk. What stands at
            unknown entries, even NaN, changes nothing.
        categories: names of the columns; their numbers when None.
        annotators: who labeled each image; None where unknown.
        minimum_known: labels of either state without which a category stays undefined.
        minimum_score: least probability of being wrong for an entry to be flagged.
        ambiguous: share of the labels that is assumed to be guessed where an image is ambiguous.
        limit: flag at most so many; as many as are expected to be wrong when None.

    Raises:
        InvalidArray: shapes do not fit, a label is none of 1, 0, -1, a prediction of a known label
            is no probability, or nothing is known.
    """
    matrix = TagMatrix(labels_NC, probabilities_NC, categories)
    model = fit_tags(matrix, minimum_known=minimum_known, ambiguous=ambiguous)
    found = find_tag_errors(matrix, model, minimum_score, limit)
    if annotators is None:
        return found
    raters = rater_errors(matrix, model, found, annotators)
    return dataclasses.replace(found, annotators=raters, comparison=compare_raters(raters))


@dataclasses.dataclass(frozen=True, eq=False)
class TagModel:
    """The curves of the categories that are defined.

    Attributes:
        counts_C2B: known labels by category, given state and bin.
        defined_K: the categories that have a curve.
        curves: their curves.
        wrong: how many of their labels are wrong.
    """

    counts_C2B: Array
    defined_K: Array
    curves: NoiseCurves
    wrong: WrongLabels


def fit_tags(matrix: TagMatrix, *, minimum_known: int, ambiguous: float) -> TagModel:
    """Count the known entries and fit a curve for every category that has enough of them."""
    columns = len(matrix.categories)
    counts = np.zeros(columns * 2 * BINS, np.int64)
    for entries in matrix.blocks():
        counts += np.bincount(entries.cell_E, minlength=len(counts))
    if not counts.any():
        raise InvalidArray(
            matrix.labels_name,
            f"all {matrix.labels_NC.size:,} entries are unknown (-1)",
            "There is nothing to examine: label some images first, and write 0 for 'somebody "
            "looked, it is not there'.",
        )
    counts_C2B = counts.reshape(columns, 2, BINS)
    defined_K = np.flatnonzero((counts_C2B.sum(axis=2) >= minimum_known).all(axis=1))
    curves = fit_noise_curves(counts_C2B[defined_K], LOGIT_B, ambiguous)
    return TagModel(
        counts_C2B, defined_K, curves, count_wrong(counts_C2B[defined_K], LOGIT_B, curves)
    )


def find_tag_errors(
    matrix: TagMatrix, model: TagModel, minimum_score: float, limit: int | None = None
) -> TagErrors:
    """Flag as many entries as are expected to be wrong (or `limit`), the likeliest first."""
    columns = len(matrix.categories)
    flat_M, given_M, probability_M, score_M = _suspects(matrix, model, minimum_score)
    if limit is None:
        limit = round(float(model.wrong.expected_K2.sum()))
    # ties in the order of rows and categories
    first = np.argsort(-score_M, kind="stable")[:limit]
    flat_M = flat_M[first]
    known_C2 = model.counts_C2B.sum(axis=2)
    joint_C22 = np.full((columns, 2, 2), np.nan)
    right_K2 = known_C2[model.defined_K] - model.wrong.expected_K2
    joint_K22 = np.stack(
        [
            np.stack([right_K2[:, 0], model.wrong.expected_K2[:, 1]], axis=1),
            np.stack([model.wrong.expected_K2[:, 0], right_K2[:, 1]], axis=1),
        ],
        axis=1,
    )
    joint_C22[model.defined_K] = joint_K22 / joint_K22.sum(axis=(1, 2), keepdims=True)
    rates = [Estimate(None, better="lower")] * columns
    for category, rate in zip(model.defined_K.tolist(), model.wrong.rates(), strict=True):
        rates[category] = rate
    return TagErrors(
        categories=matrix.categories,
        row_M=flat_M // columns,
        category_M=(flat_M % columns).astype(np.int32),
        given_M=given_M[first],
        probability_M=probability_M[first],
        score_M=score_M[first].astype(np.float32),
        known_C2=known_C2,
        flagged_C=np.bincount(flat_M % columns, minlength=columns),
        joint_C22=joint_C22,
        transition_C22=joint_C22 / joint_C22.sum(axis=2, keepdims=True),
        error_rates=tuple(rates),
        error_rate=model.wrong.overall(),
    )


def _suspects(
    matrix: TagMatrix, model: TagModel, minimum_score: float
) -> tuple[Array, Array, Array, Array]:
    """Flat position, given state, prediction and score of every entry that may be flagged."""
    columns = len(matrix.categories)
    curve_C = np.full(columns, -1)
    curve_C[model.defined_K] = np.arange(len(model.defined_K))
    # a score is monotone in the logit, so it is largest at an edge of its bin
    curve_K11 = np.arange(len(model.defined_K))[:, None, None]
    given_21 = np.array([[0], [1]])
    edges = [
        model.curves.wrong(curve_K11, LOGIT_B + side * WIDTH / 2, given_21) for side in (-1, 1)
    ]
    suspect_C2B = np.zeros((columns, 2, BINS), bool)
    suspect_C2B[model.defined_K] = np.maximum(*edges) >= minimum_score
    found: list[tuple[Array, ...]] = []
    for entries in matrix.blocks():
        at = np.flatnonzero(suspect_C2B.reshape(-1).take(entries.cell_E))
        flat, cell, probability = (
            part[at] for part in (entries.flat_E, entries.cell_E, entries.probability_E)
        )
        given = (cell // BINS % 2).astype(np.int8)
        curve = curve_C[cell // (2 * BINS)]
        score = model.curves.wrong(curve, logit_of(probability), given)
        sure = score >= minimum_score
        found.append((flat[sure], given[sure], probability[sure], score[sure]))
    flat_M, given_M, probability_M, score_M = (
        np.concatenate(parts) for parts in zip(*found, strict=True)
    )
    return flat_M, given_M, probability_M, score_M


def rater_errors(
    matrix: TagMatrix, model: TagModel, found: TagErrors, raters: Sequence[str | None]
) -> tuple[RaterErrors, ...]:
    """Error rates of annotators (or sources) over all categories that are defined.

    What each category shows is taken from its curve; omission and invention are then fit for each
    rater anew, so that a careless one among careful ones is seen.

    Args:
        matrix: labels and predictions.
        model: fitted to them.
        found: what is flagged.
        raters: N names; None where unknown.

    Raises:
        InvalidArray: there is not one name a row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    rater_N = raters if isinstance(raters, pa.Array) else pa.array(list(raters))
    if len(rater_N) != len(matrix.labels_NC):
        raise InvalidArray(
            "annotators",
            f"{len(rater_N)} names for {len(matrix.labels_NC)} rows",
            "Hand over one name a row, None where it is unknown.",
        )
    rater_N = rater_N.cast(pa.string())
    names = sorted(pc.unique(rater_N).drop_null().to_pylist())
    code_N = pc.fill_null(pc.index_in(rater_N, pa.array(names, pa.string())), -1).to_numpy()
    counts = np.zeros(len(names) * 2 * BINS, np.int64)
    labels_R = np.zeros(len(names), np.int64)
    columns = len(matrix.categories)
    # bin of a category's own logit → bin of the logit of η, which all categories share
    truth_CB = np.full((columns, BINS), -1)
    truth_KB = model.curves.truth(np.arange(len(model.defined_K))[:, None], LOGIT_B)
    truth_CB[model.defined_K] = np.clip(
        (logit_of(truth_KB) + BINS * WIDTH / 2) / WIDTH, 0, BINS - 1
    )
    for entries in matrix.blocks():
        code_E = code_N[entries.flat_E // columns]
        labels_R += np.bincount(code_E[code_E >= 0], minlength=len(names))
        place_E = truth_CB[entries.cell_E // (2 * BINS), entries.cell_E % BINS]
        cell_E = (code_E * 2 + entries.cell_E // BINS % 2) * BINS + place_E
        counts += np.bincount(cell_E[(code_E >= 0) & (place_E >= 0)], minlength=len(counts))
    counts_R2B = counts.reshape(len(names), 2, BINS)
    curves = fit_noise_curves(counts_R2B, LOGIT_B, model.curves.ambiguous, lapses_only=True)
    rates = count_wrong(counts_R2B, LOGIT_B, curves).rates()
    code_M = code_N[found.row_M]
    flagged_R = np.bincount(code_M[code_M >= 0], minlength=len(names))
    return tuple(
        RaterErrors(name, int(labels), int(flagged), rate)
        for name, labels, flagged, rate in zip(names, labels_R, flagged_R, rates, strict=True)
    )


def compare_raters(raters: Sequence[RaterErrors]) -> str | None:
    """What the rates of annotators say about each other; None where nobody is named."""
    rated = [rater for rater in raters if rater.error_rate.value is not None]
    if not rated:
        return None
    if len(rated) == 1:
        name, rate = rated[0].name, percent(rated[0].error_rate.value)
        return (
            f"Every label with a known annotator is by {name} (about {rate} wrong); there is "
            "nobody to compare with."
        )
    worst = max(rated, key=lambda rater: rater.error_rate.low or 0)
    rest = [rater for rater in rated if rater is not worst]
    shown = (
        f"{worst.name} is estimated to have {percent(worst.error_rate.value)} of "
        f"{count(worst.labels)} labels wrong"
    )
    # stricter than a test of the difference, and it cannot be misread: no interval may overlap
    if all((worst.error_rate.low or 0) > (rater.error_rate.high or 1) for rater in rest):
        highest = max(rater.error_rate.value or 0 for rater in rest)
        return f"{shown}, more than every other annotator (at most {percent(highest)})."
    return f"{shown}, the most of {len(rated)} annotators, but not clearly more than all others."
