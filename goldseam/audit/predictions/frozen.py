"""Linear heads on a frozen network: features are computed once, heads are cross-fitted by group.

Legend: N images, B of a batch, D channels of a feature map, Z pooled features, P sampled pixels,
C categories, H and W pixels.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from goldseam.audit.predictions.config import HUB
from goldseam.audit.predictions.heads import (
    LinearHead,
    choose_penalty,
    fit_binary,
    fit_multinomial,
    fit_values,
)
from goldseam.audit.predictions.job import Job
from goldseam.audit.predictions.pictures import image_batches
from goldseam.dataset.batch import Batch
from goldseam.dataset.codecs import ABSENT, UNKNOWN, Array
from goldseam.dataset.order import generator
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig
from goldseam.models.checkpoint import load_checkpoint
from goldseam.models.config import EncoderConfig
from goldseam.models.encoder import build_encoder
from goldseam.models.layers import resize
from goldseam.models.multitask import MultitaskModel, Preprocessing
from goldseam.progress import progress
from goldseam.storage.atomic import atomic_folder
from goldseam.trainer.devices import choose_device

PIXEL_STREAM, ROW_STREAM = 0x91C5, 0x2095
VECTORS = "vectors.npy"
VECTORS_AT_ONCE = 4096


class FrozenNetwork(nn.Module):
    """A network whose feature maps and pooled features are read, and nothing else.

    Args:
        network: the multi-task model of a checkpoint, or an encoder of the hub.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        usual = Preprocessing()
        self.register_buffer("mean_3", torch.tensor(usual.mean)[:, None, None], persistent=False)
        self.register_buffer("std_3", torch.tensor(usual.std)[:, None, None], persistent=False)

    mean_3: Tensor
    std_3: Tensor

    @torch.no_grad()
    def forward(self, images_BCHW: Tensor) -> tuple[list[Tensor], Tensor]:
        """Feature maps `B D h w`, and pooled features `B Z`."""
        images_BCHW = images_BCHW.to(self.mean_3.device)
        if isinstance(self.network, MultitaskModel):
            shared_BDhw, pooled_BZ = self.network.shared_features(images_BCHW)
            return [shared_BDhw], pooled_BZ
        maps: list[Tensor] = self.network((images_BCHW - self.mean_3) / self.std_3)
        last_BDhw = maps[-1]
        return maps, torch.cat([last_BDhw.mean(dim=(2, 3)), last_BDhw.amax(dim=(2, 3))], dim=1)


def load_network(features: str, checkpoint: Path | None, device: str) -> FrozenNetwork:
    """The network of a checkpoint, or of the hub where `features` is `hub:NAME`.

    Raises:
        MissingInput: there is none.
    """
    where = choose_device(device)
    if features.startswith(HUB):
        backbone = features.removeprefix(HUB)
        encoder = build_encoder(EncoderConfig(name="auto", backbone=backbone))
        return FrozenNetwork(encoder).to(where).eval()
    assert checkpoint is not None  # the stage saw to it
    return FrozenNetwork(load_checkpoint(checkpoint, where)).to(where).eval()


def cache_features(job: Job, network: FrozenNetwork, folder: Path) -> None:
    """Write what heads are fit on, unless it is there: one row an image, and sampled pixels.

    `vectors.npy` holds pooled features, float16 `N Z`, NaN where no picture is stored. Of each
    dense task `<task>.npz` holds `feature_PD` (float16), `label_P` and `image_P` (positions).
    """
    if folder.exists():
        return
    specs = job.specs
    dense = [name for name, spec in specs.items() if spec.kind is not Kind.TAGS]
    used_N = job.fold_N >= 0
    samples: dict[str, list[tuple[Array, Array, Array]]] = {name: [] for name in dense}
    vectors: Any = None
    with atomic_folder(folder) as place, progress("features", int(used_N.sum())) as step:
        for position_B, batch in image_batches(
            job.dataset, job.labels, used_N, dense, batch_size=job.config.batch_size, size=job.size
        ):
            maps, pooled_BZ = network(batch.images_BCHW)
            if vectors is None:
                shape = (len(job.labels), pooled_BZ.shape[1])
                vectors = np.lib.format.open_memmap(place / VECTORS, "w+", np.float16, shape)
                vectors[:] = np.nan
            vectors[position_B] = _half(pooled_BZ)
            for name in dense:
                samples[name] += _sample_pixels(job, name, maps, batch, position_B)
            step(len(batch))
        vectors.flush()
        for name, parts in samples.items():
            if parts:
                feature_PD, label_P, image_P = map(np.concatenate, zip(*parts, strict=True))
                np.savez(
                    place / f"{name}.npz", feature_PD=feature_PD, label_P=label_P, image_P=image_P
                )


def cached_vectors(job: Job, folder: Path) -> Iterator[tuple[Array, Array]]:
    """Positions `B` and pooled features `B Z` of every stored image, as they were cached."""
    vectors_NZ = np.load(folder / VECTORS, mmap_mode="r")
    used = np.flatnonzero(job.fold_N >= 0)
    for position_B in np.array_split(used, max(len(used) // VECTORS_AT_ONCE, 1)):
        yield position_B, vectors_NZ[position_B]


def _half(values: Tensor) -> Array:
    """As float16, of which 65,504 is the largest."""
    half: Array = values.float().clamp(-65504, 65504).cpu().numpy().astype(np.float16)
    return half


def _sample_pixels(
    job: Job, task: str, maps: list[Tensor], batch: Batch, position_B: Array
) -> list[tuple[Array, Array, Array]]:
    """Features, labels and image of some labeled pixels of each image that has any."""
    spec = job.specs[task]
    labeled = int((job.labels.known[task] & (job.fold_N >= 0)).sum())
    share = min(job.config.pixels_per_image, max(job.config.pixels // labeled, 1))
    size = (batch.images_BCHW.shape[2], batch.images_BCHW.shape[3])
    found = []
    for index in np.flatnonzero(batch.known[task].numpy()).tolist():
        label = batch.targets[task][index].numpy().reshape(-1)
        valid = np.isfinite(label) if spec.kind is Kind.REGRESSION else label != spec.ignore
        random = generator(
            job.config.seed, PIXEL_STREAM, job.tasks.index(task), int(position_B[index])
        )
        place = random.permutation(np.flatnonzero(valid))[:share]
        if len(place):
            feature_DHW = torch.cat([resize(one[index : index + 1], size) for one in maps], dim=1)
            feature_PD = _half(feature_DHW[0].flatten(1)[:, torch.from_numpy(place)].T)
            found.append((feature_PD, label[place], np.full(len(place), position_B[index])))
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class FrozenModel:
    """A frozen network with the heads of one fold."""

    network: FrozenNetwork
    specs: dict[str, Task]
    heads: dict[str, LinearHead]

    @torch.no_grad()
    def predict(self, images_BCHW: Tensor) -> dict[str, Array]:
        """See `Predictor`."""
        maps, pooled_BZ = self.network(images_BCHW)
        size = (images_BCHW.shape[2], images_BCHW.shape[3])
        found: dict[str, Array] = {}
        for task, head in self.heads.items():
            kind = self.specs[task].kind
            if kind is Kind.TAGS:
                logits_BC = torch.from_numpy(head(_half(pooled_BZ)))
                found[task] = logits_BC.sigmoid().numpy()
                continue
            output_BCHW = _apply(head, maps, size)
            if kind is Kind.SEGMENTATION:
                found[task] = output_BCHW.softmax(dim=1).numpy()
            else:
                output_BHW = output_BCHW[:, 0]
                found[task] = (
                    output_BHW if kind is Kind.REGRESSION else output_BHW.sigmoid()
                ).numpy()
        return found


def _apply(head: LinearHead, maps: list[Tensor], size: tuple[int, int]) -> Tensor:
    """A head on feature maps of several sizes: a linear head may come before the resizing."""
    weight_CD = torch.from_numpy(head.weight_FC.T.copy())
    output_BCHW = torch.from_numpy(head.bias_C)[:, None, None]
    before = 0
    for features_BDhw in maps:
        after = before + features_BDhw.shape[1]
        part = weight_CD[:, before:after, None, None].to(features_BDhw.device)
        output_BCHW = output_BCHW + resize(F.conv2d(features_BDhw.float(), part), size).cpu()
        before = after
    return output_BCHW


def fit_fold(job: Job, fold: int, network: FrozenNetwork, cached: Path) -> FrozenModel:
    """Fit the heads of a fold on the labels of the others."""
    heads = {}
    for task, spec in job.specs.items():
        if spec.kind is Kind.TAGS:
            heads[task] = _fit_tags(job, task, fold, cached)
        else:
            heads[task] = _fit_dense(job, task, fold, cached)
    return FrozenModel(network, job.specs, heads)


def _inner_fold(job: Job, fold: int) -> int | None:
    """The fold whose labels choose the penalty; None where none can be spared."""
    return (fold + 1) % job.folds if job.folds > 2 and len(job.config.penalties) > 1 else None


def _fit_tags(job: Job, task: str, fold: int, cached: Path) -> LinearHead:
    state_NC = job.labels.states[task]
    row_M = np.flatnonzero(job.others(fold) & (state_NC != UNKNOWN).any(axis=1))
    if len(row_M) > job.config.head_rows:
        random = generator(job.config.seed, ROW_STREAM, fold, job.tasks.index(task))
        row_M = np.sort(random.choice(row_M, job.config.head_rows, replace=False))
    feature_MZ = np.load(cached / VECTORS, mmap_mode="r")[row_M].astype(np.float32)
    state_MC, inner = state_NC[row_M], _inner_fold(job, fold)
    held_M = job.fold_N[row_M] == inner
    categories, penalties = state_MC.shape[1], job.config.penalties
    loss_PC = np.full((len(penalties), categories), np.nan)
    if held_M.any() and not held_M.all():
        for number, penalty in enumerate(penalties):
            head = fit_binary(feature_MZ[~held_M], state_MC[~held_M], np.full(categories, penalty))
            loss_PC[number] = _mean_log_loss(head(feature_MZ[held_M]), state_MC[held_M])
    return fit_binary(feature_MZ, state_MC, choose_penalty(loss_PC, penalties))


def _mean_log_loss(margin_NC: Array, state_NC: Array) -> Array:
    """Mean over known entries of each category; NaN without any."""
    known_NC = state_NC != UNKNOWN
    sign_NC = np.where(state_NC == ABSENT, 1.0, -1.0)
    loss_NC = np.where(known_NC, np.logaddexp(0, sign_NC * margin_NC), 0.0)
    count_C = known_NC.sum(axis=0)
    mean_C: Array = np.where(count_C > 0, loss_NC.sum(axis=0) / np.maximum(count_C, 1), np.nan)
    return mean_C


def _fit_dense(job: Job, task: str, fold: int, cached: Path) -> LinearHead:
    spec, inner = job.specs[task], _inner_fold(job, fold)
    path = cached / f"{task}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            fold_P = job.fold_N[stored["image_P"]]
            feature_PD, label_P = stored["feature_PD"], stored["label_P"]
    if not path.is_file() or (fold_P == fold).all():
        raise InvalidConfig(
            f"task '{task}': outside of fold {fold} every labeled pixel is ignored or invalid.",
            remedy="Leave it out of the tasks to predict, or label more images.",
        )
    others_P = fold_P != fold
    feature_PD, label_P = feature_PD[others_P].astype(np.float32), label_P[others_P]
    held_P = fold_P[others_P] == inner
    penalties = job.config.penalties
    loss_P1 = np.full((len(penalties), 1), np.nan)
    if held_P.any() and not held_P.all():
        for number, penalty in enumerate(penalties):
            head = _fit_one(spec, feature_PD[~held_P], label_P[~held_P], penalty)
            loss_P1[number] = _held_out_loss(spec, head(feature_PD[held_P]), label_P[held_P])
    return _fit_one(spec, feature_PD, label_P, float(choose_penalty(loss_P1, penalties)[0]))


def _fit_one(spec: Task, feature_PD: Array, label_P: Array, penalty: float) -> LinearHead:
    if spec.kind is Kind.SEGMENTATION:
        return fit_multinomial(feature_PD, label_P, len(spec.categories), penalty)
    if spec.kind is Kind.REGRESSION:
        return fit_values(feature_PD, label_P.astype(np.float64), penalty)
    return fit_binary(feature_PD, label_P[:, None].astype(np.int8), np.array([penalty]))


def _held_out_loss(spec: Task, output_PC: Array, label_P: Array) -> float:
    if spec.kind is Kind.REGRESSION:
        return float(((output_PC[:, 0] - label_P) ** 2).mean())
    if spec.kind is Kind.SEGMENTATION:
        from scipy.special import log_softmax

        return float(-log_softmax(output_PC, axis=1)[np.arange(len(label_P)), label_P].mean())
    return float(_mean_log_loss(output_PC, label_P[:, None].astype(np.int8))[0])
