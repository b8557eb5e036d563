"""A history as a team has it: three versions of a dataset, three audits of it, one training run."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from goldseam.artifacts import Result
from goldseam.results import (
    AuditResult,
    CoverageRow,
    DatasetReference,
    DriftTest,
    DuplicateSummary,
    Estimate,
    EvaluationResult,
    FindingCount,
    GateDecision,
    Inspected,
    LabelErrors,
    MissingnessTest,
    ModelScores,
    NoiseRate,
    PairVerdict,
    PromotionResult,
    PublishResult,
    ValidationResult,
)
from goldseam.workspace import TaskRecord, Workspace

HOUR, DAY = 3600.0, 86400.0
BEGUN = 1_790_000_000.0  # 2026-09-21
TASKS = ("cover", "cover_map", "shoreline", "objects", "tags")
ROWS = {"train": 706, "validation": 194, "test": 418}
# known training images of each task, by version
KNOWN = {
    "cover": (20, 46, 88),
    "cover_map": (706, 706, 706),
    "shoreline": (20, 20, 44),
    "objects": (150, 190, 176),
    "tags": (400, 431, 520),
}
TAGS = ("sea", "land", "lake", "island", "archipelago")
# findings of each version: (id, task, issue)
FINDINGS = (
    [(f"a{n:03}", "tags", "wrong_tag") for n in range(42)]
    + [(f"m{n:03}", "cover_map", "wrong_mask") for n in range(30)],
    [(f"a{n:03}", "tags", "wrong_tag") for n in range(12, 49)]
    + [(f"m{n:03}", "cover_map", "wrong_mask") for n in range(28)]
    + [(f"l{n:03}", "image", "leak") for n in range(4)],
    # nobody examined the masks of the third version
    [(f"a{n:03}", "tags", "wrong_tag") for n in range(30, 52)],
)


@dataclasses.dataclass(frozen=True)
class Team:
    """Folders of a team's runs.

    Attributes:
        audits: output of the pipeline that audits.
        training: output of the pipeline that trains.
    """

    audits: Path
    training: Path

    @property
    def folders(self) -> list[Path]:
        return [self.audits, self.training]


def sha(name: str) -> str:
    import hashlib

    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()


def estimate(value: float, half: float, unit: str = "") -> Estimate:
    return Estimate(value, max(0.0, value - half), value + half, unit, "lower")


def reference(version: int) -> DatasetReference:
    return DatasetReference(
        key=sha(f"ingest {version}"),
        digest=sha(f"data {version}"),
        uri="/data/coast",
        name="coast",
        revision=f"v1.{version}",
        rows=rows(version),
        tasks=TASKS,
    )


def rows(version: int) -> dict[str, int]:
    return ROWS if version < 3 else {**ROWS, "test": 430}


def coverage(version: int) -> tuple[CoverageRow, ...]:
    found = []
    for task, numbers in KNOWN.items():
        known = numbers[version - 1]
        found.append(CoverageRow(task, None, "train", None, known, 0, 706 - known))
        # what one source made is no more than the whole, and is not counted again
        found.append(CoverageRow(task, None, "train", "human", known // 2, 0, 706 - known // 2))
        found.append(CoverageRow(task, None, "test", None, 418, 0, 0))
    for place, tag in enumerate(TAGS):
        present, absent = 12 * version + 9 * place, 40 + 30 * version - 5 * place
        found.append(
            CoverageRow("tags", tag, "train", None, present, absent, 706 - present - absent)
        )
    return tuple(found)


def noise(version: int) -> tuple[NoiseRate, ...]:
    shrink = (1.0, 0.82, 0.86)[version - 1]
    flip, shift = estimate(0.062 * shrink, 0.011), estimate(1.4 * shrink, 0.6, "px")
    return (
        NoiseRate("cover_map", "cover", None, "flip", flip, 20, "paired by group", "The map errs."),
        NoiseRate("cover_map", "cover", None, "shift", shift, 20, "paired by group", "It is off."),
        NoiseRate("cover_map", "cover", "lake", "omission", estimate(0.7 * shrink, 0.1), 20,
                  "paired by group", "Most lakes are left out."),
        NoiseRate("tags", None, None, "flip", Estimate(None), 0, "confident learning", "Unknown."),
    )  # fmt: skip


def errors(version: int) -> tuple[LabelErrors, ...]:
    rate = estimate((0.082, 0.064, 0.041)[version - 1], 0.021)
    found = [
        LabelErrors("tags", None, None, None, 900, 42, rate, "confident learning"),
        LabelErrors("tags", "lake", None, None, 180, 9, rate, "confident learning"),
        LabelErrors("tags", None, "human", None, 500, 30, rate, "confident learning"),
    ]
    inside = "consistency with 'cover': outlines against boundaries"
    found.append(LabelErrors("shoreline", None, None, None, 20, 0, estimate(0.0, 0.02), inside))
    if version < 3:
        map_rate = estimate(0.124, 0.03)
        found.append(LabelErrors("cover_map", None, None, None, 706, 30, map_rate, "clusters"))
    return tuple(found)


def missingness(version: int) -> tuple[MissingnessTest, ...]:
    def one(task: str, strength: Any, sentence: str) -> MissingnessTest:
        return MissingnessTest(
            task, None, "site", "metadata", "permutation", 706, 0.001, 0.004, 0.4, "Cramér's V",
            strength, sentence,
        )  # fmt: skip

    tests = [
        one("tags", "strong", "Tags are known on 82 % of the northern and 11 % of the southern "
            "images: a model of them learns the north."),
        one("cover", "moderate", "Bright images carry a cover mask more often."),
        one("objects", "none", "Whether objects are known does not depend on the site."),
    ]  # fmt: skip
    return tuple(tests if version < 3 else tests[1:])


def audit_result(version: int) -> AuditResult:
    leaks = 2 if version == 2 else 0
    counts: dict[tuple[str, str], int] = {}
    for _, task, issue in FINDINGS[version - 1]:
        counts[task, issue] = counts.get((task, issue), 0) + 1
    share = KNOWN["cover"][version - 1] / 706
    drift = DriftTest("coverage", "cover", None, "train", 0.028, share, 0.001, 0.002, True,
                      f"Cover is known on {100 * share:.1f} % of the training images.")  # fmt: skip
    return AuditResult(
        key=sha(f"audit key {version}"),
        digest=sha(f"audit {version}"),
        dataset="coast",
        version=f"1.{version}",
        revision=f"v1.{version}",
        dataset_digest=sha(f"data {version}"),
        rows=rows(version),
        verdict="fail" if leaks else "pass",
        reasons=("2 groups of alike images cross splits, 0 are allowed",) if leaks else (),
        sentences=(
            f"Of 706 training images {KNOWN['cover'][version - 1]} carry a clean cover mask.",
            "The old map is wrong on 6 % of the pixels, and leaves out most lakes.",
            "Tags are missing where the site is southern: they are not missing at random.",
        ),
        inspected=(Inspected("duplicates", True, "pixels"), Inspected("drift", True, "before")),
        coverage=coverage(version),
        missingness=missingness(version),
        pairs=(PairVerdict("cover", "tags", 8, "biased", "The north."),),
        errors=errors(version),
        noise=noise(version),
        duplicates=DuplicateSummary(1318, 0, leaks, leaks, 0, (), ()),
        drift=(drift,) if version > 1 else (),
        findings=tuple(FindingCount(task, kind, n, n) for (task, kind), n in counts.items()),
    )


def validation_result(version: int) -> ValidationResult:
    return ValidationResult(
        key=sha(f"validate key {version}"),
        digest=sha(f"validate {version}"),
        verdict="pass",
        reasons=(),
        failures=(),
        checks=41,
    )


METRICS = {  # metric: unit, better, half interval, pipeline, scratch
    "cover.miou": ("", "higher", 0.021, 0.765, 0.753),
    "cover.iou.lake": ("", "higher", 0.05, 0.420, 0.386),
    "distance.mae": ("px", "lower", 0.3, 3.53, 3.10),
    "tags.map": ("", "higher", 0.02, 0.748, None),
}


def evaluation_result() -> EvaluationResult:
    scores: dict[str, dict[str, Estimate]] = {"pipeline": {}, "scratch": {}}
    differences = {}
    for metric, (unit, better, half, *values) in METRICS.items():
        for name, value in zip(scores, values, strict=True):
            known = value is not None
            scores[name][metric] = (
                Estimate(value, value - half, value + half, unit, better)  # type: ignore[arg-type]
                if known
                else Estimate(None, unit=unit)
            )
        if values[1] is not None:
            gap = values[0] - values[1]
            differences[metric] = Estimate(gap, gap - half / 3, gap + half / 3, unit, better)  # type: ignore[arg-type]
    return EvaluationResult(
        key=sha("evaluate key"),
        digest=sha("evaluate"),
        dataset_digest=sha("data 3"),
        split="test",
        images=430,
        groups=8,
        resamples=1000,
        models={name: ModelScores(sha(f"model {name}"), one) for name, one in scores.items()},
        differences={"scratch": differences},
        examples=(),
    )


def promotion_result(version: str = "1", *, promoted: bool = True) -> PromotionResult:
    return PromotionResult(
        key=sha(f"promote key {version}"),
        digest=sha(f"promote {version}"),
        model_name="coast",
        version=version,
        alias="champion",
        promoted=promoted,
        registered=True,
        run_id=f"9d7cf3073a3e465cb915550d87946f6{version}",
        tracking_uri="postgresql://ann:secret@db/mlflow",
        gates=(
            GateDecision("cover.miou at least 0.7", True, "0.765 ≥ 0.7"),
            GateDecision("distance.mae at most 4", promoted, "3.53 ≤ 4"),
        ),
    )


def leave(workspace: Workspace, result: Result, made: float) -> Path:
    """Write a result where a stage leaves it, with the pages that it has."""
    folder = workspace.output_folder(result.stage, result.key)
    folder.mkdir(parents=True, exist_ok=True)
    result.write(folder)
    if isinstance(result, AuditResult):
        title = f"Label audit of {result.dataset} {result.version}"
        page = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><h1>{title}"
        (folder / "index.html").write_text(page)
        number = int(result.version[-1])
        ids, tasks, issues = zip(*FINDINGS[number - 1], strict=True)
        table = pa.table(
            {"finding": ids, "task": tasks, "issue": issues, "score": [0.5] * len(ids)}
        )
        pq.write_table(table, folder / "findings.parquet")
    if isinstance(result, PublishResult):
        (folder / "index.html").write_text("<!doctype html><title>coast: a run</title><h1>A run")
        (folder / "audit").mkdir(exist_ok=True)
        (folder / "audit" / "result.json").write_text("{}")
    os.utime(folder / "result.json", (made, made))
    return folder


def record(
    workspace: Workspace, run: str, task: str, begun: float, seconds: float, **more: Any
) -> None:
    """Write how a task of a run went."""
    more = {"status": "succeeded", "peak_rss_mib": 180 + 4 * seconds, **more}
    workspace.write_record(run, TaskRecord(task=task, begun=begun, seconds=seconds, **more))


def audit_run(workspace: Workspace, version: int) -> str:
    """One scheduled audit: the second one is stopped by its gate."""
    begun = BEGUN + (version - 1) * 7 * DAY
    run = f"audit-{version}"
    results = (
        ("ingest", reference(version), 0.4),
        ("validate", validation_result(version), 6.2),
        ("audit", audit_result(version), 71.0),
    )
    for task, result, seconds in results:
        folder = leave(workspace, result, begun + 30 * DAY)
        record(workspace, run, task, begun, seconds, digest=result.digest, output=str(folder))
        begun += seconds + 1
    record(workspace, run, "publish", begun, 2.0)
    if version == 2:
        error = "gate 'labels' is closed: 2 groups of alike images cross splits, 0 are allowed"
        record(workspace, run, "stop", begun + 3, 0.1, status="failed", error=error)
    status = workspace.root / "status" / f"{run}.json"
    status.parent.mkdir(exist_ok=True)
    status.write_text(f'{{"status": "{"failed" if version == 2 else "succeeded"}"}}')
    return run


def training_run(workspace: Workspace) -> str:
    """The training on the third version, which takes over what its audit found."""
    begun, run = BEGUN + 15 * DAY, "training-1"
    published = PublishResult(key=sha("publish key"), digest=sha("publish"), page="index.html")
    for task, result, seconds in (
        ("ingest", reference(3), 0.4),
        ("validate", validation_result(3), 6.2),
        ("audit", audit_result(3), 0.3),
        ("train", None, 640.0),
        ("evaluate", evaluation_result(), 22.0),
        ("promote", promotion_result(), 8.8),
        ("publish", published, 3.1),
    ):
        folder = leave(workspace, result, begun + 40 * DAY) if result else None
        record(
            workspace,
            run,
            task,
            begun,
            seconds,
            digest=result.digest if result else sha("model"),
            output=str(folder) if folder else None,
            reused=task == "audit",
        )
        begun += seconds + 1
    return run


def make_team(root: Path) -> Team:
    """Write everything below `root`."""
    team = Team(root / "coast-audit", root / "coast")
    for version in (1, 2, 3):
        audit_run(Workspace(team.audits / "workspace"), version)
    training_run(Workspace(team.training / "workspace"))
    return team
