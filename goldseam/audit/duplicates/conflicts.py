"""Labels of images that show the same and yet say different things.

Only what is known on both sides can contradict: an unknown label, an ignored box and an ignored
pixel agree with everything. Legend: N images, M members of groups, sorted by group, G groups,
C categories (or cells of a mask), R contradictions found.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.audit.label_digests import CELLS, cell_matrix
from goldseam.audit.label_side import LabelSide
from goldseam.dataset.codecs import PRESENT, Array

# a label's value in words; None where it has none
Say = Callable[[Any], str | None]


@dataclasses.dataclass(frozen=True, eq=False)
class Members:
    """The members of all groups, sorted by group, and in it by pixels.

    Attributes:
        row_M: positions in the label side.
        start_G: where each group begins.
        start_E: where each run of equal pictures begins.
    """

    row_M: Array
    start_G: Array
    start_E: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Contradictions:
    """Members whose known label differs from another member's.

    Attributes:
        task: of all of them.
        category_R: names; None for the task as a whole.
        member_R: positions among the members.
        other_R: a member that says otherwise.
        doubt_R: share of the two sides' labels that stand against this one, 0.5 to 1.
        given_R: what the label says, as text; None for a mask.
        other_given_R: what the other's says.
    """

    task: str
    category_R: list[str | None]
    member_R: Array
    other_R: Array
    doubt_R: Array
    given_R: list[str | None]
    other_given_R: list[str | None]


def find_contradictions(
    labels: LabelSide,
    members: Members,
    states: Mapping[str, Array],
    label_digests: pa.Table | None,
) -> Iterator[Contradictions]:
    """Contradictions of every task that has any.

    Tags, boxes and masks by category wherever states are known; numbers of boxes and contents of
    masks only between equal pictures, since a crop may lose a box and moves every pixel.

    Args:
        labels: the label side.
        members: of the groups.
        states: further task → int8 NC, such as those of masks.
        label_digests: table `label_digests`; None leaves the contents of masks out.
    """
    for task, state_NC in {**labels.states, **states}.items():
        state_MC = state_NC[members.row_M]
        names = labels.info.tasks[task].categories
        found = _differing(members.start_G, state_MC, state_MC >= 0)
        yield from _named(task, found, names, _state_word)
    for task in labels.boxes:
        if labels.info.tasks[task].exhaustive:
            count_MC, known_MC = _box_counts(labels, task, members.row_M)
            # none against some is told by the states already
            found = _differing(members.start_E, count_MC, known_MC & (count_MC > 0))
            names = labels.info.tasks[task].categories
            yield from _named(task, found, names, _boxes_word)
    if label_digests is not None and len(members.row_M):
        for task, declared in labels.info.tasks.items():
            if declared.kind.is_picture:
                cell_MC = _cells(labels, task, members.row_M, label_digests)
                found = _differing(members.start_E, cell_MC, cell_MC != 0)
                yield from _named(task, _one_cell(found), None, lambda _: None)


@dataclasses.dataclass(frozen=True, eq=False)
class _Differing:
    """Entries (member, column) that differ from another member's in the same column."""

    member_R: Array
    column_R: Array
    other_R: Array
    doubt_R: Array
    value_R: Array
    other_value_R: Array


def _differing(start_G: Array, value_MC: Array, known_MC: Array) -> _Differing:
    """Where known values of a group differ; those of the majority are not named.

    The least and the largest value of a group stand for its two sides; a value between them differs
    from both.
    """
    if not len(value_MC):
        none = np.zeros(0, np.int64)
        return _Differing(none, none, none, np.zeros(0), none, none)
    top, bottom = np.iinfo(value_MC.dtype).max, np.iinfo(value_MC.dtype).min
    group_M = np.repeat(np.arange(len(start_G)), np.diff(start_G, append=len(value_MC)))
    least_GC = np.minimum.reduceat(np.where(known_MC, value_MC, top), start_G, axis=0)
    most_GC = np.maximum.reduceat(np.where(known_MC, value_MC, bottom), start_G, axis=0)
    # in a group without a known value the least is above the most
    differs_GC = least_GC < most_GC
    column_K = np.flatnonzero(differs_GC.any(axis=0))
    value_MK, known_MK = value_MC[:, column_K], known_MC[:, column_K]
    least_MK, most_MK = least_GC[:, column_K][group_M], most_GC[:, column_K][group_M]
    at_least_MK, at_most_MK = known_MK & (value_MK == least_MK), known_MK & (value_MK == most_MK)
    first_least_GK, least_count_GK = _first_and_count(at_least_MK, start_G)
    first_most_GK, most_count_GK = _first_and_count(at_most_MK, start_G)
    least_count_MK, most_count_MK = least_count_GK[group_M], most_count_GK[group_M]
    side_MK = np.where(at_least_MK, least_count_MK, np.where(at_most_MK, most_count_MK, 1))
    against_MK = np.where(at_least_MK, most_count_MK, least_count_MK)
    odd_MK = known_MK & differs_GC[:, column_K][group_M] & (side_MK <= against_MK)
    member_R, k_R = np.nonzero(odd_MK)
    low_R = at_least_MK[member_R, k_R]
    group_R = group_M[member_R]
    other_R = np.where(low_R, first_most_GK[group_R, k_R], first_least_GK[group_R, k_R])
    side_R, against_R = side_MK[member_R, k_R], against_MK[member_R, k_R]
    return _Differing(
        member_R=member_R,
        column_R=column_K[k_R],
        other_R=other_R,
        doubt_R=against_R / (side_R + against_R),
        value_R=value_MK[member_R, k_R],
        other_value_R=value_MK[other_R, k_R],
    )


def _first_and_count(chosen_MK: Array, start_G: Array) -> tuple[Array, Array]:
    """The first chosen member of each group (any where there is none), and how many there are."""
    place_MK = np.where(chosen_MK, np.arange(len(chosen_MK))[:, None], len(chosen_MK) - 1)
    count_GK = np.add.reduceat(chosen_MK.astype(np.int64), start_G, axis=0)
    return np.minimum.reduceat(place_MK, start_G, axis=0), count_GK


def _one_cell(found: _Differing) -> _Differing:
    """One entry a member: of the cells in which its mask differs, the one of most doubt."""
    order = np.lexsort((found.column_R, -found.doubt_R, found.member_R))
    _, first = np.unique(found.member_R[order], return_index=True)
    values = {
        field.name: getattr(found, field.name)[order[first]] for field in dataclasses.fields(found)
    }
    return _Differing(**values)


def _named(
    task: str, found: _Differing, names: tuple[str, ...] | None, say: Say
) -> Iterator[Contradictions]:
    if len(found.member_R):
        yield Contradictions(
            task=task,
            category_R=[None if names is None else names[c] for c in found.column_R.tolist()],
            member_R=found.member_R,
            other_R=found.other_R,
            doubt_R=found.doubt_R,
            given_R=[say(value) for value in found.value_R],
            other_given_R=[say(value) for value in found.other_value_R],
        )


def _state_word(state: int) -> str:
    return "present" if state == PRESENT else "absent"


def _boxes_word(number: int) -> str:
    return "1 box" if number == 1 else f"{number} boxes"


def _box_counts(labels: LabelSide, task: str, row_M: Array) -> tuple[Array, Array]:
    """Boxes by member and category, and where they are known: an ignored box leaves it open."""
    boxes = labels.boxes[task]
    categories = len(labels.info.tasks[task].categories)
    member_N = np.full(len(labels), -1)
    member_N[row_M] = np.arange(len(row_M))
    member_B = member_N[boxes.image_M]
    inside_B = member_B >= 0
    cell_B = member_B[inside_B] * categories + boxes.category_M[inside_B]
    ignore_B = boxes.ignore_M[inside_B]
    shape = (len(row_M), categories)
    size = len(row_M) * categories
    count_MC = np.bincount(cell_B[~ignore_B], minlength=size).reshape(shape)
    ignored_MC = np.bincount(cell_B[ignore_B], minlength=size).reshape(shape)
    return count_MC, labels.known[task][row_M][:, None] & (ignored_MC == 0)


def _cells(labels: LabelSide, task: str, row_M: Array, label_digests: pa.Table) -> Array:
    """Digests of the cells of each member's label: uint64 M16, 0 where unknown."""
    of_task = label_digests.filter(pc.equal(label_digests.column("task"), task))
    wanted = labels.image_ids.take(pa.array(row_M))
    place_M = pc.index_in(wanted, of_task.column("image_id").combine_chunks())
    cell_MC = np.zeros((len(row_M), CELLS), np.uint64)
    found_M = place_M.is_valid().to_numpy(zero_copy_only=False)
    place = place_M.drop_null().to_numpy()
    if len(place):
        cell_MC[found_M] = cell_matrix(of_task)[place]
    return cell_MC
