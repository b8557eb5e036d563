"""Furniture models as the renderer takes them, and the file that a few of them are shipped in.

Shapes: V vertices, F triangles, M materials, T textures of TEXTURE_PX squared.
Axes of a model: x to the right, y up, z to its front; meters; it stands on y = 0, and the center
of its footprint is the origin.
"""

import dataclasses
import functools
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from goldseam.dataset.schema import Split
from goldseam.errors import MissingInput

Array = npt.NDArray[Any]
Mount = Literal["floor", "top", "wall", "ceiling"]

SHIPPED = Path(__file__).with_name("models.npz")
TEXTURE_PX = 32
CREASE = np.cos(np.radians(40.0))
STEPS = 65535  # positions and texture coordinates are stored as 16-bit fractions of their range
# of each category's models: enough held-out ones that a score does not hang on two chairs
SHARES: dict[Split, float] = {"train": 0.6, "validation": 0.15, "test": 0.25}


@dataclasses.dataclass(frozen=True)
class Card:
    """What the catalogue says about a model.

    Attributes:
        model_id: unique.
        name: what it is called.
        creator: who made it.
        license: under which it may be used.
        catalogue: the file that it comes from.
        category: one of `categories.FURNITURE`.
        mount: where it belongs: on the floor, on top of another piece, on a wall, at the ceiling.
        size: width, height, depth in m.
        elevation: of its lowest point above the floor in m, for pieces on walls.
        top: height in m at which other things may stand on it; 0 for none.
    """

    model_id: str
    name: str
    creator: str
    license: str
    catalogue: str
    category: str
    mount: Mount
    size: tuple[float, float, float]
    elevation: float
    top: float


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A piece of furniture.

    Attributes:
        card: what the catalogue says.
        position_V3: float32, m.
        uv_V2: float32, texture coordinates, v upwards, repeating.
        face_F3: int64, rows of `position_V3`.
        material_F: int64, rows of the next four.
        color_M3: float32 RGB as stored (gamma 2.2), 0 to 1.
        texture_M: int64, index into the library's textures; -1 where there is none.
        glow_M: float32, how much the surface shines by itself, 0 to 1.
    """

    card: Card
    position_V3: Array
    uv_V2: Array
    face_F3: Array
    material_F: Array
    color_M3: Array
    texture_M: Array
    glow_M: Array

    @functools.cached_property
    def normal_F33(self) -> Array:  # noqa: N802
        """float32 unit normals of each triangle's corners, smooth across edges below 40°."""
        return smooth_normals(self.position_V3[self.face_F3])

    @functools.cached_property
    def uv_F32(self) -> Array:  # noqa: N802
        """float32 texture coordinates of each triangle's corners."""
        return np.asarray(self.uv_V2[self.face_F3])


def smooth_normals(corner_F33: Array) -> Array:
    """Normals at the corners of triangles: the mean over neighbors that meet at a flat angle.

    Triangles are neighbors at a corner when they share its position; each counts by its area.

    Args:
        corner_F33: positions of each triangle's corners.

    Returns:
        float32 F33, of unit length; zeros for a triangle without area.
    """
    triangles = len(corner_F33)
    flat_F3 = np.cross(
        corner_F33[:, 1] - corner_F33[:, 0], corner_F33[:, 2] - corner_F33[:, 0]
    ).astype(np.float64)
    unit_F3 = flat_F3 / np.maximum(np.linalg.norm(flat_F3, axis=1, keepdims=True), 1e-20)
    grid_C3 = np.round(corner_F33.reshape(-1, 3) * 2e4).astype(np.int64)
    _, place_C = np.unique(grid_C3, axis=0, return_inverse=True)
    place_C = place_C.reshape(-1)
    order = np.argsort(place_C, kind="stable")
    count = np.bincount(place_C)
    first = count.cumsum() - count
    # every ordered pair of corners at one place; a place where very many meet pairs with some only
    reach_C = np.minimum(count[place_C], 24)
    mine = np.repeat(np.arange(3 * triangles), reach_C)
    turn = np.arange(len(mine)) - np.repeat(reach_C.cumsum() - reach_C, reach_C)
    other = order[first[place_C[mine]] + turn]
    cosine = np.einsum("ij,ij->i", unit_F3[mine // 3], unit_F3[other // 3])
    # catalogues do not agree on which side of a triangle is its front
    weight = np.where(np.abs(cosine) >= CREASE, np.sign(cosine), 0.0)
    sums_C3: Array = np.stack(
        [
            np.bincount(mine, weight * flat_F3[other // 3, axis], minlength=3 * triangles)
            for axis in range(3)
        ],
        axis=1,
    )
    sums_C3 = sums_C3 + 1e-6 * np.repeat(flat_F3, 3, axis=0)
    length_C1 = np.linalg.norm(sums_C3, axis=1, keepdims=True)
    return np.asarray(sums_C3 / np.maximum(length_C1, 1e-20), np.float32).reshape(-1, 3, 3)


@dataclasses.dataclass(frozen=True, eq=False)
class Library:
    """Models with the textures that they share.

    Attributes:
        models: in the order of their ids.
        texture_T: uint8 T, TEXTURE_PX, TEXTURE_PX, 3; the first row is the upper edge.
    """

    models: tuple[Model, ...]
    texture_T: Array

    def split(self, split: Split) -> list[Model]:
        """The models of one split; the three share none, and every category is in each.

        Which model goes where follows from the ids alone: of each category's models, sorted by a
        hash of the id, the first go to test, the next to validation, the rest to train.
        """
        chosen = []
        for category in sorted({model.card.category for model in self.models}):
            of_category = sorted(
                (model for model in self.models if model.card.category == category),
                key=lambda model: hashlib.sha256(model.card.model_id.encode()).digest(),
            )
            count = len(of_category)
            test = max(1, round(SHARES["test"] * count))
            validation = max(1, round(SHARES["validation"] * count))
            bounds = {"test": (0, test), "validation": (test, test + validation)}
            start, stop = bounds.get(split, (test + validation, count))
            chosen += of_category[start:stop]
        return sorted(chosen, key=lambda model: model.card.model_id)


def write_library(library: Library) -> bytes:
    """A library as the bytes of an `.npz` file without pickle; equal libraries give equal bytes."""
    low = [np.stack([m.position_V3.min(0), np.ptp(m.position_V3, axis=0)]) for m in library.models]
    low_uv = [np.stack([m.uv_V2.min(0), np.ptp(m.uv_V2, axis=0)]) for m in library.models]

    def fractions(values: Array, span: Array) -> Array:
        part = (values - span[0]) / np.where(span[1] > 0, span[1], 1)
        return np.asarray(np.rint(part * STEPS), np.uint16)

    def together(parts: Sequence[Array], dtype: type) -> Array:
        return np.concatenate([np.asarray(part) for part in parts]).astype(dtype)

    models = library.models
    cards = json.dumps([dataclasses.asdict(model.card) for model in models]).encode()
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        cards=np.frombuffer(cards, np.uint8),
        counts=np.array(
            [(len(m.position_V3), len(m.face_F3), len(m.color_M3)) for m in models], np.int32
        ),
        span=np.stack(low).astype(np.float32),
        span_uv=np.stack(low_uv).astype(np.float32),
        # axis by axis, which packs better
        position=together(
            [fractions(m.position_V3, s) for m, s in zip(models, low, strict=True)], np.uint16
        ).T.copy(),
        uv=together(
            [fractions(m.uv_V2, s) for m, s in zip(models, low_uv, strict=True)], np.uint16
        ).T.copy(),
        face=together([m.face_F3 for m in models], np.uint16).T.copy(),
        material=together([m.material_F for m in models], np.uint8),
        color=np.rint(together([m.color_M3 for m in models], np.float64) * 255).astype(np.uint8),
        texture=together([m.texture_M for m in models], np.int16),
        glow=np.rint(together([m.glow_M for m in models], np.float64) * 255).astype(np.uint8),
        pixels=library.texture_T,
    )
    return stream.getvalue()


@functools.lru_cache(maxsize=1)  # a model keeps what was computed of it
def read_library(path: Path = SHIPPED) -> Library:
    """Read the models that are shipped, or others that were written in the same way.

    Raises:
        MissingInput: the file is not there or is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            parts = {name: stored[name] for name in stored.files}
        cards = json.loads(parts["cards"].tobytes())
        ends = parts["counts"].astype(np.int64).cumsum(axis=0)
        starts = ends - parts["counts"]
        models = tuple(
            _model(card, parts, number, starts[number], ends[number])
            for number, card in enumerate(cards)
        )
        return Library(models, parts["pixels"])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise MissingInput(
            path,
            f"holds no furniture models ({error})",
            "Install goldseam again: the file is part of the package.",
        ) from error


def _model(
    card: dict[str, Any], parts: dict[str, Array], number: int, start: Array, end: Array
) -> Model:
    vertices, faces, materials = (slice(a, b) for a, b in zip(start, end, strict=True))
    span, span_uv = parts["span"][number], parts["span_uv"][number]
    return Model(
        card=Card(**{**card, "size": tuple(card["size"])}),
        position_V3=(parts["position"].T[vertices] / STEPS * span[1] + span[0]).astype(np.float32),
        uv_V2=(parts["uv"].T[vertices] / STEPS * span_uv[1] + span_uv[0]).astype(np.float32),
        face_F3=parts["face"].T[faces].astype(np.int64),
        material_F=parts["material"][faces].astype(np.int64),
        color_M3=parts["color"][materials].astype(np.float32) / 255,
        texture_M=parts["texture"][materials].astype(np.int64),
        glow_M=parts["glow"][materials].astype(np.float32) / 255,
    )
