"""Example datasets that are built on the user's machine from installed packages."""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic

from goldseam.dataset.schema import DatasetInfo
from goldseam.errors import InvalidConfig, closest

EXAMPLES = ("coast", "rooms", "closet")


def build_example(name: str, out: Path, **options: Any) -> DatasetInfo:
    """Build an example dataset by name.

    Args:
        name: one of `EXAMPLES`.
        out: folder to make.
        options: of that example's own `build_…` function, or plain values as a recipe has them:
            `{"name": "uniform", "rate": 0.2}` for a scheme; what is not given has its default.

    Raises:
        InvalidConfig: there is no such example, or it has no such option, or not with such a value.
        MissingExtra: the package that holds its raw data, or draws it, is not installed.
    """
    if name not in EXAMPLES:
        raise InvalidConfig(
            f"there is no example dataset '{name}'.",
            remedy=f"Closest: {closest(name, EXAMPLES)}. Own data: see docs/dataset.md.",
        )
    known = _options(name)
    given: dict[str, Any] = {}
    for key, value in options.items():
        if key not in known:
            others = [other for other in EXAMPLES if key in _options(other)]
            elsewhere = f" It is an option of {', '.join(others)}." if others else ""
            raise InvalidConfig(
                f"the example '{name}' has no option '{key}'.",
                remedy=f"Leave it out, or choose of {', '.join(known)}.{elsewhere}",
            )
        given[key] = _read(name, key, value, known[key])
    return _builder(name)(out, **given)


def _read(name: str, key: str, value: Any, kind: Any) -> Any:
    """The value of an option as the function that builds takes it."""
    try:
        return pydantic.TypeAdapter(kind).validate_python(value)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, (key, *first["loc"])))
        raise InvalidConfig(
            f"the example '{name}' cannot be built with {key}: {value!r}.",
            remedy=f"Mend {place}: {first['msg']}.",
        ) from error


def _builder(name: str) -> Callable[..., DatasetInfo]:
    module = importlib.import_module(f"goldseam.dataset.examples.{name}")
    build: Callable[..., DatasetInfo] = getattr(module, f"build_{name}")
    return build


def _options(name: str) -> dict[str, Any]:
    """Option → its type."""
    parameters = inspect.signature(_builder(name)).parameters
    return {key: given.annotation for key, given in parameters.items() if key != "out"}
