"""The version of a dataset folder that DVC tracks, read off the pin and checked against the files.

A folder is tracked when a `.dvc` file or a `dvc.lock` beside it, or in a folder above it up to the
root of the DVC repository, lists it as an output. DVC itself is imported for tracked folders only.
"""

import dataclasses
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from goldseam.errors import DigestMismatch, MissingExtra, MissingInput

if TYPE_CHECKING:
    from dvc.output import Output


@dataclasses.dataclass(frozen=True)
class Pin:
    """Where DVC wrote down what an output holds.

    Attributes:
        root: of the DVC repository.
        file: the `.dvc` file or `dvc.lock` that pins the output.
        output: the folder or file that is tracked.
    """

    root: Path
    file: Path
    output: Path

    @property
    def definition(self) -> Path:
        """The file that DVC loads the output from."""
        return self.file.with_name("dvc.yaml") if self.file.name == "dvc.lock" else self.file


def verified_revision(path: Path) -> str | None:
    """The revision of a folder that DVC tracks, after checking that it holds just that.

    Args:
        path: a dataset folder, or a folder inside a tracked one.

    Returns:
        `<commit>:md5:<digest>`, such as `1a2b3c4:md5:9f…e0.dir`, where the commit is the last that
        changed the pin; without the commit where there is no git, or the pin is not committed. None
        when the folder is not tracked, or tracked but not yet pinned.

    Raises:
        DigestMismatch: the folder's content differs from the pin.
        MissingExtra: the folder is tracked and DVC is not installed.
        MissingInput: DVC cannot read its files, or the folder's.
    """
    pin = find_pin(Path(path))
    if pin is None:
        return None
    pinned, found = _digests(pin)
    if pinned is None:
        return None
    if pinned != found:
        raise DigestMismatch(
            pin.output,
            f"md5:{pinned} (pinned in {pin.file})",
            f"md5:{found}",
            f"Restore the pinned data: 'dvc checkout {pin.output.name}', or 'dvc repro' where a "
            "stage makes it. If the change is meant, pin it: 'dvc commit'.",
        )
    commit = _last_commit(pin.file)
    return f"{commit}:md5:{pinned}" if commit else f"md5:{pinned}"


def find_pin(path: Path) -> Pin | None:
    """Where `path` is pinned; None when it is not tracked. Reads small YAML files only."""
    path = path.resolve()
    root = next((parent for parent in path.parents if (parent / ".dvc").is_dir()), None)
    if root is None:
        return None
    for folder in path.parents:
        for file in [*sorted(folder.glob("*.dvc")), folder / "dvc.lock"]:
            if file.is_file():
                for output in _outputs(file):
                    if path == output or output in path.parents:
                        return Pin(root, file, output)
        if folder == root:
            break
    return None


def _outputs(file: Path) -> Iterator[Path]:
    """The outputs that a `.dvc` file or `dvc.lock` lists."""
    try:
        body: Any = yaml.safe_load(file.read_text()) or {}
        entries = [body] if file.suffix == ".dvc" else (body.get("stages") or {}).values()
        paths = [
            file.parent / entry.get("wdir", ".") / out["path"]
            for entry in entries
            for out in entry.get("outs") or ()
        ]
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise MissingInput(file, f"is no file of DVC ({error})", "Run 'dvc status'.") from error
    return (path.resolve() for path in paths)


def _digests(pin: Pin) -> tuple[str | None, str]:
    """The MD5 that is pinned (None when there is none yet), and the one that the content has."""
    try:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
    except ModuleNotFoundError as error:
        raise MissingExtra("dvc", "demo", f"Checking the data that {pin.file} pins") from error
    try:
        with Repo(str(pin.root)) as repo:
            stages = repo.stage.load_all(str(pin.definition))
            outputs: list[Output] = [out for stage in stages for out in stage.outs]
            for out in outputs:
                if Path(out.fs_path).resolve() == pin.output:
                    if not out.hash_info:
                        return None, ""
                    return str(out.hash_info.value), str(out.get_hash().value)
    except (DvcException, OSError) as error:
        raise MissingInput(
            pin.output,
            f"DVC cannot compare it with {pin.file} ({error})",
            "Run 'dvc status' for what is wrong, and 'dvc checkout' or 'dvc repro' to mend it.",
        ) from error
    return None, ""


def _last_commit(file: Path) -> str | None:
    """Short hash of the commit that last changed `file`; None without one, or if edited since."""
    if shutil.which("git") is None:
        return None

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *arguments, "--", file.name],
            cwd=file.parent,
            capture_output=True,
            text=True,
            check=False,
        )

    commit = git("log", "-1", "--format=%h").stdout.strip()
    return commit if commit and git("diff", "--quiet", "HEAD").returncode == 0 else None
