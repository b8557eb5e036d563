"""`goldseam dataset import chexpert|chest-xray14|open-images|coco-tags`, as a user types it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from goldseam.dataset.reading import open_dataset
from tests.unit.dataset.formats.tag_files import (
    CHEXPERT_TRAIN,
    CHEXPERT_VALID,
    DESCRIPTIONS,
    NIH,
    OPEN_IMAGES,
)

Run = Callable[..., tuple[int, str, str]]
COCO = {
    "images": [{"id": n, "file_name": f"{n}.jpg", "width": 9, "height": 9} for n in (1, 2)],
    "categories": [{"id": 5, "name": "buoy"}, {"id": 8, "name": "boat"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 8, "bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0}
    ],
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for name, text in {
        "train.csv": CHEXPERT_TRAIN,
        "valid.csv": CHEXPERT_VALID,
        "entries.csv": NIH,
        "labels.csv": OPEN_IMAGES,
        "names.csv": DESCRIPTIONS,
        "instances.json": json.dumps(COCO),
    }.items():
        (folder / name).write_text(text)
    return folder


def counts(text: str, category: str) -> list[int]:
    """Present, absent, unknown and uncertain, from the printed table."""
    rows = [line.replace("│", " ").rsplit(maxsplit=4) for line in text.splitlines()]
    (row,) = [row for row in rows if row and row[0].strip() == category]
    return [int(word) for word in row[1:]]


def test_chexpert_by_folder_and_by_file(goldseam: Run, files: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    code, text, err = goldseam("dataset", "import", "chexpert", files, "--out", whole)
    assert code == 0, err
    assert set(open_dataset(whole).info.splits) == {"train", "validation"}
    # uncertain in two of the five rows
    assert counts(text, "Cardiomegaly") == [1, 0, 4, 2]
    assert goldseam("dataset", "check", whole)[0] == 0
    policies = ("--uncertain", "absent", "--uncertain-of", "Edema=present", "--no-copy")
    code, text, _ = goldseam(
        *("dataset", "import", "chexpert", files / "train.csv", "--out", tmp_path / "one"),
        *policies,
    )
    assert code == 0
    assert counts(text, "Edema") == [2, 0, 2, 2]
    assert counts(text, "Atelectasis") == [0, 2, 2, 2]


def test_chest_xray14_unlisted(goldseam: Run, files: Path, tmp_path: Path) -> None:
    command = ("dataset", "import", "chest-xray14", files / "entries.csv", "--fractions", "1,0,0")
    unlisted = ("--unlisted", "absent-without-findings")
    code, text, err = goldseam(*command, "--out", tmp_path / "x", *unlisted)
    assert code == 0, err
    assert counts(text, "Hernia") == [1, 1, 3, 0]


def test_open_images(goldseam: Run, files: Path, tmp_path: Path) -> None:
    code, text, err = goldseam(
        *("dataset", "import", "open-images", files / "labels.csv", "--out", tmp_path / "o"),
        *("--descriptions", files / "names.csv"),
    )
    assert code == 0, err
    assert open_dataset(tmp_path / "o").info.tasks["tags"].categories[:3] == (
        *("Dog, breed", "Person", "Dog"),
    )
    assert "nobody verified: 2" in text


def test_coco_tags(goldseam: Run, files: Path, tmp_path: Path) -> None:
    command = ("dataset", "import", "coco-tags", files / "instances.json")
    code, text, err = goldseam(*command, "--out", tmp_path / "c", "--unlabeled-is-unknown")
    assert code == 0, err
    assert counts(text, "boat") == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("chexpert", "--uncertain", "perhaps"), "--uncertain"),
        (("chexpert", "--uncertain-of", "Edema"), "has no '='"),
        (("chexpert", "--categories", "Oedema"), "no finding 'Oedema'"),
        (("open-images", "--conflicts", "loud"), "--conflicts"),
    ],
)
def test_wrong_options(
    goldseam: Run, files: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    name, *rest = arguments
    out = tmp_path / "out"
    code, _, err = goldseam("dataset", "import", name, files / "train.csv", "--out", out, *rest)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not out.exists()


def test_closet_by_a_scheme_of_tags(goldseam: Run, tmp_path: Path) -> None:
    command = ("dataset", "build", "closet", "--tiny", "--tasks", "tags")
    scheme = ("--tag-scheme", "{name: uniform, rate: 0.5}")
    assert goldseam(*command, "--out", tmp_path / "c", *scheme)[0] == 0
    code, _, err = goldseam(*command, "--out", tmp_path / "d", "--tag-scheme", "{name: odd}")
    assert code == 2
    assert "--tag-scheme" in err
