"""NYUv2 from MTAN's npy: nothing changes on the way but by rounding, and unknown stays unknown."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goldseam.dataset.checking import check_dataset
from goldseam.dataset.formats import NyuImport, import_nyuv2
from goldseam.dataset.formats.scenes.camera import (
    AXES,
    AxisOrder,
    field_of_view,
    measure_axes,
    normals_of_depth,
)
from goldseam.dataset.partial.masks import InvalidMask, LabelMask
from goldseam.dataset.reading import Record, open_dataset
from goldseam.dataset.schema import Derivation
from goldseam.errors import GoldseamError, InvalidConfig, InvalidDataset, MissingInput, OutputExists
from tests.unit.dataset.formats import scenes

TASKS = ("segmentation", "depth", "normals")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return scenes.make_nyuv2(tmp_path / "source")


def records(folder: Path) -> dict[str, Record]:
    dataset = open_dataset(folder)
    return {one.image_id: one for split in dataset.info.splits for one in dataset.records(split)}


def known(folder: Path) -> dict[str, set[str]]:
    found = records(folder)
    return {name: {t for t in TASKS if one.labels[t] is not None} for name, one in found.items()}


def test_every_array_comes_back_to_the_step_of_its_encoding(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = import_nyuv2(root, out)
    assert (made.info.rows("train"), made.info.rows("validation")) == (11, 1)
    assert made.info.rows("test") == scenes.NYU_VAL
    assert check_dataset(out) == []
    found = records(out)
    assert len(found) == scenes.NYU_TRAIN + scenes.NYU_VAL
    for name, one in found.items():
        part, number = name.split("/")
        image, label, depth, normal = (
            root / part / folder / f"{number}.npy"
            for folder in ("image", "label", "depth", "normal")
        )
        assert abs(one.image_HWC / 255 - np.load(image)).max() <= 0.5 / 255 + 1e-6
        label_HW = np.load(label)
        assert (one.labels["segmentation"] == np.where(label_HW == -1, 255, label_HW)).all()
        depth_HW = np.load(depth)[:, :, 0]
        assert (np.isnan(one.labels["depth"]) == (depth_HW == 0)).all()
        far_HW = depth_HW > 0
        assert abs(one.labels["depth"][far_HW] - depth_HW[far_HW]).max() < 0.5 / 4000 + 1e-6
        assert one.sources["depth"] == "sensor"
        if name == "train/3":  # its file is missing
            assert one.labels["normals"] is None
            assert one.sources["normals"] is None
            continue
        x, minus_z, y = np.moveaxis(np.load(normal), 2, 0)
        zero_HW = (np.load(normal) == 0).all(axis=2)
        assert zero_HW.any()
        assert (np.isnan(one.labels["normals"]).all(axis=0) == zero_HW).all()
        turned_3HW = np.stack([x, y, -minus_z])[:, ~zero_HW]
        assert abs(one.labels["normals"][:, ~zero_HW] - turned_3HW).max() < 1 / 32767


def test_numbers_are_sorted_as_numbers_and_splits_follow_the_seed(
    root: Path, tmp_path: Path
) -> None:
    import_nyuv2(root, tmp_path / "whole", config=NyuImport(validation=0))
    dataset = open_dataset(tmp_path / "whole")
    assert dataset.info.splits == ("train", "test")
    names = dataset.table("train", ["image_id"]).column("image_id").to_pylist()
    assert names == [f"train/{number}" for number in range(12)]
    chosen = set()
    for seed in range(6):
        config = NyuImport(seed=seed, validation=0.25)
        info = import_nyuv2(root, tmp_path / "out", config=config, replace=True).info
        assert (info.rows("train"), info.rows("validation"), info.rows("test")) == (9, 3, 3)
        table = open_dataset(tmp_path / "out").table("validation", ["image_id"])
        chosen.add(tuple(table.column("image_id").to_pylist()))
    assert len(chosen) > 1


def test_equal_files_give_equal_bytes(root: Path, tmp_path: Path) -> None:
    first = import_nyuv2(root, tmp_path / "a").info
    assert import_nyuv2(root, tmp_path / "b").info == first
    files = [shard.file for shard in first.shards]
    assert all(
        (tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files
    )


def test_the_axes_are_measured_and_the_camera_is_declared(root: Path, tmp_path: Path) -> None:
    made = import_nyuv2(root, tmp_path / "out")
    assert made.info.tasks["normals"].axes == AXES
    assert made.info.derivations == (
        Derivation(
            source="depth", target="normals", rule="normals_from_depth", field_of_view=63.327
        ),
    )
    assert any(f"components are {scenes.STORED_AXES} " in note for note in made.notes)
    # the derived label is nearly the label itself
    one = records(tmp_path / "out")["val/0"]
    shown_3HW = normals_of_depth(one.labels["depth"], 63.327)
    cosine_HW = (shown_3HW * one.labels["normals"]).sum(axis=0)
    assert np.nanmean(cosine_HW) > 0.99


@pytest.mark.parametrize("text", ["x,y", "x,y,y", "", "x,y,w", "--x,y,z"])
def test_axes_that_are_no_axes(root: Path, tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidConfig, match="--axes"):
        import_nyuv2(root, tmp_path / "out", config=NyuImport(axes=text))
    assert not (tmp_path / "out").exists()


def test_axes_can_be_stated_and_stay_as_published_where_nothing_tells_them(
    root: Path, tmp_path: Path
) -> None:
    config = NyuImport(axes="-z,x,y", field_of_view=50)
    stated = import_nyuv2(root, tmp_path / "stated", config=config)
    assert stated.info.derivations[0].field_of_view == 50
    normal_HW3 = np.load(root / "val/normal/0.npy")
    found = records(tmp_path / "stated")["val/0"].labels["normals"]
    there_HW = ~np.isnan(found).any(axis=0)
    expected_3HW = np.stack([-normal_HW3[..., 2], normal_HW3[..., 0], normal_HW3[..., 1]])
    assert abs(found - expected_3HW)[:, there_HW].max() < 1 / 32767

    for path in (root / "val/depth").iterdir():
        path.unlink()
    made = import_nyuv2(root, tmp_path / "untold")
    assert made.info.derivations == ()
    assert made.info.tasks["normals"].axes == "as published; not measured"
    assert any("could not be measured" in note for note in made.notes)


def test_all_48_orders_of_axes_are_told_apart() -> None:
    angle = field_of_view(640)
    depth_HW, normal_3HW, _ = scenes.room(1, (48, 64), angle)
    from itertools import permutations, product

    for right, up, viewer in permutations("xyz"):
        for signs in product(("", "-"), repeat=3):
            words = zip(signs, (right, up, viewer), strict=True)
            text = ",".join(sign + letter for sign, letter in words)
            order = AxisOrder.parse(text)
            assert str(order) == text
            stored_3HW = np.empty_like(normal_3HW)
            for axis, (component, sign) in enumerate(
                zip(order.components, order.signs, strict=True)
            ):
                stored_3HW[component] = sign * normal_3HW[axis]
            found = measure_axes([(depth_HW, stored_3HW)], angle)
            assert found is not None
            assert found[0] == order
            assert (order.apply(stored_3HW) == normal_3HW).all()


def test_normals_that_have_nothing_to_do_with_depth_are_not_measured() -> None:
    depth_HW, normal_3HW, _ = scenes.room(1, (48, 64), 60)
    noise = np.random.default_rng(0).normal(size=normal_3HW.shape)
    noise /= np.linalg.norm(noise, axis=0)
    assert measure_axes([(depth_HW, noise.astype(np.float32))], 60) is None
    assert measure_axes([(np.full((48, 64), np.nan, np.float32), normal_3HW)], 60) is None
    assert measure_axes([], 60) is None


def flags(root: Path, known_NT: np.ndarray[Any, Any], name: str = "onelabel.pth") -> Path:
    import torch

    path = root.parent / name
    torch.save({"labels_weights": torch.tensor(known_NT, dtype=torch.float32)}, path)
    return path


def test_a_published_mask_is_obeyed_and_what_is_outside_is_never_read(
    root: Path, tmp_path: Path
) -> None:
    one_NT = np.zeros((12, 3))
    one_NT[np.arange(12), [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]] = 1
    mask = flags(root, one_NT)
    made = import_nyuv2(root, tmp_path / "out", labels=mask)
    found = known(tmp_path / "out")
    for number in range(12):
        assert found[f"train/{number}"] == {TASKS[int(one_NT[number].argmax())]}
    assert all(found[f"val/{number}"] == set(TASKS) for number in range(3))
    assert any("4 of segmentation, 4 of depth, 4 of normals" in note for note in made.notes)
    # nothing follows from labels outside of the mask, whatever stands there
    for number in range(12):
        for column, folder in enumerate(("label", "depth", "normal")):
            if not one_NT[number, column]:
                (root / f"train/{folder}/{number}.npy").write_bytes(b"poison")
    assert import_nyuv2(root, tmp_path / "again", labels=mask).info == made.info


def test_the_known_labels_are_those_of_the_mask_in_the_split_validation_too(
    root: Path, tmp_path: Path
) -> None:
    random_NT = np.random.default_rng(0).random((12, 3)) < 0.5
    random_NT[3, 2] = False  # this file is missing
    config = NyuImport(validation=0.3)
    import_nyuv2(root, tmp_path / "out", labels=flags(root, random_NT), config=config)
    dataset = open_dataset(tmp_path / "out")
    counts = np.zeros(3, int)
    for split in ("train", "validation"):
        of_task = dataset.known(split)
        counts += [int(of_task[task].sum()) for task in TASKS]
    assert counts.tolist() == random_NT.sum(axis=0).tolist()


def test_our_own_masks_are_read_as_well(root: Path, tmp_path: Path) -> None:
    names = tuple(f"train/{number}" for number in range(12))
    known_NT = np.zeros((12, 1), bool)
    known_NT[:5] = True
    # the other way round, since the rows of a table are named
    LabelMask(names[::-1], ("depth",), known_NT[::-1]).write(tmp_path / "mask.csv")
    import_nyuv2(root, tmp_path / "out", labels=tmp_path / "mask.csv")
    found = known(tmp_path / "out")
    assert [found[name] for name in names] == [{"depth"}] * 5 + [set()] * 7
    LabelMask(names[:5], ("depth",), known_NT[:5]).write(tmp_path / "short.parquet")
    with pytest.raises(InvalidMask, match="train/5"):
        import_nyuv2(root, tmp_path / "x", labels=tmp_path / "short.parquet")


def test_a_mask_of_other_images_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidMask, match=r"\(11, 3\), expected \(12, 3\)"):
        import_nyuv2(root, tmp_path / "out", labels=flags(root, np.ones((11, 3))))
    assert not (tmp_path / "out").exists()


def test_tasks_can_be_left_out(root: Path, tmp_path: Path) -> None:
    made = import_nyuv2(root, tmp_path / "out", config=NyuImport(tasks=("depth", "segmentation")))
    assert tuple(made.info.tasks) == ("segmentation", "depth")
    assert made.info.derivations == ()
    assert not any("normals" in note for note in made.notes)
    with pytest.raises(InvalidConfig, match="no task 'normal'") as caught:
        import_nyuv2(root, tmp_path / "x", config=NyuImport(tasks=("normal",)))
    assert "Closest: normals" in caught.value.remedy


def spoil(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        np.save(path, change(np.load(path)))

    return write


def put(value: float) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array[20, 20] = value
        return array

    return change


FAULTS = {
    "cut off": ("label", lambda path: path.write_bytes(path.read_bytes()[:-50]), "no array"),
    "no npy": ("depth", lambda path: path.write_bytes(b"hello"), "no array"),
    "empty": ("depth", lambda path: path.write_bytes(b""), "no array"),
    "pickled": (
        "label",
        lambda path: np.save(path, np.array([{"a": 1}], object), allow_pickle=True),
        "no array",
    ),
    "text": ("label", lambda path: np.save(path, np.array(["a"])), "it holds <U1"),
    "half an id": ("label", spoil(put(2.5)), "pixels of value 2.5 .1 of 6,912"),
    "id too large": ("label", spoil(put(13)), "ids of 0 to 12"),
    "id too small": ("label", spoil(put(-2)), "pixels of value -2"),
    "NaN as id": ("label", spoil(put(float("nan"))), "pixels of value nan"),
    "negative depth": ("depth", spoil(put(-0.5)), "pixels of value -0.5"),
    "infinite depth": ("depth", spoil(put(float("inf"))), "pixels of value inf"),
    "depth in mm": ("depth", spoil(lambda array: array * 1000), "0 .unknown. to 16.38"),
    "other size": ("depth", spoil(lambda array: array[:-1]), "72 x 96"),
    "no channels": ("normal", spoil(lambda array: array[:, :, 0]), "72 x 96 x 3"),
    "no unit vectors": ("normal", spoil(lambda array: array * 255), "vectors of length 255"),
    "image of 0 to 255": ("image", spoil(lambda array: array * 255), "values of 0 to 1"),
    "image with NaN": ("image", spoil(put(float("nan"))), "values of nan"),
    "gray image": ("image", spoil(lambda array: array[:, :, 0]), "height x width x 3"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_named_or_counted(root: Path, tmp_path: Path, fault: str) -> None:
    folder, break_, message = FAULTS[fault]
    break_(root / f"train/{folder}/2.npy")
    out = tmp_path / "out"
    with pytest.raises(InvalidDataset, match=message) as caught:
        import_nyuv2(root, out)
    assert f"train/{folder}/2.npy" in caught.value.message
    assert "--skip-faulty" in caught.value.remedy
    assert not out.exists()
    made = import_nyuv2(root, out, config=NyuImport(skip_faulty=True))
    found = known(out)
    task = {"label": "segmentation", "depth": "depth", "normal": "normals"}.get(folder)
    if task is None:
        assert made.skipped == {"a faulty image": 1}
        assert "train/2" not in found
    else:
        assert made.skipped == {f"a faulty label of {task}": 1}
        assert found["train/2"] == set(TASKS) - {task}
    assert check_dataset(out) == []


def test_a_label_without_a_known_pixel_is_unknown(root: Path, tmp_path: Path) -> None:
    for folder, value in (("label", -1), ("depth", 0), ("normal", 0)):
        path = root / f"train/{folder}/4.npy"
        np.save(path, np.full_like(np.load(path), value))
    made = import_nyuv2(root, tmp_path / "out")
    assert known(tmp_path / "out")["train/4"] == set()
    assert "depth: 1 label unknown: no pixel of the file is known" in made.notes


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(MissingInput, match="is no folder"):
        import_nyuv2(tmp_path / "nothing", out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInput, match="train/image"):
        import_nyuv2(tmp_path / "empty", out)
    (tmp_path / "empty/train/image").mkdir(parents=True)
    with pytest.raises(GoldseamError, match="no image of train"):
        import_nyuv2(tmp_path / "empty", out)
    (tmp_path / "empty/train/image/007.npy").write_bytes(b"")
    with pytest.raises(InvalidDataset, match="its name is no number"):
        import_nyuv2(tmp_path / "empty", out)


def test_without_val_there_is_no_test_split_and_no_measurement(tmp_path: Path) -> None:
    root = scenes.make_nyuv2(tmp_path / "source", train=3, val=0)
    made = import_nyuv2(root, tmp_path / "out", config=NyuImport(validation=0))
    assert made.info.splits == ("train",)
    assert any("has no part val" in note for note in made.notes)
    with pytest.raises(OutputExists):
        import_nyuv2(root, tmp_path / "out")


def test_groups_by_pattern_stay_together(root: Path, tmp_path: Path) -> None:
    config = NyuImport(group_pattern="^.*/.", validation=0.3)
    import_nyuv2(root, tmp_path / "out", config=config)
    dataset = open_dataset(tmp_path / "out")
    groups = {
        split: set(dataset.table(split, ["group"]).column("group").to_pylist())
        for split in dataset.info.splits
    }
    assert not groups["train"] & groups["validation"]
    assert "train/1" in groups["train"] | groups["validation"]
