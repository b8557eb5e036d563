"""The pipeline `tags_to_model`: how to run it here, and how to compile it for a cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goldseam.recipe import AnyRecipe

RECIPES = Path(__file__).parent / "recipes"


def run_local(recipe: "AnyRecipe", **place: Any) -> None:
    """Run the pipeline on this machine; `place` is what `pipelines.local.run_recipe` takes."""
    from pipelines.local import run_recipe
    from pipelines.tags_to_model.pipeline import tags_to_model

    run_recipe(tags_to_model(), recipe, **place)


def compile_to(path: Path, **settings: Any) -> None:
    """Compile it for a cluster; `settings` is what `pipelines.settings.Settings` takes."""
    from pipelines.compiling import compile_for_cluster
    from pipelines.tags_to_model.pipeline import tags_to_model

    compile_for_cluster(tags_to_model, path, **settings)
