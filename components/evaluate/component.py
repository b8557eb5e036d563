"""Measures the pipeline's model, its baselines and the champion on the same held-out images."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def evaluate(
    *,
    dataset: dsl.Input[dsl.Dataset],
    dataset_digest: str,
    model: dsl.Input[dsl.Model],
    config: dict,
    promote: dict,
    workspace: str,
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    trained: dsl.Input[dsl.Model] = None,
    scratch: dsl.Input[dsl.Model] = None,
    noisy_direct: dsl.Input[dsl.Model] = None,
) -> str:
    """Metrics with confidence intervals of every model, and paired differences.

    Who is champion is no parameter but a state of the registry: run this task without the cache.
    What was evaluated before against the same champion is found in the workspace.

    Args:
        dataset: reference of the dataset.
        dataset_digest: its digest.
        model: the pipeline's model.
        config: the recipe's section `evaluate`.
        promote: the recipe's section `promote`, which says where the champion is.
        workspace: folder where stages keep their outputs and records.
        evaluation: receives the metrics of all models and example pictures.
        metrics: receives the metrics of the pipeline's model.
        trained: baseline that is the pipeline's model before it was fine-tuned.
        scratch: baseline trained on clean labels only.
        noisy_direct: baseline trained on noisy labels and used directly.

    Returns:
        Digest of the evaluation.
    """
    from goldseam.workspace import running_task

    with running_task("evaluate", workspace) as task:
        import tempfile
        from pathlib import Path

        from goldseam.artifacts import digest_folder
        from goldseam.dataset.ingest import open_reference
        from goldseam.evaluation.config import EvaluateConfig
        from goldseam.evaluation.stage import evaluate as measure
        from goldseam.registry.champion import fetch_champion
        from goldseam.registry.config import PromoteConfig

        inputs = {
            "pipeline": model,
            "trained": trained,
            "scratch": scratch,
            "noisy_direct": noisy_direct,
        }
        models = {name: Path(given.path) / "checkpoint" for name, given in inputs.items() if given}
        with tempfile.TemporaryDirectory() as folder:
            champion = fetch_champion(PromoteConfig.model_validate(promote), Path(folder, "model"))
            if champion is not None:
                models["champion"] = champion
            result = task.stage(
                "evaluate",
                measure,
                EvaluateConfig.model_validate(config),
                open_reference(dataset.path),
                models,
                keyed_by={
                    "dataset": dataset_digest,
                    **{name: digest_folder(path) for name, path in models.items()},
                },
                export_to=evaluation.path,
            )
    for name, estimate in result.models["pipeline"].metrics.items():
        if estimate.value is not None:
            metrics.log_metric(name, estimate.value)
    return result.digest
