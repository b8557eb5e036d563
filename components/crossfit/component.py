"""Makes predictions that never saw the label they are compared with."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def crossfit(
    *,
    dataset: dsl.Input[dsl.Dataset],
    dataset_digest: str,
    config: dict,
    workspace: str,
    predictions: dsl.Output[dsl.Artifact],
) -> str:
    """Predict every image by a model that was trained on other groups of images.

    Args:
        dataset: reference of the dataset.
        dataset_digest: its digest, for the cache.
        config: the options of the predictions.
        workspace: folder where stages keep their outputs and records.
        predictions: receives the predictions, one Parquet file a fold.

    Returns:
        Digest of the predictions, or "none" where nothing can be predicted.
    """
    from goldseam.workspace import running_task

    with running_task("crossfit", workspace) as task:
        from pathlib import Path

        from goldseam.audit.predictions.config import PredictionsConfig
        from goldseam.audit.predictions.faults import NothingToPredict
        from goldseam.audit.predictions.stage import crossfit as predict
        from goldseam.dataset.ingest import open_reference

        try:
            digest = task.stage(
                "crossfit",
                predict,
                PredictionsConfig.model_validate(config),
                open_reference(dataset.path),
                keyed_by={"dataset": dataset_digest},
                export_to=predictions.path,
            ).digest
        except NothingToPredict as error:
            # the audit says so on its page, and goes on with the labels alone
            print(error, flush=True)  # noqa: T201 (the log of the task)
            Path(predictions.path).mkdir(parents=True, exist_ok=True)
            digest = "none"
    return digest
