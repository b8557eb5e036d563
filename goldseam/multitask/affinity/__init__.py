"""Which tasks help which: what a model loses when it does not see one of its own first guesses."""

from typing import TYPE_CHECKING, Any

from goldseam.multitask.affinity.config import AffinityConfig

if TYPE_CHECKING:
    from goldseam.multitask.affinity.stage import affinity

__all__ = ["AffinityConfig", "affinity"]


def __getattr__(name: str) -> Any:
    # a recipe reads the options; only the stage needs torch
    if name == "affinity":
        from goldseam.multitask.affinity.stage import affinity

        return affinity
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
