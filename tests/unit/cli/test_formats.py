"""Labels in, findings out, as a user types it."""

import json
from pathlib import Path

import pytest

from goldseam.audit.findings import Action, Issue, make_findings, write_findings
from goldseam.storage.atomic import copy_folder
from tests.unit.conftest import Run


def test_import_check_and_findings(goldseam: Run, tmp_path: Path) -> None:
    labels, out = tmp_path / "labels.csv", tmp_path / "out"
    labels.write_text("image,site,boat,pier\na,n,1,\nb,s,maybe,0\n")
    code, _, err = goldseam("dataset", "import", "csv", labels, "--out", out, "--meta", "site")
    assert code == 2
    assert "column 'boat', row 2: 'maybe'" in err
    command = ("dataset", "import", "csv", labels, "--out", out, "--meta", "site")
    code, text, _ = goldseam(*command, "--value", "maybe=unknown")
    assert code == 0
    assert "2 train; tasks tags" in text
    code, text, _ = goldseam("dataset", "check", out)
    assert text.endswith("no problem found; 2 images are stored without their picture\n")

    audit = tmp_path / "audit"
    audit.mkdir()
    found = make_findings(
        image_id=["a"],
        split="train",
        group=["a"],
        task="tags",
        issue=Issue.WRONG_TAG,
        action=Action.RELABEL,
        score=[0.5],
        evidence=["It is not there."],
        category="boat",
        given="present",
        suggested="absent",
    )
    write_findings(found, audit)
    tasks = tmp_path / "tasks.json"
    code, text, _ = goldseam(
        "findings", audit, "--format", "label-studio", "--out", tasks, "--dataset", out
    )
    assert (code, text) == (
        0,
        f"wrote {tasks}\nlabeling configuration {tmp_path / 'tasks.xml'}\n",
    )
    assert json.loads(tasks.read_text())[0]["data"]["image"] == "a"
    code, _, err = goldseam("findings", audit, "--out", tmp_path / "x.csv", "--task", "tag")
    assert code == 2
    assert "Closest: tags" in err


def test_import_coco_says_what_it_left_out(goldseam: Run, tmp_path: Path) -> None:
    body = {
        "images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}],
        "categories": [{"id": 1, "name": "boat"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 20, 2]},
            {"id": 2, "image_id": 1, "category_id": 1, "bbox": None},
        ],
    }
    labels, out = tmp_path / "labels.json", tmp_path / "out"
    labels.write_text(json.dumps(body))
    command = ("dataset", "import", "coco", labels, "--out", out)
    code, _, err = goldseam(*command)
    assert code == 2
    assert "annotation 2: bbox None" in err
    code, text, _ = goldseam(*command, "--skip-faulty")
    assert code == 0
    assert "left out: 1 with bbox of no numbers" in text
    assert "clipped: 1" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "one file, or one for each split"),
        (("a.csv", "--train", "b.csv"), "one file, or one for each split"),
        (("a.csv", "--fractions", "a,b"), "no numbers"),
        (("a.csv", "--fractions", "0.5,0.1"), "three shares"),
        (("a.csv", "--value", "x"), "has no '='"),
        (("a.csv", "--value", "x=perhaps"), "--value"),
        (("a.csv", "--uncertain", "maybe"), "--uncertain"),
        (("a.csv",), "a.csv"),
    ],
)
def test_bad_options_are_one_message(
    goldseam: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = goldseam("dataset", "import", "csv", *arguments, "--out", "out")
    assert code == 2
    assert message in err
    assert "fix:" in err
    assert not list(tmp_path.iterdir())


def test_another_revision_takes_the_place_of_the_one_fetched_before(
    goldseam: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--out` is the same, the revision is not: the drift must be that of the one asked for."""
    from goldseam.cli.audits import _earlier
    from goldseam.dataset.reading import open_dataset
    from goldseam.errors import OutputExists

    made = {}
    for name, line in (("v1", "a,1\n"), ("v2", "a,0\n"), ("now", "a,1\nb,0\n")):
        labels = tmp_path / f"{name}.csv"
        labels.write_text("image,boat\n" + line)
        assert goldseam("dataset", "import", "csv", labels, "--out", tmp_path / name)[0] == 0
        made[name] = open_dataset(tmp_path / name)

    def fetch(path: Path, revision: str, to: Path, *, replace: bool = False) -> Path:
        copy_folder(tmp_path / revision, to)
        return to

    monkeypatch.setattr("goldseam.storage.dvc.fetch_revision", fetch)
    for revision in ("v1", "v2"):
        found = _earlier(made["now"], None, revision, tmp_path / "out")
        assert found is not None
        assert found.info.digest == made[revision].info.digest
    (tmp_path / "else-against").mkdir()
    with pytest.raises(OutputExists, match="no earlier version"):
        _earlier(made["now"], None, "v1", tmp_path / "else")


@pytest.mark.parametrize(
    "two",
    [
        ("--predictions", "x.csv", "--checkpoint", "x"),
        ("--against", "x", "--against-revision", "x"),
    ],
)
def test_an_audit_is_told_one_thing_once(goldseam: Run, tmp_path: Path, two: tuple[str]) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("image,boat\na,1\n")
    code, _, err = goldseam("audit", labels, "--out", tmp_path / "out", *two)
    assert code == 2
    assert two[0] in err
    assert "Give one of them." in err
    # before anything is made
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]
