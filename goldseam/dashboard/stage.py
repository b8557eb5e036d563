"""The publish stage: one static page that says what a run did and what its model is worth."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from goldseam.artifacts import RESULT_FILE, digest_file, digest_of, stage_key
from goldseam.dashboard.config import PublishConfig
from goldseam.dashboard.page import run_page
from goldseam.dashboard.reading import RunResults, read_results
from goldseam.results import GateDecision, PublishResult
from goldseam.storage.atomic import atomic_folder, copy_folder, write_text
from goldseam.workspace import TaskRecord

PAGE = "index.html"


def publish(
    config: PublishConfig,
    results: Mapping[str, Path],
    out: Path,
    *,
    records: Mapping[str, TaskRecord] | None = None,
    gates: Sequence[GateDecision] = (),
) -> PublishResult:
    """Make the page of a run; a run that failed gets one too, which says what is missing and why.

    Args:
        config: options of the page.
        results: task (`ingest`, `validate`, `audit`, `pretrain`, `train`, `finetune`, `scratch`,
            `noisy_direct`, `evaluate`, `promote`) → output folder; any may be missing.
        out: the output folder: `index.html`, the audit's page in `audit/`, Data Docs in `docs/`.
        records: task → how it went: its time, memory and error.
        gates: the decisions on the gates where no promotion says them (a closed gate skips it).
    """
    records = records or {}
    run = read_results(results, records, config.left_out)
    digests = {
        f"result_{task}": digest_file(result.folder / RESULT_FILE)
        for task, result in run.results.items()
    }
    missing = digest_of(run.missing)
    key = stage_key(
        PublishResult.stage,
        config,
        records=digest_of(dict(records)),
        gates=digest_of(list(gates)),
        missing=missing,
        **digests,
    )
    if (done := PublishResult.completed(out, key)) is not None:
        return done
    with atomic_folder(out) as folder:
        links = _copy_pages(run, folder)
        page = run_page(config, run, folder, records=records, gates=gates, links=links)
        write_text(folder / PAGE, page)
        result = PublishResult(
            key=key,
            # of what was shown, free of times
            digest=digest_of({"config": config, "missing": missing, "results": digests}),
            page=PAGE,
        ).write(folder)
    return result.at(out)


def _copy_pages(run: RunResults, folder: Path) -> dict[str, str]:
    """Copy the pages of other stages beside ours; name → address of each that is there."""
    links = {}
    for name, stage, source, target in (
        ("audit", "audit", ".", "audit"),
        ("docs", "validate", "docs", "docs"),
    ):
        result = run.results.get(stage)
        if result is not None and (result.folder / source / PAGE).is_file():
            copy_folder(result.folder / source, folder / target)
            links[name] = f"{target}/{PAGE}"
    return links
