"""Registers a model once and makes it champion."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def promote(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    evaluation: dsl.Input[dsl.Artifact],
    config: dict,
    recipe: dict,
    workspace: str,
    promotion: dsl.Output[dsl.Artifact],
    card: dsl.Output[dsl.Markdown],
) -> str:
    """Log the run, register the model version, and move the alias; gates are checked once more.

    It acts on the registry: run this task without the cache. The same model again registers nothing.

    Args:
        model: the pipeline's model.
        dataset: reference of the dataset.
        evaluation: its metrics, beside those of the baselines and the champion.
        config: the recipe's section `promote`.
        recipe: the whole resolved recipe, stored with the model.
        workspace: folder where stages keep their outputs and records.
        promotion: receives what the registry holds now.
        card: receives the model card.

    Returns:
        The model version; empty when none was registered.
    """
    from goldseam.workspace import running_task

    with running_task("promote", workspace) as task:
        from pathlib import Path

        from goldseam.artifacts import digest_of
        from goldseam.registry.config import PromoteConfig
        from goldseam.registry.stage import promote as register
        from goldseam.results import DatasetReference, EvaluationResult

        data = DatasetReference.read(Path(dataset.path))
        measured = EvaluationResult.read(Path(evaluation.path))
        result = task.stage(
            "promote",
            register,
            PromoteConfig.model_validate(config),
            measured,
            Path(model.path) / "checkpoint",
            keyed_by={
                "run": task.run,  # what another run left may be gone from the registry
                "evaluation": measured.digest,
                "model": model.metadata["digest"],
                "recipe": digest_of(recipe),
            },
            export_to=promotion.path,
            recipe=recipe,
            lineage={
                "dataset": data.name,
                "dataset_digest": data.digest,
                "dataset_revision": data.revision or "",
                "pipeline_run": task.run,
            },
        )
    return result.version or ""
