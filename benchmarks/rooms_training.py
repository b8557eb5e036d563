"""Training runs on rooms that several benchmarks share: paired labels, and a ledger that resumes.

A run is named by everything that its numbers depend on. Rooms are rendered, not photographed.
"""

import dataclasses
import fcntl
import math
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ledger import Ledger, do_all

WORK = Path("runs/benchmarks/rooms")
SIZE = 64
TASKS = ("segmentation", "depth", "normals", "boundary")
# metric by which a task counts in the mean relative gain, and whether lower is better
HEADLINE = {
    "segmentation": ("miou", False),
    "depth": ("mae", True),
    "normals": ("mean", True),
    "boundary": ("f1", False),
}
LOWER_IS_BETTER = tuple(task for task, (_, lower) in HEADLINE.items() if lower)


@dataclasses.dataclass(frozen=True)
class Labels:
    """Which labels a run may learn from; runs with equal labels are paired.

    Attributes:
        regime: `one_label`, `random_label` or `full`.
        seed: of the choice.
        images: of the training split.
        share: of the labels that are kept; the labels of a smaller share are among those of a
            larger one.
    """

    regime: str
    seed: int
    images: int = 600
    share: float = 1.0


@dataclasses.dataclass(frozen=True)
class Run:
    """One model.

    Attributes:
        row: name of the row in the table.
        labels: what it learns from.
        config: options of the train stage.
        students: row → options of the distil stage, with this model as the teacher.
    """

    row: str
    labels: Labels
    config: dict[str, Any]
    students: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """Unique among runs whose numbers can differ."""
        from goldseam.artifacts import digest_of

        body = {"labels": dataclasses.asdict(self.labels), "config": self.config}
        if self.students:
            body["students"] = self.students
        return f"{self.row}-{digest_of(body).removeprefix('sha256:')[:12]}"


@dataclasses.dataclass(frozen=True)
class Score:
    """What a model scored.

    Attributes:
        row: name of the row.
        labels: what it learned from.
        seconds: of training.
        step_ms: of one training step.
        image_ms: of predicting one image in a batch of 16, all tasks.
        parameters: of the model.
        validation: `task.metric` → value there.
        test: the same on the test split; boundary thresholds come from validation.
        initial: the test metrics before the denoiser; empty without one.
    """

    row: str
    labels: dict[str, Any]
    seconds: float
    step_ms: float
    image_ms: float
    parameters: int
    validation: dict[str, float | None]
    test: dict[str, float | None]
    initial: dict[str, float | None]

    def headline(self, split: str = "test") -> dict[str, float]:
        """Task → the metric by which it counts."""
        values: Mapping[str, float | None] = getattr(self, split)
        found = {}
        for task, (metric, _) in HEADLINE.items():
            value = values.get(f"{task}.{metric}")
            if value is not None:
                found[task] = value
        return found


def train_all(
    runs: Iterable[Run], ledger: Ledger[Score], *, jobs: int | None = None
) -> list[Score]:
    """Train what the ledger lacks, one process a core and one thread a process; all scores."""
    return do_all(runs, train_run, ledger, _told, jobs=jobs)


def _told(run: Run, score: Score) -> str:
    seen = score.headline("validation")
    shown = {task: round(value, 4) for task, value in seen.items()}
    return f"{score.row} {run.labels.regime} {run.labels.seed}: {shown}"


def train_run(run: Run) -> list[Score]:
    """Train one model and its students in this process; their scores."""
    from goldseam.dataset.reading import open_dataset
    from goldseam.multitask.config import TrainConfig
    from goldseam.multitask.stage import train

    dataset = open_dataset(labeled_rooms(run.labels), verify=False)
    out = WORK / "models" / run.name
    shutil.rmtree(out, ignore_errors=True)
    scores = []
    try:
        config = TrainConfig(**{"tasks": TASKS, **run.config})
        began = time.perf_counter()
        result = train(config, dataset, out / "teacher")
        seconds = time.perf_counter() - began
        scores.append(_score(run, run.row, dataset, result, seconds))
        for row, options in run.students.items():
            scores.append(_distilled(run, row, options, dataset, Path(result.checkpoint), out))
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return scores


def _distilled(
    run: Run, row: str, options: dict[str, Any], dataset: Any, teacher: Path, out: Path
) -> Score:
    from goldseam.multitask.distillation import DistilConfig, distil

    began = time.perf_counter()
    result = distil(DistilConfig(**{"tasks": TASKS, **options}), dataset, teacher, out / row)
    return _score(run, row, dataset, result, time.perf_counter() - began)


def _score(run: Run, row: str, dataset: Any, result: Any, seconds: float) -> Score:
    from goldseam.models.checkpoint import load_checkpoint

    model = load_checkpoint(Path(result.checkpoint))
    validation, thresholds = _metrics(model, dataset, "validation", {})
    test, _ = _metrics(model, dataset, "test", thresholds)
    initial = _metrics(model, dataset, "test", thresholds, initial=True)[0] if model.refines else {}
    return Score(
        row=row,
        labels=dataclasses.asdict(run.labels),
        seconds=round(seconds, 2),
        step_ms=round(1e3 * seconds / result.steps, 2),
        image_ms=_latency(model),
        parameters=result.parameters,
        validation=validation,
        test=test,
        initial=initial,
    )


def _metrics(
    model: Any, dataset: Any, split: str, thresholds: Mapping[str, float], *, initial: bool = False
) -> tuple[dict[str, float | None], dict[str, float]]:
    """`task.metric` → value; and the boundary thresholds that are best on this split."""
    from goldseam.dataset.loading import evaluation_batches
    from goldseam.metrics import BoundaryMetric
    from goldseam.trainer.validation import flat_scores, score

    tasks = {name: dataset.info.tasks[name] for name in model.tasks}
    metrics = score(
        model, evaluation_batches(dataset, split, list(tasks), 64), tasks, initial=initial
    )
    best = {}
    for task, metric in metrics.items():
        if isinstance(metric, BoundaryMetric):
            best[task] = metric.best_threshold()
            metric.threshold = thresholds.get(task, best[task])
    values = flat_scores(metrics)
    kept = {key: value for key, value in values.items() if key.count(".") == 1}
    return {k: None if v is None else round(v, 6) for k, v in kept.items()}, best


def _latency(model: Any, batch: int = 16, repeats: int = 9) -> float:
    """Milliseconds an image, the median of some calls."""
    import torch

    images = torch.rand(batch, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        model.predict(images)
        times.append(time.perf_counter() - began)
    return round(1e3 * sorted(times)[repeats // 2] / batch, 4)


def labeled_rooms(labels: Labels) -> Path:
    """The folder of the dataset with these labels; made when it is not there.

    Several processes may ask for it at once: one makes it, the others wait.
    """
    WORK.mkdir(parents=True, exist_ok=True)
    folder = (
        WORK
        / "data"
        / (f"{labels.regime}-{labels.seed}-{labels.images}-{labels.share:g}".replace(".", "_"))
    )
    with (WORK / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            full = _rendered(labels.images)
            if labels.regime == "full":
                return full
            _forget(full, folder, labels)
    return folder


def _rendered(images: int) -> Path:
    from goldseam.dataset.examples import build_example

    folder = WORK / "data" / f"rooms-{images}"
    if not folder.is_dir():
        # a tiny set, of a quick run, is held against as few
        held_out = {"validation": min(images, 200), "test": min(images, 400)}
        build_example("rooms", folder, size=SIZE, train=images, **held_out)
    return folder


def _forget(full: Path, folder: Path, labels: Labels) -> None:
    """Write the dataset in which training labels outside the mask are unknown."""
    from goldseam.dataset.partial.apply import apply_mask, draw_mask, scale_mask
    from goldseam.dataset.reading import open_dataset

    dataset = open_dataset(full)
    mask = draw_mask(dataset, labels.regime, seed=labels.seed, tasks=TASKS)
    if not math.isclose(labels.share, 1.0):
        mask = scale_mask(dataset, mask, labels.share, seed=labels.seed)
    apply_mask(dataset, mask, folder)
