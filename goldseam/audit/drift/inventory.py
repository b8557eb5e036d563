"""What can be counted between two versions: images, names, and labels of shared images.

Legend: S shared images, K categories that both versions have, M boxes.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.audit.drift.config import DriftConfig
from goldseam.audit.drift.draft import Draft
from goldseam.audit.drift.version import Pairing, Version
from goldseam.audit.label_side import BoxTable
from goldseam.dataset.codecs import ABSENT, PRESENT, Array
from goldseam.dataset.schema import SPLITS, Kind
from goldseam.page.numbers import count, percent, split_name


def row_changes(pairing: Pairing, config: DriftConfig) -> Iterator[Draft]:
    """Images by split; images that are new, gone, moved to another split, or other pictures."""
    old, new = pairing.before.labels, pairing.after.labels
    shared, added = len(pairing.before_S), int(pairing.new_N.sum())
    gone = len(old) - shared
    yield Draft(
        what="rows",
        before=len(old),
        after=len(new),
        effect=(added + gone) / max(len(old), 1),
        minimum=config.minimum_rows,
        told=f"{_images(len(old))} before, {count(len(new))} now: {count(shared)} in both, "
        f"{count(gone)} gone, {count(added)} new",
    )
    for split in SPLITS:
        if split in old.splits or split in new.splits:
            was, now = (
                int(v.in_split(split).sum()) if split in v.splits else 0 for v in (old, new)
            )
            yield Draft(
                what="rows",
                split=split,
                before=was if split in old.splits else None,
                after=now if split in new.splits else None,
                effect=abs(now - was) / max(was, 1),
                minimum=config.minimum_rows,
                told=f"{split_name(split).capitalize()} split: {_images(was)} before, "
                f"{count(now)} now",
            )
    if shared:
        yield _moved(pairing)
        yield from _other_pictures(pairing)


def _images(number: int) -> str:
    return "1 image" if number == 1 else f"{count(number)} images"


def _moved(pairing: Pairing) -> Draft:
    old, new = pairing.before.labels, pairing.after.labels
    old_S = np.array([SPLITS.index(s) for s in old.splits])[old.split_N[pairing.before_S]]
    new_S = np.array([SPLITS.index(s) for s in new.splits])[new.split_N[pairing.after_S]]
    moved = int((old_S != new_S).sum())
    seen = int(((old_S == 0) & (new_S != 0)).sum())
    leak = f"; {count(seen)} of them were trained on before and are held out now" if seen else ""
    return Draft(
        what="moved_images",
        after=moved,
        effect=moved,
        minimum=1,
        told=f"{count(moved)} of {_images(len(old_S))} in both versions stand in another split"
        + leak,
    )


def _other_pictures(pairing: Pairing) -> Iterator[Draft]:
    """Shared images whose pixels are not what they were."""
    joined = _joined(pairing.before.pictures, pairing.after.pictures, "pixels")
    if joined is None:
        return
    different = pc.sum(pc.not_equal(joined.column("pixels"), joined.column("pixels_after")))
    number = different.as_py() or 0
    yield Draft(
        what="changed_images",
        after=number,
        effect=number,
        minimum=1,
        told=f"{count(number)} of {_images(joined.num_rows)} in both versions show another "
        "picture under the same name",
    )


def _joined(old: pa.Table | None, new: pa.Table | None, column: str) -> pa.Table | None:
    """A column of both versions, one row a shared image; None where a version has no table."""
    if old is None or new is None:
        return None
    keep = ["image_id", column]
    return old.select(keep).join(
        new.select(keep), "image_id", join_type="inner", right_suffix="_after"
    )


def vocabulary_changes(before: Version, after: Version) -> Iterator[Draft]:
    """Tasks and categories that came, went or were renamed, and kinds that changed."""
    old, new = before.labels.info.tasks, after.labels.info.tasks
    told = "Both versions have the same tasks and categories"
    drafts = [*_task_names(before, after), *_category_names(before, after)]
    if not drafts:
        yield _named(told, len(old), len(new), changed=False)
    yield from drafts


def _task_names(before: Version, after: Version) -> Iterator[Draft]:
    old, new = before.labels.info.tasks, after.labels.info.tasks
    for task in [*new, *(name for name in old if name not in new)]:
        if task not in old:
            yield _named(f"Task '{task}' is new", None, _size(after, task), task)
        elif task not in new:
            yield _named(f"Task '{task}' is gone", _size(before, task), None, task)
        else:
            for what in ("kind", "unit", "exhaustive", "noisy_version_of"):
                was, now = getattr(old[task], what), getattr(new[task], what)
                if was != now:
                    told = f"Task '{task}': {what.replace('_', ' ')} was {was}, is {now}"
                    yield _named(told, _size(before, task), _size(after, task), task)


def _category_names(before: Version, after: Version) -> Iterator[Draft]:
    old_tasks, new_tasks = before.labels.info.tasks, after.labels.info.tasks
    for task in (name for name in new_tasks if name in old_tasks):
        old, new = old_tasks[task].categories, new_tasks[task].categories
        added = [name for name in new if name not in old]
        gone = [name for name in old if name not in new]
        # the same id under another name, when neither name is used otherwise
        renamed = {
            was: now
            for was, now in zip(old, new, strict=False)
            if was in gone and now in added and len(old) == len(new)
        }
        for was, now in renamed.items():
            told = f"Task '{task}': category '{was}' is called '{now}' now"
            yield _named(told, len(old), len(new), task, now)
        for name in (n for n in added if n not in renamed.values()):
            yield _named(f"Task '{task}': category '{name}' is new", len(old), len(new), task, name)
        for name in (n for n in gone if n not in renamed):
            told = f"Task '{task}': category '{name}' is gone"
            yield _named(told, len(old), len(new), task, name)


def _size(version: Version, task: str) -> int:
    return len(version.labels.info.tasks[task].categories)


def _named(
    told: str,
    before: int | None,
    after: int | None,
    task: str | None = None,
    category: str | None = None,
    *,
    changed: bool = True,
) -> Draft:
    return Draft(
        what="vocabulary",
        told=told,
        task=task,
        category=category,
        before=before,
        after=after,
        effect=float(changed),
        minimum=1,
    )


def label_changes(pairing: Pairing, config: DriftConfig) -> Iterator[Draft]:
    """Labels of shared images that were added, removed, or say something else now.

    A tag is a label each; of other tasks, the label of an image. A label that is unknown in one of
    the versions is never counted as changed.
    """
    if not len(pairing.before_S):
        return
    for task in pairing.tasks:
        kind = pairing.after.labels.info.tasks[task].kind
        old_S = pairing.before.labels.known[task][pairing.before_S]
        new_S = pairing.after.labels.known[task][pairing.after_S]
        if kind is Kind.TAGS:
            yield from _tag_changes(pairing, task, config)
            continue
        yield from _known_changes(task, old_S, new_S, "labels")
        both = old_S & new_S
        other = _boxes_differ(pairing, task, both) if kind is Kind.DETECTION else None
        if kind is not Kind.DETECTION:
            other = _digests_differ(pairing, task)
        if other is not None:
            yield _flips(task, None, other, int(both.sum()), config)


def _known_changes(task: str, old: Array, new: Array, word: str) -> Iterator[Draft]:
    for what, number, total, told in (
        ("added_labels", int((~old & new).sum()), int((~old).sum()), "unknown before are known"),
        ("removed_labels", int((old & ~new).sum()), int(old.sum()), "known before are unknown"),
    ):
        yield Draft(
            what=what,
            task=task,
            after=number,
            effect=number,
            minimum=1,
            told=f"Task '{task}': {count(number)} of {count(total)} {word} that were {told} now, "
            "on images of both versions",
        )


def _flips(
    task: str,
    category: str | None,
    number: int,
    known: int,
    config: DriftConfig,
    *,
    word: str = "labels",
    detail: str = "",
) -> Draft:
    share = number / known if known else 0.0
    name = task if category is None else f"{task}: {category}"
    return Draft(
        what="changed_labels",
        task=task,
        category=category,
        after=number,
        effect=share,
        minimum=config.minimum_flips,
        told=f"Task '{name}': {count(number)} of {count(known)} {word} that are known in both "
        f"versions ({percent(share if known else None)}) say something else now{detail}",
    )


def _tag_changes(pairing: Pairing, task: str, config: DriftConfig) -> Iterator[Draft]:
    old_ids, new_ids, names = pairing.categories(task)
    old_SK = pairing.before.all_states[task][pairing.before_S][:, old_ids]
    new_SK = pairing.after.all_states[task][pairing.after_S][:, new_ids]
    yield from _known_changes(task, old_SK >= 0, new_SK >= 0, "tags")
    lost_K = ((old_SK == PRESENT) & (new_SK == ABSENT)).sum(axis=0)
    found_K = ((old_SK == ABSENT) & (new_SK == PRESENT)).sum(axis=0)
    known_K = ((old_SK >= 0) & (new_SK >= 0)).sum(axis=0)

    def row(category: str | None, lost: int, found: int, known: int) -> Draft:
        detail = f": {count(found)} from absent to present, {count(lost)} from present to absent"
        return _flips(task, category, lost + found, known, config, word="tags", detail=detail)

    yield row(None, int(lost_K.sum()), int(found_K.sum()), int(known_K.sum()))
    for k in np.flatnonzero(lost_K + found_K).tolist():
        yield row(names[k], int(lost_K[k]), int(found_K[k]), int(known_K[k]))


def _digests_differ(pairing: Pairing, task: str) -> int | None:
    """Shared images whose label has another digest; None where labels were not digested."""
    old, new = (
        None if table is None else table.filter(pc.equal(table.column("task"), task))
        for table in (pairing.before.label_digests, pairing.after.label_digests)
    )
    joined = _joined(old, new, "digest")
    if joined is None:
        return None
    different = pc.sum(pc.not_equal(joined.column("digest"), joined.column("digest_after")))
    return int(different.as_py() or 0)


def _boxes_differ(pairing: Pairing, task: str, both_S: Array) -> int:
    """Shared images, known in both versions, whose boxes are not the same set."""
    old_ids, new_ids, _ = pairing.categories(task)
    sides = (
        (pairing.before, pairing.before_S, old_ids),
        (pairing.after, pairing.after_S, new_ids),
    )
    rows = []
    for version, place_S, ids in sides:
        boxes = version.labels.boxes[task]
        shared_N = np.full(len(version.labels), -1)
        shared_N[place_S[both_S]] = np.flatnonzero(both_S)
        name_C = np.full(len(version.labels.info.tasks[task].categories), -1)
        name_C[ids] = np.arange(len(ids))
        rows.append(_sorted_boxes(boxes, shared_N[boxes.image_M], name_C[boxes.category_M]))
    counts = [np.bincount(row[:, 0].astype(np.int64), minlength=len(both_S)) for row in rows]
    differs_S = counts[0] != counts[1]
    aligned = [row[~differs_S[row[:, 0].astype(np.int64)]] for row in rows]
    unequal = (aligned[0] != aligned[1]).any(axis=1)
    differs_S[aligned[0][unequal, 0].astype(np.int64)] = True
    return int(differs_S.sum())


def _sorted_boxes(boxes: BoxTable, shared_M: Array, name_M: Array) -> Array:
    """Image, category, corners and ignore of each box on a shared image, in one order."""
    columns = [shared_M, name_M, *boxes.corners_M4.T, boxes.ignore_M]
    row_M7 = np.stack([column.astype(np.float64) for column in columns], axis=1)
    row_M7 = row_M7[shared_M >= 0]
    order = np.lexsort(row_M7.T[::-1])
    sorted_M7: Array = row_M7[order]
    return sorted_M7
