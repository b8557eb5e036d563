"""Ends a run in failure and says why."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def stop(
    *,
    gate: str,
    reasons: dsl.Input[dsl.Markdown],
    remedy: str,
    workspace: str,
):
    """Fail with the reasons of a closed gate, so that the run cannot end as a success.

    Args:
        gate: name of the gate.
        reasons: the gate's list of verdicts; those that begin with ✗ are the reasons.
        remedy: what to do about it.
        workspace: folder where stages keep their outputs and records.
    """
    from goldseam.workspace import running_task

    with running_task("stop", workspace):
        from pathlib import Path

        from goldseam.errors import GateClosed

        lines = Path(reasons.path).read_text().splitlines()
        raise GateClosed(gate, [line[4:] for line in lines if line.startswith("- ✗ ")], remedy)
