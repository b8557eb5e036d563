"""Metadata columns from text: numbers and times where all of a column are, text otherwise."""

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

MetaKind = Literal["string", "double", "int64", "timestamp"]
# a leading zero marks a name made of digits, such as a site's code
NAME_OF_DIGITS = r"^[+-]?0[0-9]"
TYPES: tuple[tuple[MetaKind, pa.DataType], ...] = (
    ("int64", pa.int64()),
    ("double", pa.float64()),
    ("timestamp", pa.timestamp("us")),
)


def typed_metadata(column: pa.Array) -> tuple[pa.Array, MetaKind]:
    """A column of text with the narrowest type that all of its values have; blank is null.

    Args:
        column: string N, null where nothing is known.

    Returns:
        The column, and the name of its type in `dataset.yaml`.
    """
    trimmed = pc.utf8_trim_whitespace(column)
    trimmed = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    if trimmed.null_count == len(trimmed):
        return trimmed, "string"
    if not pc.any(pc.match_substring_regex(trimmed, NAME_OF_DIGITS)).as_py():
        for name, kind in TYPES:
            try:
                typed = trimmed.cast(kind)
            except pa.ArrowInvalid:
                continue
            # "nan" is how other programs write that nothing is known
            missing = pc.is_null(typed, nan_is_null=True)
            return pc.if_else(missing, pa.scalar(None, kind), typed), name
    return trimmed, "string"
