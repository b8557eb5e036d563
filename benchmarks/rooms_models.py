"""Trained models that are kept, for benchmarks that look into them; none is made twice.

Everything stands below `runs/benchmarks/rooms`, named by what it was made from, so that a benchmark
that was killed goes on where it was and benchmarks share what they have in common. Rooms are
rendered, not photographed. Shapes: N training images, T tasks.
"""

import concurrent.futures
import dataclasses
import fcntl
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from multitask_rooms import options
from rooms_training import SIZE, TASKS, WORK, Labels, labeled_rooms

Bools = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Scale:
    """How large a benchmark is.

    Attributes:
        quick: a tiny set of rooms and few steps: shows that the script works, and no more.
        images: of the training split.
        steps: of the optimizer.
        seeds: repeats; labels, weights and order of images all follow from one.
    """

    quick: bool
    images: int = 200
    steps: int = 600
    seeds: tuple[int, ...] = (0, 1, 2)

    @classmethod
    def of(cls, quick: bool) -> "Scale":
        """The scale of a quick or of a full run."""
        return cls(True, images=48, steps=6, seeds=(0,)) if quick else cls(False)

    def config(self, seed: int, **changes: Any) -> dict[str, Any]:
        """Options of the train stage: the plain multi-task model, unless changed."""
        return options(seed, self.steps, **changes)


@dataclasses.dataclass(frozen=True)
class Job:
    """One model to train, or with a teacher to distil.

    Attributes:
        dataset: folder.
        config: options of the stage.
        teacher: checkpoint folder, for `distil`.
    """

    dataset: Path
    config: dict[str, Any]
    teacher: Path | None = None


def rooms(scale: Scale, known_NT: Bools | None = None) -> Path:
    """The folder of the rooms in which only these training labels are known; all by default."""
    full = _tiny() if scale.quick else labeled_rooms(Labels("full", 0, images=scale.images))
    if known_NT is None:
        return full
    from goldseam.dataset.partial import LabelMask
    from goldseam.dataset.partial.apply import apply_mask
    from goldseam.dataset.reading import open_dataset

    dataset = open_dataset(full, verify=False)
    mask = LabelMask(
        tuple(dataset.table("train", ["image_id"]).column("image_id").to_pylist()), TASKS, known_NT
    )
    folder = WORK / "data" / f"mask-{dataset.info.digest[7:15]}-{mask.digest[7:23]}"
    with _locked():
        if not folder.is_dir():
            apply_mask(dataset, mask, folder)
    return folder


def one_label(scale: Scale, seed: int) -> Bools:
    """The mask in which each training image keeps the label of one task."""
    from goldseam.dataset.partial import label_mask

    return label_mask(scale.images, TASKS, "one_label", seed=seed)


def make_models(jobs: Sequence[Job]) -> list[Path]:
    """Checkpoints of jobs, in order: one process a core, one thread a process."""
    # named once: code that is edited while models are trained must not move them
    places = [_place(job) for job in jobs]
    missing = {place: job for place, job in zip(places, jobs, strict=True) if not place.is_dir()}
    if missing:
        context = multiprocessing.get_context("spawn")
        workers = min(os.cpu_count() or 1, len(missing))
        began = time.monotonic()
        with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
            futures = [pool.submit(_make, job, place) for place, job in missing.items()]
            for done, future in enumerate(concurrent.futures.as_completed(futures), 1):
                spent = time.monotonic() - began
                print(f"[{done}/{len(missing)} {spent:.0f} s] {future.result()}", flush=True)
    return [place / "checkpoint" for place in places]


def scores_on_test(checkpoint: Path, dataset: Path) -> dict[str, float | None]:
    """`task.metric` → value on the test split; boundary thresholds come from validation."""
    from goldseam.dataset.loading import evaluation_batches
    from goldseam.dataset.reading import open_dataset
    from goldseam.metrics import BoundaryMetric
    from goldseam.models.checkpoint import load_checkpoint
    from goldseam.trainer.validation import flat_scores, score

    data, model = open_dataset(dataset, verify=False), load_checkpoint(checkpoint)
    tasks = {name: data.info.tasks[name] for name in model.tasks}
    found = {
        split: score(model, evaluation_batches(data, split, list(tasks), 64), tasks)
        for split in ("validation", "test")
    }
    for name, metric in found["test"].items():
        before = found["validation"][name]
        if isinstance(metric, BoundaryMetric) and isinstance(before, BoundaryMetric):
            metric.threshold = before.best_threshold() or metric.threshold
    return flat_scores(found["test"])


def headline(scores: Mapping[str, float | None]) -> dict[str, float | None]:
    """Task → the score by which it counts in the mean relative gain."""
    from rooms_training import HEADLINE

    return {task: scores[f"{task}.{metric}"] for task, (metric, _) in HEADLINE.items()}


def _place(job: Job) -> Path:
    from goldseam.artifacts import code_digest, digest_folder, digest_of
    from goldseam.dataset.reading import open_dataset

    stage = "train" if job.teacher is None else "distil"
    made_from = {
        "code": code_digest(stage),
        "config": job.config,
        "dataset": open_dataset(job.dataset, verify=False).info.digest,
        "teacher": None if job.teacher is None else digest_folder(job.teacher),
    }
    return WORK / "kept" / f"{stage}-{digest_of(made_from)[7:23]}"


def _make(job: Job, place: Path) -> str:
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    from goldseam.dataset.reading import open_dataset
    from goldseam.multitask.config import TrainConfig
    from goldseam.multitask.distillation import DistilConfig, distil
    from goldseam.multitask.stage import train

    dataset = open_dataset(job.dataset, verify=False)
    if job.teacher is None:
        result = train(TrainConfig(**job.config), dataset, place)
    else:
        result = distil(DistilConfig(**job.config), dataset, job.teacher, place)
    shown = {k: v for k, v in headline({**_blank(), **result.validation}).items() if v is not None}
    return f"{place.name} validation { ({k: round(v, 4) for k, v in shown.items()}) }"


def _blank() -> dict[str, None]:
    from rooms_training import HEADLINE

    return {f"{task}.{metric}": None for task, (metric, _) in HEADLINE.items()}


def _tiny() -> Path:
    from goldseam.dataset.examples import build_example

    folder = WORK / "data" / "rooms-tiny"
    with _locked():
        if not folder.is_dir():
            build_example("rooms", folder, size=SIZE, tiny=True)
    return folder


@contextmanager
def _locked() -> Iterator[None]:
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
