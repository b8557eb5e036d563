"""What every picture is: its pixels' digest, fingerprint, statistics and color layout.

One row an image in the table `pictures`; duplicates, missingness and drift read it instead of the
pictures. H and W pixels, C color channels.
"""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa

from goldseam.audit.duplicates.hashing import perceptual_hash
from goldseam.audit.measuring import Seen
from goldseam.dataset.codecs import Array

STATISTICS = (
    "brightness",  # mean luma, 0 to 1
    "contrast",  # standard deviation of the luma, 0 to 0.5
    "saturation",  # mean HSV saturation, 0 to 1
    "sharpness",  # log(1 + variance of the Laplacian of the luma in gray levels)
    "colorfulness",  # Hasler and Suesstrunk 2003, of channels in 0 to 1
    "entropy",  # of the luma's histogram, bits
    "aspect_ratio",  # width over height
    "log_pixels",  # log10 of width times height
)
GRID = 4
DESCRIPTOR = GRID * GRID * 3
# statistics of color are taken from about so many pixels at most, evenly spread
SAMPLED = 512 * 512
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("pixels", pa.binary(32), nullable=False),  # SHA-256 of the decoded pixels
        pa.field("hash", pa.uint64()),  # null for a picture too flat to have one
        *(pa.field(name, pa.float32(), nullable=False) for name in STATISTICS),
        # mean CIE Lab of 4 x 4 cells: L 0 to 100
        pa.field("descriptor", pa.list_(pa.float16(), DESCRIPTOR), nullable=False),
    ]
)
TABLE = "pictures"


class PictureMeasure:
    """Measures the picture of every image; images whose picture is not stored give no row."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}

    def update(self, seen: Seen) -> None:
        """Take in one image."""
        if seen.image_HWC is None:
            return
        import cv2

        image_HWC = np.ascontiguousarray(seen.image_HWC)
        luma_HW = np.asarray(cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY))
        row = {
            "image_id": seen.image_id,
            "split": seen.split,
            "group": seen.group,
            "pixels": pixel_digest(image_HWC),
            "hash": perceptual_hash(luma_HW),
            **picture_statistics(image_HWC, luma_HW),
            "descriptor": color_layout(image_HWC),
        }
        for name, value in row.items():
            self._rows[name].append(value)

    def tables(self) -> dict[str, pa.Table]:
        """`pictures`, with the columns of `SCHEMA`."""
        layout = self._rows["descriptor"]
        flat = np.concatenate(layout) if layout else np.zeros(0, np.float16)
        descriptor = pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float16()), DESCRIPTOR)
        columns = [
            descriptor
            if field.name == "descriptor"
            else pa.array(self._rows[field.name], field.type)
            for field in SCHEMA
        ]
        return {TABLE: pa.table(columns, schema=SCHEMA)}


def pixel_digest(image_HWC: Array) -> bytes:
    """SHA-256 of the shape and the pixels (uint8): equal for equal pictures, however encoded."""
    digest = hashlib.sha256(np.array(image_HWC.shape, "<i8").tobytes())
    digest.update(np.ascontiguousarray(image_HWC).data)
    return digest.digest()


def color_layout(image_HWC: Array) -> Array:
    """Mean CIE Lab of 4 x 4 cells (MPEG-7 color layout, before its transform): float16 [48]."""
    import cv2

    small_HWC = cv2.resize(image_HWC, (GRID, GRID), interpolation=cv2.INTER_AREA)
    lab_HWC = np.asarray(cv2.cvtColor(small_HWC.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))
    return lab_HWC.astype(np.float16).ravel()


def picture_statistics(image_HWC: Array, luma_HW: Array) -> dict[str, float]:
    """The statistics that `STATISTICS` names.

    Args:
        image_HWC: uint8, RGB.
        luma_HW: uint8, its luma.
    """
    import cv2

    height, width = luma_HW.shape
    step = max(1, int(np.sqrt(height * width / SAMPLED)))
    sample_HWC = image_HWC[::step, ::step].astype(np.float32) / 255
    histogram = np.bincount(luma_HW.ravel(), minlength=256) / luma_HW.size
    level = np.arange(256) / 255
    brightness = float(histogram @ level)
    present = histogram[histogram > 0]
    most: Array = sample_HWC.max(axis=2)
    least: Array = sample_HWC.min(axis=2)
    saturation = np.where(most > 0, (most - least) / np.maximum(most, 1e-9), 0).mean()
    edge_HW: Array = np.asarray(cv2.Laplacian(luma_HW, cv2.CV_32F))
    return {
        "brightness": brightness,
        "contrast": float(np.sqrt(histogram @ (level - brightness) ** 2)),
        "saturation": float(saturation),
        "sharpness": float(np.log1p(edge_HW.var())),
        "colorfulness": _colorfulness(sample_HWC),
        "entropy": float(max(-(present * np.log2(present)).sum(), 0)),
        "aspect_ratio": width / height,
        "log_pixels": float(np.log10(width * height)),
    }


def _colorfulness(sample_HWC: Array) -> float:
    red, green, blue = sample_HWC[..., 0], sample_HWC[..., 1], sample_HWC[..., 2]
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))


def statistics_matrix(pictures: pa.Table) -> Array:
    """The statistics of a table `pictures`: float32 NS, one column for each of `STATISTICS`."""
    return np.stack([pictures.column(name).to_numpy() for name in STATISTICS], axis=1)


def descriptor_matrix(pictures: pa.Table) -> Array:
    """The color layouts of a table `pictures`: float32 ND."""
    layout = pictures.column("descriptor").combine_chunks()
    whole = pa.concat_arrays(layout.chunks) if isinstance(layout, pa.ChunkedArray) else layout
    flat = whole.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float32).reshape(-1, DESCRIPTOR)
