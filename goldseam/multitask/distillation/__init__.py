"""A slow model teaches a fast one: the student learns its predictions of every task on every image.

Source: Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015.
"""

from typing import TYPE_CHECKING, Any

from goldseam.multitask.distillation.config import DistilConfig

if TYPE_CHECKING:
    from goldseam.multitask.distillation.stage import distil

__all__ = ["DistilConfig", "distil"]


def __getattr__(name: str) -> Any:
    # a recipe reads the options; only the stage needs torch
    if name == "distil":
        from goldseam.multitask.distillation.stage import distil

        return distil
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
