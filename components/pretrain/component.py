"""Trains an encoder on a noisy segmentation that every image has."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def pretrain(
    *,
    dataset: dsl.Input[dsl.Dataset],
    dataset_digest: str,
    config: dict,
    workspace: str,
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    task_name: str = "pretrain",
) -> str:
    """Train encoder and decoder on noisy masks; also the baseline that uses this model directly.

    Args:
        dataset: reference of the dataset.
        dataset_digest: its digest, for the cache.
        config: the recipe's section `pretrain`, or `baselines.noisy_direct`.
        workspace: folder where stages keep their outputs and records.
        model: receives the result with `checkpoint/`.
        metrics: receives the metrics on the validation split.
        task_name: name of this task in the run's records.

    Returns:
        Digest of the model.
    """
    from goldseam.workspace import running_task

    with running_task(task_name, workspace) as task:
        from goldseam.dataset.ingest import open_reference
        from goldseam.pretraining.config import PretrainConfig
        from goldseam.pretraining.stage import pretrain as learn

        result = task.stage(
            "pretrain",
            learn,
            PretrainConfig.model_validate(config),
            open_reference(dataset.path),
            keyed_by={"dataset": dataset_digest},
            export_to=model.path,
        )
    model.metadata["digest"] = result.digest
    for name, value in result.validation.items():
        if value is not None:
            metrics.log_metric(name, value)
    return result.digest
