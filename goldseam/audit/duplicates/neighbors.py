"""All pairs of 64-bit hashes that differ in a few bits, without comparing all with all.

When two hashes differ in at most r bits and the bits are cut into r + k bands, at least k bands are
equal (pigeonhole; multi-index hashing, Norouzi et al. 2012, with k exact bands in place of
neighborhoods of one). So for each choice of k bands the hashes are sorted by them, and only runs of
equal keys are compared. Legend: N hashes, P pairs.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np

from goldseam.audit.duplicates.hashing import BITS, LOW, bits_apart
from goldseam.dataset.codecs import Array

# comparing one pair costs about so much of sorting one hash
COMPARISON = 0.15


def near_pairs(hash_N: Array, bits: int) -> Iterator[tuple[Array, Array]]:
    """Pairs of hashes that differ in at most `bits` bits; a pair may come more than once.

    Time grows with N log N as long as the hashes spread: the number of bands is chosen by N.

    Args:
        hash_N: uint64, all different.
        bits: largest distance.

    Yields:
        Positions (left_P, right_P), left before right.
    """
    count = len(hash_N)
    if count < 2:
        return
    equal = _equal_bands(count, bits)
    for bands in itertools.combinations(_bands(bits + equal), equal):
        key_N = hash_N & np.bitwise_or.reduce(np.array(bands, np.uint64))
        order_N = np.argsort(key_N, kind="stable")
        yield from _within_runs(hash_N[order_N], key_N[order_N], order_N, bits)


def _equal_bands(count: int, bits: int) -> int:
    """The number k of equal bands that costs least if the hashes were spread evenly."""

    def cost(equal: int) -> float:
        choices = math.comb(bits + equal, equal)
        key_bits = BITS * equal / (bits + equal)
        return choices * (count + COMPARISON * count**2 / 2 ** (key_bits + 1))

    return min(range(1, 7), key=cost)


def _bands(number: int) -> list[int]:
    """Masks of `number` bands; each holds low and high frequencies, so that all spread alike."""
    down, across = np.divmod(np.arange(LOW * LOW), LOW)
    by_frequency = np.argsort(down + across, kind="stable")[1:]  # the first is the mean
    return [sum(1 << int(bit) for bit in by_frequency[band::number]) for band in range(number)]


def _within_runs(
    hash_N: Array, key_N: Array, order_N: Array, bits: int
) -> Iterator[tuple[Array, Array]]:
    """Compare each hash with those 1, 2, 3 … places further on in its run of equal keys."""
    start_S = np.arange(len(hash_N) - 1)
    for step in itertools.count(1):
        start_S = start_S[: np.searchsorted(start_S, len(hash_N) - step)]
        start_S = start_S[key_N[start_S] == key_N[start_S + step]]
        if not len(start_S):
            return
        near = bits_apart(hash_N[start_S], hash_N[start_S + step]) <= bits
        if near.any():
            left_P, right_P = order_N[start_S[near]], order_N[start_S[near] + step]
            yield np.minimum(left_P, right_P), np.maximum(left_P, right_P)
