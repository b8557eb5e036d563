"""Joins what was measured on the parts of a dataset."""

from typing import List  # noqa: UP035 (kfp reads the annotation)

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def join_measures(
    *,
    parts: dsl.Input[List[dsl.Artifact]],  # noqa: UP006
    workspace: str,
    measures: dsl.Output[dsl.Artifact],
) -> str:
    """Put the tables of all parts one under the other: the same as one pass over everything.

    Args:
        parts: the measures of each part.
        workspace: folder where stages keep their outputs and records.
        measures: receives one table a measure.

    Returns:
        Digest of the measures.
    """
    from goldseam.workspace import running_task

    with running_task("join_measures", workspace):
        import shutil
        from pathlib import Path

        from goldseam.audit.measuring.stage import join_measures as join

        out = Path(measures.path)
        shutil.rmtree(out, ignore_errors=True)
        result = join([Path(part.path) for part in parts], out)
    return result.digest
