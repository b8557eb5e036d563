"""The version of a dataset folder that DVC tracks: which one it is, and what an older one held.

A folder is tracked when a `.dvc` file or a `dvc.lock` beside it, or in a folder above it up to the
root of the DVC repository, lists it as an output. DVC itself is imported for tracked folders only.
"""

import contextlib
import dataclasses
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from goldseam.errors import DigestMismatch, MissingExtra, MissingInput
from goldseam.storage.atomic import atomic_folder

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem
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


def fetch_revision(path: Path, revision: str, to: Path, *, replace: bool = False) -> Path:
    """Write a folder as it was at a revision of the repository around it.

    Nothing in the repository is touched: files come from DVC's cache, else from its remote, and
    what git tracks comes from git. Each file that DVC tracks is compared with its pinned digest.

    Args:
        path: the folder, inside a git repository; it need not be there now.
        revision: a git commit, tag or branch.
        to: the folder to make.
        replace: whether a folder that is there is replaced.

    Returns:
        `to`.

    Raises:
        MissingInput: `path` stands in no git repository, there is no such revision, the revision
            has no such folder, or its data is neither in the cache nor in the remote.
        DigestMismatch: the cache or the remote holds another content than was pinned.
        MissingExtra: DVC is not installed.
        OutputExists: `to` is there already and `replace` is False.
    """
    path = Path(path).resolve()
    roots = [p for p in path.parents if (p / ".dvc").is_dir() or (p / ".git").exists()]
    # without git DVC would hand out what is there now, whatever revision is named
    if not any((parent / ".git").exists() for parent in roots):
        remedy = "Revisions are those of git: name a folder inside the repository of the data."
        raise MissingInput(path, "stands in no git repository", remedy)
    root = roots[0]
    try:
        from dvc.api import DVCFileSystem
        from dvc.exceptions import DvcException
        from dvc.scm import RevError, SCMError
    except ModuleNotFoundError as error:
        raise MissingExtra("dvc", "demo", f"Fetching revision '{revision}' of {path}") from error
    try:
        # the remote of today: that of an old revision may not have been set up, or have moved since
        files = DVCFileSystem(str(root), rev=revision, remote=_default_remote(root))
        with contextlib.closing(files), atomic_folder(to, replace=replace) as folder:
            _fetch(files, path.relative_to(root).as_posix(), revision, folder)
    except RevError as error:
        remedy = "'git log' lists the commits, 'git tag' the tags; fetch what is missing."
        raise MissingInput(root, f"has no revision '{revision}'", remedy) from error
    except SCMError as error:
        remedy = "Older versions of the data are found by git: name a folder of a git repository."
        raise MissingInput(root, f"cannot be read by git ({error})", remedy) from error
    except DvcException as error:
        what = f"DVC cannot read revision '{revision}' ({error})"
        raise MissingInput(path, what, "Run 'dvc status' for what is wrong.") from error
    return Path(to)


def _default_remote(root: Path) -> str | None:
    from dvc.repo import Repo

    with Repo(str(root), uninitialized=True) as repo:
        return repo.config["core"].get("remote") or None


def _fetch(files: "DVCFileSystem", name: str, revision: str, folder: Path) -> None:
    """Copy what stands below `name` into `folder`, file by file, and check each."""
    from dvc_data.index import DataIndexDirError

    if not files.isdir(name):
        remedy = "Name the folder as it was called then, or a later revision."
        raise MissingInput(name, f"is no folder at revision '{revision}'", remedy)
    missing = MissingInput(
        name,
        f"its data at revision '{revision}' is neither in DVC's cache nor in a remote",
        f"Where the data was made, check out '{revision}' and run 'dvc push'; then run this again.",
    )
    try:
        found: dict[str, Any] = files.find(name, detail=True)
        if not found:
            raise missing
        for file, info in sorted(found.items()):
            target = folder / Path(file).relative_to(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(file, str(target))
            _check_pinned(target, file, info.get("md5"))
    except (FileNotFoundError, DataIndexDirError) as error:
        raise missing from error


def _check_pinned(target: Path, name: str, pinned: str | None) -> None:
    """DVC trusts its cache; we compare (files that git tracks have no digest)."""
    if pinned is None:
        return
    with target.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != pinned:
        raise DigestMismatch(
            name,
            f"md5:{pinned}",
            f"md5:{found}",
            "The cache or the remote is damaged: remove that file from it and fetch it again.",
        )
