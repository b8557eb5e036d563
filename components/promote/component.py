"""Registers a model once and makes it champion."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def promote(
    *,
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    audit: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    config: dict,
    recipe: dict,
    workspace: str,
    promotion: dsl.Output[dsl.Artifact],
    card: dsl.Output[dsl.Markdown],
    pretrain: dsl.Input[dsl.Model] = None,
    train: dsl.Input[dsl.Model] = None,
    finetune: dsl.Input[dsl.Model] = None,
    scratch: dsl.Input[dsl.Model] = None,
    noisy_direct: dsl.Input[dsl.Model] = None,
) -> str:
    """Log the run, register the model version, and move the alias; gates are checked once more.

    It acts on the registry: run this task without the cache. The same model again registers
    nothing.

    Args:
        model: the pipeline's model.
        dataset: reference of the dataset.
        audit: what is known of the labels, for the model card.
        evaluation: the model's metrics, beside those of the baselines and the champion.
        config: the recipe's section `promote`.
        recipe: the whole resolved recipe, stored with the model.
        workspace: folder where stages keep their outputs and records.
        promotion: receives what the registry holds now.
        card: receives the model card.
        pretrain: the pretrained model, for its training curve.
        train: the trained model, likewise.
        finetune: the repaired model, for what was repaired.
        scratch: baseline trained on clean labels only, for its training curve.
        noisy_direct: baseline trained on noisy labels, likewise.

    Returns:
        The model version; empty when none was registered.
    """
    from goldseam.workspace import running_task

    with running_task("promote", workspace) as task:
        import os
        import shutil
        from pathlib import Path

        from goldseam.artifacts import digest_of
        from goldseam.recipe import from_struct
        from goldseam.registry.config import PromoteConfig
        from goldseam.registry.stage import promote as register
        from goldseam.results import DatasetReference, EvaluationResult

        data = DatasetReference.read(Path(dataset.path))
        measured = EvaluationResult.read(Path(evaluation.path))
        resolved = from_struct(recipe).model_dump(mode="json")
        lineage = {
            "dataset_name": data.name,
            "dataset_uri": data.uri,
            "dvc_revision": data.revision,
            "pipeline_run": task.run,
            "git_commit": os.environ.get("GOLDSEAM_GIT_COMMIT"),
            "image": os.environ.get("GOLDSEAM_IMAGE"),
        }
        results = {
            "ingest": dataset,
            "audit": audit,
            "pretrain": pretrain,
            "train": train,
            "finetune": finetune,
            "scratch": scratch,
            "noisy_direct": noisy_direct,
        }
        result = task.stage(
            "promote",
            register,
            PromoteConfig.model_validate(config),
            measured,
            Path(model.path) / "checkpoint",
            keyed_by={
                "run": task.run,  # what another run did may have been undone in the registry
                "evaluation": measured.digest,
                "model": measured.models["pipeline"].model_digest,
                "recipe": digest_of(resolved),
            },
            export_to=promotion.path,
            recipe=resolved,
            lineage={name: value for name, value in lineage.items() if value},
            artifacts={name: Path(given.path) for name, given in results.items() if given},
        )
        shutil.copyfile(result.folder / "model_card.md", card.path)
    return result.version or ""
