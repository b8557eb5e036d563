"""Tags as entries (image, category, state): put together, counted, and made cells.

Nothing here is as large as images times categories: sets with thousands of categories fit.

N images, C categories, M entries, K distinct pairs of image and category. A pair is the number
`image * C + category`.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from goldseam.dataset.codecs import ABSENT, PRESENT, Array
from goldseam.dataset.schema import Kind


@dataclasses.dataclass(frozen=True)
class TagCounts:
    """What a set says about one category, in images.

    Attributes:
        category: its name.
        present: images that are known to show it.
        absent: images that are known not to.
        unknown: all others.
        uncertain: entries that the files call uncertain; they stand among the three above, where
            the policy for uncertain entries puts them.
    """

    category: str
    present: int
    absent: int
    unknown: int
    uncertain: int = 0


def count_tags(
    categories: Sequence[str], cells: pa.StructArray, uncertain_C: Array | None = None
) -> tuple[TagCounts, ...]:
    """Count the states of each category.

    Args:
        categories: C names.
        cells: N cells of a task of tags; those that are null hold nothing.
        uncertain_C: entries that were uncertain; None where a format has none.
    """
    present_C, absent_C = (
        np.bincount(cells.field(state).flatten().to_numpy(), minlength=len(categories))
        for state in ("present", "absent")
    )
    unknown_C = len(cells) - present_C - absent_C
    if uncertain_C is None:
        uncertain_C = np.zeros(len(categories), np.int64)
    columns = (one.tolist() for one in (present_C, absent_C, unknown_C, uncertain_C))
    return tuple(TagCounts(*row) for row in zip(categories, *columns, strict=True))


def count_votes(pair_M: Array, state_M: Array) -> tuple[Array, Array, Array]:
    """The pairs, ascending; votes for present minus absent; whether both were voted for.

    Unknown entries have no vote, but their pair is listed.

    Args:
        pair_M: int64.
        state_M: 1 present, 0 absent, -1 unknown.
    """
    pair_K, entry_M = np.unique(pair_M, return_inverse=True)
    present_K, absent_K = (
        np.bincount(entry_M[state_M == state], minlength=len(pair_K)) for state in (PRESENT, ABSENT)
    )
    return pair_K, present_K - absent_K, (present_K > 0) & (absent_K > 0)


def pair_cells(pair_K: Array, votes_K: Array, images: int, categories: int) -> pa.StructArray:
    """The cells of a task of tags; an image of which nothing is known has null.

    Args:
        pair_K: ascending.
        votes_K: above 0 is present, below is absent, 0 is unknown.
        images: N.
        categories: C.
    """
    known_N = np.zeros(images, bool)
    lists = []
    for chosen_K in (votes_K > 0, votes_K < 0):
        image, category = np.divmod(pair_K[chosen_K], categories)
        known_N[image] = True
        offsets = np.concatenate([[0], np.bincount(image, minlength=images).cumsum()])
        lists.append(pa.ListArray.from_arrays(offsets.astype(np.int32), category.astype(np.int64)))
    return pa.StructArray.from_arrays(lists, fields=list(Kind.TAGS.column), mask=pa.array(~known_N))
