"""Duplicates among pictures in memory: one call without a dataset."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from goldseam.audit.duplicates.config import DuplicatesConfig
from goldseam.audit.duplicates.grouping import Fingerprints, group_duplicates
from goldseam.audit.measuring import Seen
from goldseam.audit.pictures import TABLE, PictureMeasure, descriptor_matrix
from goldseam.dataset.codecs import Array
from goldseam.errors import InvalidDataset


@dataclasses.dataclass(frozen=True)
class AlikeImages:
    """Pictures that show the same.

    Attributes:
        positions: in the order in which they were given.
        exact: whether all pixels are equal.
        bits: largest distance of the links that hold them together; 0 for exact.
    """

    positions: tuple[int, ...]
    exact: bool
    bits: int


def find_duplicates(
    images: Iterable[Array], config: DuplicatesConfig | None = None
) -> tuple[AlikeImages, ...]:
    """Group pictures that are equal or alike.

    Args:
        images: uint8 HWC with three channels, of any sizes; may be generated one by one.
        config: the options.

    Raises:
        InvalidDataset: an array is no picture; says which.
    """
    measure = PictureMeasure()
    for number, image in enumerate(images):
        image_HWC = np.asarray(image)
        if image_HWC.dtype != np.uint8 or image_HWC.ndim != 3 or image_HWC.shape[2] != 3:
            raise InvalidDataset(
                f"image {number} is an array of {image_HWC.dtype} and shape {image_HWC.shape}, "
                "expected uint8 and (height, width, 3).",
                remedy="Give 8-bit RGB; repeat the channel of a gray picture three times.",
            )
        measure.update(Seen(str(number), "", "", image_HWC, {}))
    table = measure.tables()[TABLE]
    hashes = table.column("hash")
    prints = Fingerprints(
        pixels=table.column("pixels").combine_chunks(),
        hash_N=hashes.fill_null(0).to_numpy(),
        hashed_N=hashes.is_valid().to_numpy(),
        layout_ND=descriptor_matrix(table),
    )
    groups = group_duplicates(prints, config or DuplicatesConfig())
    return tuple(
        AlikeImages(
            positions=tuple(np.flatnonzero(groups.member_N == number).tolist()),
            exact=not groups.near_G[number],
            bits=int(groups.link_G[number]),
        )
        for number in range(len(groups))
    )
