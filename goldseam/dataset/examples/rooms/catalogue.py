"""Makes furniture models out of Sweet Home 3D catalogues (`.sh3f`).

`python -m goldseam.dataset.examples.rooms.catalogue FOLDER --out models.npz --credits FILE` writes
the models that goldseam ships, and the list of who made them.

Shapes: V vertices, F triangles, M materials.
"""

import argparse
import dataclasses
import hashlib
import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from goldseam.dataset.examples.rooms.categories import FURNITURE, category_of
from goldseam.dataset.examples.rooms.models import (
    TEXTURE_PX,
    Array,
    Card,
    Library,
    Model,
    Mount,
    write_library,
)
from goldseam.dataset.examples.rooms.simplification import simplify
from goldseam.dataset.examples.rooms.wavefront import Material, read_obj
from goldseam.errors import MissingInput
from goldseam.progress import progress
from goldseam.storage.atomic import write_bytes

PROPERTIES = "PluginFurnitureCatalog.properties"
SHIPPED_PER_CATEGORY = 20
LARGEST_M = 3.2
SMALLEST_M = 0.18
MOST_DETAIL = 60_000  # triangles; a finer model falls to splinters when it is simplified
THICKEST_OPENING_M = 0.12
WALL_ELEVATION_M = 0.4
CEILING_M = 2.3
# small things stand on other pieces
TABLETOP_M = {"lamp": 0.7, "plant": 0.6, "appliance": 0.55}
DESK_HEIGHT_M = (0.35, 1.15)
FREE = re.compile(r"public domain|creative commons attribution", re.IGNORECASE)
# glass is drawn as a pale surface: a ray tracer that sees through it would have two depths to tell
CLEAR, GLASS = 0.1, 0.6
SKY = 0.8
GLASS_COLOR = (0.75, 0.82, 0.85)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One model of a catalogue, not read yet.

    Attributes:
        archive: the catalogue's file.
        path: of the OBJ file in it.
        rotation_33: turns the model upright, its front to +z.
        card: what the catalogue says.
    """

    archive: Path
    path: str
    rotation_33: Array
    card: Card


def entries(folder: Path) -> list[Entry]:
    """What the catalogues of a folder hold of the categories of rooms, sorted by id.

    Raises:
        MissingInput: the folder holds no catalogue, or a catalogue is broken.
    """
    archives = sorted(folder.glob("*.sh3f"))
    if not archives:
        raise MissingInput(
            folder,
            "holds no .sh3f file",
            "Name the folder with the catalogues of Sweet Home 3D; on Debian and Ubuntu: apt "
            "install sweethome3d-furniture, then /usr/share/sweethome3d/furniture.",
        )
    found = [entry for archive in archives for entry in _entries_of(archive)]
    return sorted(found, key=lambda entry: entry.card.model_id)


def _entries_of(archive: Path) -> Iterator[Entry]:
    try:
        with zipfile.ZipFile(archive) as opened:
            text = opened.read(PROPERTIES).decode("latin-1")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise MissingInput(archive, f"is no furniture catalogue ({error})") from error
    general = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    rows: dict[str, dict[str, str]] = {}
    for key, number, value in re.findall(r"^(\w+)#(\d+)=(.*)$", text, re.MULTILINE):
        rows.setdefault(number, {})[key] = value.strip()
    for row in rows.values():
        entry = _entry(archive, row, row.get("license") or general.get("license", ""))
        if entry is not None:
            yield entry


def _entry(archive: Path, row: dict[str, str], terms: str) -> Entry | None:
    category = category_of(row["name"], row.get("category", ""))
    if category is None or not FREE.search(terms):
        return None
    width, height, depth = (float(row[key]) / 100 for key in ("width", "height", "depth"))
    if max(width, height, depth) > LARGEST_M or max(width, height, depth) < SMALLEST_M:
        return None
    if category == "opening":
        # frames and handles reach deep into a real wall; here the whole piece stands before it
        depth = min(depth, THICKEST_OPENING_M)
    elevation = float(row.get("elevation") or 0) / 100
    drop = float(row.get("dropOnTopElevation") or 0) / 100
    low, high = DESK_HEIGHT_M
    top = drop if drop > 0 else height
    rotation = row.get("modelRotation", "1 0 0 0 1 0 0 0 1").split()
    return Entry(
        archive,
        row["model"].lstrip("/"),
        np.array(rotation, np.float64).reshape(3, 3),
        Card(
            model_id=f"{archive.stem}/{Path(row['model']).stem}",
            name=row["name"],
            creator=row.get("creator") or "unknown",
            license=_license(terms),
            catalogue=archive.name,
            category=category,
            mount=_mount(category, height, elevation),
            size=(round(width, 4), round(height, 4), round(depth, 4)),
            elevation=elevation,
            top=top if category in ("table", "storage") and low <= top <= high else 0.0,
        ),
    )


def _license(terms: str) -> str:
    if "public domain" in terms.lower():
        return "CC0-1.0"
    return "CC-BY-3.0-US" if "United States" in terms else "CC-BY-3.0"


def _mount(category: str, height: float, elevation: float) -> Mount:
    if category == "opening":
        return "wall"
    if category == "lamp" and elevation + height >= CEILING_M:
        return "ceiling"
    if elevation >= WALL_ELEVATION_M:
        return "wall"
    return "top" if height <= TABLETOP_M.get(category, 0.0) else "floor"


def read_model(entry: Entry, textures: dict[bytes, int], most_faces: int) -> Model | None:
    """Read one model: upright, at its real size, with its colors.

    Args:
        entry: which.
        textures: pixels of each texture → its number; grows.
        most_faces: it is simplified to about as many triangles.

    Returns:
        None for a model that is too detailed to be simplified.

    Raises:
        MissingInput: its files are not in the catalogue or are broken.
    """
    try:
        with zipfile.ZipFile(entry.archive) as opened:
            # counted before the whole text is taken apart: a polygon is a triangle or more
            if opened.read(entry.path).count(b"\nf ") > MOST_DETAIL:
                return None
            mesh = read_obj(opened.read, entry.path)
            if len(mesh.corner_F3) > MOST_DETAIL:
                return None
            # daylight comes through the panes of windows and doors
            sky = SKY if entry.card.category == "opening" else 0.0
            looks = [_look(material, opened, textures, sky) for material in mesh.materials]
    except (OSError, KeyError, ValueError, IndexError, zipfile.BadZipFile) as error:
        raise MissingInput(entry.archive, f"{entry.path} cannot be read ({error})") from error
    clear_M = np.array([material.opacity < CLEAR for material in mesh.materials])
    kept_F = ~clear_M[mesh.material_F]
    position_V3 = mesh.position_V3 @ entry.rotation_33.T
    textured_M = np.array([look[1] >= 0 for look in looks])
    # a corner without a texture needs no coordinates, so that more corners are one vertex
    uv_F3 = np.where(textured_M[mesh.material_F][:, None], mesh.corner_uv_F3, -1)
    key_C2 = np.stack([mesh.corner_F3[kept_F].ravel(), uv_F3[kept_F].ravel()], axis=1)
    vertex_V2, corner_C = np.unique(key_C2, axis=0, return_inverse=True)
    uv_V2 = np.where(vertex_V2[:, 1:] >= 0, mesh.uv_U2[vertex_V2[:, 1]], 0.0)
    position, uv, face, material = simplify(
        position_V3[vertex_V2[:, 0]],
        uv_V2,
        corner_C.reshape(-1, 3),
        mesh.material_F[kept_F],
        most_faces,
    )
    return Model(
        card=entry.card,
        position_V3=_standing(position, entry.card.size).astype(np.float32),
        uv_V2=uv.astype(np.float32),
        face_F3=face,
        material_F=material,
        color_M3=np.array([look[0] for look in looks], np.float32),
        texture_M=np.array([look[1] for look in looks], np.int64),
        glow_M=np.array([look[2] for look in looks], np.float32),
    )


def _standing(position_V3: Array, size: tuple[float, float, float]) -> Array:
    """Stretched to its real size, standing on y = 0 with its footprint's center on the origin."""
    low, high = position_V3.min(axis=0), position_V3.max(axis=0)
    origin = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    return np.asarray((position_V3 - origin) * (np.array(size) / np.maximum(high - low, 1e-9)))


def _look(
    material: Material, opened: zipfile.ZipFile, textures: dict[bytes, int], pane: float
) -> tuple[tuple[float, float, float], int, float]:
    """Color, number of the texture (-1 for none), glow; `pane` is the glow of glass."""
    glow = min(material.glow, 1.0)
    if material.opacity < GLASS:
        return GLASS_COLOR, -1, max(glow, pane)
    if not material.texture:
        return material.color, -1, glow
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(opened.read(material.texture))) as picture:
            whole = picture.convert("RGBA")
    except (KeyError, UnidentifiedImageError, OSError):
        return material.color, -1, glow
    # what a cut-out leaf leaves free takes the color of the rest
    pixels = np.asarray(whole).reshape(-1, 4).astype(np.float64)
    solid = pixels[:, 3] > 127
    mean = tuple(int(c) for c in pixels[solid if solid.any() else ~solid, :3].mean(axis=0))
    back = Image.new("RGBA", whole.size, (*mean, 255))
    small = Image.alpha_composite(back, whole).convert("RGB")
    small = small.resize((TEXTURE_PX, TEXTURE_PX), Image.Resampling.BOX)
    number = textures.setdefault(small.tobytes(), len(textures))
    return (mean[0] / 255, mean[1] / 255, mean[2] / 255), number, glow


def read_catalogues(
    folder: Path, *, per_category: int | None = None, most_faces: int = 8000
) -> Library:
    """Read the models of a folder of catalogues.

    Args:
        folder: with `.sh3f` files.
        per_category: at most as many models of each category, chosen by a hash of their ids; None
            is all.
        most_faces: a model of more triangles is simplified to about as many.

    Raises:
        MissingInput: the folder holds no catalogue, or a catalogue is broken.
    """
    found = sorted(
        entries(folder), key=lambda entry: hashlib.sha256(entry.card.model_id.encode()).digest()
    )
    textures: dict[bytes, int] = {}
    models: list[Model] = []
    counts = Counter[str]()
    with progress("furniture", len(found)) as step:
        for entry in found:
            category = entry.card.category
            if per_category is None or counts[category] < per_category:
                model = read_model(entry, textures, most_faces)
                if model is not None:
                    models.append(model)
                    counts[category] += 1
            step()
    models.sort(key=lambda model: model.card.model_id)
    shape = (len(textures), TEXTURE_PX, TEXTURE_PX, 3)
    pixels = np.frombuffer(b"".join(textures), np.uint8).reshape(shape)
    return Library(tuple(models), pixels)


def credits_page(library: Library) -> str:
    """Who made each model, as Markdown."""
    counts = Counter(model.card.category for model in library.models)
    listed = ", ".join(f"{counts[category]} {category}" for category in FURNITURE)
    lines = [
        "# Furniture of the example dataset rooms",
        "",
        (
            f"{len(library.models)} models ({listed}) from the libraries of Sweet Home 3D "
            "(http://www.sweethome3d.com/importModels.jsp). Changes: brought to meters and one "
            "orientation, triangles merged, textures reduced to 32 px, glass made opaque."
        ),
        "",
        (
            "Licenses: [CC-BY-3.0](https://creativecommons.org/licenses/by/3.0/), "
            "[CC-BY-3.0-US](https://creativecommons.org/licenses/by/3.0/us/), "
            "[CC0-1.0](https://creativecommons.org/publicdomain/zero/1.0/). "
            "Scopia: Emmanuel Puybaret / eTeks and Scopia Visual Interfaces Systems, s.l. "
            "(http://www.scopia.es). Kator Legaz: Andrew Kator and Jennifer Legaz."
        ),
        "",
        "| model | name | category | creator | license |",
        "| --- | --- | --- | --- | --- |",
    ]
    for model in library.models:
        card = model.card
        lines.append(
            f"| {card.model_id} | {card.name} | {card.category} | {card.creator} | {card.license} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the shipped models and their credits."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, help="with .sh3f catalogues")
    parser.add_argument("--out", type=Path, required=True, help=".npz file to write")
    parser.add_argument("--credits", type=Path, required=True, help="Markdown file to write")
    parser.add_argument("--per-category", type=int, default=SHIPPED_PER_CATEGORY)
    parser.add_argument("--most-faces", type=int, default=3000)
    given = parser.parse_args(arguments)
    library = read_catalogues(
        given.folder, per_category=given.per_category, most_faces=given.most_faces
    )
    write_bytes(given.out, write_library(library))
    write_bytes(given.credits, credits_page(library).encode())


if __name__ == "__main__":
    main()
