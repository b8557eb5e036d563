"""An audit with every section filled, on the discs of `tests/conftest.py`; numbers are invented."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from goldseam.audit.findings import Action, Issue, count_findings, join_findings, make_findings
from goldseam.audit.label_side import LabelSide
from goldseam.dataset.coverage import coverage
from goldseam.dataset.reading import Dataset
from goldseam.results import (
    AnnotationPlan,
    AuditResult,
    BoxCoverage,
    Disagreement,
    DriftTest,
    DuplicateGroup,
    DuplicateImage,
    DuplicateSummary,
    Estimate,
    Inspected,
    LabelErrors,
    LabelPattern,
    MissingnessTest,
    NoiseMatrix,
    NoiseRate,
    PairVerdict,
    PlanRow,
    PresenceEstimate,
    PseudoLabelAudit,
    Strategy,
)

CATEGORIES = ("ground", "disk", "bar")
SIDE = 16


def patterns(labels: LabelSide) -> tuple[LabelPattern, ...]:
    """Which tasks meet, counted image by image."""
    tasks = tuple(labels.info.tasks)
    counts: Counter[Any] = Counter()
    for row in range(len(labels)):
        names = tuple(task for task in tasks if labels.known[task][row])
        counts[labels.splits[labels.split_N[row]], names] += 1
    return tuple(LabelPattern(names, split, images) for (split, names), images in counts.items())


def audit_findings(labels: LabelSide, count: int = 300, seed: int = 5) -> pa.Table:
    """Findings of every kind that discs can have, over all images."""
    random = np.random.default_rng(seed)
    kinds = [
        ("tags", Issue.WRONG_TAG, Action.RELABEL, 0.45),
        ("cover", Issue.WRONG_MASK, Action.REDRAW, 0.2),
        ("cover_map", Issue.WRONG_MASK, Action.REDRAW, 0.2),
        ("relief", Issue.OUTLYING_VALUES, Action.REVIEW, 0.05),
        ("relief", Issue.WRONG_UNIT, Action.CONVERT, 0.03),
        ("edge", Issue.CONTRADICTION, Action.REVIEW, 0.05),
        ("tags", Issue.LEAK, Action.KEEP_ONE, 0.02),
    ]
    tables = []
    for task, issue, action, share in kinds:
        rows = np.flatnonzero(labels.known[task])
        row_M = np.sort(random.choice(rows, max(1, round(share * count)), replace=True))
        corners = {}
        category: Any = None
        if issue is Issue.WRONG_TAG:
            category = random.choice(np.array(["disk", "bar", "big"]), len(row_M))
        elif issue is Issue.WRONG_MASK:
            category = random.choice(np.array(CATEGORIES), len(row_M))
            low_M2 = random.integers(0, SIDE - 6, (len(row_M), 2))
            high_M2 = low_M2 + random.integers(3, 6, (len(row_M), 2))
            corners = {
                "xmin": low_M2[:, 0].astype(np.float32),
                "ymin": low_M2[:, 1].astype(np.float32),
                "xmax": high_M2[:, 0].astype(np.float32),
                "ymax": high_M2[:, 1].astype(np.float32),
            }
        score_M = random.beta(5, 2, len(row_M))
        tables.append(
            make_findings(
                **labels.where(row_M),
                task=task,
                issue=issue,
                action=action,
                score=score_M,
                evidence=[f"The held-out model gives this label a chance of {1 - s:.2f}; its "
                          f"neighbors say otherwise (case {n})." for n, s in enumerate(score_M)],
                category=category,
                given="present" if issue is Issue.WRONG_TAG else None,
                suggested="absent" if issue is Issue.WRONG_TAG else None,
                source=labels.source_names(task, row_M),
                **corners,
            )
        )  # fmt: skip
    joined = join_findings(tables)
    # the same label can be drawn twice above; a finding is there once
    first = np.unique(np.array(joined.column("finding").to_pylist()), return_index=True)[1]
    return joined.take(pa.array(np.sort(first)))


def estimate(value: float, half: float, unit: str = "") -> Estimate:
    return Estimate(value, value - half, value + half, unit, "lower")


def missingness() -> tuple[MissingnessTest, ...]:
    def one(task: str, factor: str, kind: Any, effect: float, strength: Any, sentence: str) -> Any:
        q = 0.0004 if strength != "none" else 0.62
        return MissingnessTest(
            task, None, factor, kind, "permutation test by group", 48, q / 4, q, effect,
            "Cramér's V", strength, sentence,
        )  # fmt: skip

    return (
        one("tags", "site", "metadata", 0.61, "strong",
            "Tags are known on 82 % of the images of site north and on 11 % of those of site "
            "south: a model of them learns the north."),
        one("cover", "brightness", "image", 0.34, "moderate",
            "Bright images carry a cover mask more often than dark ones (58 % against 21 %)."),
        one("edge", "relief", "other_label", 0.18, "weak",
            "Where relief is known, edge is known a little less often."),
        one("relief", "site", "metadata", 0.02, "none",
            "Whether relief is known does not depend on the site."),
        one("cover", "validation against test", "split", 0.05, "none",
            "The validation split carries cover as often as the test split."),
        MissingnessTest("cover_map", None, "site", "metadata", "permutation test by group", 48,
                        None, None, None, "Cramér's V", "none",
                        "Every image carries cover_map, so nothing can depend on anything."),
    )  # fmt: skip


def errors() -> tuple[LabelErrors, ...]:
    def one(task: str, labels: int, flagged: int, rate: Estimate, **of: str) -> LabelErrors:
        parts = {"category": None, "source": None, "annotator": None, **of}
        return LabelErrors(task, labels=labels, flagged=flagged, error_rate=rate,
                           method="confident learning", **parts)  # fmt: skip

    return (
        one("tags", 150, 96, estimate(0.082, 0.021)),
        one("tags", 52, 21, estimate(0.031, 0.012), category="disk"),
        one("tags", 49, 47, estimate(0.148, 0.041), category="bar"),
        one("tags", 49, 28, Estimate(None), category="big"),
        one("tags", 80, 30, estimate(0.05, 0.02), annotator="A. Ngo"),
        one("tags", 70, 66, estimate(0.19, 0.05), annotator="B. Ruiz"),
        one("cover", 44, 40, estimate(0.061, 0.02)),
        one("cover_map", 76, 58, estimate(0.124, 0.03)),
        one("cover_map", 76, 58, estimate(0.124, 0.03), source="map"),
        one("relief", 44, 19, estimate(0.045, 0.04)),
    )


def plan() -> AnnotationPlan:
    rows = []
    for name, gain in (("random", 0.05), ("uncertainty", 0.052), ("gain_per_cost", 0.068)):
        rows += [
            Strategy(name, "tags", labels, labels * 3.0, "mean average precision",
                     0.61 + gain * np.log2(1 + labels / 50), 0.012, 5)
            for labels in (50, 100, 200, 400, 800)
        ]  # fmt: skip
    return AnnotationPlan(
        budget_seconds=28_800.0,
        candidates=1_904,
        rows=(
            PlanRow("tags", "bar", 640, 1_920.0, 12.4),
            PlanRow("tags", "big", 410, 1_230.0, 7.9),
            PlanRow("cover", None, 310, 24_800.0, 5.2),
        ),
        simulation=tuple(rows),
        sentence=(
            "A day of work (8 h) buys 1,050 tags and 310 masks; in a replay on your own labels "
            "this order reached the same score with half the labels of a random one."
        ),
    )


def duplicates(labels: LabelSide) -> DuplicateSummary:
    names = labels.image_ids.to_pylist()

    def member(row: int) -> DuplicateImage:
        split = labels.splits[labels.split_N[row]]
        return DuplicateImage(names[row], split, labels.groups[labels.group_N[row]])

    leak = DuplicateGroup("exact", 0, (member(3), member(60)), ("train", "test"), 2, ("tags.bar",))
    near = DuplicateGroup("near", 6, tuple(member(r) for r in (5, 6, 9, 12, 15)), ("train",), 1, ())
    return DuplicateSummary(len(names), 1, 1, 1, 1, ("g1-2",), (leak, near))


def drift() -> tuple[DriftTest, ...]:
    return (
        DriftTest("coverage", "tags", None, "train", 0.62, 0.5, 0.0002, 0.001, True,
                  "Tags are known on 50.0 % of the training images, down from 62.0 %."),
        DriftTest("image", None, None, None, 118.0, 119.2, 0.4, 0.7, False,
                  "The images are as bright as before."),
        DriftTest("rows", None, None, "test", None, 16.0, None, None, True,
                  "The test split is new."),
    )  # fmt: skip


def disagreements() -> tuple[Disagreement, ...]:
    def one(split: str, images: int, confusion: Any, *rates: float | None) -> Disagreement:
        return Disagreement("cover", "cover_map", split, images, 2, *rates, CATEGORIES, confusion)

    known = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    return (
        one("train", 16, known, 0.062, 0.141, 0.008),
        one("test", 0, ((None,) * 3,) * 3, None, None, None),
    )


def noise() -> tuple[NoiseRate, ...]:
    method = "against the clean map"
    return (
        NoiseRate("cover_map", "cover", None, "flip", estimate(0.062, 0.011), 16, method,
                  "6.2 % of the pixels of cover_map are wrong."),
        NoiseRate("cover_map", "cover", "bar", "omission", estimate(0.97, 0.03), 16, method,
                  "cover_map leaves out nearly every bar."),
        NoiseRate("cover_map", "cover", None, "shift", estimate(1.4, 0.6, "px"), 16, method,
                  "cover_map is shifted by 1.4 px."),
        NoiseRate("tags", None, None, "flip", Estimate(None), 0, "confident learning",
                  "How often tags are flipped cannot be told from so few."),
    )  # fmt: skip


def matrices() -> tuple[NoiseMatrix, ...]:
    words = ("absent", "present")
    return (
        NoiseMatrix("tags", "bar", "all", "confident learning", 49, words,
                    ((0.5, 0.05), (0.1, 0.35)), ((0.91, 0.09), (0.22, 0.78))),
        NoiseMatrix("cover_map", None, "boundary", "measured", 4_096, CATEGORIES,
                    ((0.6, 0.0, 0.0), (0.1, 0.3, 0.0), (None, None, None)),
                    ((1.0, 0.0, 0.0), (0.25, 0.75, 0.0), (None, None, None))),
    )  # fmt: skip


def presence() -> tuple[PresenceEstimate, ...]:
    return (
        PresenceEstimate("tags", "bar", 20, 9, 19, estimate(0.48, 0.09), estimate(0.71, 0.12),
                         "expectation maximization",
                         "About 48 % of the images show a bar; seven of ten are named."),
        PresenceEstimate("tags", "big", 6, 1, 41, Estimate(None), Estimate(None), "not estimable",
                         "Too little is known of big."),
    )  # fmt: skip


def pairs() -> tuple[PairVerdict, ...]:
    return (
        PairVerdict("cover", "tags", 8, "biased",
                    "Tags are known where the site is north, and cover looks different there."),
        PairVerdict("cover", "edge", 0, "unknown", "No training image carries both."),
        PairVerdict("edge", "tags", 8, "safe", "No dependence was found with 48 images."),
        PairVerdict("cover", "cover_map", 16, "safe", "Every image carries cover_map."),
    )  # fmt: skip


def pseudo_labels() -> tuple[PseudoLabelAudit, ...]:
    return (
        PseudoLabelAudit("tags", None, 84, estimate(0.11, 0.04), estimate(0.02, 0.015),
                         estimate(131.0, 40.0, "labels"), 1_904,
                         "About 131 of 1,904 pseudo-tags are wrong."),
        PseudoLabelAudit("tags", "big", 3, Estimate(None), Estimate(None), Estimate(None), 700,
                         "Too few tags of big are known to say."),
    )  # fmt: skip


def inspected() -> tuple[Inspected, ...]:
    return (
        Inspected("coverage", True, "the label columns of all images"),
        Inspected("label_errors", True, "out-of-fold predictions of a small encoder, 5 folds"),
        Inspected("boxes", False, "the dataset has no detection task"),
        Inspected("embeddings", False, "no checkpoint was given; name one with --checkpoint"),
    )


def audit_result(dataset: Dataset, labels: LabelSide, findings: pa.Table) -> AuditResult:
    """Every section filled."""
    info = dataset.info
    return AuditResult(
        key="sha256:0",
        digest="sha256:0",
        dataset=info.name,
        version=info.version,
        revision="3f2a91c0d4e5b6a7",
        dataset_digest=info.digest,
        rows={split: info.rows(split) for split in info.splits},
        verdict="fail",
        reasons=(
            "tags.bar: 29 training images are known, 40 are wanted.",
            "1 group of equal images crosses splits, 0 are allowed.",
        ),
        inspected=inspected(),
        coverage=tuple(coverage(dataset)),
        patterns=patterns(labels),
        boxes=(BoxCoverage("objects", "disk", "train", False, 20, 3, 41, 2),),
        missingness=missingness(),
        presence=presence(),
        pairs=pairs(),
        errors=errors(),
        disagreements=disagreements(),
        noise=noise(),
        matrices=matrices(),
        pseudo_labels=pseudo_labels(),
        duplicates=duplicates(labels),
        plan=plan(),
        drift=drift(),
        findings=count_findings(findings),
    )


def ranking(labels: LabelSide) -> pa.Table:
    """What to annotate next, in the columns that the page shows."""
    rows = np.flatnonzero(~labels.known["tags"])
    return pa.table(
        {
            **labels.where(rows),
            "task": pa.repeat(pa.scalar("tags"), len(rows)),
            "category": pa.repeat(pa.scalar("bar"), len(rows)),
            "gain": np.linspace(1, 0.1, len(rows)),
            "seconds": np.full(len(rows), 3.0),
            "reason": pa.repeat(pa.scalar("Few bars are known, and this may be one."), len(rows)),
        }
    )
