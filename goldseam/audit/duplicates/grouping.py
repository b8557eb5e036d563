"""From fingerprints to groups of images that show the same.

Legend: N images, D numbers of an embedding, P pairs, U images of which no two have equal pixels.
"""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldseam.audit.duplicates.config import DuplicatesConfig
from goldseam.audit.duplicates.hashing import FLIPS, Flip, bits_apart, flipped, flipped_grid
from goldseam.audit.duplicates.neighbors import near_pairs
from goldseam.dataset.codecs import Array
from goldseam.dataset.partial import generator

ALONE = -1
# links that are kept before they are thinned out to a spanning forest
LINKS = 4_000_000
RANDOM_PAIRS = 20_000
# pairs whose color layouts are compared at once
CHUNK = 1 << 16
GRID = 4
# largest change of light that is divided out, in the scale of cube roots
GAIN = 1.5


@dataclasses.dataclass(frozen=True, eq=False)
class Fingerprints:
    """What pictures are compared by.

    Attributes:
        pixels: N digests of the pixels.
        hash_N: uint64; anything where `hashed_N` is False.
        hashed_N: False for pictures too flat to have a hash.
        layout_ND: float32, color layouts (`goldseam.audit.pictures`).
        embedding_ND: learned embeddings, NaN where an image has none; None without.
    """

    pixels: pa.Array
    hash_N: Array
    hashed_N: Array
    layout_ND: Array
    embedding_ND: Array | None = None

    def __len__(self) -> int:
        return len(self.hash_N)

    def distance(self, left_P: Array, right_P: Array, *, flips: bool) -> Array:
        """Bits in which hashes differ, of the best flip where those count."""
        apart_P = bits_apart(self.hash_N[left_P], self.hash_N[right_P])
        for flip in FLIPS if flips else ():
            for one_P, other_P in ((left_P, right_P), (right_P, left_P)):
                turned_P = flipped(self.hash_N[one_P], flip)
                apart_P = np.minimum(apart_P, bits_apart(turned_P, self.hash_N[other_P]))
        return apart_P


@dataclasses.dataclass(frozen=True, eq=False)
class Groups:
    """Images that show the same.

    Attributes:
        member_N: number of each image's group, in the order of their first images; -1 alone.
        exact_N: number of the pixels: equal for images whose pixels are equal.
        link_G: largest distance, in bits, of the links that hold a group together; 0 for exact.
        near_G: whether a group holds pictures that are alike but not equal.
    """

    member_N: Array
    exact_N: Array
    link_G: Array
    near_G: Array

    def __len__(self) -> int:
        return len(self.link_G)


def group_duplicates(prints: Fingerprints, config: DuplicatesConfig) -> Groups:
    """Group equal and alike pictures; every link is confirmed, none is made by hash alone.

    A group is what confirmed links connect, so its ends may be further apart than `config.bits`;
    `link_G` is the longest link without which it falls apart.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(prints)
    encoded = pc.dictionary_encode(prints.pixels.cast(pa.binary()))
    code_N = encoded.indices.to_numpy()
    _, first_U = np.unique(code_N, return_index=True)  # codes count up in the order of images
    left_P, right_P, bits_P = _near_links(prints, first_U[prints.hashed_N[first_U]], config)
    heads_P = np.concatenate([left_P, first_U[code_N]])
    tails_P = np.concatenate([right_P, np.arange(count)])
    links = coo_array((np.ones(len(heads_P), bool), (heads_P, tails_P)), shape=(count, count))
    _, component_N = connected_components(links, directed=False)
    size_C = np.bincount(component_N, minlength=1) if count else np.zeros(0, int)
    grouped_N = size_C[component_N] > 1 if count else np.zeros(0, bool)
    member_N = np.full(count, ALONE)
    _, first, inverse = np.unique(component_N[grouped_N], return_index=True, return_inverse=True)
    member_N[grouped_N] = np.argsort(np.argsort(first))[inverse]
    link_G, near_G = np.zeros(len(first), np.int64), np.zeros(len(first), bool)
    np.maximum.at(link_G, member_N[left_P], bits_P)
    near_G[member_N[left_P]] = True
    return Groups(member_N, code_N, link_G, near_G)


def _near_links(
    prints: Fingerprints, row_U: Array, config: DuplicatesConfig
) -> tuple[Array, Array, Array]:
    """A spanning forest of the confirmed links between pictures that differ: left, right, bits."""
    row_U = row_U[np.argsort(prints.hash_N[row_U], kind="stable")]
    confirm = _Confirmation(prints, config)
    forest = _Forest(len(prints))
    leader_U = _same_hash(row_U, prints, confirm, forest)
    hash_H, start_H, count_H = np.unique(
        prints.hash_N[leader_U], return_index=True, return_counts=True
    )
    for left_P, right_P in near_pairs(hash_H, config.bits):
        rows = _every_leader(left_P, right_P, leader_U, start_H, count_H)
        forest.add(*confirm(*rows))
    for flip in FLIPS if config.flips else ():
        for rows in _flipped_pairs(leader_U, prints.hash_N[leader_U], flip, config.bits):
            forest.add(*confirm(*rows, flip))
    return forest.links()


def _same_hash(
    row_U: Array, prints: Fingerprints, confirm: "_Confirmation", forest: "_Forest"
) -> Array:
    """Link pictures of equal hash to the first of them that they match; returns those firsts.

    A thousand equal hashes cost a thousand comparisons, not half a million.
    """
    leaders = []
    while len(row_U):
        _, start_H, run_U = np.unique(prints.hash_N[row_U], return_index=True, return_inverse=True)
        leader_U = row_U[start_H][run_U]
        leads_U = leader_U == row_U
        leaders.append(row_U[leads_U])
        forest.add(*confirm(leader_U[~leads_U], row_U[~leads_U]))
        row_U = row_U[~leads_U][~confirm.passed]
    leader_U = np.concatenate([*leaders, np.zeros(0, np.int64)])
    return leader_U[np.lexsort((leader_U, prints.hash_N[leader_U]))]


def _every_leader(
    left_P: Array, right_P: Array, leader_U: Array, start_H: Array, count_H: Array
) -> tuple[Array, Array]:
    """Pairs of rows from pairs of hashes, most of which have one leader each."""
    times_P = count_H[left_P] * count_H[right_P]
    pair_Q = np.repeat(np.arange(len(left_P)), times_P)
    inside_Q = np.arange(len(pair_Q)) - np.repeat(np.cumsum(times_P) - times_P, times_P)
    of_left_Q, of_right_Q = np.divmod(inside_Q, count_H[right_P][pair_Q])
    left_Q = leader_U[start_H[left_P][pair_Q] + of_left_Q]
    return left_Q, leader_U[start_H[right_P][pair_Q] + of_right_Q]


def _flipped_pairs(
    row_U: Array, hash_U: Array, flip: Flip, bits: int
) -> Iterator[tuple[Array, Array]]:
    """Pairs of rows of which the first, flipped, has about the hash of the second."""
    count = len(row_U)
    both = np.concatenate([hash_U, flipped(hash_U, flip)])
    unique_H, hash_V = np.unique(both, return_inverse=True)
    by_hash_V = np.argsort(hash_V, kind="stable")
    count_H = np.bincount(hash_V, minlength=len(unique_H))
    start_H = np.cumsum(count_H) - count_H
    same_H = np.flatnonzero(count_H > 1)
    for left_P, right_P in ((same_H, same_H), *near_pairs(unique_H, bits)):
        left_Q, right_Q = _every_leader(left_P, right_P, by_hash_V, start_H, count_H)
        turned_Q = (left_Q >= count) != (right_Q >= count)
        left_Q, right_Q = left_Q[turned_Q], right_Q[turned_Q]
        moved_Q = np.where(left_Q >= count, left_Q, right_Q) - count
        fixed_Q = np.where(left_Q >= count, right_Q, left_Q)
        other_Q = moved_Q != fixed_Q  # a symmetric picture matches itself
        yield row_U[moved_Q[other_Q]], row_U[fixed_Q[other_Q]]


class _Confirmation:
    """Whether candidate pairs are alike in color layout, and in embedding where there is one.

    Attributes:
        passed: which pairs of the last call were confirmed: bool P.
    """

    def __init__(self, prints: Fingerprints, config: DuplicatesConfig) -> None:
        self._prints = prints
        self._color_distance = config.color_distance
        self._embedding_NE = _unit(prints.embedding_ND)
        self._closest = _closest_random(self._embedding_NE, config)
        self.passed = np.zeros(0, bool)

    def __call__(
        self, left_P: Array, right_P: Array, flip: Flip | None = None
    ) -> tuple[Array, Array, Array]:
        """The confirmed pairs with their distance in bits."""
        parts = range(0, len(left_P), CHUNK)
        squared = [
            self._squared(left_P[i : i + CHUNK], right_P[i : i + CHUNK], flip) for i in parts
        ]
        self.passed = np.concatenate([*squared, np.zeros(0)]) <= self._color_distance**2
        if self._embedding_NE is not None and flip is None:
            # an embedding of a mirrored picture is another one, so it says nothing about flips
            product_P = np.einsum(
                "pe,pe->p", self._embedding_NE[left_P], self._embedding_NE[right_P]
            )
            self.passed &= ~(product_P < self._closest)  # no embedding, no objection
        left_P, right_P = left_P[self.passed], right_P[self.passed]
        hash_P = self._prints.hash_N[left_P]
        hash_P = hash_P if flip is None else flipped(hash_P, flip)
        return left_P, right_P, bits_apart(hash_P, self._prints.hash_N[right_P])

    def _squared(self, left_P: Array, right_P: Array, flip: Flip | None) -> Array:
        """Squared distance of the color layouts."""
        cells_PGGC = self._cells(left_P)
        if flip is not None:
            cells_PGGC = flipped_grid(cells_PGGC, flip)
        return _color_distance(cells_PGGC, self._cells(right_P))

    def _cells(self, row_P: Array) -> Array:
        return self._prints.layout_ND[row_P].reshape(len(row_P), GRID, GRID, -1)


def _color_distance(left_PGGC: Array, right_PGGC: Array) -> Array:
    """Mean squared distance in CIE Lab, of copies that differ in light: an offset or a gain.

    A copy that was made lighter or darker is a copy all the same. An offset is one of L. A gain of
    the exposure scales (L + 16, a, b) as a whole, since all three are made of cube roots of linear
    light; up to `GAIN` it is divided out.
    """
    offset_PGGC = left_PGGC - right_PGGC
    offset_PGGC[..., 0] -= offset_PGGC[..., 0].mean(axis=(1, 2), keepdims=True)
    black = np.array([16, 0, 0], np.float32)
    left_PGGC, right_PGGC = left_PGGC + black, right_PGGC + black
    norms = [np.sqrt((c**2).sum(axis=(1, 2, 3))) for c in (left_PGGC, right_PGGC)]
    gain_P = np.sqrt(np.clip(norms[0] / np.maximum(norms[1], 1e-6), 1 / GAIN, GAIN))
    gain_P111 = gain_P[:, None, None, None]
    gained_PGGC = left_PGGC / gain_P111 - right_PGGC * gain_P111
    squared = [(d**2).sum(axis=3).mean(axis=(1, 2)) for d in (offset_PGGC, gained_PGGC)]
    return np.asarray(np.minimum(*squared))


def _unit(embedding_ND: Array | None) -> Array | None:
    """Centered embeddings of length 1, so that their products are cosines."""
    if embedding_ND is None:
        return None
    known_N = np.isfinite(embedding_ND).all(axis=1)
    if known_N.sum() < 2:
        return None
    centered_ND = embedding_ND - embedding_ND[known_N].mean(axis=0)
    length_N1 = np.linalg.norm(centered_ND, axis=1, keepdims=True)
    return np.asarray(centered_ND / np.maximum(length_N1, 1e-12), np.float32)


def _closest_random(embedding_NE: Array | None, config: DuplicatesConfig) -> float:
    """The cosine that only the closest of random pairs reach."""
    if embedding_NE is None:
        return -1.0
    known = np.flatnonzero(np.isfinite(embedding_NE).all(axis=1))
    random = generator(config.seed, "random pairs")
    left_P, right_P = known[random.integers(0, len(known), (2, RANDOM_PAIRS))]
    different_P = left_P != right_P
    left_P, right_P = left_P[different_P], right_P[different_P]
    product_P = np.einsum("pe,pe->p", embedding_NE[left_P], embedding_NE[right_P])
    return float(np.quantile(product_P, 1 - config.embedding_quantile)) - 1e-6


class _Forest:
    """Links between images; of those that go round in circles only the shortest are kept.

    The longest link of a group is the same in whatever order its links came (that of a minimum
    spanning tree), and memory stays bounded.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._parts: list[tuple[Array, ...]] = []
        self._held = 0

    def add(self, left_P: Array, right_P: Array, bits_P: Array) -> None:
        if len(left_P):
            self._parts.append((left_P, right_P, bits_P))
            self._held += len(left_P)
            if self._held > LINKS + 2 * self._count:
                self._thin()

    def links(self) -> tuple[Array, Array, Array]:
        self._thin()
        left_P, right_P, bits_P = self._parts[0]
        return left_P, right_P, bits_P

    def _thin(self) -> None:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import minimum_spanning_tree

        left_P, right_P, bits_P = _joined(self._parts)
        low_P, high_P = np.minimum(left_P, right_P), np.maximum(left_P, right_P)
        # the same pair comes several times: a sparse matrix would add its distances up
        order_P = np.lexsort((bits_P, high_P, low_P))
        low_P, high_P, bits_P = low_P[order_P], high_P[order_P], bits_P[order_P]
        new_P = np.ones(len(low_P), bool)
        new_P[1:] = (np.diff(low_P) != 0) | (np.diff(high_P) != 0)
        shape = (self._count, self._count)
        # a weight of 0 would be no link at all
        weighted = coo_array(
            (bits_P[new_P] + 1.0, (low_P[new_P], high_P[new_P])), shape=shape
        ).tocsr()
        tree = minimum_spanning_tree(weighted).tocoo()
        bits = tree.data.astype(np.int64) - 1
        self._parts = [(tree.row.astype(np.int64), tree.col.astype(np.int64), bits)]
        self._held = len(bits)


def _joined(parts: Iterable[tuple[Array, ...]]) -> tuple[Array, Array, Array]:
    none = np.zeros(0, np.int64)
    left, right, bits = zip(*parts, (none, none, none), strict=True)
    return np.concatenate(left), np.concatenate(right), np.concatenate(bits)
