"""Measures what a dataset's labels cover and how far noisy ones differ from clean ones."""

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
) -> str:
    """Audit the labels of a dataset.

    Args:
        dataset: reference of the dataset.
        dataset_digest: its digest, for the cache.
        config: the recipe's section `audit`.
        workspace: folder where stages keep their outputs and records.
        findings: receives `audit.json` and the page.
        report: receives the page alone.

    Returns:
        Digest of the findings.
    """
    from goldseam.workspace import running_task

    with running_task("audit", workspace) as task:
        import shutil

        from goldseam.audit.config import AuditConfig
        from goldseam.audit.stage import audit as examine
        from goldseam.dataset.ingest import open_reference

        result = task.stage(
            "audit",
            examine,
            AuditConfig.model_validate(config),
            open_reference(dataset.path),
            keyed_by={"dataset": dataset_digest},
            export_to=findings.path,
        )
        shutil.copyfile(result.folder / "index.html", report.path)
    return result.digest
