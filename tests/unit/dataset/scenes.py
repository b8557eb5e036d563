"""Scenes of planes and boxes whose depth, normals and regions are known in closed form.

A pinhole camera looks along -z of (x right, y up, z towards the viewer) from the origin. Along the
ray of a pixel, 1 / depth to the plane n · p = d is (n · ray) / d, for rays of depth 1.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from goldseam.dataset.schema import DatasetInfo, Derivation, Kind, Task
from goldseam.dataset.writing import Sample

FIELD_OF_VIEW = 66.0
WALLS = 5  # regions of the room; those after them are boxes
NORMALS = Derivation(
    source="depth", target="normals", rule="normals_from_depth", field_of_view=FIELD_OF_VIEW
)
EDGES = Derivation(source="regions", target="edges", rule="boundary_from_segmentation")


@dataclass(frozen=True)
class Scene:
    depth_HW: np.ndarray
    normal_3HW: np.ndarray
    region_HW: np.ndarray  # number of the wall, floor, ceiling, or box


def rays(height: int, width: int, field_of_view: float) -> np.ndarray:
    """3HW: directions of depth 1 through the pixels' centers; pixels are square."""
    tangent = np.tan(np.radians(field_of_view) / 2)
    x_W = ((2 * np.arange(width) + 1) / width - 1) * tangent
    y_H = (1 - (2 * np.arange(height) + 1) / height) * tangent * height / width
    return np.stack(np.broadcast_arrays(x_W, y_H[:, None], -1.0))


def plane_depth(normal_3, distance: float, ray_3HW: np.ndarray) -> np.ndarray:
    """Depth HW of the plane through -distance * normal, which faces the viewer."""
    return -distance / np.tensordot(np.asarray(normal_3), ray_3HW, 1)


def turned(yaw: float, pitch: float) -> np.ndarray:
    a, b = np.cos(yaw), np.sin(yaw)
    c, d = np.cos(pitch), np.sin(pitch)
    return np.array([[c, 0, d], [0, 1, 0], [-d, 0, c]]) @ np.array(
        [[1, 0, 0], [0, a, -b], [0, b, a]]
    )


def room(
    seed: int, height: int = 64, width: int = 64, field_of_view: float = FIELD_OF_VIEW
) -> Scene:
    """A box seen from inside with some boxes in it."""
    random = np.random.default_rng(seed)
    ray_3HW = rays(height, width, field_of_view)
    axes_33 = turned(random.uniform(-0.3, 0.3), random.uniform(-0.5, 0.5))
    walls = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1)]
    normal_N3 = np.array(walls) @ axes_33.T
    distance_N = random.uniform([1, 1, 1, 1, 2.5], [1.8, 1.8, 1.5, 1.5, 4])
    q_NHW = np.stack(
        [
            1 / plane_depth(normal, far, ray_3HW)
            for normal, far in zip(normal_N3, distance_N, strict=True)
        ]
    )
    region_HW = q_NHW.argmax(axis=0)  # the nearest in front is the wall that is seen
    q_HW = q_NHW.max(axis=0)
    normal_HW3 = normal_N3[region_HW]
    for number in range(5):
        center_3 = axes_33 @ random.uniform([-0.9, -1, -2.6], [0.9, 0.2, -1.2])
        box_33 = turned(random.uniform(-0.5, 0.5), random.uniform(-1.5, 1.5))
        half_3 = random.uniform(0.12, 0.4, 3)
        enter_HW, leave_HW = np.full(q_HW.shape, np.inf), np.zeros(q_HW.shape)
        face_HW3 = np.zeros(normal_HW3.shape)
        for axis, sign in [(a, s) for a in range(3) for s in (1, -1)]:
            normal_3 = sign * box_33[:, axis]
            level = normal_3 @ center_3 + half_3[axis]
            q_face_HW = np.tensordot(normal_3, ray_3HW, 1) / level
            if level < 0:
                face_HW3 = np.where((q_face_HW < enter_HW)[..., None], normal_3, face_HW3)
                enter_HW = np.minimum(enter_HW, q_face_HW)
            else:
                leave_HW = np.maximum(leave_HW, q_face_HW)
        seen_HW = (enter_HW > leave_HW) & (enter_HW > q_HW) & np.isfinite(enter_HW)
        region_HW = np.where(seen_HW, WALLS + number, region_HW)
        normal_HW3 = np.where(seen_HW[..., None], face_HW3, normal_HW3)
        q_HW = np.where(seen_HW, enter_HW, q_HW)
    return Scene(
        (1 / q_HW).astype(np.float32),
        np.moveaxis(normal_HW3, 2, 0).astype(np.float32),
        region_HW.astype(np.uint8),
    )


def outlines(region_HW: np.ndarray) -> np.ndarray:
    """True where the right or the lower neighbor belongs to another region."""
    edge_HW = np.zeros(region_HW.shape, bool)
    edge_HW[:, :-1] |= region_HW[:, 1:] != region_HW[:, :-1]
    edge_HW[:-1] |= region_HW[1:] != region_HW[:-1]
    return edge_HW


def angles(first_3HW: np.ndarray, second_3HW: np.ndarray) -> np.ndarray:
    """Degrees between two fields of unit vectors."""
    across = np.linalg.norm(np.cross(first_3HW, second_3HW, axis=0), axis=0)
    return np.degrees(np.arctan2(across, (first_3HW * second_3HW).sum(axis=0)))


def scene_info() -> DatasetInfo:
    return DatasetInfo(
        name="scenes",
        tasks={
            "regions": Task(kind=Kind.SEGMENTATION, categories=tuple("abcdefghij")),
            "depth": Task(kind=Kind.REGRESSION, unit="m", scale=2e-4),
            "normals": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
            "edges": Task(kind=Kind.BOUNDARY),
        },
        derivations=(NORMALS, EDGES),
    )


def scene_samples(
    count: int, size: int, known: Mapping[str, Collection[int]] | None = None, first: int = 0
) -> Iterator[Sample]:
    """Rooms with shaded images; `known` says which images carry which label, all by default."""
    for number in range(count):
        scene = room(first + number, size, size)
        labels = {
            "regions": scene.region_HW,
            "depth": scene.depth_HW,
            "normals": scene.normal_3HW,
            "edges": outlines(scene.region_HW).astype(np.uint8),
        }
        if known is not None:
            labels = {task: label for task, label in labels.items() if number in known[task]}
        light_3HW = 130 + 90 * scene.normal_3HW - 12 * scene.depth_HW
        noise_3HW = np.random.default_rng(number).normal(0, 6, light_3HW.shape)
        image_3HW = (light_3HW + noise_3HW).clip(0, 255).astype(np.uint8)
        yield Sample(
            image_id=f"scene-{first + number}",
            image=np.ascontiguousarray(np.moveaxis(image_3HW, 0, 2)),
            group=f"g{first + number}",
            labels=labels,
            sources=dict.fromkeys(labels, "human"),
        )
