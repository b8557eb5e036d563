"""What the denoiser's options promise: where it starts, what it sees, how it is asked."""

import pytest
import torch

from goldseam.dataset.schema import Kind
from goldseam.errors import InvalidConfig
from goldseam.models.config import DiffusionConfig
from goldseam.models.denoiser import Denoiser
from tests.unit.models.conftest import (
    BATCH,
    DENSE_TASKS,
    NETWORK,
    TASKS,
    TableNoise,
    awaken,
    build,
    final_loss,
    gradients,
)

DIFFUSION = DiffusionConfig(token_width=16, token_stride=4)


def change(**options) -> DiffusionConfig:
    return DiffusionConfig(**{**DIFFUSION.model_dump(), **options})


@pytest.mark.parametrize("variant", ["feature", "prediction"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"head": "published"},
        {"parameterization": "epsilon"},
        {"schedule": "cosine", "steps": 4},
        {"sampler": "ddim", "steps": 3, "beta_end": 0.3},
        {"packed": True, "width": 16},
    ],
)
def test_a_zero_residual_begins_at_the_initial_prediction(images_B3HW, variant, options):
    output = build(change(variant=variant, **options), DENSE_TASKS)(images_B3HW)
    for task, logits in output.initial.items():
        assert torch.allclose(output.final[task], logits, atol=1e-5), task


@pytest.mark.parametrize("variant", ["feature", "prediction"])
@pytest.mark.parametrize("head", ["residual", "published"])
@pytest.mark.parametrize("parameterization", ["x0", "epsilon"])
def test_a_zero_residual_can_leave_zero(images_B3HW, known, variant, head, parameterization):
    options = {"variant": variant, "head": head, "parameterization": parameterization}
    model = build(change(**options), DENSE_TASKS).train()
    output = model(images_B3HW, known, torch.Generator().manual_seed(0))
    moved = gradients(model, final_loss(output))
    last = len(model.denoiser.after["cover"]) - 1
    assert f"denoiser.after.cover.{last}.weight" in moved


@pytest.mark.parametrize("variant", ["feature", "prediction"])
def test_without_a_residual_it_begins_elsewhere(images_B3HW, variant):
    output = build(change(variant=variant, residual="none"), DENSE_TASKS)(images_B3HW)
    assert not torch.allclose(output.final["cover"], output.initial["cover"], atol=1e-3)


def test_a_shared_head_is_the_initial_one(images_B3HW):
    model = awaken(build(change(own_head=False), DENSE_TASKS))
    assert not hasattr(model, "final_heads")
    before = model(images_B3HW).final["cover"]
    with torch.no_grad():
        model.heads["cover"].head.bias += 1
    assert not torch.allclose(model(images_B3HW).final["cover"], before, atol=0.5)


def test_tokens_as_wide_as_the_features_need_no_projection():
    model = build(change(token_width=8), DENSE_TASKS)
    assert not [name for name, _ in model.named_parameters() if "to_" in name or "from_" in name]


def test_other_tasks_reach_a_task_through_the_condition_alone(images_B3HW):
    def moved(condition: str) -> float:
        model = awaken(build(change(condition=condition), DENSE_TASKS))
        before = model(images_B3HW).final["cover"]
        with torch.no_grad():
            for parameter in model.heads["relief"].parameters():
                parameter.add_(0.5)
        return (model(images_B3HW).final["cover"] - before).abs().max().item()

    assert moved("predictions") > 1e-4
    assert moved("features") > 1e-4
    assert moved("none") == 0


@pytest.mark.parametrize("condition", ["predictions", "features"])
def test_a_detached_condition_stops_gradients_and_another_does_not(images_B3HW, known, condition):
    def reached(detach: bool) -> set[str]:
        model = awaken(build(change(condition=condition, detach=detach), DENSE_TASKS)).train()
        loss = model(images_B3HW, known).final["cover"].square().sum()
        return set(gradients(model, loss))

    cut, open_ = reached(detach=True), reached(detach=False)
    assert not any(name.startswith("heads.relief.decoder") for name in cut)
    assert any(name.startswith("heads.relief.decoder") for name in open_)
    assert "heads.cover.head.weight" not in cut
    assert ("heads.cover.head.weight" in open_) == (condition == "predictions")
    assert "condition.weight" in cut


def test_an_unlabeled_task_learns_nothing_from_the_final_loss(images_B3HW, known):
    for variant in ("feature", "prediction"):
        model = awaken(build(change(variant=variant), DENSE_TASKS)).train()
        moved = gradients(model, final_loss(model(images_B3HW, known)))
        assert not [name for name in moved if ".relief." in name]
        assert [name for name in moved if name.startswith("encoder.")]


@torch.no_grad()
def test_condition_ablation_hides_one_task(images_B3HW):
    model = awaken(build(DIFFUSION, DENSE_TASKS))
    everything = model.predict(images_B3HW)["cover"]
    hidden = model.predict(images_B3HW, without=["relief"])["cover"]
    assert not torch.allclose(everything, hidden, atol=1e-5)
    model.heads["relief"].head.bias += 5
    assert torch.equal(model.predict(images_B3HW, without=["relief"])["cover"], hidden)
    assert torch.equal(
        model.predict(images_B3HW, without=["relief"], initial=True)["cover"],
        model.predict(images_B3HW, initial=True)["cover"],
    )
    with pytest.raises(InvalidConfig, match="without names 'relif'"):
        model.predict(images_B3HW, without=["relif"])


@torch.no_grad()
@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_fewer_steps_may_be_asked_for(images_B3HW, sampler):
    model = awaken(build(change(sampler=sampler, steps=4, beta_end=0.3), DENSE_TASKS))
    every = [model.predict(images_B3HW, steps=steps)["cover"] for steps in (1, 2, 3, 4)]
    assert torch.equal(every[3], model.predict(images_B3HW)["cover"])
    for i, one in enumerate(every):
        assert not any(torch.equal(one, other) for other in every[i + 1 :])
    with pytest.raises(InvalidConfig, match="asked for 5 steps"):
        model.predict(images_B3HW, steps=5)


def test_initial_predictions_do_not_run_the_denoiser(images_B3HW, monkeypatch):
    model = awaken(build(DIFFUSION, DENSE_TASKS))
    monkeypatch.setattr(model, "_refine", None)
    assert set(model.predict(images_B3HW, initial=True)) == set(DENSE_TASKS)


def test_noise_scales_by_task(images_B3HW):
    def moved(**options) -> dict[str, float]:
        model = awaken(build(change(**options), DENSE_TASKS))
        quiet, noisy = (
            model(images_B3HW),
            model(images_B3HW, None, torch.Generator().manual_seed(1)),
        )
        return {t: (noisy.final[t] - quiet.final[t]).abs().mean().item() for t in DENSE_TASKS}

    plain, scaled = moved(), moved(noise_scale={"cover": 5.0, "edge": 0.0})
    assert scaled["cover"] > 3 * plain["cover"]
    assert scaled["edge"] < 0.5 * plain["edge"]
    assert scaled["relief"] == pytest.approx(plain["relief"], rel=1e-4)
    with pytest.raises(InvalidConfig, match=r"noise_scale names 'covr'.*"):
        build(change(noise_scale={"covr": 1.0}), DENSE_TASKS)


def test_samples_are_stacked_and_their_mean_is_a_prediction(images_B3HW):
    model = awaken(build(DIFFUSION, {**DENSE_TASKS, "tags": TASKS["tags"]}))

    def draw(**options):
        generator = torch.Generator().manual_seed(4)
        return model.sample_predictions(images_B3HW, 3, generator, **options)

    found = draw()
    for task, one in model.predict(images_B3HW).items():
        assert found[task].shape == (3, *one.shape)
    assert torch.equal(found["tags"][0], found["tags"][2])
    assert not torch.equal(found["cover"][0], found["cover"][1])
    assert torch.equal(draw()["cover"], found["cover"])
    assert draw(scale=4.0)["cover"].std(0).mean() > 2 * found["cover"].std(0).mean()
    mean = model.predict(images_B3HW, samples=3, generator=torch.Generator().manual_seed(4))
    assert torch.allclose(mean["cover"], found["cover"].mean(0), atol=1e-6)
    length = mean["normal"].norm(dim=1)
    assert torch.allclose(length, torch.ones_like(length), atol=1e-5)


@pytest.mark.parametrize(("diffusion", "samples"), [(None, 2), (DIFFUSION, 0)])
def test_there_is_nothing_to_sample_without_a_denoiser(images_B3HW, diffusion, samples):
    with pytest.raises(InvalidConfig, match="samples were asked for"):
        build(diffusion).sample_predictions(images_B3HW, samples, torch.Generator())
    with pytest.raises(InvalidConfig, match="without a generator"):
        build(DIFFUSION).predict(images_B3HW, samples=2)


@torch.no_grad()
def test_two_saliency_channels_are_one_logit_of_the_same_probability(images_B3HW):
    network = NETWORK.model_copy(update={"saliency_channels": 2})
    model = awaken(build(DIFFUSION, DENSE_TASKS, network=network))
    raw = model.heads["object"].head(
        model.heads["object"].decoder(model.shared_features(images_B3HW)[0])
    )
    assert raw.shape[1] == 2
    assert model(images_B3HW).final["object"].shape == (BATCH, 1, 16, 16)
    found = model.predict(images_B3HW, initial=True)["object"]
    assert torch.allclose(found, raw.softmax(dim=1)[:, 1], atol=1e-6)
    assert model.tasks["object"].kind is Kind.SALIENCY


@pytest.mark.parametrize("relative", [False, True])
def test_a_network_that_knows_the_noise_takes_all_of_it_away(relative):
    """It predicts noise of unit size, however strongly the noise was scaled."""
    options = {"relative_noise": relative, "noise_scale": {"cover": 3.0}, "beta_end": 0.3}
    config = change(parameterization="epsilon", residual="none", steps=1, **options)
    denoiser = Denoiser(config, {"cover": 8}, 8)
    start_KDHW = 5 * torch.randn(2, 8, 4, 4)

    class Oracle(torch.nn.Module):
        def forward(self, x_KDHW):
            return TableNoise()("cover", 0, None, x_KDHW.shape)

    denoiser.after["cover"] = Oracle()
    found = denoiser({"cover": start_KDHW}, {"cover": None}, None, noise=TableNoise())["cover"]
    assert torch.allclose(found, start_KDHW, atol=1e-4)
