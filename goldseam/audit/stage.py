"""The stage that says what the labels are worth: how much is known, and how wrong the map is."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from goldseam.artifacts import digest_of, stage_key
from goldseam.audit.config import AuditConfig
from goldseam.audit.noise.disagreement import BOUNDARY, Measured, measure_disagreement, noisy_pairs
from goldseam.audit.report.page import audit_page
from goldseam.audit.report.sentences import audit_sentences
from goldseam.dataset.coverage import coverage
from goldseam.dataset.reading import Dataset
from goldseam.results import AuditResult
from goldseam.storage.atomic import atomic_folder, write_text

REPORT, PAGE = "audit.json", "index.html"


def audit(config: AuditConfig, dataset: Dataset, out: Path) -> AuditResult:
    """Audit the labels of a dataset; docs/audit.md says what each section means.

    Args:
        config: the options.
        dataset: an open dataset.
        out: the folder to make, with `audit.json` and `index.html`; when it holds the same result
            already, that one is returned.

    Raises:
        InvalidDataset: a label cannot be read.
        OutputExists: `out` holds something else.
    """
    key = stage_key(AuditResult.stage, config, dataset=dataset.info.digest)
    if (done := AuditResult.completed(out, key)) is not None:
        return done
    with atomic_folder(out) as folder:
        rows = coverage(dataset, decode_pictures=config.decode_pictures)
        measured = [
            one
            for clean, noisy in noisy_pairs(dataset.info)
            for one in measure_disagreement(dataset, clean, noisy, config.band)
        ]
        sentences = audit_sentences(dataset.info, rows, measured)
        body = {
            "dataset": {"name": dataset.info.name, "digest": dataset.info.digest},
            "coverage": [dataclasses.asdict(row) for row in rows],
            "disagreements": [_with_counts(one) for one in measured],
            "sentences": sentences,
        }
        write_text(folder / REPORT, json.dumps(body, indent=1, ensure_ascii=False) + "\n")
        page = audit_page(dataset.info, rows, measured, sentences, band=config.band)
        write_text(folder / PAGE, page)
        result = AuditResult(
            key=key,
            digest=digest_of(body),
            dataset=dataset.info.name,
            version=dataset.info.version,
            dataset_digest=dataset.info.digest,
            rows={split: dataset.info.rows(split) for split in dataset.info.splits},
            coverage=tuple(rows),
            disagreements=tuple(one.rates for one in measured),
            sentences=tuple(sentences),
        ).write(folder)
    return result.at(out)


def _with_counts(one: Measured) -> dict[str, Any]:
    counts = one.counts
    return {
        **dataclasses.asdict(one.rates),
        "pixels": counts.pixels(),
        "differing_pixels": counts.differing(),
        "boundary_pixels": counts.pixels(BOUNDARY),
        "differing_boundary_pixels": counts.differing(BOUNDARY),
    }
