"""Labels in, findings out, as a user types it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from goldseam.audit.findings import Action, Issue, make_findings, write_findings
from goldseam.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def goldseam(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["goldseam", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


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
