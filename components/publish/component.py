"""Makes the page of a run."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def publish(
    *,
    config: dict,
    gates: dict,
    workspace: str,
    site: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
    ingest: dsl.Input[dsl.Dataset] = None,
    validate: dsl.Input[dsl.Artifact] = None,
    audit: dsl.Input[dsl.Artifact] = None,
    pretrain: dsl.Input[dsl.Model] = None,
    train: dsl.Input[dsl.Model] = None,
    finetune: dsl.Input[dsl.Model] = None,
    scratch: dsl.Input[dsl.Model] = None,
    noisy_direct: dsl.Input[dsl.Model] = None,
    evaluate: dsl.Input[dsl.Artifact] = None,
    promote: dsl.Input[dsl.Artifact] = None,
):
    """Show what was trained on what, how it compares, and why it was promoted or not.

    Every stage's output is optional: a run that was stopped gets a page of what there is.

    Args:
        config: the recipe's section `publish`.
        gates: the recipe's section `promote`, for the reasons of a closed gate.
        workspace: folder where stages keep their outputs and records.
        site: receives the page with everything that it links to.
        page: receives the page alone.
        ingest: reference of the dataset.
        validate: result of the expectation suite.
        audit: findings of the audit.
        pretrain: the pretrained model.
        train: the trained model.
        finetune: the fine-tuned model.
        scratch: baseline trained on clean labels only.
        noisy_direct: baseline trained on noisy labels and used directly.
        evaluate: the metrics of all models.
        promote: what the registry holds.
    """
    from goldseam.workspace import running_task

    with running_task("publish", workspace) as task:
        import dataclasses
        import shutil
        from pathlib import Path

        from goldseam.artifacts import RESULT_FILE, digest_file, digest_of
        from goldseam.dashboard.config import PublishConfig
        from goldseam.dashboard.stage import publish as render
        from goldseam.registry.config import PromoteConfig
        from goldseam.registry.gates import decide
        from goldseam.results import EvaluationResult

        given = {
            "ingest": ingest,
            "validate": validate,
            "audit": audit,
            "pretrain": pretrain,
            "train": train,
            "finetune": finetune,
            "scratch": scratch,
            "noisy_direct": noisy_direct,
            "evaluate": evaluate,
            "promote": promote,
        }
        results = {name: Path(artifact.path) for name, artifact in given.items() if artifact}
        # where a gate is closed no promotion says why
        closed = ()
        if evaluate and not promote:
            closed = decide(
                PromoteConfig.model_validate(gates).gates,
                EvaluationResult.read(Path(evaluate.path)),
            )
        records = task.workspace.records(task.run)
        result = task.stage(
            "publish",
            render,
            PublishConfig.model_validate(config),
            results,
            keyed_by={
                "records": digest_of({name: dataclasses.asdict(r) for name, r in records.items()}),
                **{name: digest_file(path / RESULT_FILE) for name, path in results.items()},
            },
            export_to=site.path,
            records=records,
            gates=closed,
        )
        shutil.copyfile(result.folder / result.page, page.path)
