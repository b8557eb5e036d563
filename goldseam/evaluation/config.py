"""Options of the evaluate stage."""

from typing import Literal

import pydantic

from goldseam.artifacts import StageConfig


class IntervalConfig(StageConfig):
    """The bootstrap behind each interval; whole groups are drawn.

    Attributes:
        resamples: draws.
        seed: of the draws.
    """

    resamples: int = pydantic.Field(default=1000, ge=10)
    seed: int = 0


class EvaluateConfig(StageConfig):
    """Options of `evaluate`.

    Attributes:
        split: the held-out split.
        tasks: which of the dataset's tasks to score; all that a model predicts by default. Noisy
            versions of a task are never scored: agreement with a wrong map is no merit.
        intervals: the bootstrap.
        baselines: names of the models that the pipeline's is compared with.
        examples: test images that are drawn, spread over the groups.
        device: where predictions are computed.
    """

    split: str = "test"
    tasks: tuple[str, ...] = ()
    intervals: IntervalConfig = IntervalConfig()
    baselines: tuple[str, ...] = ("scratch", "noisy_direct")
    examples: int = pydantic.Field(default=12, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
