"""How far "known" labels are to be trusted: which to review, and what each of them counts.

All of it compares labels with predictions that did not see them (out of fold).
Legend: N images, C categories, E known entries, M flagged entries, A annotators, G clusters.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from goldseam.errors import InvalidArray, InvalidConfig
from goldseam.finetuning.resampling import (
    Floats,
    Groups,
    Integers,
    check_states,
    clusters_of,
    estimate,
    weightings,
)
from goldseam.metrics.sums import ratio
from goldseam.page import between, count, percent
from goldseam.results import Estimate
from goldseam.results.findings import Action, Issue, make_findings

STATES = ("absent", "present")


@dataclasses.dataclass(frozen=True, eq=False)
class KnownEntries:
    """The known entries of a label matrix with their predictions, row by row.

    Attributes:
        row_E: image.
        category_E: column.
        present_E: 1.0 present, 0.0 absent.
        probability_E: predicted probability of present, strictly between 0 and 1.
        unjudged: rows and columns of known entries without a prediction; not among the above.
        categories: names of the columns.
        rows: images in all.
    """

    row_E: Integers
    category_E: Integers
    present_E: Floats
    probability_E: Floats
    unjudged: tuple[Integers, Integers]
    categories: tuple[str, ...]
    rows: int

    @classmethod
    def of(
        cls,
        probabilities_NC: npt.NDArray[Any],
        labels_NC: npt.NDArray[Any],
        categories: Sequence[str],
    ) -> "KnownEntries":
        """Read the known entries; what stands at the others, even NaN, is never read.

        A known entry whose prediction is NaN (its category was not cross-validated) is unjudged.

        Raises:
            InvalidArray: shapes do not fit, a label is none of 1, 0, -1, or a prediction of a known
                label is no probability.
        """
        shape = (len(labels_NC), len(categories))
        if labels_NC.shape != shape or probabilities_NC.shape != shape:
            raise InvalidArray(
                "out-of-fold predictions",
                f"shape {probabilities_NC.shape}, labels {labels_NC.shape}, {len(categories)} "
                "categories",
                "Hand over one row an image and one column a category, for both.",
            )
        check_states(labels_NC, "")
        row_E, category_E = np.nonzero(labels_NC != -1)
        probability_E = probabilities_NC[row_E, category_E].astype(np.float64)
        given_E = ~np.isnan(probability_E)
        wrong_E = given_E & ~((probability_E >= 0) & (probability_E <= 1))
        if wrong_E.any():
            at = int(wrong_E.argmax())
            raise InvalidArray(
                "out-of-fold predictions",
                f"row {row_E[at]}, category '{categories[category_E[at]]}': {probability_E[at]:g}, "
                "expected a probability from 0 to 1",
                "Apply the category's calibration, or a sigmoid, to margins.",
            )
        unjudged = row_E[~given_E], category_E[~given_E]
        row_E, category_E = row_E[given_E], category_E[given_E]
        least = np.finfo(np.float64).tiny
        return cls(
            row_E=row_E,
            category_E=category_E,
            present_E=(labels_NC[row_E, category_E] == 1).astype(np.float64),
            probability_E=np.clip(probability_E[given_E], least, 1 - 2.0**-53),
            unjudged=unjudged,
            categories=tuple(categories),
            rows=len(labels_NC),
        )

    @property
    def agreement(self) -> Floats:
        """Predicted probability of what the label says; `E`."""
        return np.where(self.present_E == 1, self.probability_E, 1 - self.probability_E)

    @property
    def loss(self) -> Floats:
        """Out-of-fold log-loss of the label, nats; `E`."""
        return np.asarray(-np.log(self.agreement), np.float64)


def rank_for_review(
    entries: KnownEntries,
    *,
    image_ids: Sequence[str],
    splits: Sequence[str] | str,
    groups: Sequence[str],
    task: str,
    sources: Sequence[str | None] | None = None,
    share: float = 0.05,
    minimum_score: float = 0.5,
) -> pa.Table:
    """Known labels that out-of-fold predictions contradict most, as rows of the audit's findings.

    Of each category the share of known labels with the greatest loss, as far as the prediction says
    the opposite with at least `minimum_score`. The score of a row is that probability: it orders
    labels for review, it is not the probability that the label is wrong, which would need the
    rate of wrong labels (the audit estimates it). The id is that of the audit, so that a label
    that both point at can be joined.

    Args:
        entries: known entries and predictions.
        image_ids: of all images.
        splits: of all images, or one for all.
        groups: of all images.
        task: name of the tags task.
        sources: who made the label of each image; None where nobody knows.
        share: of the known labels of a category, more than 0 and at most 1.
        minimum_score: least probability of the opposite.

    Returns:
        Findings, the most contradicted first; ties in the order of their ids.

    Raises:
        InvalidArray: a column does not have one value an image.
        InvalidConfig: an option is outside its range.
    """
    if not 0 < share <= 1 or not 0 <= minimum_score <= 1:
        raise InvalidConfig(
            f"share is {share} and minimum_score {minimum_score}, expected shares up to 1.",
            remedy="Choose 0.05 and 0.5, say.",
        )
    by_image = {"image_id": image_ids, "group": groups, "source": sources, "split": splits}
    for name, values in by_image.items():
        if values is not None and not isinstance(values, str) and len(values) != entries.rows:
            raise InvalidArray(
                name, f"{len(values)} values for {entries.rows} images", "Give one an image."
            )
    flagged_M = _most_contradicted(entries, share, minimum_score)
    row_M = entries.row_E[flagged_M]
    present_M = entries.present_E[flagged_M].astype(np.intp)
    state = pa.array(STATES)
    given = state.take(pa.array(present_M))
    taken: dict[str, Any] = {
        name: values if values is None or isinstance(values, str) else [values[r] for r in row_M]
        for name, values in by_image.items()
    }
    names = pa.array(entries.categories, pa.string())
    table = make_findings(
        **taken,
        task=task,
        issue=Issue.WRONG_TAG,
        action=Action.REVIEW,
        score=1 - entries.agreement[flagged_M],
        evidence=_evidence(given, entries.probability_E[flagged_M]),
        category=names.take(pa.array(entries.category_E[flagged_M])),
        given=given,
        suggested=state.take(pa.array(1 - present_M)),
    )
    return table.sort_by([("score", "descending"), ("finding", "ascending")])


def _most_contradicted(entries: KnownEntries, share: float, minimum_score: float) -> Integers:
    """Positions of the entries that are flagged."""
    order_E = np.lexsort((-entries.loss, entries.category_E))
    known_C = np.bincount(entries.category_E, minlength=len(entries.categories))
    sorted_E = entries.category_E[order_E]
    rank_E = np.arange(len(order_E)) - (np.cumsum(known_C) - known_C)[sorted_E]
    taken_E = rank_E < np.ceil(share * known_C)[sorted_E]
    taken_E &= 1 - entries.agreement[order_E] >= minimum_score
    return np.asarray(order_E[taken_E], np.intp)


def _evidence(given: pa.Array, probability_M: Floats) -> pa.Array:
    """One sentence a finding, from a table of a hundred and one percentages."""
    import pyarrow.compute as pc

    # neither 0 % nor 100 %: nothing is sure
    shown = pa.array([percent(min(max(p, 0.004), 0.996), 0) for p in np.linspace(0, 1, 101)])
    predicted = shown.take(pa.array(np.rint(100 * probability_M).astype(np.int32)))
    return pc.binary_join_element_wise(
        "Labeled ", given, "; a model that had not seen this label predicts it to be present with ",
        predicted, ".", "",
    )  # fmt: skip


def label_weights(
    entries: KnownEntries, noise_rate: float | Sequence[float] | Floats = 0.05
) -> Floats:
    """What each known label counts: the probability that it is right; float64 `N C`, 0 at unknown.

    With q the predicted probability of what the label says and e the rate of flipped labels, that
    is (1 - e) q / ((1 - e) q + e (1 - q)) (Bayes). Assumed: flips independent of the image, and
    predictions that are calibrated for the true state. A rate of 0 leaves every label at 1, and a
    label without a prediction stays there too: nothing speaks against it.

    Args:
        entries: known entries and predictions.
        noise_rate: e, one or one a category, at least 0 and under 0.5, such as the audit's.

    Raises:
        InvalidConfig: a rate is outside its range, or there is not one a category.
    """
    rate_C = np.asarray(noise_rate, np.float64)
    if (
        rate_C.shape not in {(), (len(entries.categories),)}
        or not ((rate_C >= 0) & (rate_C < 0.5)).all()
    ):
        raise InvalidConfig(
            f"noise_rate is {noise_rate}, expected one rate, or one a category, from 0 to under "
            "0.5.",
            remedy="Half of the labels flipped is no label at all; leave such a category out.",
        )
    rate_E = np.broadcast_to(rate_C, (len(entries.categories),))[entries.category_E]
    agreement_E = entries.agreement
    right_E, wrong_E = (1 - rate_E) * agreement_E, rate_E * (1 - agreement_E)
    weight_NC = np.zeros((entries.rows, len(entries.categories)))
    weight_NC[entries.row_E, entries.category_E] = right_E / (right_E + wrong_E)
    weight_NC[entries.unjudged] = 1.0
    return weight_NC


@dataclasses.dataclass(frozen=True)
class AnnotatorTrust:
    """How one annotator's labels agree with predictions that did not see them.

    Attributes:
        name: of the annotator.
        labels: known labels compared.
        agreement: mean predicted probability of what the labels say.
        excess_error: share of flipped labels beyond what the predictions have learned as usual;
            negative for an annotator who is better than the others.
        weight: what the annotator's labels should count, 0 to 1.
        sentence: the same in words.
    """

    name: str
    labels: int
    agreement: Estimate
    excess_error: Estimate
    weight: float
    sentence: str


def annotator_trust(
    entries: KnownEntries,
    annotators: Sequence[str | None],
    *,
    groups: Groups = None,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[AnnotatorTrust, ...]:
    """Judge annotators by how often they contradict predictions, allowing for hard images.

    If predictions p are calibrated for the labels of all annotators and one of them flips a share e
    of the labels, an entry is expected to disagree by 2p(1-p) + e (1-2p)^2. So e is estimated by
    sum of (1 - q - 2p(1-p)) over sum of (1-2p)^2, q being the predicted probability of the given
    label: the method of moments, unbiased, and annotators of unclear images are not blamed. A
    label flipped with probability e tells (1-2e)^2 of what a right one tells (Fisher information of
    a binary symmetric channel about a weak signal): that is the weight, for the lower end of the
    interval of e, so that only what is proven counts against somebody. Without an interval the
    weight is 1.

    Assumed: predictions of an annotator's labels come from other groups' labels (group-wise folds),
    and most labels from other annotators.

    Args:
        entries: known entries and predictions.
        annotators: who labeled each image; None where unknown: those are not judged.
        groups: group of each image, for the intervals.
        resamples: draws of groups.
        seed: of the draws.

    Returns:
        One an annotator, in the order of their names.

    Raises:
        InvalidArray: there is not one annotator, or one group, an image.
    """
    for what, values in (("annotators", annotators), ("groups", groups)):
        if values is not None and len(values) != entries.rows:
            raise InvalidArray(
                what, f"{len(values)} for {entries.rows} images", "Give one an image."
            )
    names = sorted({name for name in annotators if name is not None})
    number = {name: a for a, name in enumerate(names)}
    annotator_N = np.array([-1 if name is None else number[name] for name in annotators], np.intp)
    unit_N = np.arange(entries.rows) if groups is None else np.asarray(groups)
    probability_E, agreement_E = entries.probability_E, entries.agreement
    usual_E = 2 * probability_E * (1 - probability_E)
    columns = (
        np.ones_like(agreement_E),
        agreement_E,
        1 - agreement_E - usual_E,
        (1 - 2 * probability_E) ** 2,
    )
    value_ES = np.stack(columns, axis=1)
    owner_E = annotator_N[entries.row_E]
    return tuple(
        _judge(name, value_ES[owner_E == a], unit_N[entries.row_E[owner_E == a]], resamples, seed)
        for a, name in enumerate(names)
    )


def _judge(
    name: str, value_ES: Floats, unit_E: npt.NDArray[Any], resamples: int, seed: int
) -> AnnotatorTrust:
    cluster_E = clusters_of(unit_E)
    clusters = int(cluster_E.max(initial=-1)) + 1
    sums_GS = np.stack([np.bincount(cluster_E, column, clusters) for column in value_ES.T], axis=1)
    count_R, agreement_R, excess_R, clear_R = (weightings(clusters, resamples, seed) @ sums_GS).T
    agreement = estimate(ratio(agreement_R, count_R))
    excess = estimate(ratio(excess_R, clear_R), better="lower")
    proven = min(max(excess.low or 0.0, 0.0), 0.5)
    weight = (1 - 2 * proven) ** 2
    said = f"{count(len(value_ES))} labels of '{name}' agree with predictions"
    if excess.value is None:
        sentence = f"Whether labels of '{name}' are wrong more often than others cannot be told."
    elif proven > 0:
        sentence = (
            f"{said} less than others do: about {percent(excess.value)} more of them are wrong "
            f"({between(excess)}), so each counts {weight:.2f} of a label."
        )
    else:
        sentence = f"{said} about as often as others do, or more; each counts in full."
    return AnnotatorTrust(name, len(value_ES), agreement, excess, weight, sentence)


def annotator_weights(trusts: Sequence[AnnotatorTrust], annotators: Sequence[str | None]) -> Floats:
    """The weight of each image's annotator, 1 where nobody is named; times `label_weights`."""
    weight_of = {trust.name: trust.weight for trust in trusts}
    return np.array([1.0 if n is None else weight_of.get(n, 1.0) for n in annotators])
