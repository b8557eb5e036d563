"""The page of an audit: one self-contained HTML file, from the verdict down to single labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from goldseam.audit.findings import FINDINGS_FILE
from goldseam.audit.label_side import LabelSide
from goldseam.audit.report import coverage, tables
from goldseam.audit.report.config import ReportConfig
from goldseam.audit.report.explorer import PLAIN_TABLE_ROWS, explorer_data, regions
from goldseam.audit.report.model_labels import Predictions, model_labels
from goldseam.audit.report.pictures import Picture, read_pictures
from goldseam.audit.report.selection import (
    IMAGES_OF_A_GROUP,
    gallery_rows,
    most_suspicious,
    shown_groups,
)
from goldseam.audit.report.sentences import boundary_share, key_sentences
from goldseam.dataset.reading import Dataset
from goldseam.dataset.schema import DatasetInfo
from goldseam.page import charts, render
from goldseam.results import AuditResult, DuplicateGroup
from goldseam.storage.atomic import write_text

PAGE_FILE = "index.html"
TEMPLATES = Path(__file__).parent / "templates"
RANKED_SHOWN = 50
# of each kind in the gallery; the others are folded away
FIRST_CARDS = 7
# a third of the pictures at the most goes to groups of duplicates
SHARE_OF_DUPLICATES = 3


def write_report(
    folder: Path,
    dataset: Dataset,
    labels: LabelSide,
    result: AuditResult,
    findings: pa.Table,
    config: ReportConfig,
    *,
    ranking: pa.Table | None = None,
    predictions: Predictions | None = None,
) -> None:
    """Write `index.html`, which needs no network and no other file.

    Args:
        folder: that exists.
        dataset: that was audited; only the row groups of the shown images are read.
        labels: its label side.
        result: everything the audit found.
        findings: of `goldseam.audit.findings.SCHEMA`; the page carries the most suspicious ones.
        config: how many findings and pictures.
        ranking: what to annotate next, best first; see `AnnotationPlan`.
        predictions: a `PredictionSet`; what it says is shown beside the labels of the pictures.

    Raises:
        InvalidDataset: a shard is damaged.
        InvalidPredictions: a prediction cannot be read.
    """
    shown = most_suspicious(findings, config.findings_embedded)
    listed = result.duplicates.groups if result.duplicates else ()
    groups = shown_groups(listed, config.pictures // SHARE_OF_DUPLICATES)
    worst = gallery_rows(shown, config.pictures - _images_of(groups))
    info = dataset.info
    wanted = _wanted(shown, worst, groups)
    predicted = model_labels(info, labels, wanted, predictions)
    pictures = read_pictures(dataset, labels, wanted, config, predicted)
    page = render(
        TEMPLATES,
        "audit.html.j2",
        info=info,
        result=result,
        sections=_sections(result),
        sentences=_linked(info, result),
        notes=[note for note in result.notes if note not in result.sentences],
        charts=charts,
        tables=tables,
        boundary_share=boundary_share,
        picture_px=config.picture_px,
        pictures=pictures,
        findings_file=FINDINGS_FILE,
        **_coverage_view(info, result),
        **_findings_view(findings, shown, worst, pictures),
        shown_groups=groups,
        images_of_a_group=IMAGES_OF_A_GROUP,
        ranking=[] if ranking is None else ranking.slice(0, RANKED_SHOWN).to_pylist(),
        ranked=0 if ranking is None else ranking.num_rows,
    )
    write_text(folder / PAGE_FILE, page)


def _images_of(groups: Sequence[DuplicateGroup]) -> int:
    return len({one.image_id for group in groups for one in group.images[:IMAGES_OF_A_GROUP]})


def _wanted(
    shown: pa.Table, worst: Sequence[int], groups: Sequence[DuplicateGroup]
) -> dict[str, set[str]]:
    """Images of the gallery and of the duplicates, each with the tasks of all its findings."""
    images = shown.column("image_id").to_pylist()
    wanted: dict[str, set[str]] = {images[row]: set() for row in worst}
    for group in groups:
        wanted |= {one.image_id: set() for one in group.images[:IMAGES_OF_A_GROUP]} | wanted
    for image, task in zip(images, shown.column("task").to_pylist(), strict=True):
        if image in wanted:
            wanted[image].add(task)
    return wanted


def _sections(result: AuditResult) -> list[tuple[str, str]]:
    """Id and heading of each section that has something to say."""
    noisy = result.disagreements or result.noise or result.matrices
    parts = [
        ("inspected", "Inspected", result.inspected),
        ("coverage", "Coverage", True),
        ("missingness", "Missingness", result.missingness or result.presence or result.pairs),
        ("errors", "Label errors", result.errors),
        ("noise", "Noise", noisy),
        ("pseudo-labels", "Pseudo-labels", result.pseudo_labels),
        ("duplicates", "Duplicates", result.duplicates),
        ("plan", "Annotate next", result.plan),
        ("drift", "Drift", result.drift),
        ("gallery", "Gallery", result.findings),
        ("findings", "Findings", True),
    ]
    return [(name, heading) for name, heading, content in parts if content]


def _linked(info: DatasetInfo, result: AuditResult) -> list[tuple[str, str]]:
    """Section and text of the audit's sentences; the section is empty where none says more."""
    section = {one.text: one.section for one in key_sentences(info, result)}
    there = {name for name, _ in _sections(result)}
    texts = result.sentences or tuple(section)
    places = [(section.get(text, ""), text) for text in texts]
    return [(name if name in there else "", text) for name, text in places]


def _coverage_view(info: DatasetInfo, result: AuditResult) -> dict[str, Any]:
    return {
        "tasks": coverage.task_coverage(info, result),
        "meetings": coverage.meetings(info, result),
        "patterns": coverage.pattern_rows(info, result),
        "known_share": coverage.known_share,
    }


def _findings_view(
    findings: pa.Table, shown: pa.Table, worst: Sequence[int], pictures: Mapping[str, Picture]
) -> dict[str, Any]:
    rows = shown.take(pa.array(worst, pa.int64()))
    cards = [
        {**row, "region": region, "picture": pictures.get(row["image_id"])}
        for row, region in zip(rows.to_pylist(), regions(rows), strict=True)
    ]
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for card in cards:
        kinds.setdefault((card["task"], card["issue"]), []).append(card)
    return {
        "total": findings.num_rows,
        "embedded": shown.num_rows,
        "first_rows": shown.slice(0, PLAIN_TABLE_ROWS).to_pylist(),
        "in_gallery": {card["finding"] for card in cards},
        "gallery": kinds,
        "first_cards": FIRST_CARDS,
        "data": explorer_data(shown, pictures),
    }
