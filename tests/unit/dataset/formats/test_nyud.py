"""NYUD_MT: classes count from 1, images are copied, every label comes back."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from goldseam.dataset.checking import check_dataset
from goldseam.dataset.formats import NyuImport, import_nyud
from goldseam.dataset.formats.scenes.camera import AXES
from goldseam.dataset.partial.masks import InvalidMask
from goldseam.dataset.reading import open_dataset
from goldseam.errors import InvalidDataset, MissingInput
from tests.unit.dataset.formats import scenes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return scenes.make_nyud(tmp_path / "source")


def test_every_array_comes_back(root: Path, tmp_path: Path) -> None:
    made = import_nyud(root, tmp_path / "out", config=NyuImport(validation=0.25))
    assert [made.info.rows(split) for split in made.info.splits] == [3, 1, 2]
    assert tuple(made.info.tasks) == ("segmentation", "depth", "normals", "boundary")
    assert made.info.tasks["normals"].axes == AXES
    assert made.info.derivations[0].field_of_view == pytest.approx(56.71, abs=0.01)
    assert "boundary: 1 label unknown: there is no file" in made.notes
    assert check_dataset(tmp_path / "out") == []
    dataset = open_dataset(tmp_path / "out")
    rows = [one for split in dataset.info.splits for one in dataset.records(split)]
    assert {one.image_id for one in rows} == {"3", "5", "21", "100", "1", "2"}
    for one in rows:
        name = one.image_id
        assert (one.image_HWC == scenes.decode_jpeg(root / f"images/{name}.jpg")).all()
        ids_HW = np.asarray(Image.open(root / f"segmentation/{name}.png")).astype(int)
        assert (ids_HW == 0).any()
        assert (one.labels["segmentation"] == np.where(ids_HW == 0, 255, ids_HW - 1)).all()
        assert one.labels["segmentation"][1, 0] == 39
        depth_HW = np.load(root / f"depth/{name}.npy")
        assert abs(one.labels["depth"] - depth_HW).max() < 0.5 / 4000 + 1e-6
        right, minus_viewer, up = np.moveaxis(np.load(root / f"normals/{name}.npy"), 2, 0)
        normal_3HW = np.stack([right, up, -minus_viewer])
        assert abs(one.labels["normals"] - normal_3HW).max() < 1 / 32767
        if name == "5":
            assert one.labels["boundary"] is None
        else:
            assert (one.labels["boundary"] == np.load(root / f"edge/{name}.npy")).all()


def test_a_mask_of_three_tasks_leaves_the_fourth_unknown(root: Path, tmp_path: Path) -> None:
    import torch

    torch.save({"labels_weights": torch.ones(4, 3)}, tmp_path / "all.pth")
    import_nyud(root, tmp_path / "out", labels=tmp_path / "all.pth", config=NyuImport(validation=0))
    dataset = open_dataset(tmp_path / "out")
    assert {task: int(known.sum()) for task, known in dataset.known("train").items()} == {
        "segmentation": 4,
        "depth": 4,
        "normals": 4,
        "boundary": 0,
    }
    assert dataset.known("test")["boundary"].all()
    torch.save({"labels_weights": torch.ones(4, 4)}, tmp_path / "four.pth")
    with pytest.raises(InvalidMask, match=r"\(4, 4\), expected \(4, 3\)"):
        import_nyud(root, tmp_path / "x", labels=tmp_path / "four.pth")


def test_maps_of_another_size_are_resampled_or_refused(root: Path, tmp_path: Path) -> None:
    path = root / "depth/3.npy"
    depth_HW = np.load(path)
    np.save(path, np.repeat(np.repeat(depth_HW, 2, axis=0), 2, axis=1))
    import_nyud(root, tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    rows = [one for split in ("train", "validation") if split in dataset.info.splits
            for one in dataset.records(split, ["depth"]) if one.image_id == "3"]  # fmt: skip
    assert abs(rows[0].labels["depth"] - depth_HW).max() < 0.5 / 4000 + 1e-6
    np.save(path, depth_HW[:, :40])
    with pytest.raises(InvalidDataset, match="a map of 40 x 60 px, expected 80 x 60 px"):
        import_nyud(root, tmp_path / "x")


def test_lists_and_pictures_that_are_wrong(root: Path, tmp_path: Path) -> None:
    out, photo = tmp_path / "out", root / "images/21.jpg"
    photo.write_bytes(photo.read_bytes()[:300])
    with pytest.raises(InvalidDataset, match=r"21\.jpg"):
        import_nyud(root, out)
    photo.unlink()
    with pytest.raises(MissingInput, match=r"21\.jpg"):
        import_nyud(root, out)
    made = import_nyud(root, out, config=NyuImport(skip_faulty=True, validation=0))
    assert made.skipped == {"a faulty image": 1}
    assert made.info.rows("train") == 3
    (root / "segmentation/3.png").write_bytes(b"no picture")
    with pytest.raises(InvalidDataset, match=r"3\.png"):
        import_nyud(root, tmp_path / "x")
    listed = root / "gt_sets/train.txt"
    for text, message in (
        ("../secret\n", "no name of an image"),
        ("3\n3\n", "twice"),
        ("\n", "no image"),
    ):
        listed.write_text(text)
        with pytest.raises(InvalidDataset, match=message):
            import_nyud(root, tmp_path / "x")
    listed.unlink()
    with pytest.raises(MissingInput, match="list of images"):
        import_nyud(root, tmp_path / "x")
