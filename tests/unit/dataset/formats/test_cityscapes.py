"""Cityscapes from MTAN's npy: both sets of classes, and inverse depth to the last bit."""

from pathlib import Path

import numpy as np
import pytest

from goldseam.dataset.checking import check_dataset
from goldseam.dataset.formats import CityscapesImport, import_cityscapes
from goldseam.dataset.reading import open_dataset
from tests.unit.dataset.formats import scenes


@pytest.mark.parametrize(("classes", "count"), [("7", 7), ("19", 19)])
def test_every_array_comes_back(tmp_path: Path, classes: str, count: int) -> None:
    root = scenes.make_cityscapes(tmp_path / "source")
    config = CityscapesImport.model_validate({"classes": classes, "validation": 0.25})
    made = import_cityscapes(root, tmp_path / "out", config=config)
    assert [made.info.rows(split) for split in made.info.splits] == [3, 1, 2]
    assert len(made.info.tasks["segmentation"].categories) == count
    assert made.info.tasks["depth"].unit == "1"
    assert made.info.derivations == ()
    assert check_dataset(tmp_path / "out") == []
    dataset = open_dataset(tmp_path / "out")
    for split in dataset.info.splits:
        for one in dataset.records(split):
            part, number = one.image_id.split("/")
            label_HW = np.load(root / part / f"label_{classes}" / f"{number}.npy")
            assert (one.labels["segmentation"] == np.where(label_HW < 0, 255, label_HW)).all()
            depth_HW = np.load(root / part / "depth" / f"{number}.npy")[:, :, 0]
            # the smallest inverse depth is a value, and only 0 is none
            assert np.array_equal(
                one.labels["depth"], np.where(depth_HW == 0, np.nan, depth_HW), equal_nan=True
            )
            image_HW3 = np.load(root / part / "image" / f"{number}.npy")
            assert abs(one.image_HWC / 255 - image_HW3).max() <= 0.5 / 255 + 1e-6


def test_a_mask_of_two_tasks(tmp_path: Path) -> None:
    import torch

    root = scenes.make_cityscapes(tmp_path / "source")
    kept_NT = torch.tensor([[1, 0], [0, 1], [0, 1], [1, 0]], dtype=torch.float32)
    torch.save({"labels_weights": kept_NT}, tmp_path / "onelabel.pth")
    config = CityscapesImport(validation=0)
    import_cityscapes(root, tmp_path / "out", labels=tmp_path / "onelabel.pth", config=config)
    known = open_dataset(tmp_path / "out").known("train")
    assert known["segmentation"].tolist() == [True, False, False, True]
    assert known["depth"].tolist() == [False, True, True, False]
