"""The typed configuration of a run: one YAML file, one section a stage.

`seed`, `device` and `network` at the top are handed to every section that learns, unless it has its
own. Every wrong key is named with its line and the nearest right one.
"""

from goldseam.recipe.checking import as_struct, from_struct, parse_recipe, section_of
from goldseam.recipe.loading import load_recipe, resolve_section
from goldseam.recipe.sections import (
    AnyRecipe,
    AuditRecipe,
    BaselineSection,
    DatasetSection,
    PartialRecipe,
    Recipe,
)

__all__ = [
    "AnyRecipe",
    "AuditRecipe",
    "BaselineSection",
    "DatasetSection",
    "PartialRecipe",
    "Recipe",
    "as_struct",
    "from_struct",
    "load_recipe",
    "parse_recipe",
    "resolve_section",
    "section_of",
]
