"""PASCAL-Context for multi-task learning, archive PASCAL_MT: five tasks, two of them distilled.

Shapes: H, W pixels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from goldseam.dataset.codecs import Array
from goldseam.dataset.formats.options import PascalImport
from goldseam.dataset.formats.scenes.arrays import (
    category_ids,
    directions,
    fitted,
    plane,
    read_photo,
    read_png,
)
from goldseam.dataset.formats.scenes.boundaries import region_boundaries
from goldseam.dataset.formats.scenes.human_parts import PARTS, human_parts, read_mat
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

SEGMENTATION, HUMAN_PARTS, SALIENCY = "segmentation", "human_parts", "saliency"
NORMALS, BOUNDARY = "normals", "boundary"
VOC_21 = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
FILES = {
    HUMAN_PARTS: "human_parts/{}.mat",
    SALIENCY: "sal_distill/{}.png",
    NORMALS: "normals_distill/{}.png",
    BOUNDARY: "pascal-context/trainval/{}.mat",
}
# VOC's own masks are the finer ones, where an image has one
SEGMENTATIONS = ("semseg/VOC12/{}.png", "semseg/pascal-context/{}.png")
ALL_NORMALS = (
    "normals: kept on every class; the published tables keep them on indoor classes only "
    "(--normal-classes)"
)


class PascalArchive:
    """The unpacked archive.

    Args:
        root: the folder that holds `JPEGImages` and `ImageSets`.
        config: on which classes normals are kept.
    """

    name = "pascal_context"
    source = "PASCAL-Context, archive PASCAL_MT"
    makers: Mapping[str, str] = {
        SEGMENTATION: "human",
        HUMAN_PARTS: "human",
        SALIENCY: "model",
        NORMALS: "model",
        BOUNDARY: "human",
    }
    mask_columns: Sequence[str] = (SEGMENTATION, HUMAN_PARTS, SALIENCY, NORMALS, BOUNDARY)
    tasks: Mapping[str, Task] = {
        SEGMENTATION: Task(kind=Kind.SEGMENTATION, categories=VOC_21),
        HUMAN_PARTS: Task(kind=Kind.SEGMENTATION, categories=PARTS),
        SALIENCY: Task(kind=Kind.SALIENCY, description="distilled: predicted by a network"),
        NORMALS: Task(
            kind=Kind.NORMALS,
            axes="x along the image's width, y and z as published",
            description="distilled: predicted by a network",
        ),
        BOUNDARY: Task(kind=Kind.BOUNDARY, description="between regions of the 459-class map"),
    }
    derivations: Sequence[Derivation] = ()

    def __init__(self, root: Path, config: PascalImport) -> None:
        require_folder(root)
        self.root = root
        self.normal_classes = config.normal_classes
        normals = not config.tasks or NORMALS in config.tasks
        self.notes: Sequence[str] = (ALL_NORMALS,) if normals and not config.normal_classes else ()

    def scenes(self, part: Part) -> list[Scene]:
        """The images that `ImageSets/Context` lists."""
        path = self.root / "ImageSets" / "Context" / f"{part}.txt"
        if part == "val" and not path.exists():
            return []
        return listed_scenes(path, part)

    def image(self, scene: Scene) -> tuple[Array | bytes, tuple[int, int]]:
        """The JPEG as it is."""
        return read_photo(self.root / "JPEGImages" / f"{scene.name}.jpg")

    def file(self, scene: Scene, task: str) -> Path:
        """Where a label stands; for segmentation the first of two places that has it."""
        names = (FILES[task],) if task in FILES else SEGMENTATIONS
        paths = [self.root / name.format(scene.name) for name in names]
        return next((path for path in paths if path.is_file()), paths[-1])

    def label(self, scene: Scene, task: str, size: tuple[int, int]) -> Array | Unknown:
        """The label of a task; a map of another size is resampled."""
        path = self.file(scene, task)
        if not path.is_file():
            return Unknown(NO_FILE)
        if task == NORMALS:
            return self._normals(scene, path, size)
        if task == HUMAN_PARTS:
            part_HW = human_parts(path)
            if isinstance(part_HW, Unknown):
                return part_HW
            return category_ids(path, fitted(path, part_HW, size), len(PARTS))
        if task == BOUNDARY:
            return fitted(path, region_boundaries(_label_map(path)), size)
        array = plane(path, fitted(path, _flat(path, read_png(path)), size), size)
        if task == SALIENCY:
            if array.dtype != np.uint8:
                raise FaultyFile(path, f"pixels of {array.dtype}", "8 bits")
            # the network's probability of 0 to 255, cut at one half
            return (array > 127).astype(np.uint8)
        return category_ids(path, array, len(VOC_21))

    def _normals(self, scene: Scene, path: Path, size: tuple[int, int]) -> Array | Unknown:
        code_HW3 = read_png(path)
        if code_HW3.ndim != 3 or code_HW3.shape[2] != 3 or code_HW3.dtype != np.uint8:
            raise FaultyFile(
                path, f"{code_HW3.dtype} of shape {code_HW3.shape}", "a PNG of 3 channels of 8 bits"
            )
        vector_HW3 = code_HW3.astype(np.float32) * (2 / 255) - 1
        # black is what was never written; as a code it would be a vector of length 1.7
        vector_HW3[(code_HW3 == 0).all(axis=2)] = 0
        vector_HW3 = fitted(path, vector_HW3, size)
        if self.normal_classes:
            labels = self.file(scene, BOUNDARY)
            if not labels.is_file():
                return Unknown("there is no class map that says where the normals are trusted")
            class_HW = fitted(labels, _label_map(labels), size)
            vector_HW3[~np.isin(class_HW, self.normal_classes)] = 0
        return directions(path, vector_HW3, size)


def _label_map(path: Path) -> Array:
    """The 459-class map of PASCAL-Context, integers HW."""
    found = read_mat(path).get("LabelMap")
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind not in "ui":
        kind = "nothing" if found is None else f"{type(found).__name__}"
        raise FaultyFile(path, f"the variable 'LabelMap' holds {kind}", "a map of class ids")
    return found


def _flat(path: Path, array: Array) -> Array:
    if array.ndim != 2:
        raise FaultyFile(path, f"a picture of {array.shape[2]} channels", "1 channel")
    return array
