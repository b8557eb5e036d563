"""Which findings and which images a page can carry: the worst of every kind, not only of one.

A kind is a task together with an issue. N findings.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.audit.findings import Issue
from goldseam.dataset.codecs import Array
from goldseam.results import DuplicateGroup

# they need two pictures to be judged, and have a section of their own
OF_PAIRS = (Issue.DUPLICATE, Issue.LEAK, Issue.CONFLICTING_DUPLICATE)
GROUPS_SHOWN = 12
IMAGES_OF_A_GROUP = 4


def most_suspicious(findings: pa.Table, count: int) -> pa.Table:
    """The findings with the highest scores, with room for every kind.

    Half of the room is shared equally among the kinds, so that a kind with low scores or few
    findings is never crowded out; the other half goes to the highest scores of all.

    Args:
        findings: N, of `SCHEMA`.
        count: how many at most.

    Returns:
        At most `count` of them, highest score first, ties by id.
    """
    ordered = findings.sort_by([("score", "descending"), ("finding", "ascending")])
    if ordered.num_rows <= count:
        return ordered
    rank_N = rank_in_kind(ordered)
    kinds = int((rank_N == 0).sum())
    sure_N = rank_N < max(1, count // (2 * kinds))
    place_N = np.arange(ordered.num_rows)
    # the guaranteed ones first (of every kind the first, then the second …), then by score
    order_N = np.lexsort((place_N, np.where(sure_N, rank_N, 0), ~sure_N))
    return ordered.take(pa.array(np.sort(order_N[:count])))


def rank_in_kind(findings: pa.Table) -> Array:
    """How many findings of the same kind stand above each one: int N."""
    joined = pc.binary_join_element_wise(findings.column("task"), findings.column("issue"), "\x1f")
    kind_N = pc.index_in(joined, pc.unique(joined)).to_numpy()
    order_N = np.argsort(kind_N, kind="stable")
    first_N = np.concatenate([[0], np.cumsum(np.bincount(kind_N))])[:-1]
    rank_N = np.empty(len(kind_N), np.int64)
    rank_N[order_N] = np.arange(len(kind_N)) - first_N[kind_N[order_N]]
    return rank_N


def gallery_rows(findings: pa.Table, images: int) -> list[int]:
    """Positions of the findings in the gallery: the worst of every kind in turn.

    Args:
        findings: as `most_suspicious` gives them.
        images: of how many images pictures may be shown.
    """
    if not findings.num_rows or not images:
        return []
    rank_N = rank_in_kind(findings)
    pairs_N = pc.is_in(findings.column("issue"), pa.array([str(i) for i in OF_PAIRS])).to_numpy()
    names = findings.column("image_id").to_pylist()
    chosen: dict[str, None] = {}
    rows: list[int] = []
    for row in np.argsort(rank_N, kind="stable").tolist():
        if pairs_N[row] or (names[row] not in chosen and len(chosen) >= images):
            continue
        if len(rows) >= images:
            break
        chosen[names[row]] = None
        rows.append(row)
    return rows


def shown_groups(groups: Sequence[DuplicateGroup], images: int) -> tuple[DuplicateGroup, ...]:
    """The groups of duplicates of which pictures are shown, in their order.

    Args:
        groups: the most important first.
        images: room; a group needs it for its first four images.
    """
    shown: list[DuplicateGroup] = []
    left = images
    for group in groups[:GROUPS_SHOWN]:
        left -= min(len(group.images), IMAGES_OF_A_GROUP)
        if left < 0:
            break
        shown.append(group)
    return tuple(shown)
