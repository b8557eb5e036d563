"""Wrong tags of a dataset's task as a section of the audit: findings, counts and noise matrices.

Shapes: N images, C categories, M findings.
"""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.audit.errors.config import ErrorsConfig
from goldseam.audit.errors.section import ErrorSection
from goldseam.audit.errors.tag_entries import TagMatrix
from goldseam.audit.errors.tags import (
    METHOD,
    RaterErrors,
    TagErrors,
    compare_raters,
    find_tag_errors,
    fit_tags,
    rater_errors,
)
from goldseam.audit.findings import Action, Issue, make_findings
from goldseam.audit.label_side import LabelSide
from goldseam.dataset.codecs import UNKNOWN, Array
from goldseam.errors import InvalidArray, InvalidConfig, closest
from goldseam.page import count, percent
from goldseam.results import LabelErrors, NoiseMatrix

STATE_NAMES = ("absent", "present")


def audit_tags(
    labels: LabelSide, task: str, probabilities_NC: Array, config: ErrorsConfig
) -> ErrorSection:
    """Examine the known tags of a task.

    Args:
        labels: of the dataset.
        task: of tags (or boxes: then whether a category is on an image).
        probabilities_NC: predicted probability of present for every image of `labels`, out of
            fold; a whole row of NaN where no prediction was made.
        config: options.

    Raises:
        InvalidArray: the predictions do not fit, are no probabilities, or nothing can be examined.
        InvalidConfig: there is no metadata column of that name.
    """
    annotator_N = annotator_column(labels, config)
    states_NC, left_out = _predicted(labels.states[task], probabilities_NC, task)
    matrix = TagMatrix(states_NC, probabilities_NC, labels.info.task(task).categories, task)
    model = fit_tags(matrix, minimum_known=config.minimum_known, ambiguous=config.ambiguous)
    found = find_tag_errors(matrix, model, config.minimum_score)
    sources = rater_errors(matrix, model, found, labels.source_names(task, np.arange(len(labels))))
    if annotator_N is not None:
        annotators = rater_errors(matrix, model, found, annotator_N)
        comparison = compare_raters(annotators)
        found = dataclasses.replace(found, annotators=annotators, comparison=comparison)
    sentences = [] if found.comparison is None else [found.comparison]
    if left_out:
        sentences.append(
            f"{count(left_out)} {'image' if left_out == 1 else 'images'} with known labels of "
            f"'{task}' without a prediction: not examined."
        )
    return ErrorSection(
        findings=_findings(labels, task, found),
        errors=_errors(task, found, sources),
        matrices=_matrices(task, found),
        sentences=tuple(sentences),
    )


def annotator_column(labels: LabelSide, config: ErrorsConfig) -> pa.Array | None:
    """Who labeled each image; None where no metadata column names annotators.

    Raises:
        InvalidConfig: there is no column of that name.
    """
    if not config.annotator:
        return None
    if config.annotator not in labels.meta:
        raise InvalidConfig(
            f"annotator: there is no metadata column '{config.annotator}'.",
            remedy=f"Closest: {closest(config.annotator, labels.meta)}; leave it empty for none.",
        )
    return labels.meta[config.annotator]


def _predicted(states_NC: Array, probabilities_NC: Array, task: str) -> tuple[Array, int]:
    """The states with unknown where no prediction was made, and how many images that are."""
    if np.shape(probabilities_NC)[:1] != states_NC.shape[:1] or states_NC.shape[1] == 0:
        return states_NC, 0  # the matrix says what does not fit
    probabilities_NC = np.asanyarray(probabilities_NC)
    maybe = np.flatnonzero(np.isnan(probabilities_NC[:, 0]))
    missing = maybe[np.isnan(probabilities_NC[maybe]).all(axis=1)]
    left_out = int((states_NC[missing] != UNKNOWN).any(axis=1).sum())
    if not left_out:
        return states_NC, 0
    states_NC = states_NC.copy()
    states_NC[missing] = UNKNOWN
    if (states_NC == UNKNOWN).all():
        raise InvalidArray(
            f"predictions of '{task}'",
            f"none of the {count(left_out)} images with known labels has one",
            "Predict the images whose labels are to be examined; a row of NaN leaves one out.",
        )
    return states_NC, left_out


def _findings(labels: LabelSide, task: str, found: TagErrors) -> pa.Table:
    state = pa.array(STATE_NAMES)
    given = state.take(pa.array(found.given_M))
    names = pa.array(found.categories, pa.string())
    return make_findings(
        **labels.where(found.row_M),
        task=task,
        issue=Issue.WRONG_TAG,
        action=Action.RELABEL,
        score=found.score_M,
        evidence=_evidence(given, found),
        category=names.take(pa.array(found.category_M)),
        given=given,
        suggested=state.take(pa.array(1 - found.given_M)),
        source=labels.source_names(task, found.row_M),
    )


def _evidence(given: pa.Array, found: TagErrors) -> pa.Array:
    """One sentence a finding, joined from a table of a hundred and one percentages."""
    # neither 0 % nor 100 %: nothing is sure
    shown = pa.array(
        [percent(min(max(share, 0.004), 0.996), 0) for share in np.linspace(0, 1, 101)]
    )
    predicted, wrong = (
        shown.take(pa.array(np.rint(100 * share_M).astype(np.int32)))
        for share_M in (found.probability_M, found.score_M)
    )
    return pc.binary_join_element_wise(
        "Labeled ", given, "; predicted to be present with ", predicted,
        ". Probability that the label is wrong: ", wrong, ".", "",
    )  # fmt: skip


def _errors(
    task: str, found: TagErrors, sources: tuple[RaterErrors, ...]
) -> tuple[LabelErrors, ...]:
    known_C = found.known_C2.sum(axis=1)
    whole = LabelErrors(
        task, None, None, None, int(known_C.sum()), len(found), found.error_rate, METHOD
    )
    categories = [
        LabelErrors(task, name, None, None, int(known), int(flagged), rate, METHOD)
        for name, known, flagged, rate in zip(
            found.categories, known_C, found.flagged_C, found.error_rates, strict=True
        )
    ]
    by_source = [
        LabelErrors(task, None, each.name, None, each.labels, each.flagged, each.error_rate, METHOD)
        for each in sources
    ]
    by_annotator = [
        LabelErrors(task, None, None, each.name, each.labels, each.flagged, each.error_rate, METHOD)
        for each in found.annotators
    ]
    return (whole, *categories, *by_source, *by_annotator)


def _matrices(task: str, found: TagErrors) -> tuple[NoiseMatrix, ...]:
    return tuple(
        NoiseMatrix(
            task=task,
            category=name,
            part="all",
            method=METHOD,
            labels=int(known),
            categories=STATE_NAMES,
            joint=plain_matrix(joint_22),
            transition=plain_matrix(transition_22),
        )
        for name, known, joint_22, transition_22 in zip(
            found.categories,
            found.known_C2.sum(axis=1),
            found.joint_C22,
            found.transition_C22,
            strict=True,
        )
    )


def plain_matrix(matrix: Array) -> tuple[tuple[float | None, ...], ...]:
    """A matrix as rows of numbers, None where NaN."""
    return tuple(
        tuple(None if np.isnan(value) else float(value) for value in row) for row in matrix
    )
