"""The page's section on coverage: what is labeled, by whom, and which tasks ever meet.

T tasks, P patterns.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from goldseam.dataset.schema import DatasetInfo, Task
from goldseam.results import AuditResult, CoverageRow

CATEGORIES_SHOWN = 200
PATTERNS_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class TaskCoverage:
    """Coverage of one task.

    Attributes:
        whole: split → the task as a whole.
        sources: source → split → labels.
        categories: category → split → its row; the least known ones where there are too many.
        hidden: how many categories are left out.
    """

    name: str
    task: Task
    whole: dict[str, CoverageRow]
    sources: dict[str, dict[str, int]]
    categories: dict[str, dict[str, CoverageRow]]
    hidden: int


@dataclasses.dataclass(frozen=True)
class Meeting:
    """How many images of a split carry labels of two tasks; on the diagonal, of one."""

    split: str
    tasks: tuple[str, ...]
    images: int
    together: tuple[tuple[int, ...], ...]


def task_coverage(info: DatasetInfo, result: AuditResult) -> list[TaskCoverage]:
    """Coverage task by task, in the order of `dataset.yaml`."""
    return [_of_task(info, name, result.coverage) for name in info.tasks]


def _of_task(info: DatasetInfo, name: str, coverage: Sequence[CoverageRow]) -> TaskCoverage:
    rows = [row for row in coverage if row.task == name]
    sources: dict[str, dict[str, int]] = {}
    of_category: dict[str, dict[str, CoverageRow]] = {}
    for row in rows:
        if row.category is None and row.source is not None:
            sources.setdefault(row.source, {})[row.split] = row.present
        elif row.category is not None and row.source is None:
            of_category.setdefault(row.category, {})[row.split] = row
    shown = list(of_category)
    if len(shown) > CATEGORIES_SHOWN:
        shown.sort(key=lambda c: sum(r.present + r.absent for r in of_category[c].values()))
    return TaskCoverage(
        name=name,
        task=info.tasks[name],
        whole={r.split: r for r in rows if r.category is None and r.source is None},
        sources=sources,
        categories={category: of_category[category] for category in shown[:CATEGORIES_SHOWN]},
        hidden=max(0, len(shown) - CATEGORIES_SHOWN),
    )


def known_share(row: CoverageRow) -> float | None:
    """Images on which somebody looked, as a share of all; None without images."""
    known = row.present + row.absent
    return known / (known + row.unknown) if known + row.unknown else None


def meetings(info: DatasetInfo, result: AuditResult) -> list[Meeting]:
    """Task × task for each split, from the patterns of labels; none of a single task."""
    tasks = tuple(info.tasks)
    if len(tasks) < 2:
        return []
    found = []
    for split in info.splits:
        patterns = [one for one in result.patterns if one.split == split]
        if not patterns:
            continue
        has_PT = np.array([[task in one.tasks for task in tasks] for one in patterns], np.int64)
        images_P = np.array([one.images for one in patterns], np.int64)
        together_TT = has_PT.T @ (has_PT * images_P[:, None])
        rows = tuple(tuple(int(number) for number in row) for row in together_TT)
        found.append(Meeting(split, tasks, int(images_P.sum()), rows))
    return found


def pattern_rows(info: DatasetInfo, result: AuditResult) -> dict[str, Any]:
    """The most frequent sets of tasks that one image carries: tasks → split → images."""
    counts: dict[tuple[str, ...], dict[str, int]] = {}
    for one in result.patterns:
        counts.setdefault(one.tasks, dict.fromkeys(info.splits, 0))[one.split] = one.images
    ordered = sorted(counts.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    return {
        "rows": ordered[:PATTERNS_SHOWN],
        "hidden": max(0, len(ordered) - PATTERNS_SHOWN),
        "largest": max((sum(of_split.values()) for _, of_split in ordered), default=0),
    }
