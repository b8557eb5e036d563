"""PNG files written row by row, so that a map of any height needs the memory of a strip.

Shapes: h rows of a strip, W pixels, 3 color channels.
"""

import struct
import zlib
from typing import BinaryIO

import numpy as np

from goldseam.dataset.codecs import Array

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, COLOR = 0, 2
# each row as its difference to the row above: maps are smooth, so little is left to compress
UP = 2


class PngWriter:
    """Writes gray `h W` or color `h W 3` strips of uint8 or uint16; use it in a `with` block.

    Source: W3C, Portable Network Graphics (Second Edition), sections 5 and 9.

    Args:
        stream: to write to; is not closed.
        width: px.
        height: px; so many rows must be written.
        depth: bits a channel, 8 or 16.
        color: three channels instead of one.
    """

    def __init__(
        self, stream: BinaryIO, width: int, height: int, *, depth: int = 8, color: bool = False
    ) -> None:
        self._shape = (width, 3) if color else (width,)
        self._type = np.dtype(np.uint8 if depth == 8 else ">u2")
        self._rows_left = height
        self._stream = stream
        self._packer = zlib.compressobj(6)
        bytes_a_row = width * (3 if color else 1) * depth // 8
        self._above = np.zeros(bytes_a_row, np.uint8)
        self._stream.write(SIGNATURE)
        header = struct.pack(">IIBBBBB", width, height, depth, COLOR if color else GRAY, 0, 0, 0)
        self._chunk(b"IHDR", header)

    def write(self, rows: Array) -> None:
        """Append rows.

        Raises:
            ValueError: they have another width or type, or are more than the picture has.
        """
        if rows.shape[1:] != self._shape or rows.dtype.itemsize != self._type.itemsize:
            raise ValueError(f"rows {rows.shape} of {rows.dtype} do not fit this PNG")
        if len(rows) > self._rows_left:
            raise ValueError(f"{len(rows)} rows are more than the {self._rows_left} left")
        if not len(rows):
            return
        self._rows_left -= len(rows)
        plain = np.ascontiguousarray(rows, self._type).view(np.uint8).reshape(len(rows), -1)
        filtered = np.empty((len(rows), 1 + plain.shape[1]), np.uint8)
        filtered[:, 0] = UP
        filtered[0, 1:] = plain[0] - self._above
        filtered[1:, 1:] = plain[1:] - plain[:-1]
        self._above = plain[-1].copy()
        self._chunk(b"IDAT", self._packer.compress(filtered.tobytes()))

    def close(self) -> None:
        """End the picture.

        Raises:
            ValueError: rows are missing.
        """
        if self._rows_left:
            raise ValueError(f"{self._rows_left} rows of the PNG were not written")
        self._chunk(b"IDAT", self._packer.flush())
        self._chunk(b"IEND", b"")

    def _chunk(self, name: bytes, body: bytes) -> None:
        if not body and name == b"IDAT":
            return
        self._stream.write(struct.pack(">I", len(body)) + name + body)
        self._stream.write(struct.pack(">I", zlib.crc32(name + body)))
