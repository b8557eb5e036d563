"""What a recipe may say: one model a pipeline, one section a stage.

`seed`, `device` and `network` at the top are handed to every section that learns, unless it has its
own.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import pydantic

from goldseam.artifacts import StageConfig, digest_of
from goldseam.audit.config import AuditConfig, ValidateConfig
from goldseam.dashboard.config import PublishConfig
from goldseam.evaluation.config import EvaluateConfig
from goldseam.finetuning.config import FinetuneConfig
from goldseam.models.config import NetworkConfig
from goldseam.multitask.affinity.config import AffinityConfig
from goldseam.multitask.config import TrainConfig
from goldseam.multitask.distillation.config import DistilConfig
from goldseam.pretraining.config import PretrainConfig
from goldseam.registry.config import PromoteConfig

DEFAULT = "label_to_model"
# what the plain baseline of partial labels does without
BEYOND_PLAIN = ("diffusion", "derive", "derivations", "teacher", "consistency", "student")
# half of one such mapping and half of another is neither
WHOLE = ("network", "tags")


class DatasetSection(StageConfig):
    """Which data: an example that is built, or a folder.

    Attributes:
        build: name of an example dataset, built into the run's folder.
        options: of the build, such as `size` or `clean_per_task`.
        uri: a folder with `dataset.yaml`, relative to where the command runs.
        digest: the digest that is expected; other data is refused.
        revision: name of the data's version; read off DVC where the folder is tracked.
    """

    build: str | None = None
    options: dict[str, Any] = pydantic.Field(default_factory=dict)
    uri: str | None = None
    digest: str | None = None
    revision: str | None = None

    @pydantic.field_validator("options", mode="after")
    @classmethod
    def _whole_numbers(cls, options: dict[str, Any]) -> dict[str, Any]:
        # Kubeflow Pipelines hands every number on as a float
        return {key: _whole(value) for key, value in options.items()}

    @pydantic.model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.build is None) == (self.uri is None):
            raise ValueError("give either 'build' (an example) or 'uri' (a folder)")
        return self


class BaselineSection(StageConfig):
    """What the pipeline's model is compared with, trained in the same run.

    Where `optimizer.steps` is not given, a baseline gets as many as pretrain and train together.

    Attributes:
        scratch: clean labels only, plain multi-task, nothing pretrained.
        noisy_direct: the noisy labels' model, used as it is.
    """

    scratch: TrainConfig
    noisy_direct: PretrainConfig


class AnyRecipe(pydantic.BaseModel):
    """What the recipes of all pipelines have in common.

    Attributes:
        pipeline: that it is for.
        name: of the run.
        seed: of everything random.
        device: where models run.
        dataset: which data.
        validation: section `validate`.
        audit: section `audit`.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    pipeline: str
    name: Annotated[str, pydantic.Field(min_length=1)] = "run"
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dataset: DatasetSection
    validation: ValidateConfig = pydantic.Field(default=ValidateConfig(), alias="validate")
    audit: AuditConfig = AuditConfig()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _complete(cls, body: Any) -> Any:
        return share(body, cls) if isinstance(body, Mapping) else body

    @classmethod
    def share(cls, body: dict[str, Any]) -> None:
        """Hand what stands at the top of `body` to the sections that this recipe has."""

    @property
    def digest(self) -> str:
        """Digest of the resolved recipe."""
        return digest_of(self.model_dump(mode="json"))


class Recipe(AnyRecipe):
    """A run of `label_to_model`. See `docs/recipe.md` for every key."""

    pipeline: Literal["label_to_model"] = "label_to_model"
    network: NetworkConfig = NetworkConfig()
    pretrain: PretrainConfig = PretrainConfig()
    train: TrainConfig
    baselines: BaselineSection
    finetune: FinetuneConfig = FinetuneConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    promote: PromoteConfig = PromoteConfig()
    publish: PublishConfig = PublishConfig()

    @classmethod
    def share(cls, body: dict[str, Any]) -> None:
        """Network, seed and device; the baselines train as long as pretrain and train together."""
        learning = [_mapping(body, name) for name in ("pretrain", "train")]
        steps = [_steps(section) for section in learning]
        baselines = _mapping(body, "baselines")
        _mapping(baselines, "scratch").setdefault("derive", "none")
        for section in (_mapping(baselines, name) for name in ("scratch", "noisy_direct")):
            if all(isinstance(count, int | float) for count in steps):
                _mapping(section, "optimizer").setdefault("steps", sum(steps))
            learning.append(section)
        _share_with_learning(body, learning, predicting=("finetune", "evaluate"))


class LooseSections(Recipe):
    """Sections that a stage run alone may have: those of a pipeline, and of stages in none."""

    distil: DistilConfig = DistilConfig()
    affinity: AffinityConfig = AffinityConfig()

    @classmethod
    def share(cls, body: dict[str, Any]) -> None:
        """As in a pipeline; the network of a student is its teacher's unless it has its own."""
        super().share(body)
        loose = {key: value for key, value in body.items() if key != "network"}
        _share_with_learning(loose, [_mapping(body, "distil")], predicting=())
        for key in ("seed", "device"):
            if key in body:
                _mapping(body, "affinity").setdefault(key, body[key])


class PartialRecipe(AnyRecipe):
    """A run of `partial_to_model`: one model of many tasks, and the plain multi-task baseline.

    Attributes:
        scratch: options of the baseline; what it does not say it has from `train`, key by key,
            without the denoiser, derived labels, teachers and student, and with the steps of the
            model and its student together. A `network` of its own is whole.
    """

    pipeline: Literal["partial_to_model"]
    network: NetworkConfig = NetworkConfig()
    train: TrainConfig
    scratch: TrainConfig
    evaluate: EvaluateConfig = EvaluateConfig(baselines=("scratch",))
    promote: PromoteConfig = PromoteConfig()
    publish: PublishConfig = PublishConfig(left_out=("pretrain", "finetune", "noisy_direct"))

    @classmethod
    def share(cls, body: dict[str, Any]) -> None:
        """Network, seed and device; the baseline has the options of `train` that are plain.

        It trains as long as the model and its student together.
        """
        train = _mapping(body, "train")
        _share_plain(body, train)
        _share_defaults(body, cls)
        learning = [train, _mapping(body, "scratch")]
        _share_with_learning(body, learning, predicting=("evaluate",))


class TagsRecipe(AnyRecipe):
    """A run of `tags_to_model`: tags known in part, and heads repaired on what is known.

    Attributes:
        train: the model; its `loss.tags` says what an unknown tag counts for.
        finetune: the repair of each category's head, on its known tags alone.
        scratch: options of the baseline, for which an unknown tag counts for nothing. What it does
            not say it has from `train`, key by key, without what makes that more than plain, and
            with the steps of the model and its student together. A `network` or `loss.tags` of its
            own is whole.
    """

    pipeline: Literal["tags_to_model"]
    network: NetworkConfig = NetworkConfig()
    train: TrainConfig = TrainConfig(tasks=("tags",))
    finetune: FinetuneConfig = FinetuneConfig()
    scratch: TrainConfig
    evaluate: EvaluateConfig = EvaluateConfig(baselines=("trained", "scratch"))
    promote: PromoteConfig = PromoteConfig()
    publish: PublishConfig = PublishConfig(left_out=("pretrain", "noisy_direct"))

    @classmethod
    def share(cls, body: dict[str, Any]) -> None:
        """Network, seed and device; the baseline has the options of `train` that are plain."""
        train = _mapping(body, "train")
        train.setdefault("tasks", list(cls.model_fields["train"].default.tasks))
        if isinstance(train["tasks"], list | tuple) and len(train["tasks"]) == 1:
            _mapping(body, "finetune").setdefault("task", train["tasks"][0])
        _mapping(_mapping(body, "scratch"), "loss").setdefault("tags", {"name": "ignore"})
        _share_plain(body, train)
        _share_defaults(body, cls)
        learning = [train, _mapping(body, "scratch")]
        _share_with_learning(body, learning, predicting=("finetune", "evaluate"))

    @pydantic.model_validator(mode="after")
    def _repairs_what_is_trained(self) -> Self:
        if self.finetune.task not in self.train.tasks:
            raise ValueError(
                f"finetune.task is '{self.finetune.task}', which train.tasks does not name: "
                f"{', '.join(self.train.tasks)}"
            )
        return self


class AuditRecipe(AnyRecipe):
    """A run of `label_audit`.

    Attributes:
        parts: into how many tasks the pass over the pictures is cut; at most one a shard.
    """

    pipeline: Literal["label_audit"]
    parts: int = pydantic.Field(default=4, ge=1)


# what the key `pipeline` of a recipe may say
RECIPES: dict[str, type[AnyRecipe]] = {
    "label_to_model": Recipe,
    "partial_to_model": PartialRecipe,
    "tags_to_model": TagsRecipe,
    "label_audit": AuditRecipe,
}


def share(body: Mapping[str, Any], model: type[AnyRecipe]) -> dict[str, Any]:
    """A copy of a recipe in which what stands at the top was handed to the sections.

    Args:
        body: sections by name.
        model: whose sections.
    """
    shared = copy.deepcopy(dict(body))
    _share_with_audit(shared)
    model.share(shared)
    return shared


def _share_plain(body: dict[str, Any], train: dict[str, Any]) -> None:
    """Give the baseline the options of `train` that are plain.

    It trains as long as the model and its student together.
    """
    scratch = _mapping(body, "scratch")
    steps = [_steps(train), _mapping(train, "student").get("steps", 0)]
    if all(isinstance(count, int | float) for count in steps):
        _mapping(scratch, "optimizer").setdefault("steps", sum(steps))
    plain = {key: value for key, value in train.items() if key not in BEYOND_PLAIN}
    _fill(scratch, plain | {"derive": "none"})


def _fill(section: dict[str, Any], plain: Mapping[str, Any]) -> None:
    """Give a section what it does not say, key by key; some mappings are taken whole or not."""
    for key, value in plain.items():
        inner = section.setdefault(key, copy.deepcopy(value))
        if key not in WHOLE and isinstance(inner, dict) and isinstance(value, Mapping):
            _fill(inner, value)


def _share_defaults(body: dict[str, Any], model: type[AnyRecipe]) -> None:
    """What sections have by default in recipes of this pipeline, also where they say other keys."""
    for name, key in (("evaluate", "baselines"), ("publish", "left_out")):
        default = getattr(model.model_fields[name].default, key)
        _mapping(body, name).setdefault(key, list(default))


def _share_with_learning(
    body: dict[str, Any], learning: Sequence[dict[str, Any]], predicting: Sequence[str]
) -> None:
    """Network, seed and device of the sections that learn; the device of those that predict.

    `finetune` draws as well, and gets the seed.
    """
    for section in learning:
        if "network" in body:
            section.setdefault("network", body["network"])
        for key in ("seed", "device"):
            if key in body:
                _mapping(section, "loop").setdefault(key, body[key])
    for name in predicting:
        if "device" in body:
            _mapping(body, name).setdefault("device", body["device"])
    if "finetune" in predicting and "seed" in body:
        _mapping(body, "finetune").setdefault("seed", body["seed"])


def _whole(value: Any) -> Any:
    """A value of an option, its numbers whole where they can be."""
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _share_with_audit(shared: dict[str, Any]) -> None:
    """Seed and device of the models that the audit trains."""
    predictions = _mapping(_mapping(shared, "audit"), "predictions")
    for key in ("seed", "device"):
        if key in shared:
            predictions.setdefault(key, shared[key])


def _mapping(body: dict[str, Any], key: str) -> dict[str, Any]:
    """The section under `key`, made when missing; a stray value is left for the checks to name."""
    if body.get(key) is None:
        body[key] = {}
    return body[key] if isinstance(body[key], dict) else {}


def _steps(section: Mapping[str, Any]) -> Any:
    optimizer = section.get("optimizer")
    default = PretrainConfig.model_fields["optimizer"].default.steps
    return optimizer.get("steps", default) if isinstance(optimizer, Mapping) else default
