"""What a published multi-task folder is to the importer: its scenes, tasks, pictures and labels.

One class a layout implements `Layout`; `importing` turns any of them into a dataset.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from goldseam.dataset.codecs import Array
from goldseam.dataset.schema import Derivation, Task
from goldseam.errors import InvalidDataset, MissingInput

# the published sets have two parts; what they call val is what their tables are computed on
Part = Literal["train", "val"]
PARTS: tuple[Part, ...] = ("train", "val")
NO_FILE = "there is no file"
NOTHING_KNOWN = "no pixel of the file is known"
SKIP = "Mend or fetch the file again, or count such files and leave them out with --skip-faulty."


@dataclasses.dataclass(frozen=True)
class Scene:
    """One image of the published set.

    Attributes:
        image_id: in the dataset.
        name: of its files, without the ending; unique in its part.
        part: which half of the published set it stands in.
    """

    image_id: str
    name: str
    part: Part


@dataclasses.dataclass(frozen=True)
class Unknown:
    """A label that is not known, and why; the reasons are counted and reported."""

    why: str


class FaultyFile(InvalidDataset):
    """A file of a published set that does not hold what its layout says.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, found: str, expected: str = "", remedy: str = SKIP) -> None:
        super().__init__(
            f"{path}: {found}" + (f", expected {expected}." if expected else "."), remedy=remedy
        )
        self.path = path


class Layout(Protocol):
    """A published folder; see the module."""

    @property
    def name(self) -> str:
        """Of the set, also the dataset's where none is given."""

    @property
    def root(self) -> Path:
        """The folder."""

    @property
    def source(self) -> str:
        """One line on where images and labels come from."""

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Name → task."""

    @property
    def mask_columns(self) -> Sequence[str]:
        """Tasks in the order of the columns of the published label masks."""

    @property
    def makers(self) -> Mapping[str, str]:
        """Task → who made the labels."""

    @property
    def derivations(self) -> Sequence[Derivation]:
        """What the labels of one task say about another."""

    @property
    def notes(self) -> Sequence[str]:
        """What a person should know, one sentence each."""

    def scenes(self, part: Part) -> list[Scene]:
        """The images of a part, in the order of the rows of the published label masks."""

    def image(self, scene: Scene) -> tuple[Array | bytes, tuple[int, int]]:
        """The picture, `uint8 HW3` or encoded, and its width and height in px.

        Raises:
            MissingInput: it is not there.
            FaultyFile: it is no picture.
        """

    def label(self, scene: Scene, task: str, size: tuple[int, int]) -> Array | Unknown:
        """The label as `codecs` has it.

        Raises:
            FaultyFile: the file is there and does not hold such a label.
        """

    def file(self, scene: Scene, task: str) -> Path:
        """Where a label stands, for messages."""


def listed_scenes(path: Path, part: Part) -> list[Scene]:
    """The scenes that a text file names, one a line.

    Raises:
        MissingInput: the file cannot be read.
        InvalidDataset: a name leads out of the folder or stands twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise MissingInput(
            path,
            f"the list of images cannot be read ({error.strerror})",
            "Name the folder in which the published archive was unpacked.",
        ) from error
    except UnicodeDecodeError as error:
        raise FaultyFile(path, "bytes that are no text", "one name a line") from error
    names = [line.strip() for line in lines if line.strip()]
    for row, name in enumerate(names, 1):
        # a list that somebody sends must not make us read his choice of our files
        if "/" in name or "\\" in name or name.startswith("."):
            raise FaultyFile(path, f"row {row}: {name!r} is no name of an image", "a bare name")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FaultyFile(path, f"'{twice}' stands there twice", "each image once")
    return [Scene(name, name, part) for name in names]


def require_folder(root: Path) -> None:
    """Raises MissingInput when there is no such folder."""
    if not root.is_dir():
        raise MissingInput(
            root, "is no folder", "Name the folder in which the published archive was unpacked."
        )
