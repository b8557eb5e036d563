"""Decides whether an evaluated model may be promoted."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.GOLDSEAM, install_kfp_package=False)
def gate(
    *,
    evaluation: dsl.Input[dsl.Artifact],
    config: dict,
    workspace: str,
    decisions: dsl.Output[dsl.Markdown],
) -> str:
    """Hold the metrics of the pipeline's model against every gate of the recipe.

    A closed gate is not an error of this task: the branch after it stops the run.

    Args:
        evaluation: the metrics of all models.
        config: the recipe's section `promote`.
        workspace: folder where stages keep their outputs and records.
        decisions: receives each gate's verdict with its numbers.

    Returns:
        "pass" when every gate is open, else "fail".
    """
    from goldseam.workspace import running_task

    with running_task("gate", workspace):
        from pathlib import Path

        from goldseam.registry.config import PromoteConfig
        from goldseam.registry.gates import decide
        from goldseam.results import EvaluationResult

        gates = PromoteConfig.model_validate(config).gates
        decided = decide(gates, EvaluationResult.read(Path(evaluation.path)))
        lines = [f"- {'✓' if one.passed else '✗'} {one.gate}: {one.reason}" for one in decided]
        Path(decisions.path).write_text("\n".join(lines or ["- ✓ the recipe has no gate"]) + "\n")
    return "pass" if all(one.passed for one in decided) else "fail"
