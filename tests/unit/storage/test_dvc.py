"""The revision of a tracked folder: read off the pin, checked against the files, cheap if none."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from goldseam.dataset.reading import open_dataset
from goldseam.errors import DigestMismatch, MissingExtra, MissingInput, OutputExists
from goldseam.storage.dvc import fetch_revision, find_pin, verified_revision
from tests.unit.audit.bays import build

pytest.importorskip("dvc")


def git(folder, *arguments):
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def quiet_dvc(monkeypatch, tmp_path_factory):
    """DVC keeps what it knows about files in a folder of the machine: give it one of the test."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path_factory.mktemp("site")))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")


def new_repository(root, monkeypatch, *, with_git):
    from dvc.repo import Repo

    data = root / "data" / "coast"
    data.mkdir(parents=True)
    (data / "dataset.yaml").write_text("name: coast\n")
    (data / "train.parquet").write_bytes(b"rows")
    if with_git:
        git(root, "init", "-q")
    monkeypatch.chdir(root)
    Repo.init(str(root), no_scm=not with_git).close()
    return data


@pytest.fixture
def added(tmp_path, monkeypatch):
    """A folder tracked by `dvc add`, without git."""
    from dvc.repo import Repo

    data = new_repository(tmp_path, monkeypatch, with_git=False)
    with Repo(str(tmp_path)) as repo:
        repo.add(str(data))
    return data


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A folder made by a stage of dvc.yaml, committed to git."""
    from dvc.repo import Repo

    data = new_repository(tmp_path, monkeypatch, with_git=True)
    (data.parent / "dvc.yaml").write_text(
        "stages:\n  coast:\n    cmd: mkdir coast && echo rows > coast/train.parquet\n"
        "    outs:\n      - coast\n"
    )
    with Repo(str(tmp_path)) as repo:
        repo.reproduce(str(data.parent / "dvc.yaml"))
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "data")
    return data


def test_folder_outside_any_repository_has_no_revision(tmp_path):
    assert verified_revision(tmp_path) is None


def test_untracked_folder_is_told_without_importing_dvc(added):
    other = added.parent / "rooms"
    other.mkdir()
    program = (
        "import sys; from pathlib import Path; from goldseam.storage.dvc import verified_revision;"
        f"assert verified_revision(Path({str(other)!r})) is None;"
        "print(any(name.split('.')[0] == 'dvc' for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False"


def test_added_folder_has_the_pinned_digest(added):
    pin = find_pin(added)
    assert pin.file == added.parent / "coast.dvc"
    revision = verified_revision(added)
    assert revision.startswith("md5:")
    assert revision.removeprefix("md5:") in pin.file.read_text()


def test_relative_path_and_folder_inside_an_output(added, monkeypatch):
    monkeypatch.chdir(added.parent)
    (added / "part").mkdir()
    assert verified_revision(Path("coast")) == verified_revision(added / "part")


def test_changed_folder_is_refused(added):
    (added / "train.parquet").write_bytes(b"other rows")
    with pytest.raises(DigestMismatch, match=r"(?s)expected md5:.*coast\.dvc.*dvc checkout coast"):
        verified_revision(added)


def test_additional_file_is_refused(added):
    (added / "extra.parquet").write_bytes(b"rows")
    with pytest.raises(DigestMismatch):
        verified_revision(added)


def test_stage_output_names_the_commit_that_pinned_it(built):
    commit = git(built, "rev-parse", "--short", "HEAD")
    revision = verified_revision(built)
    assert revision.startswith(f"{commit}:md5:")
    assert revision.endswith(".dir")
    git(built, "commit", "-q", "--allow-empty", "-m", "something else")
    assert verified_revision(built) == revision


def test_uncommitted_pin_names_no_commit(built):
    lock = built.parent / "dvc.lock"
    lock.write_text(lock.read_text() + "# edited\n")
    assert verified_revision(built).startswith("md5:")


def test_changed_stage_output_is_refused(built):
    (built / "train.parquet").write_text("other\n")
    with pytest.raises(DigestMismatch, match="dvc repro"):
        verified_revision(built)


def test_stage_that_never_ran_is_not_pinned(built):
    (built.parent / "dvc.lock").unlink()
    assert verified_revision(built) is None


def test_missing_dvc_names_the_extra(added, monkeypatch):
    monkeypatch.setitem(sys.modules, "dvc.repo", None)
    with pytest.raises(MissingExtra, match=r"goldseam\[demo\]"):
        verified_revision(added)


@pytest.mark.parametrize("text", ["outs: [", "outs: 3", "- 1", "outs:\n- md5: abc"])
def test_broken_dvc_file_is_named(added, text):
    (added.parent / "coast.dvc").write_text(text)
    with pytest.raises(MissingInput, match=r"coast\.dvc"):
        verified_revision(added)


def test_dvc_file_that_dvc_refuses_is_named(added):
    file = added.parent / "coast.dvc"
    file.write_text(file.read_text() + "unheard_of: true\n")
    with pytest.raises(MissingInput, match=r"(?s)coast\.dvc.*dvc status"):
        verified_revision(added)


def test_missing_folder_is_told(added):
    for file in added.iterdir():
        file.unlink()
    added.rmdir()
    with pytest.raises(MissingInput, match="dvc checkout"):
        verified_revision(added)


@pytest.fixture
def versioned(tmp_path, monkeypatch):
    """A real dataset in two versions, both committed."""
    from dvc.repo import Repo

    root = tmp_path / "repository"
    data = new_repository(root, monkeypatch, with_git=True)
    with Repo(str(root)) as repo:
        for number in (12, 8):
            shutil.rmtree(data)
            build(data, training=number)
            repo.add(str(data))
            git(root, "add", "-A")
            git(root, "commit", "-q", "-m", f"{number} training images")
    return data


def cached(data, name):
    """The file of the cache that holds the content of one of the data's files."""
    digest = hashlib.md5((data / name).read_bytes()).hexdigest()
    return data.parents[1] / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]


def test_older_revision_is_written_beside_the_newer_one(versioned, tmp_path):
    out = fetch_revision(versioned, "HEAD~1", tmp_path / "older")
    assert open_dataset(out).info.rows("train") == 12
    assert open_dataset(versioned).info.rows("train") == 8
    assert verified_revision(versioned).startswith(git(versioned, "rev-parse", "--short", "HEAD"))


def test_revision_is_fetched_where_the_folder_is_gone(versioned, tmp_path, monkeypatch):
    shutil.rmtree(versioned)
    monkeypatch.chdir(versioned.parent)
    out = fetch_revision(Path("coast"), "HEAD", tmp_path / "again")
    assert open_dataset(out).info.rows("train") == 8


def test_revision_comes_from_the_remote(versioned, tmp_path):
    from dvc.repo import Repo

    root = versioned.parents[1]
    with Repo(str(root)) as repo, repo.config.edit() as config:
        config["remote"] = {"store": {"url": str(tmp_path / "store")}}
        config["core"] = {"remote": "store"}
    (tmp_path / "store").mkdir()
    shutil.move(root / ".dvc" / "cache" / "files", tmp_path / "store" / "files")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "remote")
    out = fetch_revision(versioned, "HEAD~2", tmp_path / "older")
    assert open_dataset(out).info.rows("train") == 12


@pytest.mark.parametrize(
    ("revision", "name", "message"),
    [
        ("v9", "coast", r"(?s)has no revision 'v9'.*git tag"),
        ("HEAD", "rooms", r"(?s)rooms: is no folder at revision 'HEAD'.*called then"),
    ],
)
def test_unknown_revision_and_folder_are_named(versioned, tmp_path, revision, name, message):
    with pytest.raises(MissingInput, match=message):
        fetch_revision(versioned.with_name(name), revision, tmp_path / "older")
    assert not (tmp_path / "older").exists()


@pytest.mark.parametrize("listing", [True, False])
def test_data_that_is_nowhere_is_told(versioned, tmp_path, monkeypatch, listing):
    if listing:
        cached(versioned, "dataset.yaml").unlink()
    else:
        shutil.rmtree(versioned.parents[1] / ".dvc" / "cache")
        monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    with pytest.raises(MissingInput, match=r"(?s)neither in DVC's cache nor.*dvc push"):
        fetch_revision(versioned, "HEAD", tmp_path / "older")
    assert not (tmp_path / "older").exists()


def test_damaged_cache_is_refused(versioned, tmp_path):
    file = cached(versioned, "dataset.yaml")
    file.chmod(0o644)
    file.write_text("name: other\n")
    with pytest.raises(DigestMismatch, match=r"dataset\.yaml.*md5:"):
        fetch_revision(versioned, "HEAD", tmp_path / "older")
    assert not (tmp_path / "older").exists()


def test_fetching_overwrites_nothing(versioned, tmp_path):
    (tmp_path / "older").mkdir()
    with pytest.raises(OutputExists):
        fetch_revision(versioned, "HEAD", tmp_path / "older")


def test_folder_outside_any_repository_has_no_older_version(tmp_path):
    with pytest.raises(MissingInput, match="no git repository"):
        fetch_revision(tmp_path / "coast", "HEAD", tmp_path / "older")


def test_repository_without_git_has_no_revisions(added, tmp_path):
    with pytest.raises(MissingInput, match="no git repository"):
        fetch_revision(added, "HEAD", tmp_path / "older")


def test_fetching_without_dvc_names_the_extra(versioned, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dvc.api", None)
    with pytest.raises(MissingExtra, match=r"goldseam\[demo\]"):
        fetch_revision(versioned, "HEAD", tmp_path / "older")


def test_a_revision_replaces_another_only_when_told(versioned, tmp_path):
    out = fetch_revision(versioned, "HEAD~1", tmp_path / "older")
    with pytest.raises(OutputExists):
        fetch_revision(versioned, "HEAD", out)
    assert open_dataset(out).info.rows("train") == 12
    fetch_revision(versioned, "HEAD", out, replace=True)
    assert open_dataset(out).info.rows("train") == 8
