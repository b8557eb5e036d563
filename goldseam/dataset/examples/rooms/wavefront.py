"""Reads Wavefront OBJ and MTL as far as furniture needs it: triangles, colors, textures.

Shapes: V vertices, F triangles, M materials.
"""

import dataclasses
import posixpath
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclasses.dataclass
class Material:
    """How a surface looks.

    Attributes:
        color: diffuse RGB, 0 to 1.
        opacity: 1 is opaque.
        glow: the brightest channel of what it emits, 0 to 1.
        texture: file of the diffuse texture, relative to the archive; empty when there is none.
    """

    color: tuple[float, float, float] = (0.8, 0.8, 0.8)
    opacity: float = 1.0
    glow: float = 0.0
    texture: str = ""


@dataclasses.dataclass
class Mesh:
    """A triangle mesh as it stands in the file.

    Attributes:
        position_V3: in the file's own units.
        uv_U2: texture coordinates, v upwards; one row of zeros when there are none.
        corner_F3: row of `position_V3` for each corner.
        corner_uv_F3: row of `uv_U2` for each corner.
        material_F: index into `materials`.
        materials: those that some triangle uses.
    """

    position_V3: Floats
    uv_U2: Floats
    corner_F3: Indices
    corner_uv_F3: Indices
    material_F: Indices
    materials: list[Material]


def read_obj(read: Callable[[str], bytes], path: str) -> Mesh:
    """Read a model from an archive; polygons are cut into fans of triangles.

    Args:
        read: gives the bytes of a file of the archive.
        path: of the OBJ file in the archive.

    Raises:
        KeyError: the file is not in the archive.
        ValueError: it is no OBJ file with at least one triangle.
    """
    positions: list[str] = []
    uvs: list[str] = []
    corners: list[tuple[int, int]] = []
    sizes: list[int] = []
    used: list[str] = []
    known: dict[str, Material] = {}
    current = ""
    for line in read(path).decode("latin-1").splitlines():
        key, _, rest = line.strip().partition(" ")
        if key == "v":
            positions.append(rest)
        elif key == "vt":
            uvs.append(rest)
        elif key == "f":
            polygon = [_corner(word, len(positions), len(uvs)) for word in rest.split()]
            corners += polygon
            sizes.append(len(polygon))
            used.append(current)
        elif key == "usemtl":
            current = rest.strip()
        elif key == "mtllib":
            known |= _read_mtl(read, posixpath.join(posixpath.dirname(path), rest.strip()))
    if not any(size > 2 for size in sizes):
        raise ValueError(f"{path} holds no triangle")
    size_P = np.array(sizes)
    first_P = np.concatenate([[0], size_P.cumsum()[:-1]])
    # polygon p has the triangles (first, first + k, first + k + 1)
    polygon_F = np.repeat(np.arange(len(size_P)), np.maximum(size_P - 2, 0))
    start_F = first_P[polygon_F]
    turn_F = np.arange(len(polygon_F)) - np.searchsorted(polygon_F, polygon_F)
    corner_F3 = np.stack([start_F, start_F + turn_F + 1, start_F + turn_F + 2], axis=1)
    index_C2 = np.array(corners)
    names = sorted(set(used))
    number = np.array([names.index(name) for name in used])
    return Mesh(
        position_V3=_table(positions, 3),
        uv_U2=_table(uvs, 2) if uvs else np.zeros((1, 2)),
        corner_F3=index_C2[corner_F3, 0],
        corner_uv_F3=index_C2[corner_F3, 1],
        material_F=number[polygon_F],
        materials=[known.get(name, Material()) for name in names],
    )


def _table(lines: list[str], columns: int) -> Floats:
    return np.array([line.split()[:columns] for line in lines], np.float64)


def _corner(word: str, positions: int, uvs: int) -> tuple[int, int]:
    """`7/3/1`, `7//1` or `7`; numbers start at 1, negative ones count from the end."""
    parts = word.split("/")
    position = int(parts[0])
    uv = int(parts[1]) if len(parts) > 1 and parts[1] else 0
    position += positions if position < 0 else -1
    uv += uvs if uv < 0 else -1
    return position, max(uv, 0)


def _read_mtl(read: Callable[[str], bytes], path: str) -> dict[str, Material]:
    try:
        content = read(path).decode("latin-1")
    except KeyError:
        return {}
    materials: dict[str, Material] = {}
    material = Material()
    for line in content.splitlines():
        key, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if key == "newmtl":
            material = materials[rest] = Material()
        elif key == "Kd":
            red, green, blue = (min(max(float(word), 0.0), 1.0) for word in rest.split()[:3])
            material.color = (red, green, blue)
        elif key == "Ke":
            material.glow = min(max(float(word) for word in rest.split()[:3]), 1.0)
        elif key == "d":
            material.opacity = float(rest.split()[-1])
        elif key == "map_Kd":
            # options such as `-s 1 1 1` come before the file's name
            name = rest.split()[-1] if rest.startswith("-") else rest
            material.texture = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
    return materials
