"""Says into which parts the pass over a dataset's pictures is cut."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def list_parts(*, dataset: dsl.Input[dsl.Dataset], parts: int, workspace: str) -> list:
    """Name the parts of a dataset: as many as asked for, at most one a shard.

    Args:
        dataset: reference of the dataset.
        parts: how many tasks may measure side by side.
        workspace: folder where stages keep their outputs and records.

    Returns:
        The parts, such as `["0/2", "1/2"]`.
    """
    from goldseam.workspace import running_task

    with running_task("list_parts", workspace):
        from goldseam.dataset.ingest import open_reference

        shards = len(open_reference(dataset.path).info.shards)
        count = max(1, min(int(parts), shards))
    return [f"{number}/{count}" for number in range(count)]
