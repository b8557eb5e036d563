"""What the stages around multi-task training found out about a model."""

import dataclasses
from typing import ClassVar

from goldseam.artifacts import Result
from goldseam.results.estimate import Estimate


@dataclasses.dataclass(frozen=True)
class ConditionEffect:
    """What one task gains by seeing the model's first guess of another.

    Attributes:
        task: that is scored.
        condition: whose guess is shown or withheld; may be the task itself.
        metric: the task's score.
        difference: with the guess minus without, with a paired interval; `better` tells which sign
            is a gain.
        matters: True when the interval leaves no doubt of the sign, and the difference is not too
            small to care about.
        sentence: the same in words.
    """

    task: str
    condition: str
    metric: str
    difference: Estimate
    matters: bool
    sentence: str


@dataclasses.dataclass(frozen=True)
class Transfer:
    """Whether learning a task together with others was worth it.

    Attributes:
        task: that is scored.
        metric: its score.
        difference: the multi-task model minus the model of this task alone, on the same images.
        matters: see `ConditionEffect`.
        negative: True when the difference matters and the multi-task model is worse.
        sentence: the same in words.
    """

    task: str
    metric: str
    difference: Estimate
    matters: bool
    negative: bool
    sentence: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class AffinityResult(Result):
    """Which tasks help which inside one model.

    Attributes:
        model_digest: of the checkpoint.
        split: on which it was scored.
        tasks: dense tasks of the model that are labeled there.
        conditions: dense tasks of the model.
        scores: task → its metric with every condition.
        effects: of each condition on each task.
        transfers: against models of one task, where such were given.
        sentences: what is clear, for people; the most important first.
        page: file of the page.
    """

    stage: ClassVar[str] = "affinity"
    dataset_digest: str
    model_digest: str
    split: str
    images: int
    groups: int
    resamples: int
    tasks: tuple[str, ...]
    conditions: tuple[str, ...]
    scores: dict[str, Estimate]
    effects: tuple[ConditionEffect, ...]
    transfers: tuple[Transfer, ...]
    sentences: tuple[str, ...]
    page: str = "index.html"
