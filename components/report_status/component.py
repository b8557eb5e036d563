"""The exit handler: whatever happened, the run leaves a status and a page."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def report_status(
    *,
    recipe: dict,
    workspace: str,
    status: dsl.PipelineTaskFinalStatus,
):
    """Write the run's status file, and its page where no task came to publish one.

    Args:
        recipe: the recipe as a struct, for the page.
        workspace: folder where stages keep their outputs and records.
        status: how the run ended, from Kubeflow Pipelines.
    """
    from goldseam.workspace import running_task

    with running_task("report_status", workspace) as task:
        import dataclasses
        import json
        from pathlib import Path

        from goldseam.storage.atomic import write_text

        records = task.workspace.records(task.run)
        records = {name: record for name, record in records.items() if name != task.name}
        reasons = [f"{name}: {r.error}" for name, r in records.items() if r.status == "failed"]
        # nothing runs beside the exit handler: what still claims to run has died
        reasons += [f"{n}: its process died" for n, r in records.items() if r.status == "running"]
        body = {
            "run": task.run,
            "status": "succeeded" if status.state == "SUCCEEDED" else "failed",
            "reasons": reasons,
            "tasks": {name: dataclasses.asdict(record) for name, record in records.items()},
        }
        text = json.dumps(body, indent=1) + "\n"
        write_text(task.workspace.root / "status" / f"{task.run}.json", text)

        page = records.get("publish")
        if page is None or page.status != "succeeded":
            from goldseam.artifacts import RESULT_FILE, digest_of
            from goldseam.dashboard.stage import publish
            from goldseam.recipe import page_options

            outputs = {
                name: Path(record.output)
                for name, record in records.items()
                if record.output and Path(record.output, RESULT_FILE).is_file()
            }
            task.stage(
                "publish",
                publish,
                page_options(recipe),
                outputs,
                keyed_by={"status": digest_of(body)},
                records=records,
            )
