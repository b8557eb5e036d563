"""Adds a run to the dashboards."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def dashboard(
    *,
    workspace: str,
    site: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
    ingest: dsl.Input[dsl.Dataset] = None,
    validate: dsl.Input[dsl.Artifact] = None,
    audit: dsl.Input[dsl.Artifact] = None,
):
    """Add what this run found to the site that the workspace keeps, and hand on a copy of it.

    The site remembers earlier runs, also those whose outputs are gone. Two runs that end at once
    wait for each other.

    Args:
        workspace: folder where stages keep their outputs and records, and in `site/` the site.
        site: receives a copy of the site.
        page: receives its first page.
        ingest: reference of the dataset.
        validate: result of the expectation suite.
        audit: findings of the audit.
    """
    from goldseam.workspace import running_task

    with running_task("publish", workspace) as task:
        import dataclasses
        import shutil
        from pathlib import Path

        from goldseam.artifacts import RESULT_FILE, digest_file, digest_of
        from goldseam.dashboard.site.build import publish_site
        from goldseam.dashboard.site.config import SiteConfig

        given = {"ingest": ingest, "validate": validate, "audit": audit}
        results = {name: Path(artifact.path) for name, artifact in given.items() if artifact}
        inputs = {name: digest_file(path / RESULT_FILE) for name, path in results.items()}
        records = task.workspace.records(task.run)
        run = digest_of({name: dataclasses.asdict(record) for name, record in records.items()})
        result = task.stage(
            "publish",
            publish_site,
            SiteConfig(),
            [task.workspace.root, *results.values()],
            keyed_by={"run": run, **inputs},
            export_to=site.path,
            site=task.workspace.root / "site",
            inputs=inputs,
            run=run,
        )
        shutil.copyfile(result.folder / result.page, page.path)
