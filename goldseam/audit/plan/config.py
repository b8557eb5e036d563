"""Options of the annotation plan."""

import pydantic

from goldseam.artifacts import StageConfig
from goldseam.dataset.schema import Split


class PlanConfig(StageConfig):
    """What labels cost, and what a budget may buy.

    Attributes:
        splits: whose unknown labels may be bought; all splits where a dataset has none of them.
        budget_seconds: of annotators' time; 0 for no limit.
        listed: labels that the ranking holds, about, where there is no limit.
        open_seconds: what it costs to open an image, once for all labels bought of it together.
        costs: seconds of one label, by kind, `task` or `task.category`; the most special counts.
            What is not named costs as in `goldseam.audit.plan.offers.SECONDS`.
        worth: what the same relative improvement is worth, by kind, `task` or `task.category`; 1
            where it is not named, 0 for a label that nobody wants.
        components: principal components of the embeddings that stand for what an image looks like.
        group_correlation: how alike two labels of one group are (intraclass correlation).
        near: embeddings that differ by less than this share of a typical difference are copies.
        correction: most by which images of a kind that is labeled too rarely (too often) count more
            (less), where the gaps were found to depend on a metadata column; 1 for never.
        simulate: whether ways of choosing are replayed on labels that are known.
        seeds: repeats of the replay, each with other images held out.
        steps: purchases of each repeat; half of what is hidden is bought in all.
        simulated_images: that enter the replay; whole groups.
        simulated_categories: of one task that enter it, those with the most labels.
        seed: of all draws.
    """

    splits: tuple[Split, ...] = ("train",)
    budget_seconds: float = pydantic.Field(default=0, ge=0, allow_inf_nan=False)
    listed: int = pydantic.Field(default=10_000, ge=1)
    open_seconds: float = pydantic.Field(default=3, ge=0, allow_inf_nan=False)
    costs: dict[str, pydantic.PositiveFloat] = pydantic.Field(default_factory=dict)
    worth: dict[str, pydantic.NonNegativeFloat] = pydantic.Field(default_factory=dict)
    components: int = pydantic.Field(default=16, ge=1, le=64)
    group_correlation: float = pydantic.Field(default=0.3, ge=0, lt=1)
    near: float = pydantic.Field(default=0.1, ge=0, lt=1)
    correction: float = pydantic.Field(default=3, ge=1, allow_inf_nan=False)
    simulate: bool = True
    seeds: int = pydantic.Field(default=5, ge=3)
    steps: int = pydantic.Field(default=5, ge=1)
    simulated_images: int = pydantic.Field(default=2000, ge=100)
    simulated_categories: int = pydantic.Field(default=20, ge=1)
    seed: int = pydantic.Field(default=0, ge=0)
