"""What is annotated: counts by task, category, split and source, and which tasks ever meet.

N images, T tasks, C categories. The counts are those of `goldseam.dataset.coverage`, made from
arrays that are in memory already.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from goldseam.audit.label_side import LabelSide
from goldseam.dataset.codecs import ABSENT, PRESENT, Array
from goldseam.results import BoxCoverage, CoverageRow, LabelPattern


def coverage_rows(labels: LabelSide, states: Mapping[str, Array]) -> tuple[CoverageRow, ...]:
    """Images where a task's label, and each of its categories, is present, absent or unknown.

    Args:
        labels: of the dataset.
        states: task → int8 NC; a task that is not named is counted as a whole only.
    """
    rows: list[CoverageRow] = []
    for name in labels.info.tasks:
        rows += _whole_task(labels, name)
        if name in states:
            rows += _by_category(labels, name, states[name])
    return tuple(rows)


def _whole_task(labels: LabelSide, name: str) -> Iterator[CoverageRow]:
    for split in labels.splits:
        inside_N = labels.in_split(split)
        known = int((labels.known[name] & inside_N).sum())
        yield CoverageRow(name, None, split, None, known, 0, int(inside_N.sum()) - known)
        for source, count in _sources(labels, name, inside_N):
            yield CoverageRow(name, None, split, labels.sources[name][source], count, 0, 0)


def _sources(labels: LabelSide, name: str, inside_N: Array) -> Iterator[tuple[int, int]]:
    """Position of each source that labeled some of these images, and how many."""
    code_M = labels.source[name][inside_N & labels.known[name]]
    for source, count in enumerate(np.bincount(code_M, minlength=len(labels.sources[name]))):
        if count:
            yield source, int(count)


def _by_category(labels: LabelSide, name: str, state_NC: Array) -> Iterator[CoverageRow]:
    counted: dict[tuple[str, str | None], tuple[int, Array, Array]] = {}
    for split in labels.splits:
        inside_N = labels.in_split(split)
        total = int(inside_N.sum())
        seen_2C = np.zeros((2, state_NC.shape[1]), np.int64)
        for source, labeled in _sources(labels, name, inside_N):
            of_source_MC = state_NC[inside_N & (labels.source[name] == source)]
            present_C = (of_source_MC == PRESENT).sum(axis=0)
            absent_C = (of_source_MC == ABSENT).sum(axis=0)
            seen_2C += np.stack([present_C, absent_C])
            counted[split, labels.sources[name][source]] = (labeled, present_C, absent_C)
        counted[split, None] = (total, *seen_2C)
    # a task's rows read category by category, all sources of a split before each of them
    order = sorted(counted, key=lambda key: (labels.splits.index(key[0]), key[1] or ""))
    for category, title in enumerate(labels.info.tasks[name].categories):
        for split, by in order:
            total, present_C, absent_C = counted[split, by]
            present, absent = int(present_C[category]), int(absent_C[category])
            unknown = total - present - absent
            yield CoverageRow(name, title, split, by, present, absent, unknown)


def label_patterns(labels: LabelSide) -> tuple[LabelPattern, ...]:
    """Which tasks are known together on how many images, the most frequent first."""
    names = tuple(labels.info.tasks)
    if not names or not len(labels):
        return ()
    known_NT = np.stack([labels.known[name] for name in names], axis=1)
    packed_NB = np.packbits(known_NT, axis=1)
    keys_NB = np.concatenate([labels.split_N[:, None].astype(np.uint8), packed_NB], axis=1)
    unique_PB, count_P = np.unique(keys_NB, axis=0, return_counts=True)
    found = []
    for key_B, count in zip(unique_PB, count_P, strict=True):
        known_T = np.unpackbits(key_B[1:], count=len(names)).astype(bool)
        tasks = tuple(name for name, known in zip(names, known_T, strict=True) if known)
        found.append(LabelPattern(tasks, labels.splits[key_B[0]], int(count)))
    return tuple(sorted(found, key=lambda p: (labels.splits.index(p.split), -p.images, p.tasks)))


def box_coverage(labels: LabelSide) -> tuple[BoxCoverage, ...]:
    """Boxes by category and split, and whether silence means that there is no more of them."""
    rows = []
    for name, boxes in labels.boxes.items():
        task = labels.info.tasks[name]
        per_image_N = np.bincount(boxes.image_M, minlength=len(labels))
        split_M = labels.split_N[boxes.image_M]
        for number, split in enumerate(labels.splits):
            known_N = labels.known[name] & labels.in_split(split)
            of_split_M = split_M == number
            for category, title in enumerate(task.categories):
                chosen_M = of_split_M & (boxes.category_M == category)
                ignored = int((chosen_M & boxes.ignore_M).sum())
                rows.append(
                    BoxCoverage(
                        task=name,
                        category=title,
                        split=split,
                        exhaustive=task.exhaustive,
                        images=int(known_N.sum()),
                        empty=int((known_N & (per_image_N == 0)).sum()),
                        boxes=int(chosen_M.sum()) - ignored,
                        ignored=ignored,
                    )
                )
    return tuple(rows)
