"""A run's results as the coast demo leaves them: realistic numbers, pictures, times."""

import dataclasses
import math
from pathlib import Path

import numpy as np
from PIL import Image

from goldseam.artifacts import Result
from goldseam.dataset.schema import DatasetInfo, Kind, Shard, Task
from goldseam.results import (
    AuditResult,
    CategoryRepair,
    CoverageRow,
    DatasetReference,
    Disagreement,
    Estimate,
    EvaluationResult,
    Example,
    FailedCheck,
    FinetuneResult,
    GateDecision,
    ModelScores,
    PromotionResult,
    TrainingResult,
    ValidationResult,
)
from goldseam.workspace import TaskRecord

TAGS = ("sea", "land", "lake", "island", "archipelago", "shoreline", "river", "border")
COLORS = np.array([[62, 96, 128], [148, 140, 104], [120, 176, 196]], np.uint8)


@dataclasses.dataclass(frozen=True)
class DemoRun:
    """Task → output folder, and task → record."""

    folders: dict[str, Path]
    records: dict[str, TaskRecord]


def make_run(root: Path) -> DemoRun:
    """Write the results of a whole run below `root`."""
    results: dict[str, Result] = {
        "ingest": _reference(root / "data"),
        "validate": ValidationResult(
            key="k", digest="sha256:validate", verdict="pass", reasons=(), failures=(), checks=41
        ),
        "audit": _audit(),
        "pretrain": _training("pretrain", 1200, 1.2, {"cover_map.miou": 0.81, "cover.miou": 0.70}),
        "train": _training(
            "train", 1500, 2.4, {"cover.miou": 0.74, "shoreline.f1": 0.62, "distance.mae": 1.61}
        ),
        "finetune": _repairs(),
        "scratch": _training(
            "scratch", 1500, 2.9, {"cover.miou": 0.61, "shoreline.f1": 0.5, "distance.mae": 2.2}
        ),
        "noisy_direct": _training("noisy_direct", 1200, 1.2, {"cover.miou": 0.75}),
        "evaluate": _evaluation(root / "evaluate"),
        "promote": _promotion(),
    }
    folders = {}
    for task, result in results.items():
        folders[task] = root / task
        folders[task].mkdir(parents=True, exist_ok=True)
        result.write(folders[task])
    for page in (root / "audit" / "index.html", root / "validate" / "docs" / "index.html"):
        page.parent.mkdir(exist_ok=True)
        page.write_text(f"<title>the {page.parent.name} page</title>")
    seconds = [0.9, 6.2, 4.1, 71.4, 128.9, 9.3, 118.2, 70.6, 21.7, 0.4, 8.8]
    records = {
        task: TaskRecord(
            task=task,
            status="succeeded",
            seconds=second,
            peak_rss_mib=400 + 9 * second,
            reused=task == "pretrain",
        )
        for task, second in zip([*list(results)[:-1], "gate", "promote"], seconds, strict=True)
    }
    return DemoRun(folders, records)


def _reference(folder: Path) -> DatasetReference:
    folder.mkdir(parents=True)
    categories = ("sea", "land", "lake")
    info = DatasetInfo(
        name="coast",
        license="LGPL-3.0-or-later AND public domain",
        source="NASA Blue Marble, GSHHG",
        tasks={
            "cover": Task(kind=Kind.SEGMENTATION, categories=categories),
            "cover_map": Task(
                kind=Kind.SEGMENTATION, categories=categories, noisy_version_of="cover"
            ),
            "shoreline": Task(kind=Kind.BOUNDARY),
            "distance": Task(kind=Kind.REGRESSION, unit="px"),
            "objects": Task(kind=Kind.DETECTION, categories=("island", "lake")),
            "tags": Task(kind=Kind.TAGS, categories=TAGS),
        },
        shards=(Shard(file="train-0.parquet", split="train", rows=1242, sha256="0" * 64),),
    )
    info.write_yaml(folder)
    return DatasetReference(
        key="k",
        digest=info.digest,
        uri=str(folder),
        name="coast",
        revision="bd54dd1:md5:9f86d081884c.dir",
        rows={"train": 1242, "validation": 204, "test": 496},
        tasks=tuple(info.tasks),
    )


def _audit() -> AuditResult:
    known = {"cover": 20, "cover_map": 1242, "shoreline": 20, "distance": 20, "objects": 150}
    rows = [
        CoverageRow(task, None, "train", None, n, 0, 1242 - n)
        for task, n in {**known, "tags": 400}.items()
    ]
    noise = {
        split: Disagreement(
            "cover", "cover_map", split, images, 2, 0.045, 0.31, 0.013, ("sea", "land", "lake"), ()
        )
        for split, images in (("train", 20), ("test", 496))
    }
    return AuditResult(
        key="k",
        digest="sha256:audit",
        dataset="coast",
        version="1",
        dataset_digest="sha256:data",
        rows={"train": 1242},
        coverage=tuple(rows),
        disagreements=tuple(noise.values()),
        sentences=(
            "Of 1,242 training images 20 carry a clean cover label (1.6 %).",
            "The map disagrees with the survey on 4.5 % of the pixels.",
        ),
    )


def _training(name: str, steps: int, loss: float, final: dict[str, float]) -> TrainingResult:
    history = []
    for step in range(steps // 12, steps + 1, steps // 12):
        progress = 1 - math.exp(-4 * step / steps)
        entry: dict[str, float | None] = {"step": step, "loss": loss * (1 - 0.8 * progress)}
        for metric, value in final.items():
            lower = metric.endswith("mae")
            entry[metric] = value * (2 - progress) if lower else value * progress
        history.append(entry)
    return TrainingResult(
        key="k",
        digest=f"sha256:{name}",
        steps=steps,
        best_step=steps - steps // 12,
        validation={name: value for name, value in history[-2].items() if "." in name},
        parameters=1_284_331,
        history=tuple(history),
    )


def _repairs() -> FinetuneResult:
    repairs = [
        CategoryRepair(
            tag,
            kept := tag in ("archipelago", "border"),
            "9 known positives, fewer than 10" if kept else "cross-validated log loss fell",
            9 if kept else 60 + 7 * number,
            140 - 5 * number,
            None if kept else 10.0 ** (number - 3),
            None if kept else 0.42,
            None if kept else 0.36 - 0.01 * number,
        )
        for number, tag in enumerate(TAGS)
    ]
    return FinetuneResult(key="k", digest="sha256:f", task="tags", categories=tuple(repairs))


def _promotion() -> PromotionResult:
    return PromotionResult(
        key="k",
        digest="sha256:promote",
        model_name="coast",
        version="3",
        alias="champion",
        promoted=True,
        registered=True,
        run_id="9d7cf3073a3e465cb915550d87946f6e",
        tracking_uri="sqlite:////home/ann/runs/coast/mlflow.db",
        gates=(
            GateDecision("cover.miou at least 0.7", True, "0.742 ≥ 0.7"),
            GateDecision(
                "cover.miou not worse than champion (margin 0.01)", True, "0.742, equal to champion"
            ),
        ),
    )


METRICS = {  # metric: unit, better, half interval, pipeline, scratch, noisy_direct
    "cover.miou": ("", "higher", 0.021, 0.742, 0.611, 0.748),
    "cover.accuracy": ("", "higher", 0.012, 0.951, 0.902, 0.957),
    "cover.iou.sea": ("", "higher", 0.01, 0.962, 0.921, 0.967),
    "cover.iou.land": ("", "higher", 0.013, 0.931, 0.853, 0.935),
    "cover.iou.lake": ("", "higher", 0.05, 0.333, 0.059, 0.342),
    "shoreline.f1": ("", "higher", 0.03, 0.618, 0.497, None),
    "distance.mae": ("px", "lower", 0.16, 1.612, 2.204, None),
    "distance.rmse": ("px", "lower", 0.2, 2.7, 3.41, None),
    "tags.map": ("", "higher", 0.04, 0.774, 0.689, None),
    "tags.ece": ("", "lower", 0.008, 0.031, 0.094, None),
    "tags.brier": ("", "lower", 0.01, 0.088, 0.131, None),
    "tags.ap.border": ("", "higher", 0.0, None, None, None),
}


def _estimate(value: float | None, half: float, unit: str, better: str) -> Estimate:
    if value is None:
        return Estimate(None, unit=unit, better=better)
    return Estimate(value, value - half, value + half, unit, better)


def _evaluation(folder: Path) -> EvaluationResult:
    names = ("pipeline", "scratch", "noisy_direct")
    scores: dict[str, dict[str, Estimate]] = {name: {} for name in names}
    differences: dict[str, dict[str, Estimate]] = {name: {} for name in names[1:]}
    for metric, (unit, better, half, *values) in METRICS.items():
        for name, value in zip(names, values, strict=True):
            if value is not None or name != "noisy_direct":
                scores[name][metric] = _estimate(value, half, unit, better)
            if name != "pipeline" and value is not None:
                differences[name][metric] = _estimate(values[0] - value, half / 3, unit, better)
    return EvaluationResult(
        key="k",
        digest="sha256:evaluate",
        dataset_digest="sha256:coast",
        split="test",
        images=496,
        groups=9,
        resamples=1000,
        models={name: ModelScores(f"sha256:{name}", metrics) for name, metrics in scores.items()},
        differences=differences,
        examples=tuple(_example(folder, number) for number in range(5)),
    )


def _example(folder: Path, number: int) -> Example:
    """An island and a lake, as the image, the labels and the models draw them."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[:64, :64].astype(float)
    height = np.zeros((64, 64))
    for wave in range(1, 5):
        a, b, phase = random.normal(size=3) * 0.09 * wave
        height += np.sin(a * x + b * y + 6 * phase) / wave
    cover = (height > 0.1).astype(int)
    cover[(height > 1.25)] = 2
    shift = np.roll(cover, (2, -2), (0, 1))
    rough = np.repeat(np.repeat(shift[::4, ::4], 4, 0), 4, 1)
    noise = random.normal(scale=9, size=(64, 64, 1))

    def edge(mask: np.ndarray) -> np.ndarray:
        line = (mask != np.roll(mask, 1, 0)) | (mask != np.roll(mask, 1, 1))
        return np.where(line[..., None], 235, 40).repeat(3, -1)

    pictures = {
        "image": np.clip(COLORS[cover] * 0.8 + noise, 0, 255),
        "cover": COLORS[cover],
        "cover_map": COLORS[shift],
        "shoreline": edge(cover),
        "pipeline.cover": COLORS[np.roll(cover, 1, 0)],
        "pipeline.shoreline": edge(np.roll(cover, 1, 0)),
        "scratch.cover": COLORS[rough],
        "scratch.shoreline": edge(rough),
        "noisy_direct.cover": COLORS[np.roll(shift, -1, 1)],
    }
    if number == 3:
        del pictures["cover_map"]
    (folder / "examples").mkdir(parents=True, exist_ok=True)
    panels = {}
    for panel, array in pictures.items():
        panels[panel] = f"examples/{number}-{panel}.png"
        Image.fromarray(array.astype(np.uint8)).save(folder / panels[panel])
    return Example(f"coast-r{200 + number}-c{1330 + 32 * number}", panels)


def failing_validation() -> ValidationResult:
    """Labels that do not meet their expectations."""
    failure = FailedCheck("a group stays in one split", "group", ("train/a", "test/b"), 2)
    return ValidationResult(
        key="k",
        digest="sha256:bad",
        verdict="fail",
        reasons=("a group stays in one split: 2 rows",),
        failures=(failure,),
        checks=41,
    )
