"""Example datasets that are built on the user's machine from installed packages."""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from goldseam.dataset.schema import DatasetInfo
from goldseam.errors import InvalidConfig, closest

EXAMPLES = ("coast", "rooms", "closet")


def build_example(name: str, out: Path, **options: Any) -> DatasetInfo:
    """Build an example dataset by name.

    Args:
        name: one of `EXAMPLES`.
        out: folder to make.
        options: of that example's own `build_…` function; what is not given has its default.

    Raises:
        InvalidConfig: there is no such example, or it has no such option.
        MissingExtra: the package that holds its raw data, or draws it, is not installed.
    """
    if name not in EXAMPLES:
        raise InvalidConfig(
            f"there is no example dataset '{name}'.",
            remedy=f"Closest: {closest(name, EXAMPLES)}. Own data: see docs/dataset.md.",
        )
    known = _options(name)
    for key in options:
        if key not in known:
            others = [other for other in EXAMPLES if key in _options(other)]
            elsewhere = f" It is an option of {', '.join(others)}." if others else ""
            raise InvalidConfig(
                f"the example '{name}' has no option '{key}'.",
                remedy=f"Leave it out, or choose of {', '.join(known)}.{elsewhere}",
            )
    return _builder(name)(out, **options)


def _builder(name: str) -> Callable[..., DatasetInfo]:
    module = importlib.import_module(f"goldseam.dataset.examples.{name}")
    build: Callable[..., DatasetInfo] = getattr(module, f"build_{name}")
    return build


def _options(name: str) -> list[str]:
    return [key for key in inspect.signature(_builder(name)).parameters if key != "out"]
