"""Features of a frozen network, computed once: no augmentation, evaluation mode.

They are kept in memory-mapped shards, with which an interrupted run goes on.
Legend: N images with at least one known label, Z pooled features, C categories.
"""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pydantic

from goldseam.artifacts import digest_file, digest_folder, digest_of
from goldseam.errors import DigestMismatch, InvalidConfig, MissingInput, OutputExists
from goldseam.finetuning.config import Precision
from goldseam.progress import progress
from goldseam.storage.atomic import resumable_folder, write_bytes, write_text

if TYPE_CHECKING:
    from goldseam.dataset.reading import Dataset
    from goldseam.models.multitask import MultitaskModel

BATCH = 64
SHARD_ROWS = 4096
INDEX_FILE = "features.json"


@dataclasses.dataclass(frozen=True, eq=False)
class CachedFeatures:
    """What the heads see of some images.

    Attributes:
        features_NZ: float32.
        labels_NC: int8, 1 present, 0 absent, -1 unknown.
        groups: unit of leakage of each image.
        image_ids: of the images.
    """

    features_NZ: npt.NDArray[np.float32]
    labels_NC: npt.NDArray[np.int8]
    groups: tuple[str, ...]
    image_ids: tuple[str, ...] = ()


def _compute(
    model: "MultitaskModel",
    dataset: "Dataset",
    split: str,
    task: str,
    rows: list[int],
    step: Any,
) -> CachedFeatures:
    import torch

    from goldseam.dataset.loading import evaluation_batches

    device = next(model.parameters()).device
    features, labels, groups, image_ids = [], [], [], []
    with torch.no_grad():
        for batch in evaluation_batches(dataset, split, [task], BATCH, rows=rows):
            features.append(model.shared_features(batch.images_BCHW.to(device))[1].cpu().numpy())
            labels.append(batch.targets[task].numpy())
            groups += batch.groups
            image_ids += batch.image_ids
            step(len(batch))
    return CachedFeatures(
        np.concatenate(features), np.concatenate(labels), tuple(groups), tuple(image_ids)
    )


class Shard(pydantic.BaseModel):
    """One part of stored features; its labels, groups and ids stand beside it.

    Attributes:
        rows: images in it.
        digests: SHA-256 by file name.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    rows: int
    digests: dict[str, str]


class FeatureIndex(pydantic.BaseModel):
    """What `features.json` says of a folder of features.

    Attributes:
        key: digest of network, data, split, task and precision.
        features: numbers in a row.
        precision: in which they are stored.
        shards: in order.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    key: str
    features: int
    precision: Precision
    shards: tuple[Shard, ...]

    @property
    def digest(self) -> str:
        """Of all content."""
        return digest_of(self)


class ShardedFeatures:
    """Rows that stand in several memory-mapped arrays, read when they are asked for.

    Args:
        parts: arrays of equal width, in order.
    """

    def __init__(self, parts: list[npt.NDArray[Any]]) -> None:
        self.parts = parts
        self.starts = np.cumsum([0, *(len(part) for part in parts)])

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and features."""
        return int(self.starts[-1]), self.parts[0].shape[1]

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, rows: Any, /) -> npt.NDArray[Any]:
        """Some rows, by number or slice, in the order in which they are named."""
        row_N = np.arange(len(self))[rows]
        taken = np.empty((len(row_N), self.shape[1]), self.parts[0].dtype)
        part_N = np.searchsorted(self.starts, row_N, side="right") - 1
        for number in np.unique(part_N):
            here_N = part_N == number
            taken[here_N] = self.parts[number][row_N[here_N] - self.starts[number]]
        return taken


@dataclasses.dataclass(frozen=True, eq=False)
class StoredFeatures:
    """Features on disk.

    Attributes:
        features: the rows; not in memory.
        labels_NC: int8, 1 present, 0 absent, -1 unknown.
        groups: unit of leakage of each image.
        image_ids: of the images.
        digest: of all content.
    """

    features: ShardedFeatures
    labels_NC: npt.NDArray[np.int8]
    groups: tuple[str, ...]
    image_ids: tuple[str, ...]
    digest: str


def store_features(
    checkpoint: Path,
    dataset: "Dataset",
    split: str,
    task: str,
    out: Path,
    *,
    precision: Precision = "float32",
    device: str = "auto",
    shard_rows: int = SHARD_ROWS,
    discard_others: bool = False,
) -> StoredFeatures:
    """Compute the features of every image with a known label of `task`, or open those at `out`.

    A run that was interrupted goes on after its last complete shard.

    Args:
        checkpoint: folder of the network.
        dataset: whose images are read.
        split: one of its splits.
        task: a tags task.
        out: folder to make.
        precision: half the size, or full; float16 holds numbers up to 65,504.
        device: where the network runs.
        shard_rows: images in a shard.
        discard_others: features of another network or other data at `out` are no longer wanted.

    Raises:
        InvalidConfig: no label is known, or a feature is not finite in this precision.
        OutputExists: `out` holds something else.
    """
    from goldseam.models.checkpoint import load_checkpoint
    from goldseam.trainer.devices import choose_device

    made_of = {"dataset": dataset.info.digest, "split": split, "task": task}
    key = digest_of(
        made_of | {"model": digest_folder(checkpoint), "precision": precision, "rows": shard_rows}
    )
    if discard_others and (out / INDEX_FILE).is_file() and _read_index(out).key != key:
        shutil.rmtree(out)
    if out.exists():
        if not (out / INDEX_FILE).is_file() or _read_index(out).key != key:
            raise OutputExists(out, "it holds no features of this network and data")
        return open_features(out)
    rows = np.flatnonzero(dataset.known(split)[task]).tolist()
    if not rows:
        raise InvalidConfig(
            f"no image of split '{split}' has a known '{task}' label.",
            remedy="Name another split, or label some images.",
        )
    network = load_checkpoint(checkpoint, choose_device(device))
    stretches = [rows[start : start + shard_rows] for start in range(0, len(rows), shard_rows)]
    with resumable_folder(out, key) as folder, progress("features", len(rows)) as step:
        shards = []
        for number, stretch in enumerate(stretches):
            # the record of a shard is written last, so that a shard is complete or absent
            record = folder / f"shard-{number:05d}.json"
            if record.is_file():
                step(len(stretch))
            else:
                part = _compute(network, dataset, split, task, stretch, step)
                shard = _write_shard(folder, number, part, precision)
                write_text(record, shard.model_dump_json() + "\n")
            shards.append(Shard.model_validate_json(record.read_text()))
        width = np.load(folder / "features-00000.npy", mmap_mode="r").shape[1]
        index = FeatureIndex(key=key, features=width, precision=precision, shards=tuple(shards))
        write_text(folder / INDEX_FILE, index.model_dump_json(indent=1) + "\n")
    return open_features(out)


def _write_shard(folder: Path, number: int, part: CachedFeatures, precision: Precision) -> Shard:
    with np.errstate(over="ignore"):
        features_NZ = part.features_NZ.astype(precision)
    finite_N = np.isfinite(features_NZ).all(axis=1)
    if not finite_N.all():
        image = part.image_ids[int(np.flatnonzero(~finite_N)[0])]
        raise InvalidConfig(
            f"features of image '{image}': a value is not finite in {precision}.",
            remedy="Use float32, or start from a network that has not diverged.",
        )
    names = json.dumps({"groups": part.groups, "image_ids": part.image_ids})
    files = {
        f"features-{number:05d}.npy": _npy(features_NZ),
        f"labels-{number:05d}.npy": _npy(part.labels_NC.astype(np.int8)),
        f"names-{number:05d}.json": names.encode(),
    }
    for name, content in files.items():
        write_bytes(folder / name, content)
    return Shard(
        rows=len(features_NZ), digests={name: digest_file(folder / name) for name in files}
    )


def _npy(array: npt.NDArray[Any]) -> bytes:
    import io

    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _read_index(folder: Path) -> FeatureIndex:
    try:
        return FeatureIndex.model_validate_json((folder / INDEX_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MissingInput(folder / INDEX_FILE, "is no index of stored features") from error


def open_features(folder: Path) -> StoredFeatures:
    """Open stored features; the digests are checked, the rows stay on disk.

    Raises:
        MissingInput: there are none.
        DigestMismatch: a file has changed since it was written.
    """
    index = _read_index(folder)
    for shard in index.shards:
        for name, digest in shard.digests.items():
            if (found := digest_file(folder / name)) != digest:
                raise DigestMismatch(folder / name, digest, found, "Remove the folder; run again.")
    numbers = range(len(index.shards))
    names = [json.loads(text) for text in _texts(folder, len(index.shards))]
    return StoredFeatures(
        features=ShardedFeatures(
            [np.load(folder / f"features-{n:05d}.npy", mmap_mode="r") for n in numbers]
        ),
        labels_NC=np.concatenate([np.load(folder / f"labels-{n:05d}.npy") for n in numbers]),
        groups=tuple(group for one in names for group in one["groups"]),
        image_ids=tuple(image for one in names for image in one["image_ids"]),
        digest=index.digest,
    )


def _texts(folder: Path, shards: int) -> Iterator[str]:
    for number in range(shards):
        yield (folder / f"names-{number:05d}.json").read_text(encoding="utf-8")
