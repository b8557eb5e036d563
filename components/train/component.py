"""Trains the multi-task model from partial labels."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def train(
    *,
    dataset: dsl.Input[dsl.Dataset],
    dataset_digest: str,
    config: dict,
    workspace: str,
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    init: dsl.Input[dsl.Model] = None,
    init_digest: str = "",
    task_name: str = "train",
) -> str:
    """Train one model for all tasks; each image teaches only the tasks whose labels it carries.

    Args:
        dataset: reference of the dataset.
        dataset_digest: its digest, for the cache.
        config: the recipe's section `train`, or `baselines.scratch`.
        workspace: folder where stages keep their outputs and records.
        model: receives the result with `checkpoint/`.
        metrics: receives the metrics on the validation split.
        init: model whose encoder is taken; without it the model starts from random weights.
        init_digest: digest of that model, for the cache.
        task_name: name of this task in the run's records.

    Returns:
        Digest of the model.
    """
    from goldseam.workspace import running_task

    with running_task(task_name, workspace) as task:
        from pathlib import Path

        from goldseam.dataset.ingest import open_reference
        from goldseam.multitask.config import TrainConfig
        from goldseam.multitask.stage import train as learn

        result = task.stage(
            "train",
            learn,
            TrainConfig.model_validate(config),
            open_reference(dataset.path),
            keyed_by={"dataset": dataset_digest, "init": init_digest},
            export_to=model.path,
            init=Path(init.path) / "checkpoint" if init else None,
        )
    model.metadata["digest"] = result.digest
    for name, value in result.validation.items():
        if value is not None:
            metrics.log_metric(name, value)
    return result.digest
