"""Writing that leaves either nothing or a complete output.

A folder is filled under a temporary name beside its place, flushed to disk, and renamed. A folder
that is filled over a long time (training) keeps its temporary name across restarts.
"""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from goldseam.errors import GoldseamError, Interrupted, MissingInput, OutputExists, StorageFull

FULL = {errno.ENOSPC, errno.EDQUOT}
# what the user can mend by naming another place or changing permissions
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull(path) from error
        if error.errno in REFUSED:
            # the block may have failed on another file than the one it was to write
            raise MissingInput(
                error.filename or path,
                f"cannot be read or written ({error.strerror})",
                "Change its permissions, or choose another --out.",
            ) from error
        raise


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        remedy = "Choose another --out, or move that file away."
        raise MissingInput(error.filename, "stands where a folder is needed", remedy) from error


def _flush(folder: Path) -> None:
    """Ask the disk to keep every file below `folder`, and the names of those files."""
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            _flush_one(path)


def _flush_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_into_place(folder: Path, out: Path, *, replace: bool) -> None:
    _flush(folder)
    if out.exists() and replace:
        # rename cannot replace a folder that is not empty: step aside first, remove last
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.old-", dir=out.parent))
        out.rename(aside / out.name)
        try:
            folder.rename(out)
        except OSError:
            (aside / out.name).rename(out)
            raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    else:
        try:
            folder.rename(out)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR) and out.exists():
                raise OutputExists(out, "it was made meanwhile and is not overwritten") from error
            raise
    _flush_one(out.parent)


def require_place(out: Path, marker: str, *, replace: bool) -> None:
    """Refuse early a place that is taken, or that holds something else than is to be replaced.

    Args:
        out: folder to make.
        marker: file that every output of this kind has.
        replace: whether such an output is replaced.

    Raises:
        OutputExists: `out` is there, and is not to be replaced or has no such file.
    """
    if out.exists() and not replace:
        raise OutputExists(out, "it is overwritten only with --replace")
    if out.exists() and not (out / marker).is_file():
        raise OutputExists(out, f"it holds no {marker}, and so is not replaced")


@contextlib.contextmanager
def atomic_folder(out: Path, *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder that becomes `out` when the block ends without an error.

    Raises:
        OutputExists: `out` is there and `replace` is False.
        StorageFull: the disk filled up; the temporary folder has been removed.
    """
    out = Path(out)
    if out.exists() and not replace:
        raise OutputExists(out, "it is not overwritten")
    with _disk_errors(out):
        _make_folder(out.parent)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.new-", dir=out.parent))
        folder.chmod(0o755)
        try:
            yield folder
            _move_into_place(folder, out, replace=replace)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def partial_folder(out: Path) -> Path:
    """Where `resumable_folder` keeps the work for `out` until it is complete."""
    return out.with_name(out.name + ".partial")


@contextlib.contextmanager
def resumable_folder(out: Path, key: str) -> Iterator[Path]:
    """Like `atomic_folder`, but what an interrupted block leaves is found again by the next one.

    Args:
        out: the final place; the work stands in `out` + ".partial" until the block ends.
        key: digest of everything the work depends on; work begun under another key is discarded.

    Raises:
        StorageFull: the disk filled up; the work so far is kept.
        Interrupted: the block was asked to end; the work so far is kept.
        MissingInput: the place cannot be written.
    """
    partial = partial_folder(out)
    # beside the folder, since inside it would have to be removed before the folder is complete
    stamp = out.with_name(out.name + ".partial.key")
    with _disk_errors(out):
        _make_folder(out.parent)
        if not (stamp.is_file() and stamp.read_text() == key):
            # in this order a kill never leaves a stamp on work that is not its own
            stamp.unlink(missing_ok=True)
            if partial.exists():
                shutil.rmtree(partial)
            write_text(stamp, key)
        _make_folder(partial)
        try:
            yield partial
        except (StorageFull, Interrupted):
            raise
        except GoldseamError:
            # bad input: the same call can only fail again, so there is nothing to go on with
            shutil.rmtree(partial)
            stamp.unlink()
            raise
        _move_into_place(partial, out, replace=True)
        stamp.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with _disk_errors(path):
        _make_folder(path.parent)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """Write a text file whole or not at all."""
    write_bytes(path, content.encode())


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder, by hard links where the file system allows; `target` is replaced whole."""

    def link_or_copy(from_: str, to: str) -> str:
        try:
            os.link(from_, to)
        except OSError:
            shutil.copy2(from_, to)
        return to

    with atomic_folder(target, replace=True) as folder:
        shutil.copytree(source, folder, copy_function=link_or_copy, dirs_exist_ok=True)
