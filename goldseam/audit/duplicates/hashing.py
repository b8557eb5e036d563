"""A fingerprint of a picture that survives compression, scaling and light edits.

Legend: N images, H and W pixels. A hash is 63 bits in a uint64: the signs of the 8 x 8 lowest DCT
coefficients of the luma at 32 x 32 px, without the mean (Zauner 2010, with 0 in place of the
median). Signs make the hash of a mirrored or turned picture a permutation of the bits: nothing has
to be decoded again.
"""

import functools
from typing import NamedTuple

import numpy as np

from goldseam.dataset.codecs import Array

SIDE, LOW = 32, 8
BITS = LOW * LOW - 1
# gray levels; below it the signs are those of compression noise, and all such pictures look alike
FLAT = 1.0


class Flip(NamedTuple):
    """A picture mirrored or turned: rows and columns change places first, then come the mirrors."""

    transposed: bool
    mirrored: bool
    upside_down: bool


# a quarter turn the other way is left out: it takes the second picture of a pair to where this one
# takes the first
FLIPS = (
    Flip(transposed=False, mirrored=True, upside_down=False),
    Flip(transposed=False, mirrored=False, upside_down=True),
    Flip(transposed=False, mirrored=True, upside_down=True),
    Flip(transposed=True, mirrored=False, upside_down=False),
    Flip(transposed=True, mirrored=True, upside_down=False),
    Flip(transposed=True, mirrored=True, upside_down=True),
)


def perceptual_hash(luma_HW: Array) -> int | None:
    """Signs of the low frequencies of a picture.

    Args:
        luma_HW: uint8.

    Returns:
        63 bits; None for a picture too flat to have a fingerprint.
    """
    import cv2

    small = cv2.resize(luma_HW, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    frequency = np.asarray(cv2.dct(small.astype(np.float32)))[:LOW, :LOW].ravel()
    frequency[0] = 0
    # an orthonormal transform keeps the sum of squares, so this is a deviation in gray levels
    if np.sqrt((frequency**2).sum()) / SIDE < FLAT:
        return None
    return int(np.packbits(frequency > 0, bitorder="little").view("<u8")[0])


def flipped(hash_N: Array, flip: Flip) -> Array:
    """The hashes of mirrored or turned pictures, from their hashes alone.

    A mirror negates the odd frequencies across it. Where a coefficient is exactly 0 the bit may
    differ from that of a picture that is really flipped.
    """
    if flip.transposed:
        bit_N64 = np.unpackbits(
            np.ascontiguousarray(hash_N, "<u8").view(np.uint8).reshape(-1, 8),
            axis=1,
            bitorder="little",
        )
        turned = bit_N64.reshape(-1, LOW, LOW).transpose(0, 2, 1).reshape(-1, 64)
        hash_N = np.packbits(turned, axis=1, bitorder="little").view("<u8").ravel()
    across, down = _odd_frequencies()
    hash_N = hash_N ^ (across if flip.mirrored else np.uint64(0))
    return hash_N ^ (down if flip.upside_down else np.uint64(0))


@functools.cache
def _odd_frequencies() -> tuple[np.uint64, np.uint64]:
    """Bits whose coefficient has an odd frequency along rows, and along columns."""
    down, across = np.divmod(np.arange(64), LOW)
    masks = [np.packbits(odd % 2 == 1, bitorder="little").view("<u8")[0] for odd in (across, down)]
    return np.uint64(masks[0]), np.uint64(masks[1])


def flipped_grid(grid_NHWC: Array, flip: Flip) -> Array:
    """Pictures mirrored or turned in the same order as `flipped` does."""
    if flip.transposed:
        grid_NHWC = grid_NHWC.transpose(0, 2, 1, 3)
    if flip.mirrored:
        grid_NHWC = grid_NHWC[:, :, ::-1]
    return grid_NHWC[:, ::-1] if flip.upside_down else grid_NHWC


def bits_apart(left_N: Array, right_N: Array) -> Array:
    """In how many bits two hashes differ: int64 N."""
    different: Array = np.bitwise_count(left_N ^ right_N).astype(np.int64)
    return different
