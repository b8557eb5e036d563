"""The stage that says what the labels are worth; docs/audit.md explains its sections."""

import dataclasses
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic

from goldseam.artifacts import RESULT_FILE, digest_file, digest_folder, digest_of, stage_key
from goldseam.audit.config import AuditConfig
from goldseam.audit.evidence import gather
from goldseam.audit.examination import Findings, examine
from goldseam.audit.expectations.judge import judge
from goldseam.audit.findings import count_findings, write_findings
from goldseam.audit.report.page import write_report
from goldseam.audit.report.sentences import audit_sentences
from goldseam.dataset.reading import Dataset
from goldseam.results import AuditResult, CrossfitResult
from goldseam.storage.atomic import atomic_folder, write_text

REPORT, RANKING = "audit.json", "annotate_next.parquet"
SCHEMA_VERSION = 1
# what only the next stages need
HIDDEN = ("key", "digest", "folder")


def audit(
    config: AuditConfig,
    dataset: Dataset,
    out: Path,
    *,
    measures: Path | None = None,
    predictions: Path | None = None,
    against: Dataset | None = None,
    revision: str = "",
) -> AuditResult:
    """Audit the labels of a dataset; docs/audit.md says what each section means.

    Args:
        config: the options.
        dataset: an open dataset.
        out: the folder to make, with `audit.json`, `findings.parquet`, `annotate_next.parquet` and
            `index.html`; when it holds the same result already, that one is returned.
        measures: what was read off the pictures, of `measure` or `join_measures`; it is read here
            when None. How the work was cut changes nothing.
        predictions: out-of-fold predictions, of `crossfit` or somebody else's; see
            `goldseam.audit.predictions.layout`.
        against: an earlier version of the dataset, for drift.
        revision: name of the data's version.

    Raises:
        InvalidDataset: a label cannot be read.
        InvalidConfig: an option names something that there is not.
        InvalidPredictions: the predictions do not fit the dataset.
        OutputExists: `out` holds something else.
    """
    inputs = {"dataset": dataset.info.digest, "revision": revision}
    if predictions is not None:
        inputs["predictions"] = _digest(predictions)
    if against is not None:
        inputs["against"] = against.info.digest
    key = stage_key(AuditResult.stage, config, **inputs)
    if (done := AuditResult.completed(out, key)) is not None:
        return done
    with atomic_folder(out) as folder:
        evidence = gather(config, dataset, measures=measures, predictions=predictions)
        before = (
            None if against is None else gather(config, against, measures=None, predictions=None)
        )
        found = examine(evidence, config, before)
        findings = found.findings
        result = _as_result(found, findings, dataset, key, revision)
        write_findings(findings, folder)
        if found.ranking is not None:
            pq.write_table(found.ranking, folder / RANKING, compression="zstd")
        verdict, reasons = judge(config.gate, result, evidence.labels, findings, folder)
        result = dataclasses.replace(result, verdict=verdict, reasons=reasons)
        result = dataclasses.replace(result, sentences=audit_sentences(dataset.info, result))
        body = report_of(result)
        write_text(folder / REPORT, json.dumps(body, indent=1, ensure_ascii=False) + "\n")
        write_report(
            folder, dataset, evidence.labels, result, findings, config.report,
            ranking=found.ranking, predictions=evidence.predictions,
        )  # fmt: skip
        result = dataclasses.replace(result, digest=digest_of(body)).write(folder)
    return result.at(out)


def _as_result(
    found: Findings, findings: pa.Table, dataset: Dataset, key: str, revision: str
) -> AuditResult:
    """What was found, before it is judged and told in sentences."""
    return AuditResult(
        key=key,
        digest="",
        dataset=dataset.info.name,
        version=dataset.info.version,
        revision=revision or None,
        dataset_digest=dataset.info.digest,
        rows={split: dataset.info.rows(split) for split in dataset.info.splits},
        inspected=tuple(found.inspected),
        notes=tuple(dict.fromkeys(found.notes)),
        findings=count_findings(findings),
        **found.parts,
    )


def report_of(result: AuditResult) -> dict[str, object]:
    """What `audit.json` says; `goldseam.audit.schema` documents it."""
    body = pydantic.TypeAdapter(AuditResult).dump_python(result, mode="json")
    return {"schema": SCHEMA_VERSION, **{k: v for k, v in body.items() if k not in HIDDEN}}


def _digest(predictions: Path) -> str:
    """Digest of predictions: as `crossfit` gave it, else of their files."""
    if predictions.is_file():
        return digest_file(predictions)
    if (predictions / RESULT_FILE).is_file():
        return CrossfitResult.read(predictions).digest
    return digest_folder(predictions)
