"""NYUv2 and Cityscapes as MTAN and MTPSL publish them: `{train,val}/{image,…}/{i}.npy`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from goldseam.dataset.codecs import Array
from goldseam.dataset.formats.options import CityscapesImport, NyuImport
from goldseam.dataset.formats.scenes.arrays import (
    category_ids,
    directions,
    distances,
    image_of_floats,
    plane,
    read_npy,
)
from goldseam.dataset.formats.scenes.camera import KINECT_WIDTH_PX, field_of_view
from goldseam.dataset.formats.scenes.indoor import (
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
    require_folder,
)
from goldseam.dataset.schema import Derivation, Kind, Task
from goldseam.errors import MissingInput

# the 13 classes of Couprie et al. (2013) in the order of their published ids, less one
NYU_13 = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table",
    "tv", "wall", "window",
)  # fmt: skip
CITYSCAPES_7 = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")
CITYSCAPES_19 = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle",
    "bicycle",
)  # fmt: skip
NO_SCENES = "each image is its own group: the files do not say which images show one place"


class _NpyFolders:
    """The parts, images and file names of such a folder."""

    root: Path
    folders: Mapping[str, str]

    def scenes(self, part: Part) -> list[Scene]:
        """Numbered images, in the order of their numbers: the rows of the label masks."""
        folder = self.root / part / "image"
        if not folder.is_dir():
            if part == "val":
                return []
            raise MissingInput(
                folder, "is no folder", "Name the folder that holds train/image and val/image."
            )
        files = [path for path in folder.glob("*.npy") if not path.name.startswith(".")]
        for path in files:
            # int() would read digits of other scripts and signs as well
            if (
                not (path.stem.isascii() and path.stem.isdigit())
                or str(int(path.stem)) != path.stem
            ):
                raise FaultyFile(path, "its name is no number", "such as 0.npy", "Remove the file.")
        numbers = sorted(int(path.stem) for path in files)
        return [Scene(f"{part}/{number}", str(number), part) for number in numbers]

    def image(self, scene: Scene) -> tuple[Array | bytes, tuple[int, int]]:
        """The picture in 8 bits, and its size."""
        path = self._file(scene, "image")
        if not path.is_file():
            raise MissingInput(path, "is not there")
        image_HW3 = image_of_floats(path, read_npy(path))
        return image_HW3, (image_HW3.shape[1], image_HW3.shape[0])

    def file(self, scene: Scene, task: str) -> Path:
        """Where a label stands."""
        return self._file(scene, self.folders[task])

    def _file(self, scene: Scene, folder: str) -> Path:
        return self.root / scene.part / folder / f"{scene.name}.npy"


class NyuFolders(_NpyFolders):
    """NYUv2 of 288 x 384 px: 13 classes, depth in m, normals that were computed from the depth.

    Args:
        root: the folder that holds `train` and `val`.
        config: axes and camera.
        tasks: those that are imported.
    """

    name = "nyuv2"
    source = "NYU Depth v2 as MTAN and MTPSL preprocessed it (npy)"
    folders = {SEGMENTATION: "label", DEPTH: "depth", NORMALS: "normal"}
    makers: Mapping[str, str] = {SEGMENTATION: "human", DEPTH: "sensor", NORMALS: "computed"}
    mask_columns: Sequence[str] = (SEGMENTATION, DEPTH, NORMALS)

    def __init__(self, root: Path, config: NyuImport) -> None:
        require_folder(root)
        self.root = root
        # the images are the sensor's whole view, resampled
        self.normals = KinectNormals(config, field_of_view(KINECT_WIDTH_PX))
        if not config.tasks or NORMALS in config.tasks:
            self.normals.measure(self)

    @property
    def tasks(self) -> Mapping[str, Task]:
        """13 classes, depth and normals."""
        return {
            SEGMENTATION: Task(kind=Kind.SEGMENTATION, categories=NYU_13),
            DEPTH: depth_task(),
            NORMALS: self.normals.task(),
        }

    @property
    def derivations(self) -> Sequence[Derivation]:
        """Depth gives normals."""
        return self.normals.derivations()

    @property
    def notes(self) -> Sequence[str]:
        """How the axes are known, and what the groups are."""
        return (*([self.normals.note] if self.normals.note else []), NO_SCENES)

    def label(self, scene: Scene, task: str, size: tuple[int, int]) -> Array | Unknown:
        """The label of a task."""
        path = self.file(scene, task)
        if not path.is_file():
            return Unknown(NO_FILE)
        array = read_npy(path)
        if task == NORMALS:
            return self.normals.turned(directions(path, array, size))
        array = plane(path, array, size)
        if task == DEPTH:
            return distances(path, array, LARGEST_DEPTH)
        return category_ids(path, array, len(NYU_13))


class CityscapesFolders(_NpyFolders):
    """Cityscapes of 128 x 256 or 256 x 512 px: 7 or 19 classes, normalized inverse depth.

    Args:
        root: the folder that holds `train` and `val`.
        config: how many classes.
    """

    name = "cityscapes"
    source = "Cityscapes as MTAN and MTPSL preprocessed it (npy)"
    makers: Mapping[str, str] = {SEGMENTATION: "human", DEPTH: "stereo"}
    mask_columns: Sequence[str] = (SEGMENTATION, DEPTH)
    derivations: Sequence[Derivation] = ()
    notes: Sequence[str] = (NO_SCENES,)

    def __init__(self, root: Path, config: CityscapesImport) -> None:
        require_folder(root)
        self.root = root
        self.folders = {SEGMENTATION: f"label_{config.classes}", DEPTH: "depth"}
        self.categories = CITYSCAPES_7 if config.classes == "7" else CITYSCAPES_19
        self.tasks: Mapping[str, Task] = {
            SEGMENTATION: Task(kind=Kind.SEGMENTATION, categories=self.categories),
            # its range is not published: stored as it is
            DEPTH: Task(
                kind=Kind.REGRESSION,
                unit="1",
                encoding="tiff32",
                description="inverse depth, normalized by the publisher: larger is nearer",
            ),
        }

    def label(self, scene: Scene, task: str, size: tuple[int, int]) -> Array | Unknown:
        """The label of a task."""
        path = self.file(scene, task)
        if not path.is_file():
            return Unknown(NO_FILE)
        array = plane(path, read_npy(path), size)
        if task == DEPTH:
            return distances(path, array, float(np.finfo(np.float32).max))
        return category_ids(path, array, len(self.categories))
