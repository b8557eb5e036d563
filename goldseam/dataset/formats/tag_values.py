"""What a cell of a label table says: present, absent, unknown or uncertain.

M cells, C categories.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from goldseam.dataset.codecs import ABSENT, PRESENT, UNKNOWN, UNSURE, Array
from goldseam.dataset.formats.options import Meaning, State
from goldseam.errors import InvalidConfig, InvalidDataset, closest

# compared without case and surrounding blanks
MEANINGS = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "present"), "present"),
    **dict.fromkeys(("0", "0.0", "false", "no", "absent"), "absent"),
    **dict.fromkeys(("", "nan", "na", "n/a", "null", "none", "unknown", "?"), "unknown"),
    **dict.fromkeys(("-1", "-1.0", "u", "uncertain"), "uncertain"),
}
STATES = {"present": PRESENT, "absent": ABSENT, "unknown": UNKNOWN, "unsure": UNSURE}
UNCERTAIN = 2
NO_MEANING = -3
REMEDY = (
    "Import the table first, with 'goldseam dataset import csv': a column that is no category "
    "goes to --meta or --drop, and --value TEXT=present|absent|unknown|uncertain says what a text "
    "means."
)


class TagValues:
    """The states that texts stand for.

    Args:
        given: texts and what they mean, beside and before `MEANINGS`.
        remedy: for a text that means nothing.
    """

    def __init__(self, given: Mapping[str, Meaning], remedy: str = REMEDY) -> None:
        meanings = {**MEANINGS, **{text.strip().lower(): said for text, said in given.items()}}
        states = {**STATES, "uncertain": UNCERTAIN}
        self.state_of = {text: states[name] for text, name in meanings.items()}
        self.remedy = remedy

    def read(self, column: pa.DictionaryArray, *, where: str, first_row: int) -> Array:
        """State of each cell: int8 M, 1 present, 0 absent, -1 unknown, 2 uncertain.

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
                remedy=self.remedy,
            )
        return state_M


def uncertain_states(
    uncertain: State, uncertain_of: Mapping[str, State], categories: Sequence[str]
) -> Array:
    """What uncertain entries of each category are taken for: int8 C.

    Args:
        uncertain: for categories that `uncertain_of` does not name.
        uncertain_of: category → state.
        categories: C names.

    Raises:
        InvalidConfig: `uncertain_of` names another category.
    """
    for name in uncertain_of:
        if name not in categories:
            raise InvalidConfig(
                f"uncertain_of names the category '{name}', which the labels do not have.",
                remedy=f"Closest: {closest(name, categories)}.",
            )
    return np.array([STATES[uncertain_of.get(name, uncertain)] for name in categories], np.int8)


def settle_uncertain(state: Array, policy: Array) -> tuple[Array, Array]:
    """The states after the policy, and where they were uncertain.

    Args:
        state: any shape; 2 is uncertain.
        policy: broadcasts to it.
    """
    uncertain = state == UNCERTAIN
    return np.where(uncertain, policy, state).astype(np.int8), uncertain
