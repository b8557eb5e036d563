"""Repairs the classifiers of single categories on known labels only."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def finetune(
    *,
    dataset: dsl.Input[dsl.Dataset],
    dataset_digest: str,
    trained: dsl.Input[dsl.Model],
    trained_digest: str,
    config: dict,
    workspace: str,
    model: dsl.Output[dsl.Model],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Repair, calibrate and cut each category of tags on its known labels; too few keep their head.

    Args:
        dataset: reference of the dataset.
        dataset_digest: its digest, for the cache.
        trained: the trained model.
        trained_digest: its digest, for the cache.
        config: the recipe's section `finetune`.
        workspace: folder where stages keep their outputs and records.
        model: receives the result with `checkpoint/`.
        summary: receives what happened to each category.

    Returns:
        Digest of the model.
    """
    from goldseam.workspace import running_task

    with running_task("finetune", workspace) as task:
        from pathlib import Path

        from goldseam.dataset.ingest import open_reference
        from goldseam.finetuning.config import FinetuneConfig
        from goldseam.finetuning.stage import finetune as repair

        result = task.stage(
            "finetune",
            repair,
            FinetuneConfig.model_validate(config),
            open_reference(dataset.path),
            Path(trained.path) / "checkpoint",
            keyed_by={"dataset": dataset_digest, "model": trained_digest},
            export_to=model.path,
        )
        lines = [f"{sentence}\n" for sentence in result.sentences]
        lines += [
            f"- {row.category}: {'kept' if row.kept else 'repaired'}, {row.why}"
            for row in result.categories
        ]
        Path(summary.path).write_text("\n".join(lines) + "\n")
    model.metadata["digest"] = result.digest
    return result.digest
