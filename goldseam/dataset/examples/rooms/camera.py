"""Pinhole cameras in a room, and the rays through their pixels.

Shapes: R rays. Camera axes: x right, y up, z towards the viewer.
"""

import dataclasses

import numpy as np

from goldseam.dataset.examples.rooms.furnishing import Room
from goldseam.dataset.examples.rooms.models import Array

FIELD_OF_VIEW = 66.0  # degrees; the same in the whole dataset, since labels pass through it
EYE_M = (1.0, 1.75)
FROM_WALL_M = 0.35
FROM_PIECE_M = 0.55
TRIES = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Camera:
    """Where a picture is taken from.

    Attributes:
        position: x, y, z in the world, m.
        axes_33: columns are right, up and towards the viewer, in the world.
    """

    position: Array
    axes_33: Array

    def rays(self, x_R: Array, y_R: Array) -> tuple[Array, Array]:
        """Rays through points of the picture.

        Args:
            x_R: -1 at the left edge, 1 at the right.
            y_R: -1 at the lower edge, 1 at the upper.

        Returns:
            Origins and directions, float32 R3. A direction has length 1 along the viewing axis, so
            that the distance along a ray, in its own lengths, is the z-depth.
        """
        half = np.tan(np.radians(FIELD_OF_VIEW) / 2)
        local_R3 = np.stack([x_R * half, y_R * half, -np.ones_like(x_R)], axis=1)
        direction_R3 = (local_R3 @ self.axes_33.T).astype(np.float32)
        return np.broadcast_to(self.position.astype(np.float32), direction_R3.shape), direction_R3

    def project(self, point_N3: Array) -> tuple[Array, Array]:
        """Where world points lie in the picture: x, y as in `rays` (N2), and their z-depth (N)."""
        local_N3 = (point_N3 - self.position) @ self.axes_33
        depth_N = -local_N3[:, 2]
        half = np.tan(np.radians(FIELD_OF_VIEW) / 2)
        return local_N3[:, :2] / (np.maximum(depth_N, 1e-9) * half)[:, None], depth_N


def look_at(position: Array, target: Array) -> Camera:
    """A camera that looks at a point and holds its head upright."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    return Camera(np.asarray(position), np.stack([right, np.cross(right, forward), -forward], 1))


def pixel_centers(size: int) -> tuple[Array, Array]:
    """Where the centers of a square picture's pixels lie: x, y, rows from top to bottom."""
    place = (np.arange(size) + 0.5) / size * 2 - 1
    x_HW, y_HW = np.meshgrid(place, -place)
    return x_HW.ravel(), y_HW.ravel()


def draw_camera(room: Room, random: np.random.Generator) -> Camera | None:
    """A camera in free space that looks towards some piece; None when no place was found."""
    size = np.array(room.size)
    for _ in range(TRIES):
        x, z = random.uniform(FROM_WALL_M, size[[0, 2]] - FROM_WALL_M)
        position = np.array([x, random.uniform(*EYE_M), z])
        near = [
            np.linalg.norm(position - np.clip(position, *piece.box)) < FROM_PIECE_M
            for piece in room.pieces
        ]
        if any(near) or not room.pieces:
            continue
        piece = room.pieces[int(random.integers(len(room.pieces)))]
        target = (piece.box[0] + piece.box[1]) / 2 + random.normal(0.0, 0.25, 3)
        target[1] = 0.5 * target[1] + 0.5 * random.uniform(0.6, 1.4)
        if np.linalg.norm((target - position)[[0, 2]]) > 1.2:
            return look_at(position, target)
    return None
