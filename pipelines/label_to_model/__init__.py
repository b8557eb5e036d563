"""The pipeline `label_to_model`: how to run it here, and how to compile it for a cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goldseam.recipe import Recipe

RECIPES = Path(__file__).parent / "recipes"


def run_local(
    recipe: "Recipe",
    *,
    dataset: Path,
    out: Path,
    run: str,
    digest: str | None = None,
    revision: str | None = None,
) -> None:
    """Run the pipeline on this machine.

    Args:
        recipe: the resolved recipe.
        dataset: folder of the dataset.
        out: receives the workspace, the registry (unless the recipe names one) and the log.
        digest: the dataset's; other data is refused. What the folder says now when None.
        revision: name of the data's version.
        run: identity of the run; its records stand in `out`/workspace/runs/`run`.

    Raises:
        StageFailed: a task failed or a gate stopped the run; carries that task's message.
        MissingInput: `dataset` is no dataset.
        InvalidRecipe: the recipe has a null that its defaults do not have.
    """
    from goldseam.dataset.schema import DatasetInfo
    from goldseam.recipe import as_struct
    from pipelines.label_to_model.pipeline import label_to_model
    from pipelines.local import run_pipeline

    run_pipeline(
        label_to_model(),
        {
            "recipe": as_struct(recipe),
            "dataset_uri": str(dataset.resolve()),
            "dataset_digest": digest or DatasetInfo.read_yaml(dataset).digest,
            "dataset_revision": revision or "",
        },
        out=out,
        run=run,
        # the recipe's own address comes first, then the user's environment, then this
        environment={"MLFLOW_TRACKING_URI": f"sqlite:///{out.resolve()}/mlflow.db"},
    )


def compile_to(path: Path, **settings: Any) -> None:
    """Compile the pipeline for a cluster.

    Args:
        path: the YAML file to write.
        settings: fields of `pipelines.settings.Settings`, such as `image`, `gpu`,
            `workspace_claim`.

    Raises:
        InvalidConfig: the image is not pinned by digest, or `path` is no YAML file.
        MissingExtra: a workspace volume is asked for, and kfp-kubernetes is not installed.
    """
    from pipelines.compiling import write_pipeline
    from pipelines.label_to_model.pipeline import label_to_model
    from pipelines.settings import Settings

    write_pipeline(label_to_model(Settings(cluster=True, **settings)), path)
