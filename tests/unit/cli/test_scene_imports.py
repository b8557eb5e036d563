"""`goldseam dataset import nyuv2|cityscapes|nyud|pascal-context`, as a user types it."""

import json
from pathlib import Path

import numpy as np
import pytest

from goldseam.dataset.reading import open_dataset
from tests.unit.conftest import Run
from tests.unit.dataset.formats import scenes

MAKERS = {
    "nyuv2": scenes.make_nyuv2,
    "cityscapes": scenes.make_cityscapes,
    "nyud": scenes.make_nyud,
    "pascal-context": scenes.make_pascal,
}


@pytest.mark.parametrize("name", MAKERS)
def test_import_and_check(goldseam: Run, tmp_path: Path, name: str) -> None:
    root, out = MAKERS[name](tmp_path / "source"), tmp_path / "out"
    code, text, err = goldseam("dataset", "import", name, root, "--out", out, "--validation", 0)
    assert code == 0, err
    assert " test; tasks segmentation, " in text
    code, text, _ = goldseam("dataset", "check", out)
    assert (code, text.endswith("no problem found\n")) == (0, True)
    code, _, err = goldseam("dataset", "import", name, root, "--out", out)
    assert code == 2
    assert "it is not overwritten" in err


def test_options_reach_the_import(goldseam: Run, tmp_path: Path) -> None:
    root = scenes.make_pascal(tmp_path / "source")
    classes = tmp_path / "classes.json"
    classes.write_text(json.dumps([440]))
    command = ("dataset", "import", "pascal-context", root, "--tasks", "normals,boundary")
    code, text, _ = goldseam(
        *command, "--out", tmp_path / "a", "--normal-classes", classes, "--license", "see the owner"
    )
    assert code == 0
    assert "every class" not in text
    info = open_dataset(tmp_path / "a").info
    assert (tuple(info.tasks), info.license) == (("normals", "boundary"), "see the owner")
    normal_3HW = next(open_dataset(tmp_path / "a").records("test")).labels["normals"]
    assert np.isnan(normal_3HW[:, :20]).all()
    for content in ("[]", '["a"]', "{", "[true]"):
        classes.write_text(content)
        code, _, err = goldseam(*command, "--out", tmp_path / "b", "--normal-classes", classes)
        assert (code, "classes.json" in err) == (2, True)
    code, _, err = goldseam(*command, "--out", tmp_path / "b", "--validation", "1.5")
    assert (code, "--validation" in err) == (2, True)


def test_label_masks_that_fit_nothing(goldseam: Run, tmp_path: Path) -> None:
    root = scenes.make_cityscapes(tmp_path / "source")
    command = ("dataset", "import", "cityscapes", root, "--out", tmp_path / "out", "--labels")
    mask = tmp_path / "mask.csv"
    mask.write_text("image_id,normals\n" + "".join(f"train/{i},1\n" for i in range(4)))
    code, _, err = goldseam(*command, mask)
    assert (code, "names none of the tasks" in err) == (2, True)
    mask.write_text("image_id,depth\n" + "".join(f"train/{i},{i % 2}\n" for i in range(4)))
    code, text, _ = goldseam(*command, mask)
    assert code == 0
    assert "0 of segmentation, 2 of depth" in text
    for name in ("mask.txt", "none.pth"):
        code, _, err = goldseam(*command, tmp_path / name, "--replace")
        assert (code, name in err) == (2, True)
