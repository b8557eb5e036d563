"""NYUD_MT, an archive of NYU Depth v2: 40 classes, depth, normals and edges."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from goldseam.dataset.codecs import Array
from goldseam.dataset.formats.options import NyuImport
from goldseam.dataset.formats.pictures import SUFFIXES
from goldseam.dataset.formats.scenes.arrays import (
    IGNORE,
    category_ids,
    directions,
    distances,
    fitted,
    plane,
    read_npy,
    read_photo,
    read_png,
)
from goldseam.dataset.formats.scenes.camera import field_of_view
from goldseam.dataset.formats.scenes.indoor import (
    BOUNDARY,
    DEPTH,
    LARGEST_DEPTH,
    NORMALS,
    SEGMENTATION,
    KinectNormals,
    depth_task,
)
from goldseam.dataset.formats.scenes.layout import (
    NO_FILE,
    FaultyFile,
    Part,
    Scene,
    Unknown,
    listed_scenes,
    require_folder,
)
from goldseam.dataset.schema import Derivation, Kind, Task

# the 40 classes of Gupta, Arbelaez and Malik (2013) in the order of their ids, less one
NYU_40 = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf",
    "picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror",
    "floor mat", "clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel",
    "shower curtain", "box", "whiteboard", "person", "night stand", "toilet", "sink", "lamp",
    "bathtub", "bag", "other structure", "other furniture", "other prop",
)  # fmt: skip
# the archive's images are the middle of the sensor's view, cut and not resampled
CROP_WIDTH_PX = 560


class NyudArchive:
    """`images/`, `segmentation/`, `depth/`, `normals/`, `edge/` and `gt_sets/{train,val}.txt`.

    Args:
        root: the folder of these.
        config: axes and camera.
    """

    name = "nyud"
    source = "NYU Depth v2, archive NYUD_MT"
    makers: Mapping[str, str] = {
        SEGMENTATION: "human",
        DEPTH: "sensor",
        NORMALS: "computed",
        BOUNDARY: "human",
    }
    mask_columns: Sequence[str] = (SEGMENTATION, DEPTH, NORMALS)

    def __init__(self, root: Path, config: NyuImport) -> None:
        require_folder(root)
        self.root = root
        self.normals = KinectNormals(config, field_of_view(CROP_WIDTH_PX))
        if not config.tasks or NORMALS in config.tasks:
            self.normals.measure(self)

    @property
    def tasks(self) -> Mapping[str, Task]:
        """40 classes, depth, normals and boundary."""
        return {
            SEGMENTATION: Task(kind=Kind.SEGMENTATION, categories=NYU_40),
            DEPTH: depth_task(),
            NORMALS: self.normals.task(),
            BOUNDARY: Task(kind=Kind.BOUNDARY),
        }

    @property
    def derivations(self) -> Sequence[Derivation]:
        """Depth gives normals."""
        return self.normals.derivations()

    @property
    def notes(self) -> Sequence[str]:
        """How the axes are known."""
        return (self.normals.note,) if self.normals.note else ()

    def scenes(self, part: Part) -> list[Scene]:
        """The images that `gt_sets` lists."""
        path = self.root / "gt_sets" / f"{part}.txt"
        if part == "val" and not path.exists():
            return []
        return listed_scenes(path, part)

    def image(self, scene: Scene) -> tuple[Array | bytes, tuple[int, int]]:
        """The encoded picture as it is."""
        folder = self.root / "images"
        files = [folder / f"{scene.name}{suffix}" for suffix in (".jpg", *SUFFIXES)]
        return read_photo(next((path for path in files if path.is_file()), files[0]))

    def file(self, scene: Scene, task: str) -> Path:
        """Where a label stands."""
        folder = "edge" if task == BOUNDARY else task
        suffix = "png" if task == SEGMENTATION else "npy"
        return self.root / folder / f"{scene.name}.{suffix}"

    def label(self, scene: Scene, task: str, size: tuple[int, int]) -> Array | Unknown:
        """The label of a task; a map of another size is resampled."""
        path = self.file(scene, task)
        if not path.is_file():
            return Unknown(NO_FILE)
        array = read_png(path) if task == SEGMENTATION else read_npy(path)
        if array.ndim < 2:
            raise FaultyFile(path, f"an array of shape {array.shape}", "height x width")
        array = fitted(path, array, size)
        if task == NORMALS:
            return self.normals.turned(directions(path, array, size))
        array = plane(path, array, size)
        if task == DEPTH:
            return distances(path, array, LARGEST_DEPTH)
        if task == BOUNDARY:
            return category_ids(path, array, 2)
        # 0 is what nobody named
        ids_HW = array.astype(np.int64) - 1
        return category_ids(path, np.where(array == IGNORE, IGNORE, ids_HW), len(NYU_40))
