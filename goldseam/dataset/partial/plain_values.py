"""Numbers, texts, lists, dictionaries and arrays out of a pickle that is read and never run.

A pickle is a program that may import and call anything. `read_pickle` looks at its opcodes and
builds plain values itself; a name in it stays a text. NumPy's own classes are not built either:
their states, which a file sets, say where in memory an array's objects lie.
"""

import dataclasses
import math
import pickletools
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

# numbers and texts of a fixed size, as a dtype's first argument names them; object apart
CODE = re.compile(r"b1|[iu][1248]|f[248]|[US]\d{1,4}")
OBJECT = "O8"
# one list may be named again and again, so that a short file means very many values
LARGEST = 10_000_000


class UnreadContent(ValueError):
    """A pickle holds something that is no plain value."""


class PickledDtype:
    """What a pickle says about a dtype; of its arguments only the first counts.

    Args:
        code: such as `f8`.
    """

    def __init__(self, code: object, *_: object) -> None:
        self.code = code
        self.order = "="

    def __setstate__(self, state: Sequence[Any]) -> None:
        self.order, parts, names, fields = state[1:5]
        if (parts, names, fields) != (None, None, None):
            raise UnreadContent("it holds arrays of records")

    def array(self, data: Any) -> np.ndarray[Any, np.dtype[Any]]:
        """Numbers or texts of some bytes; never objects."""
        if self.order not in ("<", ">", "=", "|") or not CODE.fullmatch(str(self.code)):
            raise UnreadContent(f"it holds an array of {self.order}{self.code}")
        # Python 2 wrote bytes as a text
        stored = data.encode("latin1") if isinstance(data, str) else bytes(data)
        found = np.frombuffer(stored, f"{self.order}{self.code}")
        # NumPy does not look whether letters are letters
        if found.dtype.kind == "U" and (
            np.frombuffer(stored, f"{self.order}u4").max(initial=0) > sys.maxunicode
        ):
            raise UnreadContent("it holds a text that is none")
        return found


class PickledArray:
    """What a pickle says about an array; its state says all of it, its arguments nothing."""

    def __init__(self, *_: object) -> None:
        self.state: tuple[Any, ...] | None = None

    def __setstate__(self, state: Sequence[Any]) -> None:
        shape, kind, fortran, data = state[-4:]
        if not isinstance(kind, PickledDtype):
            raise UnreadContent("an array has no dtype")
        self.state = tuple(shape), kind, bool(fortran), data

    def plain(self, plain: Callable[[Any], Any]) -> Any:
        """The array; its objects are made by `plain`."""
        if self.state is None:
            raise UnreadContent("an array has no content")
        shape, kind, fortran, data = self.state
        order: Any = "F" if fortran else "C"
        if kind.code != OBJECT:
            return kind.array(data).reshape(shape, order=order).copy()
        if not isinstance(data, list) or len(data) != math.prod(shape):
            raise UnreadContent("an array has another number of objects than its shape")
        found = np.empty(len(data), object)
        for at, value in enumerate(data):
            found[at] = plain(value)
        return found.reshape(shape, order=order)


class PickledNumber:
    """What a pickle says about one number or text of NumPy.

    Args:
        kind: its dtype.
        data: its bytes.
    """

    def __init__(self, kind: PickledDtype, data: Any) -> None:
        self.kind, self.data = kind, data

    def plain(self, _: Callable[[Any], Any]) -> Any:
        """The number or text."""
        (value,) = self.kind.array(self.data).tolist()
        return value


def latin_bytes(text: str, encoding: str) -> bytes:
    """How old pickles write bytes.

    Raises:
        UnreadContent: another encoding is named.
    """
    if encoding != "latin1":
        raise UnreadContent(f"it names the codec {encoding}")
    return text.encode("latin1")


# what stands for NumPy's own, under the names of its first and second version
STAND_INS: Mapping[str, Callable[..., Any]] = {
    "numpy.dtype": PickledDtype,
    "numpy.ndarray": PickledArray,
    **{
        f"{package}.multiarray.{name}": stand_in
        for package in ("numpy.core", "numpy._core")
        for name, stand_in in (("_reconstruct", PickledArray), ("scalar", PickledNumber))
    },
}


def _refused(value: Any) -> Any:
    raise UnreadContent(f"it holds {type(value).__name__}")


def plain_values(found: Any, other: Callable[[Any], Any] = _refused) -> Any:
    """Stand-ins inside of lists, tuples and dictionaries as the arrays and numbers they mean.

    Args:
        found: what a reader built.
        other: what becomes of a value of any other class.

    Raises:
        UnreadContent: something is no plain value, or there are too many.
    """
    many = 0

    def plain(value: Any) -> Any:
        nonlocal many
        many += 1
        if many > LARGEST:
            raise UnreadContent(f"it holds more than {LARGEST:,} values")
        if isinstance(value, PickledArray | PickledNumber):
            return value.plain(plain)
        if isinstance(value, dict):
            return {plain(key): plain(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [plain(one) for one in value]
        if value is None or isinstance(value, bool | int | float | str | bytes | np.ndarray):
            return value
        return other(value)

    return plain(found)


def read_pickle(content: bytes) -> Any:
    """The plain value that a pickle holds; nothing that it names is imported or called.

    Raises:
        UnreadContent: it holds something else.
        Exception: it is damaged; what is raised then depends on where.
    """
    machine = _Stack()
    for opcode, argument, _ in pickletools.genops(content):
        machine.step(opcode.name, argument)
    (found,) = machine.values
    return plain_values(found)


@dataclasses.dataclass(frozen=True)
class _Name:
    """A name in a pickle: a text that is looked up in `STAND_INS` and nowhere else."""

    text: str


_ARGUMENTS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple,
}  # fmt: skip
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Stack:
    """The stack and memory of a pickle's opcodes; see the module pickletools for their meaning."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.marks: list[int] = []
        self.memory: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Do what an opcode says, where it makes or places a plain value."""
        values = self.values
        if name in _ARGUMENTS:
            values.append(argument)
        elif name in _CONSTANTS:
            values.append(_CONSTANTS[name])
        elif name in _EMPTY:
            values.append(_EMPTY[name]())
        elif name in _TUPLES:
            values.append(tuple(self._last(_TUPLES[name])))
        elif name == "MARK":
            self.marks.append(len(values))
        elif name in ("TUPLE", "LIST"):
            values.append((tuple if name == "TUPLE" else list)(self._marked()))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memory[len(self.memory) if name == "MEMOIZE" else argument] = values[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            values.append(self.memory[argument])
        elif name not in ("PROTO", "FRAME", "STOP"):
            self._join(name, argument)

    def _join(self, name: str, argument: Any) -> None:
        """Opcodes that put values together."""
        if name in ("APPEND", "APPENDS"):
            more = self._last(1) if name == "APPEND" else self._marked()
            self._top(list).extend(more)
        elif name in ("SETITEM", "SETITEMS"):
            self._set(self._last(2) if name == "SETITEM" else self._marked())
        elif name == "DICT":
            pairs = self._marked()
            self.values.append({})
            self._set(pairs)
        elif name == "GLOBAL":
            self._name(argument.replace(" ", "."))
        elif name == "STACK_GLOBAL":
            self._name(".".join(self._last(2)))
        elif name == "REDUCE":
            named, arguments = self._last(2)
            self.values.append(_stand_in(named, arguments))
        elif name == "BUILD":
            (state,) = self._last(1)
            self._top(PickledArray, PickledDtype).__setstate__(state)
        else:
            raise UnreadContent(f"it holds the opcode {name}")

    def _name(self, text: str) -> None:
        if text not in STAND_INS and text != "_codecs.encode":
            raise UnreadContent(f"it names {text}")
        self.values.append(_Name(text))

    def _last(self, count: int) -> list[Any]:
        found = self.values[-count:]
        if len(found) < count:
            raise UnreadContent("a value is missing")
        del self.values[-count:]
        return found

    def _marked(self) -> list[Any]:
        return self._last(count) if (count := len(self.values) - self.marks.pop()) else []

    def _top(self, *kinds: type) -> Any:
        if not isinstance(self.values[-1], kinds):
            raise UnreadContent(f"it changes {type(self.values[-1]).__name__}")
        return self.values[-1]

    def _set(self, pairs: Sequence[Any]) -> None:
        self._top(dict).update(zip(pairs[::2], pairs[1::2], strict=True))


def _stand_in(named: Any, arguments: Any) -> Any:
    if not isinstance(named, _Name) or not isinstance(arguments, tuple):
        raise UnreadContent(f"it calls {type(named).__name__}")
    if named.text == "_codecs.encode":
        return latin_bytes(*arguments)
    return STAND_INS[named.text](*arguments)
