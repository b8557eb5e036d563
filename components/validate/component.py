"""Holds a dataset's label table against its expectation suite."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def validate(
    *,
    dataset: dsl.Input[dsl.Dataset],
    dataset_digest: str,
    config: dict,
    workspace: str,
    validation: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Check schema, ranges, vocabulary, leakage and minimum counts of the label table.

    A dataset that fails is not an error of this task: the gate after it decides.

    Args:
        dataset: reference of the dataset.
        dataset_digest: its digest, for the cache.
        config: the recipe's section `validate`.
        workspace: folder where stages keep their outputs and records.
        validation: receives the result and the Data Docs.
        summary: receives the reasons of a failure.

    Returns:
        "pass" or "fail".
    """
    from goldseam.workspace import running_task

    with running_task("validate", workspace) as task:
        from pathlib import Path

        from goldseam.audit.config import ValidateConfig
        from goldseam.audit.expectations.validate import validate as check
        from goldseam.dataset.ingest import open_reference

        result = task.stage(
            "validate",
            check,
            ValidateConfig.model_validate(config),
            open_reference(dataset.path),
            keyed_by={"dataset": dataset_digest},
            export_to=validation.path,
        )
        lines = [f"- ✗ {reason}" for reason in result.reasons]
        lines = lines or [f"- ✓ all {result.checks} expectations are met"]
        Path(summary.path).write_text("\n".join(lines) + "\n")
    return result.verdict
