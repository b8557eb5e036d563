"""Whatever happens while a folder is filled, its place holds nothing or all of it."""
# ruff: noqa: PT012 (what happens inside the block is what is tested)

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from goldseam.errors import GoldseamError, MissingInput, OutputExists, StorageFull
from goldseam.storage.atomic import (
    atomic_folder,
    copy_folder,
    resumable_folder,
    write_bytes,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def failing(code: int) -> Callable[..., None]:
    def fail(*args: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with atomic_folder(out) as folder:
        assert not out.exists()
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("content")
    assert (out / "sub" / "file").read_text() == "content"
    assert names(out.parent) == ["out"]
    assert out.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_in_the_block_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), atomic_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("half")
        raise error
    assert names(tmp_path) == []


def test_what_is_there_stays_unless_it_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with atomic_folder(out) as folder:
        (folder / "old").touch()
    with pytest.raises(OutputExists), atomic_folder(out):
        pytest.fail("the block must not start")
    with pytest.raises(RuntimeError), atomic_folder(out, replace=True) as folder:
        raise RuntimeError
    assert names(out) == ["old"]
    with atomic_folder(out, replace=True) as folder:
        (folder / "new").touch()
    assert names(out) == ["new"]
    assert names(tmp_path) == ["out"]


def test_what_another_process_made_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(OutputExists), atomic_folder(out):
        out.mkdir()
        (out / "theirs").touch()
    assert names(out) == ["theirs"]
    assert names(tmp_path) == ["out"]


def test_a_failed_replacement_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with atomic_folder(out) as folder:
        (folder / "old").touch()
    whole = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.name.startswith(".out.new-"):
            raise OSError(errno.EIO, "Input/output error")
        return whole(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="Input/output"), atomic_folder(out, replace=True):
        pass
    assert names(out) == ["old"]
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "fsync", failing(code))
    with (
        pytest.raises(StorageFull, match="no space left"),
        atomic_folder(tmp_path / "out") as folder,
    ):
        (folder / "file").write_text("content")
    with pytest.raises(StorageFull):
        write_text(tmp_path / "file", "content")
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_fills_up_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageFull), atomic_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("content")
        Path("/dev/full").write_text("content")
    assert names(tmp_path) == []


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_place_that_refuses_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr("tempfile.mkdtemp", failing(code))
    monkeypatch.setattr("tempfile.mkstemp", failing(code))
    with pytest.raises(MissingInput, match=os.strerror(code)), atomic_folder(tmp_path / "out"):
        pass
    with pytest.raises(MissingInput, match=os.strerror(code)):
        write_text(tmp_path / "file", "content")


def test_a_refused_file_of_the_block_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"source\.png"), atomic_folder(tmp_path / "out"):
        raise PermissionError(errno.EACCES, "Permission denied", "source.png")


def test_a_file_where_a_folder_is_needed_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for write in (
        lambda: write_text(tmp_path / "file" / "x", ""),
        lambda: atomic_folder(tmp_path / "file" / "x").__enter__(),
        lambda: resumable_folder(tmp_path / "file" / "x", "key").__enter__(),
    ):
        with pytest.raises(MissingInput, match="stands where a folder is needed"):
            write()
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not stop root")
def test_a_folder_without_write_permission_is_one_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with (
            pytest.raises(MissingInput, match="Permission denied"),
            atomic_folder(tmp_path / "out"),
        ):
            pass
    finally:
        tmp_path.chmod(0o755)


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "out"):
        (tmp_path / "nowhere").read_text()
    assert names(tmp_path) == []


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "deep" / "file"
    write_bytes(file, b"first")
    assert file.read_bytes() == b"first"
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        write_bytes(file, b"second")
    assert file.read_bytes() == b"first"
    assert names(file.parent) == ["file"]


def test_interrupted_work_is_found_again_under_its_key(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), resumable_folder(out, "key") as folder:
        (folder / "step-1").touch()
        raise KeyboardInterrupt
    assert not out.exists()
    with resumable_folder(out, "key") as folder:
        assert names(folder) == ["step-1"]
        (folder / "step-2").touch()
    assert names(out) == ["step-1", "step-2"]
    assert names(tmp_path) == ["out"]


def test_work_of_another_key_is_discarded(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(RuntimeError), resumable_folder(out, "old") as folder:
        (folder / "step-1").touch()
        raise RuntimeError
    with resumable_folder(out, "new") as folder:
        assert names(folder) == []
        (folder / "other").touch()
    assert names(out) == ["other"]


def test_work_without_a_key_is_discarded(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "step-1").touch()
    with resumable_folder(tmp_path / "out", "key") as folder:
        assert names(folder) == []


def test_finished_work_survives_an_error_of_the_last_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", failing(errno.EIO))
        with pytest.raises(OSError, match="Input/output"), resumable_folder(out, "key") as folder:
            (folder / "all").touch()
    with resumable_folder(out, "key") as folder:
        assert names(folder) == ["all"]


def test_a_full_disk_keeps_the_work_so_far(tmp_path: Path) -> None:
    with pytest.raises(StorageFull), resumable_folder(tmp_path / "out", "key") as folder:
        (folder / "step-1").touch()
        raise OSError(errno.ENOSPC, "No space left on device")
    with resumable_folder(tmp_path / "out", "key") as folder:
        assert names(folder) == ["step-1"]


KILLED = """
import sys, time
from pathlib import Path
from goldseam.storage.atomic import atomic_folder, resumable_folder
out = Path(sys.argv[2])
with (atomic_folder(out) if sys.argv[1] == "atomic" else resumable_folder(out, "key")) as folder:
    (folder / "step-1").write_text("done")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("how", ["atomic", "resumable"])
def test_a_killed_process_leaves_no_output(tmp_path: Path, how: str) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, how, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not out.exists()
    if how == "atomic":
        with atomic_folder(out) as folder:
            assert names(folder) == []
    else:
        with resumable_folder(out, "key") as folder:
            assert (folder / "step-1").read_text() == "done"
    assert out.is_dir()


def test_a_copy_is_whole_and_replaces_what_was_there(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with atomic_folder(source) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("content")
    target.mkdir()
    (target / "old").touch()
    copy_folder(source, target)
    assert names(target) == ["sub"]
    assert (target / "sub" / "file").read_text() == "content"
    # a later rewrite of one of the two leaves the other alone
    write_text(target / "sub" / "file", "changed")
    assert (source / "sub" / "file").read_text() == "content"


def test_a_copy_works_where_links_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("content")
    monkeypatch.setattr(os, "link", failing(errno.EXDEV))
    copy_folder(source, tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "content"


def test_every_error_for_the_user_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(GoldseamError) as caught, atomic_folder(tmp_path / "out"):
        pass
    assert "--out" in caught.value.remedy
