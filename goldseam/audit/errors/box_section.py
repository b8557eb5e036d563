"""The audit's section on boxes: findings in words, and rates by category and source.

L labeled boxes, M findings, C categories.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.audit.errors.box_config import BoxConfig
from goldseam.audit.errors.boxes import BoxErrors, find_box_errors
from goldseam.audit.errors.flat_boxes import LabeledBoxes, PredictedBoxes, flatten_predictions
from goldseam.audit.errors.section import ErrorSection
from goldseam.audit.findings import Action, Issue, join_findings, make_findings, no_findings
from goldseam.audit.label_side import LabelSide
from goldseam.audit.statistics.shares import shares
from goldseam.dataset.codecs import Array
from goldseam.results import Estimate, LabelErrors, NoiseMatrix

METHOD = "confident matching of boxes"
NOTHING = "nothing"
ACTIONS = {
    Issue.MISSING_BOX: Action.ADD,
    Issue.SPURIOUS_BOX: Action.REVIEW,
    Issue.MISPLACED_BOX: Action.REDRAW,
    Issue.WRONG_CATEGORY: Action.RELABEL,
}


def audit_boxes(
    labels: LabelSide,
    task: str,
    predictions: Iterable[tuple[int, PredictedBoxes]],
    config: BoxConfig,
) -> ErrorSection:
    """Compare the boxes of a detection task with predictions that never saw them.

    Args:
        labels: of the dataset.
        task: of kind detection.
        predictions: (position in `labels`, prediction); an image that is left out was not
            predicted, and nothing is said about it.
        config: thresholds.

    Raises:
        InvalidArray: a prediction is malformed; see `box_errors`.
    """
    info = labels.info.task(task)
    known_N = labels.known[task]
    predicted_N = np.zeros(len(labels), bool)
    kept: list[tuple[int, PredictedBoxes]] = []
    for row, prediction in predictions:
        if known_N[row]:
            predicted_N[row] = True
            kept.append((row, prediction))
    names = info.categories
    scored = flatten_predictions(kept, len(names))
    errors = find_box_errors(
        _labeled(labels, task, predicted_N),
        scored,
        names,
        np.full(len(names), info.exhaustive),
        labels.group_N,
        config,
    )
    tables = [_findings(labels, task, errors, issue) for issue in ACTIONS]
    return ErrorSection(
        findings=join_findings(tables),
        errors=_errors(labels, task, errors),
        matrices=(_matrix(task, errors),) if len(errors.judged.cell_K) else (),
    )


def _labeled(labels: LabelSide, task: str, predicted_N: Array) -> LabeledBoxes:
    boxes = labels.boxes[task]
    keep_M = predicted_N[boxes.image_M]
    first_M = np.searchsorted(boxes.image_M, boxes.image_M, side="left")
    number_M = np.arange(len(boxes.image_M)) - first_M
    return LabeledBoxes(
        boxes.image_M[keep_M],
        number_M[keep_M],
        boxes.category_M[keep_M].astype(np.int64),
        boxes.corners_M4[keep_M].astype(np.float64),
        boxes.ignore_M[keep_M],
    )


def _findings(labels: LabelSide, task: str, errors: BoxErrors, issue: Issue) -> pa.Table:
    at_M = np.flatnonzero(errors.issue_M == issue)
    if not len(at_M):
        return no_findings()
    image_M = errors.image_M[at_M]
    names = pa.array([*errors.categories, None], pa.string())
    given = names.take(pa.array(errors.category_M[at_M]))
    seen = pc.if_else(
        pa.array(errors.suggested_M[at_M] >= 0),
        names.take(pa.array(np.maximum(errors.suggested_M[at_M], 0))),
        pa.scalar(NOTHING),
    )
    corners_M4 = errors.corners_M4[at_M].astype(np.float32)
    if issue is Issue.MISPLACED_BOX:
        said = _corner_texts(corners_M4), _corner_texts(errors.suggested_corners_M4[at_M])
    elif issue is Issue.MISSING_BOX:
        said = pa.repeat(pa.scalar(NOTHING), len(at_M)), given
    else:
        said = given, seen
    return make_findings(
        **labels.where(image_M),
        task=task,
        category=given,
        issue=issue,
        action=ACTIONS[issue],
        score=errors.score_M[at_M],
        evidence=_evidence(errors, issue, at_M, given, seen),
        given=said[0],
        suggested=said[1],
        source=labels.source_names(task, image_M),
        **{side: corners_M4[:, n] for n, side in enumerate(("xmin", "ymin", "xmax", "ymax"))},
    )


def _evidence(
    errors: BoxErrors, issue: Issue, at_M: Array, given: pa.Array, seen: pa.Array
) -> pa.Array:
    sure, support = _percents(errors.confidence_M[at_M]), _percents(errors.support_M[at_M])
    overlap = _percents(errors.overlap_M[at_M])
    usual = _percents(errors.usual_overlap_C[errors.category_M[at_M]])
    parts: dict[Issue, tuple[pa.Array | str, ...]] = {
        Issue.MISSING_BOX: (
            "No box is here, but the model, which never saw this label, is ",
            sure,
            " sure of '",
            given,
            "'; ",
            support,
            " of its equally sure boxes have a label in other images.",
        ),
        Issue.SPURIOUS_BOX: (
            "The model, which never saw this label, finds nothing here; it finds ",
            support,
            " of the '",
            given,
            "' boxes of this size in other images.",
        ),
        Issue.MISPLACED_BOX: (
            "The box shares ",
            overlap,
            " of its area with the one of the model, which never saw this label; ",
            usual,
            " is usual for '",
            given,
            "'.",
        ),
        Issue.WRONG_CATEGORY: (
            "Labeled '",
            given,
            "'; the model, which never saw this label, is ",
            sure,
            " sure of '",
            seen,
            "', and ",
            support,
            " of its equally sure boxes agree with the label in other images.",
        ),
    }
    return pc.binary_join_element_wise(*parts[issue], "")


def _percents(share_M: Array) -> pa.Array:
    """Whole percentages as text; null where the share is NaN."""
    texts = pa.array([*(f"{number} %" for number in range(101)), None], pa.string())
    number_M = np.where(np.isnan(share_M), 101, np.rint(100 * np.nan_to_num(share_M)))
    return texts.take(pa.array(number_M.astype(np.int64)))


def _corner_texts(corners_M4: Array) -> pa.Array:
    """`xmin, ymin, xmax, ymax` in whole px."""
    sides = [pa.array(np.rint(side).astype(np.int64)).cast(pa.string()) for side in corners_M4.T]
    return pc.binary_join_element_wise(*sides, ", ")


def _errors(labels: LabelSide, task: str, errors: BoxErrors) -> tuple[LabelErrors, ...]:
    """Rows for the task, its categories and its sources."""
    names, sources = errors.categories, labels.sources[task]
    source_N = labels.source[task]
    parts = {
        "category": list(errors.trials.values()),
        "source": [part.into(source_N[part.cluster_K]) for part in errors.trials.values()],
    }
    by_group = {
        cell: [dataclasses.replace(part, cluster_K=labels.group_N[part.cluster_K]) for part in of]
        for cell, of in parts.items()
    }
    judged, found_M = errors.judged, errors.image_M
    together = shares([part.together() for part in by_group["category"]], 1)
    rows = [_row(task, None, None, len(judged.cell_K), len(errors), together[0])]
    tables = (
        ("category", names, judged.cell_K, errors.category_M),
        ("source", sources, source_N[judged.cluster_K], source_N[found_M]),
    )
    for kind, cells, judged_cell, found_cell in tables:
        count = len(cells)
        total, flagged = (np.bincount(cell, minlength=count) for cell in (judged_cell, found_cell))
        rates = shares(by_group[kind], count)
        for number, name in enumerate(cells):
            category, source = (name, None) if kind == "category" else (None, name)
            numbers = int(total[number]), int(flagged[number])
            rows.append(_row(task, category, source, *numbers, rates[number]))
    return tuple(rows)


def _row(
    task: str, category: str | None, source: str | None, labels: int, flagged: int, rate: Estimate
) -> LabelErrors:
    return LabelErrors(
        task=task,
        category=category,
        source=source,
        annotator=None,
        labels=labels,
        flagged=flagged,
        error_rate=rate,
        method=METHOD,
    )


def _matrix(task: str, errors: BoxErrors) -> NoiseMatrix:
    """Categories and "nothing"; what cannot be told is None."""
    confusion_CC = errors.confusion_CC
    total = np.nansum(confusion_CC)
    joint_CC = confusion_CC / total if total else np.full_like(confusion_CC, np.nan)
    row_C1 = np.nansum(confusion_CC, axis=1, keepdims=True)
    transition_CC = np.divide(
        confusion_CC, row_C1, out=np.full_like(confusion_CC, np.nan), where=row_C1 > 0
    )
    # how often something is drawn where nothing is has no denominator
    transition_CC[-1] = np.nan
    return NoiseMatrix(
        task=task,
        category=None,
        part="all",
        method=METHOD,
        labels=len(errors.judged.cell_K),
        categories=(*errors.categories, NOTHING),
        joint=_cells(joint_CC),
        transition=_cells(transition_CC),
    )


def _cells(matrix_CC: Array) -> tuple[tuple[float | None, ...], ...]:
    return tuple(
        tuple(None if np.isnan(value) else float(value) for value in row_C) for row_C in matrix_CC
    )
