"""The categories of Open Images: what a label's code (`/m/…`) is called, and which are wanted."""

import csv
import dataclasses
from collections import Counter
from pathlib import Path

from goldseam.errors import InvalidDataset, MissingInput, closest

HEADER = "LabelName"


@dataclasses.dataclass(frozen=True)
class Classes:
    """The categories that files declare.

    Attributes:
        names: display names in the order of their ids; empty where no file declares any.
        position_of: code → id.
        described: all codes that are described, of which those that are not wanted have no id;
            None where nothing says which codes there are.
    """

    names: tuple[str, ...]
    position_of: dict[str, int]
    described: frozenset[str] | None


def read_classes(descriptions: Path | None, wanted: Path | None) -> Classes:
    """Read names and order of the categories.

    A display name that two codes share is followed by its code.

    Args:
        descriptions: rows of a code and a display name; None names categories by their codes.
        wanted: a code a line, in the order of the ids; None wants all that are described.

    Raises:
        MissingInput: a file cannot be read.
        InvalidDataset: a row is faulty, a code stands twice, or a code that is wanted is not
            described; names file and row.
    """
    name_of: dict[str, str] = {}
    if descriptions is not None:
        for row, fields in _rows(descriptions):
            if len(fields) < 2 or not fields[0].strip() or not fields[1].strip():
                raise InvalidDataset(
                    f"{descriptions}, line {row}: {fields!r}, expected a code and a name, such as "
                    "/m/01g317,Person.",
                    remedy="Mend the line.",
                )
            _require_new(fields[0], name_of, descriptions, row)
            name_of[fields[0]] = fields[1].strip()
    codes = list(name_of) if wanted is None else _wanted_codes(wanted, name_of)
    shown = [name_of.get(code, code) for code in codes]
    shared = {name for name, many in Counter(shown).items() if many > 1}
    names = tuple(
        f"{name} ({code})" if name in shared else name
        for code, name in zip(codes, shown, strict=True)
    )
    position_of = {code: position for position, code in enumerate(codes)}
    return Classes(names, position_of, None if descriptions is None else frozenset(name_of))


def _wanted_codes(file: Path, name_of: dict[str, str]) -> list[str]:
    codes: dict[str, str] = {}
    for row, (code, *_) in _rows(file):
        _require_new(code, codes, file, row)
        if name_of and code not in name_of:
            raise InvalidDataset(
                f"{file}, line {row}: '{code}' is not described.",
                remedy=f"Closest: {closest(code, name_of)}.",
            )
        codes[code] = code
    if not codes:
        raise InvalidDataset(f"{file} names no category.", remedy="Give a code a line.")
    return list(codes)


def _require_new(code: str, seen: dict[str, str], file: Path, row: int) -> None:
    if code in seen:
        raise InvalidDataset(
            f"{file}, line {row}: '{code}' stands there twice.", remedy="Name each category once."
        )


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    """(line, fields) of a file with or without a header; blank lines are passed over."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = [(at, fields) for at, fields in enumerate(csv.reader(stream), 1) if fields]
    except OSError as error:
        raise MissingInput(file, f"cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidDataset(f"{file} is no CSV ({error}).", remedy="Mend the file.") from error
    return rows[1:] if rows and rows[0][1][0] == HEADER else rows
