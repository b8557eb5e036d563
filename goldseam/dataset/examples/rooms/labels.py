"""What each task of rooms says about a view; everything is read off the rays through its pixels.

Shapes: H = W the picture's size; I instances; N boxes.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from goldseam.dataset.codecs import Boxes
from goldseam.dataset.examples.rooms.camera import FIELD_OF_VIEW, Camera, pixel_centers
from goldseam.dataset.examples.rooms.categories import CATEGORIES, FURNITURE, STRUCTURE
from goldseam.dataset.examples.rooms.models import Array
from goldseam.dataset.examples.rooms.tracing import MISS, SIDES, Scene, model_tracer
from goldseam.dataset.schema import Derivation, Kind, Task

IGNORE = 255
# shares of the picture, so that a view means the same at every size; 12 px of 64 by 64
SMALLEST = 12 / 64**2
VISIBLE_SHARE = 0.25
AXES = "x right, y up, z towards the viewer"

TASKS: dict[str, Task] = {
    "segmentation": Task(
        kind=Kind.SEGMENTATION,
        categories=CATEGORIES,
        description="What each pixel's center shows.",
    ),
    "depth": Task(
        kind=Kind.REGRESSION,
        unit="m",
        scale=2e-4,
        description="Distance along the viewing axis.",
    ),
    "normals": Task(
        kind=Kind.NORMALS,
        axes=AXES,
        description="Of the triangle that the pixel's center shows, on the viewer's side.",
    ),
    "boundary": Task(
        kind=Kind.BOUNDARY,
        description="Pixels whose right or lower neighbor shows another piece or side of the room.",
    ),
    "saliency": Task(
        kind=Kind.SALIENCY,
        description="The nearest piece of furniture, by its median depth.",
    ),
    "objects": Task(
        kind=Kind.DETECTION,
        categories=FURNITURE,
        description="What is visible of each piece; ignored below 12 px of 64 by 64, or where less "
        "than a quarter of the piece's pixels is not hidden.",
    ),
    "tags": Task(
        kind=Kind.TAGS,
        categories=FURNITURE,
        description="Furniture of which 12 px of 64 by 64 are visible.",
    ),
}
DERIVATIONS = (
    Derivation(
        source="depth", target="normals", rule="normals_from_depth", field_of_view=FIELD_OF_VIEW
    ),
)
# true of these rooms, and not declared: what they leave out depends on the answer, and models that
# learn from them are no better, with one label an image worse ("boundaries too" of
# benchmarks/multitask_parts.py)
BOUNDARY_DERIVATIONS = (
    Derivation(
        source="segmentation",
        target="boundary",
        rule="boundary_from_segmentation",
        single_instance=("floor", "ceiling"),
    ),
    # doors, windows and pictures stand out from the wall: no boundary of these rooms lies flat
    Derivation(
        source="depth", target="boundary", rule="boundary_from_depth", field_of_view=FIELD_OF_VIEW
    ),
)


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """What a camera sees.

    Attributes:
        scene: the room.
        camera: where from.
        instance_HW: int64, -1 where a ray met nothing.
        depth_HW: float32, m; NaN where a ray met nothing.
        normal_3HW: float32, camera axes; NaN where a ray met nothing.
        pixels_I: how many pixels show each instance.
    """

    scene: Scene
    camera: Camera
    instance_HW: Array
    depth_HW: Array
    normal_3HW: Array
    pixels_I: Array

    @property
    def visible(self) -> Array:
        """Numbers of the pieces' instances that enough pixels show."""
        enough_I = self.pixels_I >= SMALLEST * self.instance_HW.size
        enough_I[: len(SIDES)] = False
        return np.flatnonzero(enough_I)


def look(scene: Scene, camera: Camera, size: int) -> View:
    """Send a ray through the center of every pixel."""
    origin_R3, direction_R3 = camera.rays(*pixel_centers(size))
    hits = scene.tracer.first(origin_R3, direction_R3)
    met_R = hits.face_R != MISS
    instance_R = np.where(met_R, scene.instance_F[hits.face_R], MISS)
    normal_R3 = (hits.normal_R3 @ camera.axes_33).astype(np.float32)
    normal_R3[~met_R] = np.nan
    return View(
        scene=scene,
        camera=camera,
        instance_HW=instance_R.reshape(size, size),
        depth_HW=np.where(met_R, hits.depth_R, np.nan).reshape(size, size).astype(np.float32),
        normal_3HW=np.ascontiguousarray(normal_R3.T.reshape(3, size, size)),
        pixels_I=np.bincount(instance_R[met_R], minlength=len(scene.category_I)),
    )


def segmentation(view: View) -> Array:
    """uint8 HW: ids of `CATEGORIES`, 255 where a ray met nothing."""
    category_HW = view.scene.category_I[view.instance_HW]
    return np.where(view.instance_HW == MISS, IGNORE, category_HW).astype(np.uint8)


def depth(view: View) -> Array:
    """float32 HW, m along the viewing axis; NaN where a ray met nothing."""
    return view.depth_HW


def normals(view: View) -> Array:
    """float32 3HW of unit length in camera axes; NaN where a ray met nothing."""
    return view.normal_3HW


def boundary(view: View) -> Array:
    """uint8 HW: 1 where the right or the lower neighbor shows another instance.

    The four walls are instances of their own, so the corners of the room are boundaries. 255 where
    a ray met nothing, and where a neighbor would decide whose ray met nothing.
    """
    instance_HW = view.instance_HW
    met_HW = instance_HW != MISS
    edge_HW, told_HW = np.zeros(instance_HW.shape, bool), met_HW.copy()
    for mine, theirs in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        edge_HW[mine] |= (instance_HW[mine] != instance_HW[theirs]) & met_HW[theirs]
        told_HW[mine] &= met_HW[theirs]
    edge_HW &= met_HW
    return np.where(edge_HW | told_HW, edge_HW, IGNORE).astype(np.uint8)


def saliency(view: View) -> Array:
    """uint8 HW: 1 on the visible piece of the smallest median depth."""
    medians = {
        number: float(np.median(view.depth_HW[view.instance_HW == number]))
        for number in view.visible.tolist()
    }
    nearest = min(medians, key=lambda number: medians[number], default=len(view.pixels_I))
    mask_HW = view.instance_HW == nearest
    return np.where(view.instance_HW == MISS, IGNORE, mask_HW).astype(np.uint8)


def objects(view: View) -> Boxes:
    """A box around the visible pixels of each piece that any pixel shows."""
    shown = np.flatnonzero(view.pixels_I[len(SIDES) :]) + len(SIDES)
    if not len(shown):
        return Boxes.empty()
    enough = set(view.visible.tolist())
    corners, ignored = [], []
    for number in shown.tolist():
        rows, columns = np.nonzero(view.instance_HW == number)
        corners.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        ignored.append(number not in enough or visible_share(view, number) < VISIBLE_SHARE)
    category_N = view.scene.category_I[shown] - len(STRUCTURE)
    return Boxes(
        category_N.astype(np.int32), np.array(corners, np.float32), np.array(ignored, bool)
    )


def visible_share(view: View, number: int) -> float:
    """Which share of the pixels that an instance would fill alone shows it.

    Counted on a grid of 64 by 64 rays at most; what lies outside of the picture counts for nothing.
    """
    piece = view.scene.room.pieces[number - len(SIDES)]
    size = len(view.instance_HW)
    stride = max(1, size // 64)
    x_R, y_R = pixel_centers(size)
    grid_HW = np.zeros((size, size), bool)
    grid_HW[::stride, ::stride] = True
    box_83 = np.stack(np.meshgrid(*np.stack(piece.box, axis=1)), axis=-1).reshape(-1, 3)
    place_82, depth_8 = view.camera.project(box_83)
    near_R = grid_HW.ravel()
    if (depth_8 > 0).all():  # else its box reaches behind the camera: look everywhere
        (left, lower), (right, upper) = place_82.min(axis=0), place_82.max(axis=0)
        near_R = near_R & (x_R >= left) & (x_R <= right) & (y_R >= lower) & (y_R <= upper)
    origin_R3, direction_R3 = view.camera.rays(x_R[near_R], y_R[near_R])
    turn_33 = piece.rotation_33
    local_R3 = (origin_R3 - np.array(piece.position, np.float32)) @ turn_33
    alone_R = model_tracer(piece.model).first(local_R3, direction_R3 @ turn_33).face_R != MISS
    shown = int(np.count_nonzero((view.instance_HW.ravel() == number)[near_R]))
    return min(1.0, shown / max(1, int(np.count_nonzero(alone_R))))


def tags(view: View) -> Array:
    """int8 C: 1 present, 0 absent for each of `FURNITURE`; none is unknown."""
    state_C = np.zeros(len(FURNITURE), np.int8)
    state_C[view.scene.category_I[view.visible] - len(STRUCTURE)] = 1
    return state_C


LABELS: dict[str, Callable[[View], Any]] = {
    "segmentation": segmentation,
    "depth": depth,
    "normals": normals,
    "boundary": boundary,
    "saliency": saliency,
    "objects": objects,
    "tags": tags,
}
