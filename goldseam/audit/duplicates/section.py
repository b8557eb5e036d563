"""Duplicates and leakage of a dataset: which images show the same, where, and whether labels agree.

Legend: N images of the label side, P images with a picture, M members of groups, G groups,
D numbers of an embedding.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.audit.duplicates.config import DuplicatesConfig
from goldseam.audit.duplicates.conflicts import Contradictions, Members, find_contradictions
from goldseam.audit.duplicates.grouping import ALONE, Fingerprints, Groups, group_duplicates
from goldseam.audit.duplicates.hashing import BITS
from goldseam.audit.findings import Action, Issue, join_findings, make_findings, no_findings
from goldseam.audit.label_side import LabelSide
from goldseam.audit.pictures import descriptor_matrix
from goldseam.dataset.codecs import Array
from goldseam.dataset.schema import SPLITS
from goldseam.errors import InvalidConfig, InvalidDataset
from goldseam.page.numbers import split_name
from goldseam.results import DuplicateGroup, DuplicateImage, DuplicateSummary

# what stands for the task where an image as a whole is meant: no task may have this name
WHOLE_IMAGE = "image"


def audit_duplicates(
    labels: LabelSide,
    pictures: pa.Table,
    config: DuplicatesConfig,
    *,
    states: Mapping[str, Array] | None = None,
    embeddings_ND: Array | None = None,
    label_digests: pa.Table | None = None,
) -> tuple[DuplicateSummary, pa.Table]:
    """Find equal and alike pictures, within and across splits, and contradicting labels of theirs.

    Args:
        labels: the label side.
        pictures: table `pictures` of the same images, in any order; without a row there is nothing
            to compare, and only the dataset's groups are looked at.
        config: the options.
        states: further task → int8 NC, such as those of masks.
        embeddings_ND: in the order of `labels`; NaN for an image without one.
        label_digests: table `label_digests`; None leaves the contents of masks out.

    Returns:
        The summary, and findings: `leak` for images that also stand in a split held out from them,
        `duplicate` for the others that could go, `conflicting_duplicate` for known labels that
        differ. The score of a leak is 1 for equal pixels and falls with the distance; a duplicate
        within a split has half of that, since none of its labels need be wrong.

    Raises:
        InvalidDataset: `pictures` holds an image that the label side lacks, or one twice.
        InvalidConfig: `embeddings_ND` has another number of rows than `labels`.
    """
    row_P, pictures = _aligned(labels, pictures)
    if embeddings_ND is not None and len(embeddings_ND) != len(labels):
        raise InvalidConfig(
            f"embeddings of {len(embeddings_ND)} images, expected {len(labels)}, one an image.",
            remedy="Give one row for each image, in the order of the dataset; NaN where there is "
            "none.",
        )
    hash_P = pictures.column("hash").combine_chunks()
    prints = Fingerprints(
        pixels=_whole(pictures.column("pixels")),
        hash_N=_whole(pc.fill_null(hash_P, 0)).to_numpy(),
        hashed_N=_whole(pc.is_valid(hash_P)).to_numpy(zero_copy_only=False),
        layout_ND=descriptor_matrix(pictures),
        embedding_ND=None if embeddings_ND is None else embeddings_ND[row_P],
    )
    groups = group_duplicates(prints, config)
    place_M, members = _members(row_P, groups)
    contradictions = list(find_contradictions(labels, members, states or {}, label_digests))
    view = _View(labels, prints, groups, place_M, members, config)
    conflicts = _conflicts_of(view, contradictions)
    tables = [*view.redundant(), *(view.contradicting(one) for one in contradictions)]
    return view.summary(conflicts), join_findings(tables)


def _aligned(labels: LabelSide, pictures: pa.Table) -> tuple[Array, pa.Table]:
    """Positions of the pictures in the label side, ascending, and the pictures in that order."""
    names = _whole(pictures.column("image_id"))
    place_P = pc.index_in(names, labels.image_ids)
    if place_P.null_count:
        name = names.filter(pc.is_null(place_P))[0].as_py()
        raise InvalidDataset(
            f"pictures: image '{name}' is not in dataset '{labels.info.name}'.",
            remedy="Measure the pictures of the same version of the dataset.",
        )
    row_P = place_P.to_numpy().astype(np.int64)
    order_P = np.argsort(row_P, kind="stable")
    row_P = row_P[order_P]
    if (twice := np.flatnonzero(np.diff(row_P) == 0)).size:
        name = labels.image_ids[int(row_P[twice[0]])].as_py()
        raise InvalidDataset(
            f"pictures: image '{name}' has two rows, expected one.",
            remedy="Join the measurements of different shards, each of them once.",
        )
    return row_P, pictures.take(pa.array(order_P))


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column


def _members(row_P: Array, groups: Groups) -> tuple[Array, Members]:
    """Places among the pictures of all members by group and pixels, and the same as `Members`."""
    place_M = np.flatnonzero(groups.member_N != ALONE)
    group_M, exact_M = groups.member_N[place_M], groups.exact_N[place_M]
    order_M = np.lexsort((place_M, exact_M, group_M))
    place_M, group_M, exact_M = place_M[order_M], group_M[order_M], exact_M[order_M]
    new_G = np.diff(group_M, prepend=-1) != 0
    new_E = new_G | (np.diff(exact_M, prepend=-1) != 0)
    return place_M, Members(row_P[place_M], np.flatnonzero(new_G), np.flatnonzero(new_E))


def _conflicts_of(view: "_View", contradictions: list[Contradictions]) -> dict[int, list[str]]:
    """Group → the tasks and categories on which its members differ."""
    found: dict[int, list[str]] = {}
    for one in contradictions:
        groups = view.group_M[one.member_R].tolist()
        for group, category in dict.fromkeys(zip(groups, one.category_R, strict=True)):
            name = one.task if category is None else f"{one.task}.{category}"
            if name not in (listed := found.setdefault(group, [])):
                listed.append(name)
    return found


class _View:
    """Groups of duplicates as a dataset's owner sees them: by split, with one image to keep.

    The image to keep is the first of the split that is held out most: a test set that shrinks is no
    longer the one that earlier models were measured on.
    """

    def __init__(
        self,
        labels: LabelSide,
        prints: Fingerprints,
        groups: Groups,
        place_M: Array,
        members: Members,
        config: DuplicatesConfig,
    ) -> None:
        self._labels, self._prints, self._config = labels, prints, config
        self._groups, self._place_M, self._members = groups, place_M, members
        self.group_M = groups.member_N[place_M]
        self._split_M = labels.split_N[members.row_M]
        self._keeper_M = self._kept()

    def _kept(self) -> Array:
        """The member to keep of each member's group."""
        held_out = np.array([SPLITS.index(s) for s in self._labels.splits], np.int64)
        rank_M = held_out[self._split_M]
        order_M = np.lexsort((self._members.row_M, -rank_M, self.group_M))
        kept_G = order_M[self._members.start_G] if len(order_M) else order_M
        return np.asarray(kept_G[self.group_M] if len(order_M) else order_M)

    def _pairs(self, member_R: Array, other_R: Array) -> tuple[Array, Array]:
        """Whether pictures are equal, and the bits in which they differ."""
        left_R, right_R = self._place_M[member_R], self._place_M[other_R]
        exact_R = self._groups.exact_N[left_R] == self._groups.exact_N[right_R]
        bits_R = self._prints.distance(left_R, right_R, flips=self._config.flips)
        return exact_R, np.where(exact_R, 0, bits_R)

    def _likeness(self, exact_R: Array, bits_R: Array) -> Array:
        """1 for equal pictures, down to about a half at the largest distance of a link."""
        near_R = 0.95 - bits_R / (2 * (self._config.bits + 1))
        return np.where(exact_R, 1.0, np.maximum(near_R, 0.05))

    def _seen_as(self, member_R: Array, other_R: Array) -> tuple[Array, list[str]]:
        """Likeness of pairs, and a beginning of a sentence that tells it."""
        exact_R, bits_R = self._pairs(member_R, other_R)
        names = self._labels.image_ids.take(pa.array(self._members.row_M[other_R])).to_pylist()
        splits = [split_name(self._labels.splits[s]) for s in self._split_M[other_R]]
        rows = zip(exact_R.tolist(), bits_R.tolist(), names, splits, strict=True)
        told = [
            f"Has the same pixels as image '{name}' of the {split} split"
            if exact
            else f"Looks like image '{name}' of the {split} split "
            f"({BITS - bits} of {BITS} picture features agree)"
            for exact, bits, name, split in rows
        ]
        return self._likeness(exact_R, bits_R), told

    def redundant(self) -> Iterator[pa.Table]:
        """Findings for every member that is not kept: leaks, and duplicates within a split."""
        member_M = np.arange(len(self.group_M))
        spare_M = self._keeper_M != member_M
        leaks_M = self._split_M != self._split_M[self._keeper_M]
        for issue, chosen_M, weight, end in (
            (Issue.LEAK, spare_M & leaks_M, 1.0, "so what is learned here is tested there."),
            (Issue.DUPLICATE, spare_M & ~leaks_M, 0.5, "so it counts twice."),
        ):
            member_R = np.flatnonzero(chosen_M)
            likeness_R, told = self._seen_as(member_R, self._keeper_M[member_R])
            yield make_findings(
                **self._labels.where(self._members.row_M[member_R]),
                task=WHOLE_IMAGE,
                issue=issue,
                action=Action.KEEP_ONE,
                score=likeness_R * weight,
                evidence=[f"{sentence}, {end}" for sentence in told],
            )

    def contradicting(self, found: Contradictions) -> pa.Table:
        """Findings for labels that differ from those of an image that shows the same."""
        if not len(found.member_R):
            return no_findings()
        likeness_R, told = self._seen_as(found.member_R, found.other_R)
        sides = zip(told, found.given_R, found.other_given_R, strict=True)
        row_R = self._members.row_M[found.member_R]
        sure_R = (found.doubt_R > 0.5).tolist()
        return make_findings(
            **self._labels.where(row_R),
            task=found.task,
            category=pa.array(found.category_R, pa.string()),
            issue=Issue.CONFLICTING_DUPLICATE,
            action=Action.REVIEW,
            score=likeness_R * found.doubt_R,
            evidence=[
                f"{sentence}, whose label is another."
                if given is None
                else f"{sentence}, whose label says {other} where this one says {given}."
                for sentence, given, other in sides
            ],
            given=pa.array(found.given_R, pa.string()),
            # only a majority suggests which side is right
            suggested=pa.array(
                [o if sure else None for o, sure in zip(found.other_given_R, sure_R, strict=True)],
                pa.string(),
            ),
            source=self._labels.source_names(found.task, row_R),
        )

    def summary(self, conflicts: dict[int, list[str]]) -> DuplicateSummary:
        """The summary, with the leaking and the largest groups first."""
        labels, groups, start_G = self._labels, self._groups, self._members.start_G
        split_M, of_group_M = self._split_M, labels.group_N[self._members.row_M]
        size_G = np.diff(start_G, append=len(split_M))
        leaks_G = _distinct(self.group_M, split_M, len(groups)) > 1
        group_count_G = _distinct(self.group_M, of_group_M, len(groups))
        order_G = np.lexsort((-size_G, ~leaks_G))[: self._config.listed]
        return DuplicateSummary(
            images=len(self._prints),
            exact=int((~groups.near_G).sum()),
            near=int(groups.near_G.sum()),
            leaks=int(leaks_G.sum()),
            conflicting=len(conflicts),
            crossing_groups=crossing_groups(labels),
            groups=tuple(
                self._group(g, int(group_count_G[g]), tuple(conflicts.get(g, ())))
                for g in order_G.tolist()
            ),
        )

    def _group(self, number: int, group_count: int, conflicts: tuple[str, ...]) -> DuplicateGroup:
        labels = self._labels
        row_M = np.sort(self._members.row_M[self.group_M == number])
        where = {name: column.to_pylist() for name, column in labels.where(row_M).items()}
        splits = dict.fromkeys(where["split"])
        return DuplicateGroup(
            kind="near" if self._groups.near_G[number] else "exact",
            distance=int(self._groups.link_G[number]),
            images=tuple(
                DuplicateImage(image_id, split, group)
                for image_id, split, group in zip(
                    where["image_id"], where["split"], where["group"], strict=True
                )
            ),
            splits=tuple(split for split in SPLITS if split in splits),
            groups=group_count,
            conflicts=conflicts,
        )


def _distinct(group_M: Array, value_M: Array, groups: int) -> Array:
    """How many different values each group has."""
    pairs = np.unique(np.stack([group_M, value_M], axis=1), axis=0)
    return np.bincount(pairs[:, 0], minlength=groups)


def crossing_groups(labels: LabelSide) -> tuple[str, ...]:
    """The dataset's groups that stand in more than one split, by name."""
    counts = _distinct(labels.group_N.astype(np.int64), labels.split_N, len(labels.groups))
    return tuple(labels.groups[number] for number in np.flatnonzero(counts > 1))
