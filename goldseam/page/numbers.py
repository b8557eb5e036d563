"""Numbers and names as people read them, in sentences and in tables."""

SPLIT_NAMES = {"train": "training"}


def count(number: int) -> str:
    """A whole number with thousands apart: `1,242`."""
    return f"{number:,}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share as a percentage: `4.5 %`; `unknown` for None, which is not zero."""
    if share is None:
        return "unknown"
    shown = f"{100 * share:.{digits}f}"
    if share > 0 and float(shown) == 0:
        return f"< {10**-digits:.{digits}f} %"
    if share < 1 and float(shown) == 100:
        return f"> {100 - 10**-digits:.{digits}f} %"
    return f"{shown} %"


def split_name(split: str) -> str:
    """A split as a word in a sentence: `training`."""
    return SPLIT_NAMES.get(split, split)
