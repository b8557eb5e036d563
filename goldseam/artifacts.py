"""What stages hand on: digests, results, and the folders they stand in.

Every stage is `stage(config, inputs…, out) -> Result`. A result is a frozen dataclass, and the file
`result.json` in `out` says the same. Its `key` names everything it was made from, its `digest` what
came out: equal keys give equal digests.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import pydantic

from goldseam.errors import MissingInput, OutputExists
from goldseam.storage.atomic import write_text

RESULT_FILE = "result.json"


class StageConfig(pydantic.BaseModel):
    """Base of every stage's options: frozen, typed, and no unknown key passes."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no blanks: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, pydantic.BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} has no canonical JSON form")


def digest_of(value: Any) -> str:
    """SHA-256 of a value's canonical JSON, as `sha256:…`."""
    return "sha256:" + hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as `sha256:…`."""
    try:
        with path.open("rb") as stream:
            return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise MissingInput(path, f"cannot be read ({error.strerror})") from error


def digest_folder(folder: Path) -> str:
    """SHA-256 over the names and contents of all files below `folder`.

    Raises:
        MissingInput: there is no such folder, or a file in it cannot be read.
    """
    if not folder.is_dir():
        raise MissingInput(folder, "is no folder")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest_of({path.relative_to(folder).as_posix(): digest_file(path) for path in files})


# stage → its room; the other rooms are ground floor, which every stage stands on
ROOMS = {
    "validate": "audit",
    "audit": "audit",
    "crossfit": "audit",
    "measure": "audit",
    "pretrain": "pretraining",
    "train": "multitask",
    "distil": "multitask",
    "affinity": "multitask",
    "finetune": "finetuning",
    "evaluate": "evaluation",
    "promote": "registry",
    "publish": "dashboard",
    "predict": "prediction",
    "export": "export",
}
PAGES = "page"
DECIDES_NOTHING = frozenset(
    {"__main__.py", "cli", "cli.py", "recipe", "progress.py", "tracking.py"}
)


@functools.cache
def code_digest(stage: str) -> str:
    """Digest of the source a stage runs: a result made by other code is never taken for ours.

    It leaves out the rooms of the other stages, and what decides no result.
    """
    root = Path(__file__).parent
    foreign = DECIDES_NOTHING | (set(ROOMS.values()) - {ROOMS.get(stage)})
    if stage not in ("affinity", "audit", "publish"):
        foreign |= {PAGES}
    # templates and tables are source as well; what Python compiles is not
    files = sorted(
        path
        for path in root.rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and path.relative_to(root).parts[0] not in foreign
    )
    return digest_of({path.relative_to(root).as_posix(): digest_file(path) for path in files})


def stage_key(stage: str, config: StageConfig, **inputs: str) -> str:
    """Digest of everything a stage depends on: its name, our code, its options, its inputs.

    Args:
        stage: the name of the stage.
        config: its options.
        inputs: the digest of each input.
    """
    return digest_of(
        {"stage": stage, "code": code_digest(stage), "config": config, "inputs": inputs}
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What a stage produced; written as `result.json`.

    Attributes:
        key: digest of what it was made from (`stage_key`).
        digest: digest of what it is, free of times and paths.
        folder: where it stands; not written.
    """

    stage: ClassVar[str]
    key: str
    digest: str
    folder: Path = dataclasses.field(default=Path(), compare=False)

    def write(self, folder: Path) -> Self:
        """Write `result.json` into `folder`; returns the result as standing there."""
        body = pydantic.TypeAdapter(type(self)).dump_python(self, mode="json")
        del body["folder"]
        text = json.dumps({"stage": self.stage, **body}, indent=1, allow_nan=False)
        write_text(folder / RESULT_FILE, text + "\n")
        return dataclasses.replace(self, folder=folder)

    def at(self, folder: Path) -> Self:
        """The same result after its folder was moved."""
        return dataclasses.replace(self, folder=folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read `result.json` from a stage's output folder.

        Raises:
            MissingInput: there is none, or it is another stage's.
        """
        path = Path(folder) / RESULT_FILE
        body = _read_body(path)
        if body is None:
            raise MissingInput(path, "is no result of a stage", f"Run '{cls.stage}' first.")
        if body.pop("stage") != cls.stage:
            raise MissingInput(path, f"is not a result of '{cls.stage}'")
        try:
            return pydantic.TypeAdapter(cls).validate_python({**body, "folder": Path(folder)})
        except pydantic.ValidationError as error:
            raise MissingInput(
                path,
                f"is a result of '{cls.stage}' of another version of goldseam",
                f"Run '{cls.stage}' again, with another --out.",
            ) from error

    @classmethod
    def completed(cls, out: Path, key: str) -> Self | None:
        """The result at `out` when it was made from the same key; None when nothing is there.

        Raises:
            OutputExists: something else stands at `out`.
        """
        if not out.exists():
            return None
        try:
            result = cls.read(out)
        except MissingInput as error:
            raise OutputExists(out, f"it holds no result of '{cls.stage}'") from error
        if result.key != key:
            raise OutputExists(out, "it was made from other inputs or options")
        return result


def _read_body(path: Path) -> dict[str, Any] | None:
    """The content of a `result.json`; None where it cannot be read or is none of ours."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return body if isinstance(body, dict) and isinstance(body.get("stage"), str) else None


def iterate_results(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every (stage, folder) below `folder` that holds a result."""
    for path in sorted(folder.rglob(RESULT_FILE)):
        if (body := _read_body(path)) is not None:
            yield body["stage"], path.parent
