"""Numbers and names as people read them, in sentences and in tables."""

from goldseam.results import Estimate

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


def amount(value: float | None, unit: str = "") -> str:
    """A number with its unit: `4.5 %` of a ratio, `2.1 px`, `1,204 labels`; `unknown` for None."""
    if value is None:
        return "unknown"
    if not unit:
        return percent(value)
    return f"{value:,.0f} {unit}" if abs(value) >= 100 else f"{value:.3g} {unit}"


def between(estimate: Estimate) -> str:
    """The ends of an estimate's interval: `3.9 to 5.1 %`; empty where there are none."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return ""
    low, high = amount(estimate.low, estimate.unit), amount(estimate.high, estimate.unit)
    mark = f" {estimate.unit or '%'}"
    return f"{low.removesuffix(mark)} to {high}"


def duration(seconds: float) -> str:
    """A span of time as people say it: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h" if seconds < 360_000 else f"{seconds / 3600:,.0f} h"
