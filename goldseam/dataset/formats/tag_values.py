"""What a cell of a label table says: present, absent, unknown or uncertain.

M cells.
"""

import numpy as np
import pyarrow as pa

from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, Array
from goldseam.dataset.formats.options import CsvImport
from goldseam.errors import InvalidDataset

# compared without case and surrounding blanks
MEANINGS = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "present"), "present"),
    **dict.fromkeys(("0", "0.0", "false", "no", "absent"), "absent"),
    **dict.fromkeys(("", "nan", "na", "n/a", "null", "none", "unknown", "?"), "unknown"),
    **dict.fromkeys(("-1", "-1.0", "u", "uncertain"), "uncertain"),
}
STATES = {"present": PRESENT, "absent": ABSENT, "unknown": UNKNOWN}
NO_MEANING = -2


class TagValues:
    """The states that texts stand for.

    Args:
        config: which texts mean what, and what an uncertain entry is taken for.
    """

    def __init__(self, config: CsvImport) -> None:
        given = {text.strip().lower(): meaning for text, meaning in config.values.items()}
        states = {**STATES, "uncertain": STATES[config.uncertain]}
        self.state_of = {text: states[name] for text, name in {**MEANINGS, **given}.items()}

    def read(self, column: pa.DictionaryArray, *, where: str, first_row: int) -> Array:
        """State of each cell: int8 M, 1 present, 0 absent, -1 unknown.

        Args:
            column: M texts by dictionary.
            where: file and column, for the message.
            first_row: number of the first cell's row; the row below the header is 1.

        Raises:
            InvalidDataset: a cell says none of these; names the row.
        """
        texts = [text or "" for text in column.dictionary.to_pylist()]
        # one entry more, for null
        known = [self.state_of.get(text.strip().lower(), NO_MEANING) for text in texts]
        state_D = np.array([*known, UNKNOWN], np.int8)
        code_M = column.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
        state_M: Array = state_D[code_M]
        if (state_M == NO_MEANING).any():
            row = int(np.flatnonzero(state_M == NO_MEANING)[0])
            raise InvalidDataset(
                f"{where}, row {first_row + row}: {texts[code_M[row]]!r}, expected 1 (present), "
                "0 (absent), blank (unknown) or -1 (uncertain).",
                remedy="Import the table first, with 'goldseam dataset import csv': a column that "
                "is no category goes to --meta or --drop, and --value "
                "TEXT=present|absent|unknown|uncertain says what a text means.",
            )
        return state_M
