"""Fewer triangles for a model: vertices of one cell of a grid become one of them.

Shapes: V vertices, F triangles.
"""

import numpy as np

from goldseam.dataset.examples.rooms.models import Array

FINEST, COARSEST = 512, 12
ROUNDS = 7


def simplify(
    position_V3: Array, uv_V2: Array, face_F3: Array, material_F: Array, most_faces: int
) -> tuple[Array, Array, Array, Array]:
    """Merge vertices until a mesh has at most about `most_faces` triangles.

    Vertices of a cell move to the one of them that is nearest to their mean, so that what was
    plane stays plane (Rossignac and Borrel 1993, with a vertex of the mesh as representative).
    Triangles without area, and copies of a triangle, are dropped in any case.

    Args:
        position_V3: in any unit.
        uv_V2: texture coordinates.
        face_F3: rows of the vertices.
        material_F: of each triangle.
        most_faces: the grid is made coarser until there are no more, down to 12 cells a side.

    Returns:
        The same four arrays of the simpler mesh, without vertices that no triangle uses,
        triangles sorted by material.
    """
    # a distance that no 16-bit position tells apart
    whole = float(np.ptp(position_V3, axis=0).max()) or 1.0
    place_V = np.unique(np.round(position_V3 / whole * 20000), axis=0, return_inverse=True)[1]
    best = _kept(face_F3, place_V.reshape(-1), position_V3)
    target_V = np.arange(len(position_V3))
    if best.sum() > most_faces:
        low, high = COARSEST, FINEST
        for _ in range(ROUNDS):
            cells = round((low * high) ** 0.5)
            moved_V = _merge(position_V3, whole / cells)
            kept_F = _kept(moved_V[face_F3], moved_V, position_V3)
            if kept_F.sum() > most_faces:
                high = cells
            else:
                low, target_V, best = cells, moved_V, kept_F
    face_F3, material_F = target_V[face_F3[best]], material_F[best]
    order = np.argsort(material_F, kind="stable")
    used, face = np.unique(face_F3[order], return_inverse=True)
    return position_V3[used], uv_V2[used], face.reshape(-1, 3), material_F[order]


def _merge(position_V3: Array, cell: float) -> Array:
    """For each vertex the vertex that stands for its cell."""
    key_V3 = np.floor((position_V3 - position_V3.min(axis=0)) / cell + 0.5).astype(np.int64)
    group_V = np.unique(key_V3, axis=0, return_inverse=True)[1].reshape(-1)
    count_G = np.bincount(group_V)
    mean_G3 = np.stack(
        [np.bincount(group_V, position_V3[:, axis]) / count_G for axis in range(3)], axis=1
    )
    distance_V = np.linalg.norm(position_V3 - mean_G3[group_V], axis=1)
    order = np.lexsort((distance_V, group_V))
    first_G = order[np.searchsorted(group_V[order], np.arange(len(count_G)))]
    return np.asarray(first_G[group_V])


def _kept(face_F3: Array, place_V: Array, position_V3: Array) -> Array:
    """True for one of each set of equal triangles, if it has an area."""
    place_F3 = np.sort(place_V[face_F3], axis=1)
    corner_F33 = position_V3[face_F3]
    area_F = np.linalg.norm(
        np.cross(corner_F33[:, 1] - corner_F33[:, 0], corner_F33[:, 2] - corner_F33[:, 0]), axis=1
    )
    solid_F = (np.diff(place_F3, axis=1) != 0).all(axis=1) & (area_F > 0)
    _, first = np.unique(place_F3, axis=0, return_index=True)
    single_F = np.zeros(len(face_F3), bool)
    single_F[first] = True
    return np.asarray(solid_F & single_F)
