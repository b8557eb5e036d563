"""Measures the pictures of some shards of a dataset."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def measure(
    *,
    dataset: dsl.Input[dsl.Dataset],
    dataset_digest: str,
    config: dict,
    part: str,
    workspace: str,
    measures: dsl.Output[dsl.Artifact],
) -> str:
    """Look once at every picture of a part: statistics, hashes, noise, contradictions.

    Args:
        dataset: reference of the dataset.
        dataset_digest: its digest, for the cache.
        config: the options of measuring.
        part: which of how many parts, such as `0/4`.
        workspace: folder where stages keep their outputs and records.
        measures: receives one table a measure.

    Returns:
        Digest of the measures.
    """
    from goldseam.workspace import running_task

    number, _, count = part.partition("/")
    with running_task(f"measure-{number}-of-{count}", workspace) as task:
        from goldseam.audit.config import MeasureConfig
        from goldseam.audit.measuring.stage import measure as look
        from goldseam.dataset.ingest import open_reference

        result = task.stage(
            "measure",
            look,
            MeasureConfig.model_validate(config),
            open_reference(dataset.path),
            keyed_by={"dataset": dataset_digest, "part": part},
            export_to=measures.path,
            part=int(number),
            parts=int(count),
        )
    return result.digest
