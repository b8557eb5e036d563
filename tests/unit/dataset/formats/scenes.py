"""Small folders in the true form of the published multi-task sets, with what is awkward in them.

`python -m tests.unit.dataset.formats.scenes DIR` writes all four, to look at.
"""

import math
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.io import savemat

Array = npt.NDArray[Any]
HEIGHT, WIDTH = 72, 96
NYU_TRAIN, NYU_VAL = 12, 3
# the archive holds other sizes; cut as the Kinect's view is
NYUD_SIZE = (60, 80)
PASCAL_TRAIN = ("2008_000008", "2008_000015", "2008_000019", "2008_000023")
PASCAL_VAL = ("2008_000002", "2008_000003")
PERSON, DOG = 15, 12
# how the fixture stores normals: right, towards the viewer reversed, up
STORED_AXES = "x,z,-y"


def room(number: int, size: tuple[int, int], angle: float) -> tuple[Array, Array, Array]:
    """A box room: depth HW (m), normals 3HW (right, up, towards the viewer) and wall ids HW."""
    height, width = size
    random = np.random.default_rng([9, number])
    half = math.tan(math.radians(angle) / 2)
    x_W = ((np.arange(width) + 0.5) * 2 / width - 1) * half
    y_H = (height / width - (np.arange(height) + 0.5) * 2 / width) * half
    ray_3HW = np.stack([*np.meshgrid(x_W, y_H), -np.ones(size)])
    turn, tilt = random.uniform(-0.5, 0.5), random.uniform(-0.3, 0.1)
    # columns: the room's axes in camera axes
    about_y = np.array(
        [[math.cos(turn), 0, math.sin(turn)], [0, 1, 0], [-math.sin(turn), 0, math.cos(turn)]]
    )
    about_x = np.array(
        [[1, 0, 0], [0, math.cos(tilt), -math.sin(tilt)], [0, math.sin(tilt), math.cos(tilt)]]
    )
    axes_33 = about_x @ about_y
    # a wall faces inward
    walls_W3 = np.concatenate([-axes_33.T, axes_33.T])
    # right, up, behind; left, down, ahead: a long room, of which a view shows every side
    distance_W = np.array([0.8, 0.8, 1.0, 0.8, 0.8, 3.0]) * random.uniform(0.8, 1.2, 6)
    # a wall at distance d with normal n towards the viewer is where ray * depth . n = -d
    slope_WHW = np.einsum("wc,cij->wij", walls_W3, ray_3HW)
    with np.errstate(divide="ignore"):
        depth_WHW = np.where(slope_WHW < 0, -distance_W[:, None, None] / slope_WHW, np.inf)
    wall_HW = depth_WHW.argmin(axis=0)
    depth_HW = depth_WHW.min(axis=0).astype(np.float32)
    return depth_HW, walls_W3.T[:, wall_HW].astype(np.float32), wall_HW


def stored(normal_3HW: Array) -> Array:
    """Normals HW3 in the fixture's axes; (x, -z, y) reads back as `STORED_AXES` says."""
    x, y, z = normal_3HW
    return np.stack([x, -z, y], axis=2).astype(np.float32)


def make_nyuv2(root: Path, train: int = NYU_TRAIN, val: int = NYU_VAL) -> Path:
    """MTAN's npy: -1 in labels, 0 in depth, zero normals, a missing file, more than ten images."""
    from goldseam.dataset.formats.scenes.camera import field_of_view

    for part, count in (("train", train), ("val", val)):
        for number in range(count):
            random = np.random.default_rng([1, part == "val", number])
            depth_HW, normal_3HW, wall_HW = room(
                number + 100 * (part == "val"), (HEIGHT, WIDTH), field_of_view(640)
            )
            label_HW = (wall_HW * 2).astype(np.float32)
            label_HW[:3] = -1
            depth_HW[-4:, :5] = 0
            normal_HW3 = stored(normal_3HW)
            normal_HW3[-4:, :5] = 0
            arrays = {
                "image": random.random((HEIGHT, WIDTH, 3), np.float32),
                "label": label_HW,
                "depth": depth_HW[:, :, None],
                "normal": normal_HW3,
            }
            write_arrays(root / part, number, arrays)
    if train > 3:
        (root / "train/normal/3.npy").unlink()
    return root


def make_cityscapes(root: Path, train: int = 4, val: int = 2) -> Path:
    """MTAN's npy of 7 and 19 classes; -1 in labels, 0 in the inverse depth, tiny values."""
    for part, count in (("train", train), ("val", val)):
        for number in range(count):
            random = np.random.default_rng([2, part == "val", number])
            fine_HW = random.integers(-1, 19, (16, 32)).astype(np.float64)
            depth_HW1 = (random.random((16, 32, 1)) * 0.4 + 1e-5).astype(np.float32)
            depth_HW1[:2] = 0
            arrays = {
                "image": random.random((16, 32, 3)),
                "label_19": fine_HW,
                "label_7": np.where(fine_HW < 0, -1, fine_HW % 7),
                "depth": depth_HW1,
            }
            write_arrays(root / part, number, arrays)
    return root


def write_arrays(folder: Path, number: int, arrays: dict[str, Array]) -> None:
    for name, array in arrays.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        np.save(folder / name / f"{number}.npy", array)


def make_nyud(root: Path) -> Path:
    """NYUD_MT: class 0 is void, ids from 1; a missing edge file."""
    from goldseam.dataset.formats.scenes.camera import field_of_view

    lists = {"train": [str(i) for i in (3, 5, 21, 100)], "val": ["1", "2"]}
    for folder in ("images", "segmentation", "depth", "normals", "edge", "gt_sets"):
        (root / folder).mkdir(parents=True)
    for part, names in lists.items():
        (root / f"gt_sets/{part}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            random = np.random.default_rng([3, int(name)])
            depth_HW, normal_3HW, wall_HW = room(int(name), NYUD_SIZE, field_of_view(560))
            ids_HW = (wall_HW * 7 + 1).astype(np.uint8)
            ids_HW[0, :7] = 0
            ids_HW[1, :7] = 40
            photo = random.integers(0, 255, (*NYUD_SIZE, 3), np.uint8)
            Image.fromarray(photo).save(root / f"images/{name}.jpg", quality=90)
            Image.fromarray(ids_HW).save(root / f"segmentation/{name}.png")
            np.save(root / f"depth/{name}.npy", depth_HW)
            np.save(root / f"normals/{name}.npy", stored(normal_3HW))
            np.save(root / f"edge/{name}.npy", (random.random(NYUD_SIZE) < 0.1).astype(np.float32))
    (root / "edge/5.npy").unlink()
    return root


def make_pascal(root: Path) -> Path:
    """PASCAL_MT: palette PNG with 255, MATLAB files, an image without people, missing files.

    2008_000008: a person with parts and one without; VOC's mask.
    2008_000015: a dog only.
    2008_000019: a person, no file of saliency; PASCAL-Context's mask.
    2008_000023: no object at all; normals nowhere.
    """
    folders = (
        "JPEGImages",
        "ImageSets/Context",
        "pascal-context/trainval",
        "semseg/VOC12",
        "semseg/pascal-context",
        "human_parts",
        "normals_distill",
        "sal_distill",
    )
    for folder in folders:
        (root / folder).mkdir(parents=True)
    for part, names in (("train", PASCAL_TRAIN), ("val", PASCAL_VAL)):
        (root / f"ImageSets/Context/{part}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            _pascal_image(root, name)
    (root / "sal_distill/2008_000019.png").unlink()
    return root


def _pascal_image(root: Path, name: str) -> None:
    random = np.random.default_rng([4, int(name[-3:])])
    size = (40, 50)
    photo = random.integers(0, 255, (*size, 3), np.uint8)
    Image.fromarray(photo).save(root / f"JPEGImages/{name}.jpg", quality=90)
    ids_HW = np.zeros(size, np.uint8)
    ids_HW[10:30, 10:30] = PERSON
    ids_HW[9, 10:30] = 255
    fine = "pascal-context" if name == "2008_000019" else "VOC12"
    picture = Image.fromarray(ids_HW)
    # a gray picture that gets a palette keeps its pixels as indices
    picture.putpalette([value for i in range(256) for value in (i, 255 - i, i * 7 % 256)])
    picture.save(root / f"semseg/{fine}/{name}.png")
    # the same 459-class map for all: sky above, wall below, a person in the middle
    class_HW = np.full(size, 360, np.uint16)
    class_HW[20:] = 440
    class_HW[10:30, 10:30] = 284
    savemat(root / f"pascal-context/trainval/{name}.mat", {"LabelMap": class_HW})
    code_HW3 = np.rint((unit_vectors(random, size) + 1) / 2 * 255).astype(np.uint8)
    # gray is the zero vector as near as 8 bits come to it
    code_HW3[: 5 if name != "2008_000023" else None] = 127
    code_HW3[5, :9] = 0
    Image.fromarray(code_HW3).save(root / f"normals_distill/{name}.png")
    Image.fromarray(random.integers(0, 256, size).astype(np.uint8)).save(
        root / f"sal_distill/{name}.png"
    )
    savemat(root / f"human_parts/{name}.mat", {"anno": annotation(name, size)})


def unit_vectors(random: np.random.Generator, size: tuple[int, int]) -> Array:
    vector_HW3 = random.normal(size=(*size, 3))
    return vector_HW3 / np.linalg.norm(vector_HW3, axis=2, keepdims=True)


def annotation(name: str, size: tuple[int, int]) -> dict[str, Any]:
    """PASCAL-Part's structure: anno.objects(i).{class, class_ind, mask, parts(j)}."""

    def mask(top: int, bottom: int, left: int, right: int) -> Array:
        mask_HW = np.zeros(size, np.uint8)
        mask_HW[top:bottom, left:right] = 1
        return mask_HW

    def part(part_name: str, mask_HW: Array) -> dict[str, Any]:
        return {"part_name": part_name, "mask": mask_HW}

    def thing(name_: str, index: int, mask_HW: Array, parts: list[Any]) -> dict[str, Any]:
        return {
            "class": name_,
            "class_ind": index,
            "mask": mask_HW,
            "parts": _structs(parts) if parts else np.zeros((0, 0)),
        }

    person = thing(
        "person",
        PERSON,
        mask(10, 30, 10, 30),
        [
            part("head", mask(10, 15, 15, 25)),
            part("lear", mask(12, 13, 15, 16)),
            part("torso", mask(15, 22, 12, 28)),
            part("ruarm", mask(15, 20, 10, 12)),
            part("rhand", mask(20, 22, 10, 12)),
            part("luleg", mask(22, 26, 14, 20)),
            part("lfoot", mask(28, 30, 14, 20)),
        ],
    )
    stranger = thing("person", PERSON, mask(0, 8, 40, 48), [])
    dog = thing("dog", DOG, mask(5, 20, 5, 20), [part("head", mask(5, 9, 5, 9))])
    objects = {
        "2008_000008": [dog, person, stranger],
        "2008_000015": [dog],
        "2008_000019": [person],
        "2008_000023": [],
        "2008_000002": [person],
        "2008_000003": [stranger],
    }[name]
    return {"imname": name, "objects": _structs(objects) if objects else np.zeros((0, 0))}


def _structs(rows: list[dict[str, Any]]) -> Array:
    """A MATLAB structure array."""
    array = np.zeros((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for at, row in enumerate(rows):
        array[0, at] = tuple(row.values())
    return array


def decode_jpeg(path: Path) -> Array:
    return np.asarray(Image.open(path).convert("RGB"))


def laplacian_edges(class_HW: Array) -> Array:
    """What the published loader thins."""
    edges: Array = np.abs(cv2.Laplacian(class_HW, cv2.CV_64F)) > 0
    return edges


if __name__ == "__main__":
    out = Path(sys.argv[1])
    for name_, make in (
        ("nyuv2", make_nyuv2),
        ("cityscapes", make_cityscapes),
        ("nyud", make_nyud),
        ("pascal", make_pascal),
    ):
        make(out / name_)
