"""The typed configuration of a run: one YAML file, one section a stage.

`seed`, `device` and `network` at the top are handed to every section that learns, unless it has its
own. Every wrong key is named with its line and the nearest right one.
"""

from goldseam.recipe.checking import parse_recipe, require_splits, section_of
from goldseam.recipe.loading import load_recipe, resolve_section
from goldseam.recipe.parameters import as_struct, from_struct, page_options, task_sections
from goldseam.recipe.sections import (
    AnyRecipe,
    AuditRecipe,
    BaselineSection,
    DatasetSection,
    PartialRecipe,
    Recipe,
    TagsRecipe,
)

__all__ = [
    "AnyRecipe",
    "AuditRecipe",
    "BaselineSection",
    "DatasetSection",
    "PartialRecipe",
    "Recipe",
    "TagsRecipe",
    "as_struct",
    "from_struct",
    "load_recipe",
    "page_options",
    "parse_recipe",
    "require_splits",
    "resolve_section",
    "section_of",
    "task_sections",
]
