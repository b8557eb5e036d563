"""Options of the annotation plan."""

from goldseam.artifacts import StageConfig


class PlanConfig(StageConfig):
    """What labels cost, and what a budget may buy.

    Attributes:
        simulate: whether ways of choosing are replayed on labels that are known.
    """

    simulate: bool = True
