"""Turns the location of a dataset into a reference that other stages trust."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def ingest(
    *,
    dataset_uri: str,
    dataset_digest: str,
    workspace: str,
    dataset: dsl.Output[dsl.Dataset],
    dataset_revision: str = "",
) -> str:
    """Reference a dataset: location, revision, digest, rows. Nothing is copied.

    Args:
        dataset_uri: folder with `dataset.yaml`, as tasks see it.
        dataset_digest: digest of the dataset; other data is refused.
        workspace: folder where stages keep their outputs and records.
        dataset: receives the reference.
        dataset_revision: name of the data's version; read off DVC where it tracks the folder.

    Returns:
        The dataset's digest.
    """
    from goldseam.workspace import running_task

    with running_task("ingest", workspace) as task:
        from goldseam.dataset.ingest import IngestConfig
        from goldseam.dataset.ingest import ingest as reference

        config = IngestConfig(
            uri=dataset_uri, digest=dataset_digest, revision=dataset_revision or None
        )
        result = task.stage("ingest", reference, config, keyed_by={}, export_to=dataset.path)
    dataset.metadata.update(
        {"name": result.name, "digest": result.digest, "revision": result.revision or ""}
    )
    return result.digest
