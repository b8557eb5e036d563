"""Quick stand-ins for the stages that learn, in every process whose PYTHONPATH names this folder.

A pipeline's tasks are processes of their own, where a test cannot replace anything. Gates, records,
workspace, ingest and errors are the real ones; what a stage does is said by its section.
"""

import importlib.abc
import importlib.machinery
import os
import signal
import sys
import types


def build(name):
    """The content of one stand-in module."""
    from typing import Any

    import pydantic

    from goldseam import artifacts, errors, results
    from goldseam.storage.atomic import atomic_folder

    # somebody who edits the library while a test runs changes no key of it
    artifacts.code_digest = lambda *_: "sha256:frozen"

    class Config(artifacts.StageConfig):
        """Any options; `crash` says how to fail, `value` is what is written."""

        model_config = pydantic.ConfigDict(frozen=True, extra="allow")
        crash: str | None = None
        verdict: str = "pass"
        steps: int = 1
        miou: float = 0.8

    class Recipe(pydantic.BaseModel):
        """The sections, as a real recipe has them."""

        model_config = pydantic.ConfigDict(extra="forbid")
        validate: Config = Config()
        audit: Config = Config()
        pretrain: Config = Config()
        train: Config = Config()
        finetune: Config = Config()
        evaluate: Config = Config()
        promote: dict[str, Any] = {}
        publish: Config = Config()
        baselines: dict[str, Config] = {"scratch": Config(), "noisy_direct": Config()}

    def stage(kind, fields, files=()):
        def run(config, *inputs, out, **options):
            crash = getattr(config, "crash", None)
            if crash == "error":
                raise errors.InvalidConfig("a told error.", remedy="A told remedy.")
            if crash == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            digest = artifacts.digest_of({"stage": kind.stage, "config": config})
            if out.exists():
                return kind.read(out)
            with atomic_folder(out) as folder:
                for file in files:
                    (folder / file).parent.mkdir(exist_ok=True)
                    (folder / file).write_text(f"{digest} {sorted(map(str, options))}")
                kind(key=digest, digest=digest, **fields(config, *inputs, **options)).write(folder)
            return kind.read(out)

        return run

    trained = stage(
        results.TrainingResult,
        lambda config, *_, **__: {
            "steps": config.steps,
            "best_step": 1,
            "validation": {"cover.miou": 0.5, "tags.map": None},
            "parameters": 3,
            "history": (),
        },
        ["checkpoint/model.safetensors"],
    )

    def scores(config, dataset, models, **_):
        estimate = results.Estimate(value=config.miou)
        return {
            "dataset_digest": dataset.info.digest,
            "split": "test",
            "images": 1,
            "groups": 1,
            "resamples": 1,
            "models": {
                model: results.ModelScores(
                    model_digest=artifacts.digest_folder(path), metrics={"cover.miou": estimate}
                )
                for model, path in models.items()
            },
            "differences": {},
            "examples": (),
        }

    def sections(body, workspace):
        resolved = Recipe.model_validate(body).model_dump(mode="json", exclude_none=True)
        return resolved | resolved["baselines"] | {"resolved": resolved}

    def publish(config, results_, out, *, records, gates=()):
        return stage(
            results.PublishResult, lambda *_, **__: {"page": "index.html"}, ["index.html"]
        )(config, results_, out=out, **dict.fromkeys([*results_, *records]))

    modules = {
        "goldseam.recipe": {
            "from_struct": Recipe.model_validate,
            "task_sections": sections,
            "page_options": lambda body: Recipe.model_validate(body).publish,
        },
        "goldseam.audit.config": {"ValidateConfig": Config, "AuditConfig": Config},
        "goldseam.audit.expectations.validate": {
            "validate": stage(
                results.ValidationResult,
                lambda config, *_: {
                    "verdict": config.verdict,
                    "reasons": () if config.verdict == "pass" else ("two rows overlap",),
                    "failures": (),
                    "checks": 1,
                },
            )
        },
        "goldseam.audit.stage": {
            "audit": stage(
                results.AuditResult,
                lambda config, dataset, **_: {
                    "dataset": dataset.info.name,
                    "version": dataset.info.version,
                    "dataset_digest": dataset.info.digest,
                    "rows": {},
                    "verdict": config.verdict,
                    "reasons": () if config.verdict == "pass" else ("a picture leaks",),
                },
                ["index.html"],
            )
        },
        "goldseam.pretraining.config": {"PretrainConfig": Config},
        "goldseam.pretraining.stage": {"pretrain": trained},
        "goldseam.multitask.config": {"TrainConfig": Config},
        "goldseam.multitask.stage": {"train": trained},
        "goldseam.finetuning.config": {"FinetuneConfig": Config},
        "goldseam.finetuning.stage": {
            "finetune": stage(
                results.FinetuneResult,
                lambda *_: {"task": "tags", "categories": ()},
                ["checkpoint/model.safetensors"],
            )
        },
        "goldseam.evaluation.config": {"EvaluateConfig": Config},
        "goldseam.evaluation.stage": {"evaluate": stage(results.EvaluationResult, scores)},
        "goldseam.registry.champion": {"fetch_champion": lambda *_: None},
        "goldseam.registry.stage": {
            "promote": stage(
                results.PromotionResult,
                lambda config, *_, **__: {
                    "model_name": "m",
                    "version": "1",
                    "alias": "champion",
                    "promoted": True,
                    "registered": True,
                    "run_id": "r",
                    "tracking_uri": config.tracking_uri or os.environ["MLFLOW_TRACKING_URI"],
                    "gates": (),
                },
                ["model_card.md"],
            )
        },
        "goldseam.dashboard.config": {"PublishConfig": Config},
        "goldseam.dashboard.stage": {"publish": publish},
    }
    return modules.get(name)


STAGES = ("audit", "pretraining", "multitask", "finetuning", "evaluation", "dashboard")
NAMES = {
    "goldseam.recipe",
    "goldseam.audit.expectations",
    "goldseam.audit.expectations.validate",
    "goldseam.registry.champion",
    "goldseam.registry.stage",
    *(f"goldseam.{stage}" for stage in STAGES),
    *(f"goldseam.{stage}.{part}" for stage in STAGES for part in ("config", "stage")),
}


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the stand-ins before the real modules."""

    def find_spec(self, fullname, *_):
        if fullname not in NAMES:
            return None
        package = fullname != "goldseam.recipe" and any(n.startswith(f"{fullname}.") for n in NAMES)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=package)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__dict__.update(build(module.__name__) or {})


sys.meta_path.insert(0, StandIns())
