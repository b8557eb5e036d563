"""What an audit found, as tables that expectations are written about.

docs/audit.md lists their columns. The first column, `row`, says where a row stands in words that
people find again. Columns that a limit is held against come twice where they can be unknown: as
they are, null where unknown, and as `worst_…`, where unknown is infinite: what nobody could measure
keeps no limit.
"""

from collections.abc import Callable, Iterable
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from goldseam.audit.label_side import LabelSide
from goldseam.results import AuditResult

if TYPE_CHECKING:
    import pandas as pd

# expectation → the table that it is about, where a suite does not say so
TABLE_OF = {
    "expect_label_coverage_to_be_at_least": "coverage",
    "expect_missingness_effect_to_be_at_most": "missingness",
    "expect_noise_rate_to_be_at_most": "noise",
    "expect_error_rate_to_be_at_most": "errors",
    "expect_groups_not_to_cross_splits": "groups",
    "expect_no_near_duplicates_between": "duplicates",
    "expect_open_findings_to_be_at_most": "findings",
    "expect_no_drift_of": "drift",
}
NO_PICTURE = "no picture was compared"


def audit_tables(
    result: AuditResult, labels: LabelSide, findings: pa.Table
) -> dict[str, Callable[[], "pd.DataFrame"]]:
    """Table → what makes it; only those that an expectation names need to be made.

    Args:
        result: of the audit.
        labels: the label side.
        findings: all findings of the audit.
    """
    return {
        "coverage": lambda: coverage_table(result),
        "missingness": lambda: missingness_table(result),
        "noise": lambda: noise_table(result),
        "errors": lambda: error_table(result),
        "groups": lambda: group_table(labels),
        "duplicates": lambda: duplicate_table(result, labels.splits),
        "findings": lambda: finding_table(findings),
        "drift": lambda: drift_table(result),
    }


AUDIT_TABLES = (
    "coverage", "missingness", "noise", "errors", "groups", "duplicates", "findings", "drift",
)  # fmt: skip


def _frame(rows: Iterable[dict[str, Any]], columns: tuple[str, ...]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(list(rows), columns=["row", *columns])


def _worst(value: float | None) -> float:
    return float("inf") if value is None else value


def coverage_table(result: AuditResult) -> "pd.DataFrame":
    """One row a split, task, category and source: known images and their share."""
    rows = []
    for one in result.coverage:
        known, total = one.present + one.absent, one.present + one.absent + one.unknown
        name = f"{one.split}/{one.task}" + (f".{one.category}" if one.category else "")
        rows.append(
            {
                "row": name + (f" ({one.source})" if one.source else ""),
                "split": one.split,
                "task": one.task,
                "category": one.category or "",
                "source": one.source or "",
                "present": one.present,
                "absent": one.absent,
                "unknown": one.unknown,
                "known": known,
                "known_share": known / total if total else 0.0,
            }
        )
    columns = ("split", "task", "category", "source", "present", "absent", "unknown", "known")
    return _frame(rows, (*columns, "known_share"))


def missingness_table(result: AuditResult) -> "pd.DataFrame":
    """One row a test: the effect as measured, and 0 where it is no more than chance."""
    rows = [
        {
            "row": f"{one.task}{f'.{one.category}' if one.category else ''} by {one.factor}",
            "task": one.task,
            "category": one.category or "",
            "factor": one.factor,
            "factor_kind": one.factor_kind,
            "effect": one.effect,
            "q_value": one.q_value,
            # null where nothing could be tested: everything or nothing is known there
            "certain_effect": None
            if one.p_value is None
            else (one.effect or 0.0) * (one.strength != "none"),
        }
        for one in result.missingness
    ]
    columns = ("task", "category", "factor", "factor_kind", "effect", "q_value", "certain_effect")
    return _frame(rows, columns)


def noise_table(result: AuditResult) -> "pd.DataFrame":
    """One row a noise rate, and one a disagreement by split and part."""
    rows = [
        _noise_row(
            f"{one.task}{f'.{one.category}' if one.category else ''} {one.kind}",
            (one.task, one.category or "", one.kind, "all", ""),
            one.rate.value,
            one.rate.high,
        )
        for one in result.noise
    ]
    for one in result.disagreements:
        for part in ("overall", "interior", "boundary"):
            rate = getattr(one, part)
            place = (one.noisy_task, "", "disagreement", part, one.split)
            rows.append(_noise_row(f"{one.split}/{one.noisy_task} {part}", place, rate, rate))
    columns = ("task", "category", "kind", "part", "split", "rate", "worst_rate", "worst_high")
    return _frame(rows, columns)


def _noise_row(
    name: str, place: tuple[str, ...], rate: float | None, high: float | None
) -> dict[str, Any]:
    named = dict(zip(("task", "category", "kind", "part", "split"), place, strict=True))
    return {
        "row": name + (" (unknown)" if rate is None else ""),
        **named,
        "rate": rate,
        "worst_rate": _worst(rate),
        # a rate without an interval is as high as it is
        "worst_high": _worst(rate if high is None else high),
    }


def error_table(result: AuditResult) -> "pd.DataFrame":
    """One row a task, category, source and annotator: labels, findings, estimated error rate."""
    rows = []
    for one in result.errors:
        by = one.source or one.annotator
        name = one.task + (f".{one.category}" if one.category else "") + (f" ({by})" if by else "")
        rate = one.error_rate.value
        rows.append(
            {
                "row": name + (" (unknown)" if rate is None else ""),
                "task": one.task,
                "category": one.category or "",
                "source": one.source or "",
                "annotator": one.annotator or "",
                "labels": one.labels,
                "flagged": one.flagged,
                "rate": rate,
                "worst_rate": _worst(rate),
            }
        )
    columns = ("task", "category", "source", "annotator", "labels", "flagged", "rate", "worst_rate")
    return _frame(rows, columns)


def group_table(labels: LabelSide) -> "pd.DataFrame":
    """One row a group: its images and in how many splits it stands."""
    import pandas as pd

    pairs = np.unique(np.stack([labels.group_N, labels.split_N], axis=1), axis=0)
    splits = np.bincount(pairs[:, 0], minlength=len(labels.groups))
    images = np.bincount(labels.group_N, minlength=len(labels.groups))
    return pd.DataFrame({"row": labels.groups, "images": images, "splits": splits})


def duplicate_table(result: AuditResult, splits: tuple[str, ...]) -> "pd.DataFrame":
    """One row a group of duplicates; a column for each pair of splits: 1 where it stands in both.

    Where no picture was compared, one row says so and stands in every pair.
    """
    summary = result.duplicates
    pairs = [f"{one}_{other}" for one, other in combinations(splits, 2)]
    rows: list[dict[str, Any]] = []
    if summary is None or not summary.images:
        rows.append({"row": NO_PICTURE, "kind": "", "images": 0, **dict.fromkeys(pairs, 1)})
    else:
        # a row that is always there: without duplicates there would be nothing to check
        rows.append({"row": "all pictures", "kind": "", "images": 0, **dict.fromkeys(pairs, 0)})
        for group in summary.groups:
            named = ", ".join(f"{image.split}/{image.image_id}" for image in group.images[:4])
            crossing = {
                f"{one}_{other}": int(one in group.splits and other in group.splits)
                for one, other in combinations(splits, 2)
            }
            rows.append({"row": named, "kind": group.kind, "images": len(group.images), **crossing})
    return _frame(rows, ("kind", "images", *pairs))


def finding_table(findings: pa.Table) -> "pd.DataFrame":
    """One row a finding: image, task, category, issue, score."""
    columns = ["image_id", "split", "task", "category", "issue", "score", "finding"]
    frame: pd.DataFrame = findings.select(columns).to_pandas()
    frame.insert(0, "row", frame["split"] + "/" + frame["image_id"])
    return frame


def drift_table(result: AuditResult) -> "pd.DataFrame":
    """One row a comparison with the earlier version; `changed` is 0 or 1."""
    rows = [
        {
            "row": one.sentence,
            "what": one.what,
            "task": one.task or "",
            "category": one.category or "",
            "split": one.split or "",
            "before": one.before,
            "after": one.after,
            "changed": int(one.changed),
        }
        for one in result.drift
    ]
    columns = ("what", "task", "category", "split", "before", "after", "changed")
    return _frame(rows, columns)
