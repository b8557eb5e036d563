"""The published configurations have the published numbers; nothing is allocated to count them."""

import json

import pydantic
import pytest
import torch

from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig
from goldseam.models.config import (
    DiffusionConfig,
    EncoderConfig,
    ModelConfig,
    NetworkConfig,
    deep_supervision_at,
)
from goldseam.models.cost import prediction_cost, training_cost
from goldseam.models.encoder import build_encoder
from goldseam.models.multitask import MultitaskModel, Preprocessing
from goldseam.models.published import published_config

PASCAL = {
    "semseg": Task(kind=Kind.SEGMENTATION, categories=tuple(f"class {n}" for n in range(21))),
    "human_parts": Task(kind=Kind.SEGMENTATION, categories=tuple(f"part {n}" for n in range(7))),
    "saliency": Task(kind=Kind.SALIENCY),
    "normals": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
    "edge": Task(kind=Kind.BOUNDARY),
}


def on_meta(config: ModelConfig) -> MultitaskModel:
    with torch.device("meta"):
        return MultitaskModel(config, PASCAL, Preprocessing(), pretrained=False)


def parameters(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_feature_diffusion_has_the_published_parameters():
    model = on_meta(published_config("feature"))
    assert parameters(model.encoder) == 11_176_512
    assert parameters(model.decoder) == 4_424_192
    assert parameters(model.heads) == 10 * 4_720_640 + 513 * 34
    assert parameters(model.condition) == 157_184
    assert parameters(model.denoiser.before) == 5 * 2_359_808
    assert parameters(model.denoiser.step_mlp) == 394_240
    assert parameters(model.denoiser.blocks) == 4 * 5_252_608
    assert parameters(model.denoiser.after) == 5 * 7_342_080
    assert parameters(model.final_heads) == 17_442
    assert parameters(model) == 132_913_284


def test_prediction_diffusion_embeds_logits_instead_of_features():
    model = on_meta(published_config("prediction"))
    assert parameters(model.denoiser.before) == 34 * 512 * 9 + 5 * 512
    assert parameters(model) == 132_913_284 - 5 * 2_359_808 + 159_232 == 121_273_476


def test_the_multitask_baseline_has_the_published_parameters():
    assert parameters(on_meta(published_config("multitask"))) == 157_237_346
    assert round(parameters(on_meta(published_config("feature", "resnet50"))) / 1e6) == 159


def test_multiply_adds_are_the_published_ones():
    feature = prediction_cost(published_config("feature"), PASCAL, 512)
    assert feature.parameters == 132_913_284
    assert feature.multiply_adds / 1e9 == pytest.approx(675.3, abs=0.05)
    baseline = prediction_cost(published_config("multitask"), PASCAL, 512)
    assert baseline.multiply_adds / 1e9 == pytest.approx(608, rel=0.01)


SMALL = ModelConfig(
    network=NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8),
    diffusion=DiffusionConfig(token_width=16, token_stride=4),
)


def test_a_training_step_costs_more_with_more_labels():
    tasks = {name: PASCAL[name] for name in ("semseg", "normals", "edge")}
    costs = [training_cost(SMALL, tasks, 32, labels).multiply_adds for labels in (0, 1, 2, 3)]
    assert costs == sorted(set(costs))
    assert costs[2] == pytest.approx((costs[1] + costs[3]) / 2, rel=1e-9)
    middle = training_cost(SMALL, tasks, 32, 1.5).multiply_adds
    assert middle == pytest.approx((costs[1] + costs[2]) / 2)
    with pytest.raises(InvalidConfig, match="3 dense tasks"):
        training_cost(SMALL, tasks, 32, 4)


def test_a_plain_step_costs_three_times_its_prediction():
    """Gradients of weights and of inputs cost a forward pass each; none goes into the image."""
    plain = SMALL.model_copy(update={"diffusion": None})
    once = prediction_cost(plain, PASCAL, 32).multiply_adds
    step = training_cost(plain, PASCAL, 32, 5).multiply_adds
    first = 32 * 32 * 9 * 3 * 8
    assert step == pytest.approx(3 * once - first)


def test_published_decoder_is_at_an_eighth_of_the_image():
    model = on_meta(published_config("feature"))
    shared, _ = model.shared_features(torch.empty(1, 3, 96, 130, device="meta"))
    assert shared.shape == (1, 512, 12, 17)


@pytest.mark.parametrize("variant", ["feature", "prediction"])
def test_a_narrow_published_model_trains(variant):
    config = published_config(variant)
    narrow = config.model_copy(
        update={
            "network": config.network.model_copy(
                update={"decoder_width": 16, "encoder": EncoderConfig(width=8, levels=3)}
            ),
            "diffusion": config.diffusion.model_copy(update={"token_width": 16}),
        }
    )
    model = MultitaskModel(narrow, PASCAL, Preprocessing())
    known = {task: torch.tensor([True, place < 3]) for place, task in enumerate(PASCAL)}
    output = model(torch.rand(2, 3, 40, 48), known, torch.Generator().manual_seed(0))
    sum(x.square().mean() for x in (*output.final.values(), *output.initial.values())).backward()
    unmoved = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not unmoved


@pytest.mark.parametrize(("stride", "sizes"), [(1, [24, 12, 6]), (2, [12, 6, 3]), (4, [6, 3, 2])])
def test_the_stem_sets_the_finest_resolution(stride, sizes):
    encoder = build_encoder(EncoderConfig(width=8, levels=3, stem_stride=stride))
    features = encoder(torch.rand(1, 3, 24, 24))
    assert [x.shape[-1] for x in features] == sizes
    assert [x.shape[1] for x in features] == [8, 16, 32] == list(encoder.channels)


@pytest.mark.parametrize(
    "options",
    [
        {"encoder": {"stem_stride": 3}},
        {"encoder": {"name": "resnet18", "stem_stride": 2}},
        {"encoder": {"name": "resnet18", "backbone": "x"}},
        {"encoder": {"name": "auto"}},
        {"saliency_channels": 3},
    ],
)
def test_networks_that_cannot_be_are_refused(options):
    with pytest.raises(pydantic.ValidationError):
        NetworkConfig(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"token_width": 30},
        {"beta_start": 0.1},
        {"noise_scale": {"depth": -1.0}},
        {"known_labels": 0.5, "condition": "features"},
        {"variant": "prediction", "own_head": False},
        {"conditioning": True},
    ],
)
def test_denoisers_that_cannot_be_are_refused(options):
    with pytest.raises(pydantic.ValidationError):
        DiffusionConfig(**options)


def test_a_configuration_survives_json_that_knows_no_integers():
    """Kubeflow hands on structs in which every number is a float and nothing is null."""

    def floats(value):
        if isinstance(value, dict):
            return {key: floats(one) for key, one in value.items() if one is not None}
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    for variant in ("feature", "prediction", "multitask"):
        config = published_config(variant)
        body = json.loads(json.dumps(floats(config.model_dump(mode="json"))))
        assert ModelConfig.model_validate(body) == config


def test_deep_supervision_decays_linearly():
    constant = DiffusionConfig(deep_supervision=0.5)
    assert [deep_supervision_at(constant, share) for share in (0.0, 0.7, 1.0)] == [0.5, 0.5, 0.5]
    falling = DiffusionConfig(deep_supervision=0.5, deep_supervision_end=0.1)
    found = [deep_supervision_at(falling, share) for share in (0.0, 0.5, 1.0, 2.0)]
    assert found == pytest.approx([0.5, 0.3, 0.1, 0.1])
