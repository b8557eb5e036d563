"""Whether a model and a dataset mean the same by the names of their tasks."""

import itertools
from collections.abc import Mapping
from pathlib import Path

from goldseam.dataset.schema import Task
from goldseam.errors import InvalidConfig

COMPARED = ("kind", "categories", "unit", "axes")


def require_same_meaning(
    theirs: Mapping[str, Task], ours: Mapping[str, Task], folder: Path
) -> None:
    """Refuse a model that means something else by a task's name than the dataset does.

    Args:
        theirs: tasks of the model.
        ours: tasks of the dataset; those that the model does not have are passed over.
        folder: of the model, for the message.

    Raises:
        InvalidConfig: kind, categories, unit or camera axes differ.
    """
    for name, field in itertools.product(ours, COMPARED):
        if name in theirs:
            there, here = getattr(theirs[name], field), getattr(ours[name], field)
            if there != here:
                raise InvalidConfig(
                    f"{folder}: task '{name}' has {field} {there} there and {here} in the dataset.",
                    remedy="Take data of the kind that this model was trained on, or a model that "
                    "was trained on this data.",
                )
