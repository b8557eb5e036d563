"""The audit's section on regression and normals: findings in words, and rates by source."""

import dataclasses
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from goldseam.audit.errors.section import ErrorSection
from goldseam.audit.errors.slip import Slip
from goldseam.audit.errors.value_config import ValuesConfig
from goldseam.audit.errors.values import ValueErrors, find_value_errors, trials
from goldseam.audit.findings import join_findings, make_findings
from goldseam.audit.label_side import LabelSide
from goldseam.audit.statistics.shares import shares
from goldseam.dataset.codecs import Array
from goldseam.dataset.schema import Kind
from goldseam.results import LabelErrors


def audit_values(
    labels: LabelSide,
    task: str,
    images: Iterable[tuple[int, Array, Array | None]],
    config: ValuesConfig,
) -> ErrorSection:
    """Compare the values of a regression or normals task with predictions and with each other.

    Args:
        labels: of the dataset.
        task: of kind regression or normals.
        images: (position in `labels`, label, prediction or None) of the known images.
        config: thresholds.

    Raises:
        InvalidArray: a prediction does not fit its label.
    """
    info = labels.info.task(task)
    known_N = labels.known[task]
    errors = find_value_errors(
        (entry for entry in images if known_N[entry[0]]),
        kind="normals" if info.kind is Kind.NORMALS else "regression",
        unit=info.unit or "",
        config=config,
    )
    tables = [_findings(labels, task, slip) for slip in errors.slips]
    return ErrorSection(join_findings(tables), _errors(labels, task, errors))


def _findings(labels: LabelSide, task: str, slip: Slip) -> pa.Table:
    return make_findings(
        **labels.where(slip.image_M),
        task=task,
        issue=slip.issue,
        action=slip.action,
        score=slip.score_M,
        evidence=slip.evidence,
        suggested=slip.suggested,
        source=labels.source_names(task, slip.image_M),
    )


def _errors(labels: LabelSide, task: str, errors: ValueErrors) -> tuple[LabelErrors, ...]:
    """Rows for the task and for each source."""
    compared = np.nan_to_num(errors.statistics["compared"]) > 0
    method = "robust residuals" if compared.any() else "robust statistics of the labels"
    found = trials(errors)
    grouped = dataclasses.replace(found, cluster_K=labels.group_N[found.cluster_K])
    source_K = labels.source[task][found.cluster_K]
    sources = labels.sources[task]
    rates = [*shares([grouped], 1), *shares([grouped.into(source_K)], len(sources))]
    rows = []
    for code, (source, rate) in enumerate(zip([None, *sources], rates, strict=True), start=-1):
        mine_K = np.ones(len(source_K), bool) if source is None else source_K == code
        rows.append(
            LabelErrors(
                task=task,
                category=None,
                source=source,
                annotator=None,
                labels=int(mine_K.sum()),
                flagged=int((found.hit_K & mine_K).sum()),
                error_rate=rate,
                method=method,
            )
        )
    return tuple(rows)
