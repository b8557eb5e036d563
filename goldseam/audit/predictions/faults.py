"""What can be wrong with predictions that somebody hands over."""

from collections.abc import Iterable

from goldseam.errors import GoldseamError, InvalidConfig

SEE_FORMAT = "docs/audit.md describes the format of predictions."


class InvalidPredictions(GoldseamError):
    """Predictions break their format or do not fit the dataset; names file, row and column."""


class NothingToPredict(InvalidConfig):
    """No task of the dataset can be predicted out of fold: an audit does without."""


def listed(names: Iterable[object], limit: int = 8) -> str:
    """Some names in a sentence, such as `'a', 'b' and 3 more`."""
    words = [f"'{name}'" for name in names]
    if len(words) <= limit:
        return ", ".join(words) or "none"
    return f"{', '.join(words[:limit])} and {len(words) - limit} more"
