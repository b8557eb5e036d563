"""How an exported finding refers to its image: by path, by id, or by the picture itself."""

import base64
import dataclasses
import io
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from goldseam.dataset.codecs import decode_image, encode_png, stored_picture
from goldseam.dataset.reading import Dataset, open_shard
from goldseam.errors import InvalidConfig, InvalidDataset

# what every browser shows
SHOWN = {"PNG": "image/png", "JPEG": "image/jpeg"}


@dataclasses.dataclass(frozen=True)
class ImageReference:
    """One image of the findings.

    Attributes:
        name: its path where the dataset names one, else its id.
        size: width and height in px; None where nobody knows.
        address: what an annotation tool opens: the prefix and the name, or a data URI.
    """

    name: str
    size: tuple[int, int] | None
    address: str


@dataclasses.dataclass(frozen=True)
class ImageReferences:
    """Looks images up in the audited dataset.

    Attributes:
        dataset: None where it is not at hand.
        prefix: put before each name in an address.
        embed: whether an address is the picture itself.
    """

    dataset: Dataset | None
    prefix: str = ""
    embed: bool = False

    def of(self, image_ids: Sequence[str]) -> dict[str, ImageReference]:
        """The references of some images, by id.

        Raises:
            InvalidConfig: there is no dataset.
            InvalidDataset: the dataset lacks an image, or its picture where it is to be embedded.
        """
        if self.dataset is None:
            raise InvalidConfig(
                "the sizes of the images are needed to place findings in them.",
                remedy="Name the audited dataset with --dataset.",
            )
        wanted = pa.array(image_ids, pa.string())
        found: dict[str, ImageReference] = {}
        for shard in self.dataset.info.shards:
            with open_shard(self.dataset.path / shard.file) as parquet:
                for number in range(parquet.num_row_groups):
                    columns = ["image_id", "width", "height", "image.path"]
                    table = parquet.read_row_group(number, columns=columns)
                    inside = pc.is_in(table.column("image_id"), wanted)
                    if not pc.any(inside).as_py():
                        continue
                    rows = table.filter(inside).to_pylist()
                    if self.embed:
                        whole = parquet.read_row_group(number, columns=["image"]).filter(inside)
                        for row, cell in zip(rows, whole.to_pylist(), strict=True):
                            row["image"] = cell["image"]
                    found |= {row["image_id"]: self._reference(row) for row in rows}
        missing = next((name for name in image_ids if name not in found), None)
        if missing is not None:
            raise InvalidDataset(
                f"{self.dataset.path}: the dataset has no image '{missing}', which a finding is "
                "about.",
                remedy="Name the dataset that was audited.",
            )
        return found

    def _reference(self, row: dict[str, Any]) -> ImageReference:
        name = (row["image"] or {}).get("path") or row["image_id"]
        size = None if None in (row["width"], row["height"]) else (row["width"], row["height"])
        address = _data_uri(row) if self.embed else self.prefix + quote(name)
        return ImageReference(name, size, address)


def _data_uri(row: dict[str, Any]) -> str:
    content = stored_picture(row["image"])
    if content is None:
        raise InvalidDataset(
            f"image '{row['image_id']}': the picture is not stored, and cannot be embedded.",
            remedy="Leave --embed out and say with --image-prefix where the pictures are served, "
            "or import the dataset again with --images.",
        )
    with Image.open(io.BytesIO(content)) as picture:
        kind = picture.format or ""
    if kind not in SHOWN:
        content, kind = encode_png(decode_image(content)), "PNG"
    return f"data:{SHOWN[kind]};base64,{base64.b64encode(content).decode()}"
