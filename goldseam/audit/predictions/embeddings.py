"""One vector an image, by one encoder, to find what is alike: duplicates, drift, missingness.

With linear heads it is the frozen network's pooled features. With trained folds it is what the
encoder of the first fold makes of every image: folds have no common space. That encoder saw labels
of the images outside its fold, so these vectors say which images are alike, never whether a label
is right. Legend: N images, Z numbers.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from goldseam.audit.label_side import LabelSide
from goldseam.audit.predictions.job import Job
from goldseam.audit.predictions.pictures import image_batches
from goldseam.dataset.codecs import Array
from goldseam.errors import MissingInput
from goldseam.progress import progress
from goldseam.storage.atomic import atomic_folder

if TYPE_CHECKING:
    import torch

FOLDER, VECTORS, IMAGES = "embeddings", "embeddings.npy", "images.parquet"
LARGEST = 65504.0  # of float16


class Embedder(Protocol):
    """A network with an encoder."""

    def embed(self, images_BCHW: "torch.Tensor") -> Array:
        """What the encoder makes of whole images: float32 `B Z`."""


def embed_images(job: Job, predictor: Embedder) -> Iterator[tuple[Array, Array]]:
    """Positions `B` and vectors `B Z` of every stored image."""
    used_N = job.fold_N >= 0
    with progress("embeddings", int(used_N.sum())) as step:
        for position_B, batch in image_batches(
            job.dataset, job.labels, used_N, (), batch_size=job.config.batch_size, size=job.size
        ):
            yield position_B, predictor.embed(batch.images_BCHW)
            step(len(batch))


def write_embeddings(job: Job, parts: Iterable[tuple[Array, Array]], folder: Path) -> None:
    """Write `embeddings/` below `folder`, unless it is there.

    Args:
        job: the cross-fitting.
        parts: positions `B` and vectors `B Z`, of every stored image.
        folder: of the cross-fitting.
    """
    if (folder / FOLDER).exists():
        return
    used_N = job.fold_N >= 0
    row_N = np.cumsum(used_N) - 1
    vectors: Any = None
    with atomic_folder(folder / FOLDER) as place:
        for position_B, vector_BZ in parts:
            if vectors is None:
                shape = (int(used_N.sum()), vector_BZ.shape[1])
                vectors = np.lib.format.open_memmap(place / VECTORS, "w+", np.float16, shape)
            vectors[row_N[position_B]] = vector_BZ.clip(-LARGEST, LARGEST)
        vectors.flush()
        ids = job.labels.image_ids.take(pa.array(np.flatnonzero(used_N)))
        pq.write_table(pa.table({"image_id": ids}), place / IMAGES, compression="zstd")


def read_embeddings(folder: Path) -> tuple[pa.Array, Array]:
    """Image ids and vectors `float32 NZ` of a cross-fitting.

    Raises:
        MissingInput: the folder holds none.
    """
    place = Path(folder) / FOLDER
    try:
        ids = pq.read_table(place / IMAGES).column("image_id").combine_chunks()
        vectors_NZ = np.load(place / VECTORS, allow_pickle=False)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise MissingInput(
            place, "holds no embeddings", "Name the folder that cross-fitting made."
        ) from error
    return ids, vectors_NZ.astype(np.float32)


def embeddings_of(labels: LabelSide, folder: Path) -> Array:
    """Vectors `float32 NZ` in the order of `labels`; NaN rows where an image has none.

    Raises:
        MissingInput: the folder holds none.
    """
    ids, vector_MZ = read_embeddings(folder)
    found_NZ = np.full((len(labels), vector_MZ.shape[1]), np.nan, np.float32)
    position_M = labels.rows_of(ids)
    found_NZ[position_M[position_M >= 0]] = vector_MZ[position_M >= 0]
    return found_NZ
