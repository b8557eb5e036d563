"""The pipeline `label_to_model`: how to run it here, and how to compile it for a cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goldseam.recipe import AnyRecipe

RECIPES = Path(__file__).parent / "recipes"


def run_local(recipe: "AnyRecipe", **place: Any) -> None:
    """Run the pipeline on this machine; `place` is what `pipelines.local.run_recipe` takes."""
    from pipelines.label_to_model.pipeline import label_to_model
    from pipelines.local import run_recipe

    run_recipe(label_to_model(), recipe, **place)


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
