"""Says what a dataset's labels are worth, and whether they keep the recipe's limits."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def audit(
    *,
    dataset: dsl.Input[dsl.Dataset],
    dataset_digest: str,
    config: dict,
    workspace: str,
    findings: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    measures: dsl.Input[dsl.Artifact] = None,
    predictions: dsl.Input[dsl.Artifact] = None,
    predictions_digest: str = "",
) -> str:
    """Audit the labels of a dataset.

    Labels that break a limit are not an error of this task: the branch after it stops the run.

    Args:
        dataset: reference of the dataset.
        dataset_digest: its digest, for the cache.
        config: the recipe's section `audit`.
        workspace: folder where stages keep their outputs and records.
        findings: receives `audit.json`, `findings.parquet` and the page.
        report: receives the page alone.
        summary: receives the reasons of a closed gate.
        measures: what was read off the pictures; they are read here where it is left out.
        predictions: out-of-fold predictions; errors are not searched for where they are left out.
        predictions_digest: their digest, for the cache.

    Returns:
        "pass" or "fail".
    """
    from goldseam.workspace import running_task

    with running_task("audit", workspace) as task:
        import shutil
        from pathlib import Path

        from goldseam.artifacts import RESULT_FILE
        from goldseam.audit.config import AuditConfig
        from goldseam.audit.stage import audit as examine
        from goldseam.dataset.ingest import open_reference
        from goldseam.results import DatasetReference

        given = Path(predictions.path) if predictions else None
        reference = DatasetReference.read(Path(dataset.path))
        result = task.stage(
            "audit",
            examine,
            AuditConfig.model_validate(config),
            open_reference(reference),
            keyed_by={
                "dataset": dataset_digest,
                "predictions": predictions_digest,
                "revision": reference.revision or "",
            },
            export_to=findings.path,
            measures=Path(measures.path) if measures else None,
            predictions=given if given is not None and (given / RESULT_FILE).is_file() else None,
            revision=reference.revision or "",
        )
        shutil.copyfile(result.folder / "index.html", report.path)
        lines = [f"- ✗ {reason}" for reason in result.reasons]
        Path(summary.path).write_text("\n".join(lines or ["- ✓ every limit is kept"]) + "\n")
    return result.verdict
