"""PASCAL_MT: five tasks, of which each may be unknown for a reason of its own."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.io import savemat

from goldseam.dataset.checking import check_dataset
from goldseam.dataset.codecs import decode_picture
from goldseam.dataset.formats import PascalImport, import_pascal_context
from goldseam.dataset.formats.scenes.boundaries import region_boundaries, thinned
from goldseam.dataset.reading import Record, open_dataset
from goldseam.errors import InvalidDataset
from tests.unit.dataset.formats import scenes

TASKS = ("segmentation", "human_parts", "saliency", "normals", "boundary")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return scenes.make_pascal(tmp_path / "source")


def records(folder: Path) -> dict[str, Record]:
    dataset = open_dataset(folder)
    return {one.image_id: one for split in dataset.info.splits for one in dataset.records(split)}


def test_every_label_comes_back(root: Path, tmp_path: Path) -> None:
    made = import_pascal_context(root, tmp_path / "out")
    assert tuple(made.info.tasks) == TASKS
    assert check_dataset(tmp_path / "out") == []
    found = records(tmp_path / "out")
    assert set(found) == {*scenes.PASCAL_TRAIN, *scenes.PASCAL_VAL}
    for name, one in found.items():
        assert (one.image_HWC == scenes.decode_jpeg(root / f"JPEGImages/{name}.jpg")).all()
        folder = "pascal-context" if name == "2008_000019" else "VOC12"
        ids_HW = decode_picture((root / f"semseg/{folder}/{name}.png").read_bytes())
        assert set(np.unique(ids_HW)) == {0, 15, 255}  # the palette's indices
        assert (one.labels["segmentation"] == ids_HW).all()
        if name == "2008_000019":
            assert one.labels["saliency"] is None
        else:
            code_HW = decode_picture((root / f"sal_distill/{name}.png").read_bytes())
            assert (one.labels["saliency"] == (code_HW / 255 > 0.5)).all()
        class_HW = np.full((40, 50), 360)
        class_HW[20:], class_HW[10:30, 10:30] = 440, 284
        assert (one.labels["boundary"] == region_boundaries(class_HW)).all()
    assert found["2008_000008"].sources == {
        "segmentation": "human",
        "human_parts": "human",
        "saliency": "model",
        "normals": "model",
        "boundary": "human",
    }


def test_distilled_normals_are_unit_vectors_and_gray_is_none(root: Path, tmp_path: Path) -> None:
    made = import_pascal_context(root, tmp_path / "out")
    assert any("on every class" in note for note in made.notes)
    assert "normals: 1 label unknown: no pixel of the file is known" in made.notes
    found = records(tmp_path / "out")
    assert found["2008_000023"].labels["normals"] is None
    normal_3HW = found["2008_000008"].labels["normals"]
    code_HW3 = decode_picture((root / "normals_distill/2008_000008.png").read_bytes())
    assert np.isnan(normal_3HW[:, :5]).all()
    assert np.isnan(normal_3HW[:, 5, :9]).all()  # black is no vector either
    vector_3HW = np.moveaxis(2 * code_HW3[6:].astype(np.float64) / 255 - 1, 2, 0)
    vector_3HW /= np.linalg.norm(vector_3HW, axis=0)
    assert abs(normal_3HW[:, 6:] - vector_3HW).max() < 1 / 32767


def test_normals_on_trusted_classes_only(root: Path, tmp_path: Path) -> None:
    (root / "pascal-context/trainval/2008_000015.mat").unlink()
    config = PascalImport(normal_classes=(440, 1))
    made = import_pascal_context(root, tmp_path / "out", config=config)
    assert not any("every class" in note for note in made.notes)
    found = records(tmp_path / "out")
    known_HW = ~np.isnan(found["2008_000008"].labels["normals"]).any(axis=0)
    expected_HW = np.zeros((40, 50), bool)
    expected_HW[20:] = True
    expected_HW[20:30, 10:30] = False
    assert (known_HW == expected_HW).all()
    lost = found["2008_000015"].labels
    assert (lost["normals"], lost["boundary"]) == (None, None)
    assert any("where the normals are trusted" in note for note in made.notes)


def test_parts_of_people_and_the_three_ways_to_be_unknown(root: Path, tmp_path: Path) -> None:
    made = import_pascal_context(root, tmp_path / "out")
    found = records(tmp_path / "out")
    part_HW = found["2008_000008"].labels["human_parts"]
    assert part_HW[11, 16] == 1  # head
    assert part_HW[12, 15] == 1  # left ear
    assert part_HW[16, 20] == 2  # torso
    assert part_HW[16, 10] == 3  # right upper arm
    assert part_HW[21, 10] == 4  # right hand
    assert part_HW[23, 15] == 5  # left upper leg
    assert part_HW[29, 15] == 6  # left foot
    assert part_HW[35, 5] == 0  # background
    assert part_HW[6, 6] == 0  # a dog's head is no person's
    assert (part_HW[:8, 40:48] == 255).all()  # a person whose parts nobody drew
    known = {name for name, one in found.items() if one.labels["human_parts"] is not None}
    assert known == {"2008_000008", "2008_000019", "2008_000002"}
    assert "human_parts: 2 labels unknown: no person is in the image" in made.notes
    assert any("nobody drew the parts" in note for note in made.notes)


def test_the_published_mask_with_its_order_of_columns(root: Path, tmp_path: Path) -> None:
    import torch

    flags = {  # semseg, human_parts, sal, normals, edge
        "2008_000008": [1, 0, 0, 0, 1],
        "2008_000015": [0, 1, 1, 0, 0],
        "2008_000019": [0, 1, 0, 1, 0],
        "2008_000023": [0, 0, 0, 0, 1],
    }
    torch.save({np.str_(name): row for name, row in flags.items()}, tmp_path / "new_random.pth")
    config = PascalImport(validation=0)
    import_pascal_context(root, tmp_path / "out", labels=tmp_path / "new_random.pth", config=config)
    found = records(tmp_path / "out")
    known = {name: [int(found[name].labels[task] is not None) for task in TASKS] for name in flags}
    # a part label that the mask grants is still unknown where no person is
    assert known == flags | {"2008_000015": [0, 0, 1, 0, 0]}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("human_parts/2008_000008.mat", b"MATLAB", "no MATLAB file"),
        ("human_parts/2008_000008.mat", {"other": 1}, "'anno' has another structure"),
        ("human_parts/2008_000008.mat", {"anno": {"objects": 3}}, "another structure"),
        ("pascal-context/trainval/2008_000008.mat", {"x": 1}, "'LabelMap' holds nothing"),
        (
            "pascal-context/trainval/2008_000008.mat",
            {"LabelMap": np.zeros((9, 9))},
            "expected a map of class ids",
        ),
        ("semseg/VOC12/2008_000008.png", b"", "a whole PNG"),
        ("sal_distill/2008_000008.png", b"\x89PNG\r\n", "a whole PNG"),
        ("normals_distill/2008_000008.png", b"\x89PNG\r\n", "a whole PNG"),
    ],
)
def test_a_faulty_file_is_named(
    root: Path, tmp_path: Path, file: str, content: object, message: str
) -> None:
    if isinstance(content, bytes):
        (root / file).write_bytes(content)
    else:
        savemat(root / file, content)
    with pytest.raises(InvalidDataset, match=message) as caught:
        import_pascal_context(root, tmp_path / "out")
    assert file in caught.value.message
    made = import_pascal_context(root, tmp_path / "out", config=PascalImport(skip_faulty=True))
    assert sum(made.skipped.values()) == 1


def test_a_part_of_an_unknown_name(root: Path, tmp_path: Path) -> None:
    annotation = scenes.annotation("2008_000008", (40, 50))
    annotation["objects"]["parts"][0, 1]["part_name"][0, 0] = "wing"
    savemat(root / "human_parts/2008_000008.mat", {"anno": annotation})
    with pytest.raises(InvalidDataset, match="a part named 'wing'"):
        import_pascal_context(root, tmp_path / "out")


def test_boundaries_are_thin_and_lie_where_the_laplacian_is_not_zero() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        coarse = random.integers(0, 459, random.integers(2, 7, 2)).astype(np.uint16)
        class_HW = np.kron(coarse, np.ones((9, 11), np.uint16))
        thick_HW = scenes.laplacian_edges(class_HW)
        thin_HW = region_boundaries(class_HW).astype(bool)
        assert (thin_HW <= thick_HW).all()
        assert 0.3 < thin_HW.sum() / thick_HW.sum() < 0.75
        assert (thinned(thin_HW) == thin_HW).all()


def test_thinning_keeps_what_is_connected_and_leaves_no_square() -> None:
    random = np.random.default_rng(1)
    eight = np.ones((3, 3))
    for _ in range(30):
        shape_HW = ndimage.uniform_filter(random.random((40, 50)), 5) > 0.5
        thin_HW = thinned(shape_HW)
        assert (thin_HW <= shape_HW).all()
        assert ndimage.label(thin_HW, eight)[1] == ndimage.label(shape_HW, eight)[1]
        # what encloses a hole still does
        holes = [ndimage.label(~np.pad(one, 1))[1] for one in (shape_HW, thin_HW)]
        assert holes[0] == holes[1]
    bar_HW = np.zeros((11, 30), bool)
    bar_HW[4:7, 3:27] = True
    line_HW = thinned(bar_HW)
    assert (line_HW.sum(axis=0) <= 1).all()
    assert line_HW[5].sum() >= 20
    one = np.zeros((5, 5), bool)
    one[2, 2] = True
    assert (thinned(one) == one).all()
