"""Options of the promote stage: where the registry is, a model's name, the gates before it."""

from typing import Annotated, Self

import pydantic

from goldseam.artifacts import StageConfig


class Gate(StageConfig):
    """One condition on one metric of the pipeline's model; exactly one of the three is given.

    Attributes:
        metric: `task.metric` or `task.metric.category`, as in the evaluation; `task.metric.*` is
            every category of that metric, each of which must pass.
        at_least: the value must not be lower.
        at_most: the value must not be higher.
        not_worse_than: another evaluated model (`champion`, `scratch`, `noisy_direct`, `trained`);
            better is higher or lower as the metric says.
        margin: how much worse than that model is still accepted, in the metric's unit.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    not_worse_than: str | None = None
    margin: Annotated[float, pydantic.Field(ge=0)] = 0.0

    @pydantic.model_validator(mode="after")
    def _one_condition(self) -> Self:
        conditions = (self.at_least, self.at_most, self.not_worse_than)
        if sum(condition is not None for condition in conditions) != 1:
            raise ValueError("a gate has exactly one of at_least, at_most, not_worse_than")
        if self.margin and self.not_worse_than is None:
            raise ValueError("margin belongs to not_worse_than")
        if "*" in ".".join(self.metric.split(".", 2)[:2]):
            raise ValueError("'*' stands for the categories of one metric, such as tags.ap.*")
        return self

    @property
    def by_category(self) -> bool:
        """Whether the condition is on every category of a metric."""
        return self.metric.split(".", 2)[2:] == ["*"]

    @property
    def sentence(self) -> str:
        """The condition in words, such as `cover.miou at least 0.7`."""
        if self.at_least is not None:
            return f"{self.metric} at least {self.at_least:g}"
        if self.at_most is not None:
            return f"{self.metric} at most {self.at_most:g}"
        margin = f" (margin {self.margin:g})" if self.margin else ""
        return f"{self.metric} not worse than {self.not_worse_than}{margin}"


class PromoteConfig(StageConfig):
    """Options of `promote`.

    Attributes:
        tracking_uri: MLflow server or database, such as `sqlite:///runs/mlflow.db`. None: the
            environment's `MLFLOW_TRACKING_URI`, else `mlflow.db` in the working directory.
        experiment: MLflow experiment of the runs; a run named by `MLFLOW_RUN_ID` is joined instead.
        model_name: the registered model.
        alias: the name that the best version carries.
        gates: all must pass before the alias moves; with none it always moves.
    """

    tracking_uri: str | None = None
    experiment: str = "goldseam"
    model_name: Annotated[str, pydantic.Field(min_length=1, pattern=r"^[^/:'`%]+$")] = "goldseam"
    alias: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z][\w-]*$")] = "champion"
    gates: tuple[Gate, ...] = ()
