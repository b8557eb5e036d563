"""Example datasets that are built on the user's machine from installed packages."""

from pathlib import Path
from typing import Any

from goldseam.dataset.schema import DatasetInfo
from goldseam.errors import InvalidConfig, closest

EXAMPLES = ("coast",)


def build_example(name: str, out: Path, **options: Any) -> DatasetInfo:
    """Build an example dataset by name.

    Args:
        name: one of `EXAMPLES`.
        out: folder to make.
        options: of that example's own `build_…` function.

    Raises:
        InvalidConfig: there is no such example, or it has no such option.
        MissingExtra: the package that holds its raw data is not installed.
    """
    if name not in EXAMPLES:
        raise InvalidConfig(
            f"there is no example dataset '{name}'.",
            remedy=f"Closest: {closest(name, EXAMPLES)}. Own data: see docs/dataset.md.",
        )
    import inspect

    from goldseam.dataset.examples.coast import build_coast

    known = [key for key in inspect.signature(build_coast).parameters if key != "out"]
    for key in options:
        if key not in known:
            raise InvalidConfig(
                f"the example '{name}' has no option '{key}'.",
                remedy=f"Closest: {closest(key, known)}.",
            )
    return build_coast(out, **options)
