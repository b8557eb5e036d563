"""A room as triangles in a ray tracer (Intel Embree through embreex).

Shapes: F triangles, I instances, R rays. Instances 0 to 5 are the room's six sides, then come the
pieces in their order.
"""

import dataclasses
import functools
import importlib
import importlib.util
from typing import Any

import numpy as np

from goldseam.dataset.examples.rooms.categories import CATEGORIES, CEILING, FLOOR, WALL
from goldseam.dataset.examples.rooms.furnishing import Room
from goldseam.dataset.examples.rooms.models import Array, Model
from goldseam.errors import MissingExtra

SIDES = (FLOOR, CEILING, WALL, WALL, WALL, WALL)
MISS = -1
# corners of the unit cube: floor, ceiling, then the walls x = 0, x = 1, z = 0, z = 1
_QUADS = np.array(
    [
        [[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]],
        [[0, 1, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1]],
        [[0, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1]],
        [[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1]],
        [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]],
        [[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]],
    ],
    np.float32,
)
# two triangles for each
_QUAD_FACES = (np.arange(6)[:, None, None] * 4 + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)


@dataclasses.dataclass(frozen=True, eq=False)
class Hits:
    """What rays meet first.

    Attributes:
        face_R: the triangle; -1 where a ray meets nothing.
        depth_R: float32, distance in lengths of the ray's direction.
        weight_R3: float32, barycentric coordinates.
        normal_R3: float32, the triangle's unit normal on the side that the ray comes from.
    """

    face_R: Array
    depth_R: Array
    weight_R3: Array
    normal_R3: Array


def require_embree() -> None:
    """Ask for the ray tracer.

    Raises:
        MissingExtra: embreex is not installed.
    """
    if importlib.util.find_spec("embreex") is None:
        raise MissingExtra("embreex", "rooms", "Building the dataset rooms")


class Tracer:
    """Triangles that rays can be sent against.

    Args:
        position_V3: float32 positions.
        face_F3: each triangle's rows of them.

    Raises:
        MissingExtra: embreex is not installed.
    """

    def __init__(self, position_V3: Array, face_F3: Array) -> None:
        require_embree()
        meshes: Any = importlib.import_module("embreex.mesh_construction")
        self._scene: Any = importlib.import_module("embreex.rtcore_scene").EmbreeScene()
        # shared vertices are handed over in half the time of separate triangles
        self._mesh = meshes.TriangleMesh(
            self._scene,
            np.ascontiguousarray(position_V3, np.float32),
            np.ascontiguousarray(face_F3, np.int32),
        )

    def first(self, origin_R3: Array, direction_R3: Array) -> Hits:
        """The first triangle that each ray meets."""
        found = self._scene.run(
            np.ascontiguousarray(origin_R3, np.float32),
            np.ascontiguousarray(direction_R3, np.float32),
            query="INTERSECT",
            output=1,
        )
        normal_R3 = found["Ng"]
        length_R1 = np.linalg.norm(normal_R3, axis=1, keepdims=True)
        away_R = np.einsum("ij,ij->i", normal_R3, direction_R3) > 0
        sign_R1 = np.where(away_R, -1, 1)[:, None]
        u_R, v_R = found["u"], found["v"]
        return Hits(
            face_R=found["primID"].astype(np.int64),
            depth_R=found["tfar"],
            weight_R3=np.stack([1 - u_R - v_R, u_R, v_R], axis=1),
            normal_R3=(sign_R1 * normal_R3 / np.maximum(length_R1, 1e-30)).astype(np.float32),
        )

    def met(self, origin_R3: Array, direction_R3: Array) -> Array:
        """True where a ray meets anything within one length of its direction."""
        reach_R = np.ones(len(origin_R3), np.float32)
        blocked_R = self._scene.run(
            np.ascontiguousarray(origin_R3, np.float32),
            np.ascontiguousarray(direction_R3, np.float32),
            dists=reach_R,
            query="OCCLUDED",
        )
        return np.asarray(blocked_R != MISS)


@functools.lru_cache(maxsize=512)
def model_tracer(model: Model) -> Tracer:
    """One model alone, in its own axes."""
    return Tracer(model.position_V3, model.face_F3)


class Scene:
    """A room's triangles with what is known of each.

    Attributes:
        room: what it was made from.
        tracer: for rays.
        normal_F33: smooth normals of the corners, in the axes of the triangle's model.
        uv_F32: texture coordinates of the corners.
        color_F3: RGB as stored, 0 to 1.
        texture_F: index into the library's textures, or -1.
        glow_F: what a surface shines by itself.
        instance_F: which instance a triangle belongs to.
        category_I: id of each instance's category.
        rotation_I33: from the axes of each instance's model to the world's.
    """

    def __init__(self, room: Room) -> None:
        self.room = room
        models = [piece.model for piece in room.pieces]
        placed = [
            piece.model.position_V3 @ piece.rotation_33.T + np.array(piece.position)
            for piece in room.pieces
        ]
        corners = (_QUADS * np.array(room.size)).reshape(-1, 3)
        first = np.cumsum([len(corners), *(len(model.position_V3) for model in models)])
        faces = [model.face_F3 + start for model, start in zip(models, first, strict=False)]
        self.tracer = Tracer(
            np.concatenate([corners, *placed]), np.concatenate([_QUAD_FACES, *faces])
        )
        sides = len(_QUAD_FACES)
        shine = [room.daylight if m.card.category == "opening" else 1.0 for m in models]
        glows = [m.glow_M[m.material_F] * np.float32(s) for m, s in zip(models, shine, strict=True)]
        self.normal_F33 = _all(np.zeros((sides, 3, 3)), [m.normal_F33 for m in models])
        self.uv_F32 = _all(np.zeros((sides, 3, 2)), [m.uv_F32 for m in models])
        self.color_F3 = _all(np.ones((sides, 3)), [m.color_M3[m.material_F] for m in models])
        self.glow_F = _all(np.zeros(sides), glows)
        self.texture_F = np.concatenate(
            [np.full(sides, -1), *(m.texture_M[m.material_F] for m in models)]
        )
        counts = [2] * len(SIDES) + [len(model.face_F3) for model in models]
        self.instance_F = np.repeat(np.arange(len(counts)), counts)
        furniture = [CATEGORIES.index(model.card.category) for model in models]
        self.category_I = np.array([*SIDES, *furniture])
        upright = [np.eye(3, dtype=np.float32)] * len(SIDES)
        self.rotation_I33 = np.stack([*upright, *(piece.rotation_33 for piece in room.pieces)])


def _all(sides: Array, pieces: list[Array]) -> Array:
    return np.concatenate([sides.astype(np.float32), *pieces])
