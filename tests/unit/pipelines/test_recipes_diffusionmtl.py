"""The shipped recipes of DiffusionMTL say what was published, and differ by name only."""

from pathlib import Path
from typing import Any

import pytest
import torch

from goldseam.dataset.augmentation import Augmentation
from goldseam.dataset.formats.scenes.pascal_context import PascalArchive
from goldseam.models.config import EncoderConfig, ModelConfig
from goldseam.models.multitask import MultitaskModel, Preprocessing
from goldseam.models.published import published_config
from goldseam.recipe import PartialRecipe, load_recipe
from pipelines.partial_to_model import RECIPES

FOLDER = RECIPES / "diffusionmtl"
DATASETS, PROTOCOLS, VARIANTS = (
    ("cityscapes", "nyud", "pascal"),
    ("one", "random"),
    ("feature", "prediction"),
)
PASCAL = dict(PascalArchive.tasks)


def read(*parts: str) -> PartialRecipe:
    recipe = load_recipe(FOLDER / f"{'_'.join(parts)}.yaml")
    assert isinstance(recipe, PartialRecipe)
    return recipe


def flat(value: Any, place: str = "") -> dict[str, Any]:
    """Dotted key → value."""
    if not isinstance(value, dict):
        return {place: value}
    found: dict[str, Any] = {}
    for key, part in value.items():
        found |= flat(part, f"{place}.{key}" if place else key)
    return found


def differing(one: PartialRecipe, other: PartialRecipe) -> set[str]:
    mine, theirs = flat(one.model_dump(mode="json")), flat(other.model_dump(mode="json"))
    return {key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)}


def parameters(model: ModelConfig) -> int:
    encoder = EncoderConfig(name="resnet18")  # the architecture alone, without a hub
    network = model.network.model_copy(update={"encoder": encoder})
    with torch.device("meta"):
        config = model.model_copy(update={"network": network})
        built = MultitaskModel(config, PASCAL, Preprocessing(), pretrained=False)
    return sum(parameter.numel() for parameter in built.parameters())


def test_there_is_one_for_each_dataset_protocol_and_variant() -> None:
    names = {f"{d}_{p}_{v}" for d in DATASETS for p in PROTOCOLS for v in VARIANTS}
    assert {path.stem for path in FOLDER.iterdir()} == names


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_name_says_what_it_is(dataset: str, protocol: str, variant: str) -> None:
    recipe = read(dataset, protocol, variant)
    name = f"diffusionmtl_{dataset}_{protocol}_{variant}"
    assert recipe.name == recipe.promote.model_name == name
    assert recipe.dataset.uri == f"data/{dataset}_{protocol}"
    assert recipe.train.diffusion is not None
    assert recipe.train.diffusion.variant == variant
    assert recipe.train.derive == recipe.scratch.derive == "none", "as published"
    assert f"{protocol}-label" in recipe.publish.title
    assert variant in recipe.publish.title


NAMED = {"name", "promote.model_name", "publish.title"}


@pytest.mark.parametrize("dataset", DATASETS)
def test_protocols_differ_by_their_data_alone(dataset: str) -> None:
    for variant in VARIANTS:
        one, random = (read(dataset, protocol, variant) for protocol in PROTOCOLS)
        assert differing(one, random) == NAMED | {"dataset.uri"}


@pytest.mark.parametrize("dataset", DATASETS)
def test_variants_differ_by_their_variant_alone(dataset: str) -> None:
    for protocol in PROTOCOLS:
        feature, logits = (read(dataset, protocol, variant) for variant in VARIANTS)
        assert differing(feature, logits) == NAMED | {"train.diffusion.variant"}


def test_datasets_share_the_denoiser_and_the_baseline_the_schedule() -> None:
    recipes = [read(dataset, "one", "feature") for dataset in DATASETS]
    assert len({str(recipe.train.diffusion) for recipe in recipes}) == 1
    for recipe in recipes:
        assert recipe.scratch.diffusion is None
        for name in ("tasks", "optimizer", "loss", "loop"):
            assert getattr(recipe.scratch, name) == getattr(recipe.train, name)


@pytest.mark.parametrize(
    ("variant", "count"), [("feature", 132_913_284), ("prediction", 121_273_476)]
)
def test_the_model_of_pascal_has_the_published_parameters(variant: str, count: int) -> None:
    recipe = read("pascal", "one", variant)
    assert recipe.train.tasks == tuple(PASCAL)
    model = ModelConfig(network=recipe.train.network, diffusion=recipe.train.diffusion)
    assert parameters(model) == count
    assert model.diffusion == published_config(variant).diffusion  # type: ignore[arg-type]
    assert parameters(ModelConfig(network=recipe.scratch.network)) == 157_237_346


def test_what_pascal_is_imported_as_can_be_trained() -> None:
    for protocol in PROTOCOLS:
        for variant in VARIANTS:
            recipe = read("pascal", protocol, variant)
            tasks = {name: PASCAL[name] for name in recipe.train.tasks}
            Augmentation(**recipe.train.loop.augment.model_dump()).require_tasks(tasks)


def test_inverse_depth_without_a_unit_is_not_scaled() -> None:
    for protocol in PROTOCOLS:
        for variant in VARIANTS:
            augment = read("cityscapes", protocol, variant).train.loop.augment
            assert augment.scale == (1.0, 1.0)


def test_commands_in_a_recipe_name_what_it_reads() -> None:
    for path in FOLDER.iterdir():
        text, recipe = path.read_text(), load_recipe(path)
        assert f"--out {recipe.dataset.uri}\n" in text
        assert f"goldseam run diffusionmtl/{Path(path).stem} " in text
