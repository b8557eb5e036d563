"""However images and tasks are put together, each gets what it would get alone."""

import pytest
import torch

from goldseam.models.config import DiffusionConfig
from goldseam.models.layers import resize
from tests.unit.models.conftest import (
    BATCH,
    DENSE_TASKS,
    TableNoise,
    awaken,
    build,
    final_loss,
    gradients,
)

DIFFUSION = DiffusionConfig(token_width=16, token_stride=4)
VARIANTS = {
    "default": {},
    "prediction": {"variant": "prediction"},
    "published head": {"head": "published", "residual": "none"},
    "noise predicted": {"parameterization": "epsilon", "beta_end": 0.2},
    "relative noise": {"relative_noise": True, "noise_scale": {"cover": 3.0}, "steps": 3},
    "features seen": {"condition": "features", "width": 16},
    "not detached": {"detach": False},
    "ddim": {"sampler": "ddim", "schedule": "cosine", "steps": 3},
}


def per_pair(model, images_B3HW, known, noise=TableNoise):
    """The published loop: the denoiser runs on one image and one task at a time."""
    found = {}
    for task in model.dense:
        outputs = []
        for row in known[task].nonzero()[:, 0].tolist():
            alone = {name: torch.tensor([name == task]) for name in model.dense}
            source = noise(first=row) if noise else None
            outputs.append(model(images_B3HW[row : row + 1], alone, source).final[task])
        if outputs:
            found[task] = torch.cat(outputs)
    return found


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("packed", [False, True])
def test_known_images_get_what_the_per_pair_loop_gives(images_B3HW, known, options, packed):
    diffusion = DiffusionConfig(**{**DIFFUSION.model_dump(), **options, "packed": packed})
    model = awaken(build(diffusion, DENSE_TASKS)).train()
    together = model(images_B3HW, known, TableNoise())
    naive = per_pair(model, images_B3HW, known)
    assert set(together.final) == set(naive) == {"cover", "edge", "object", "normal"}
    for task, expected in naive.items():
        assert torch.allclose(together.final[task], expected, atol=1e-5), task
    grouped = gradients(model, final_loss(together))
    alone = gradients(model, sum(x.square().sum() for x in naive.values()))
    assert set(grouped) == set(alone)
    for name, gradient in grouped.items():
        scale = alone[name].abs().max().item()
        assert torch.allclose(gradient, alone[name], rtol=1e-3, atol=1e-4 * scale), name


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_packing_draws_the_same_noise_in_the_same_order(images_B3HW, known, options):
    def run(packed: bool):
        diffusion = DiffusionConfig(**{**DIFFUSION.model_dump(), **options, "packed": packed})
        model = awaken(build(diffusion, DENSE_TASKS)).train()
        output = model(images_B3HW, known, torch.Generator().manual_seed(3))
        return output.final, gradients(model, final_loss(output))

    (grouped, slopes), (packed, packed_slopes) = run(packed=False), run(packed=True)
    for task, logits in grouped.items():
        assert torch.allclose(logits, packed[task], atol=1e-5), task
    assert set(slopes) == set(packed_slopes)
    for name, slope in slopes.items():
        scale = slope.abs().max().item()
        assert torch.allclose(slope, packed_slopes[name], rtol=1e-3, atol=1e-4 * scale), name


@pytest.mark.parametrize("packed", [False, True])
def test_activations_computed_again_give_the_same_gradients(images_B3HW, known, packed):
    def run(again: bool):
        options = {"checkpoint_steps": again, "packed": packed, "steps": 3}
        model = awaken(build(DIFFUSION.model_copy(update=options), DENSE_TASKS)).train()
        output = model(images_B3HW, known, torch.Generator().manual_seed(3))
        return output.final, gradients(model, final_loss(output))

    (kept, slopes), (again, slopes_again) = run(again=False), run(again=True)
    assert all(torch.equal(logits, again[task]) for task, logits in kept.items())
    assert set(slopes) == set(slopes_again)
    for name, slope in slopes.items():
        assert torch.equal(slope, slopes_again[name]), name


@pytest.mark.slow
def test_a_compiled_model_gives_the_same(images_B3HW, known):
    tasks = {task: DENSE_TASKS[task] for task in ("cover", "object")}
    model = awaken(build(DIFFUSION.model_copy(update={"packed": True}), tasks)).train()
    plain = model(images_B3HW, known, TableNoise())
    slopes = gradients(model, final_loss(plain))
    torch._dynamo.reset()
    output = torch.compile(model, backend="aot_eager")(images_B3HW, known, TableNoise())
    again = gradients(model, final_loss(output))
    for task, logits in plain.final.items():
        assert torch.allclose(logits, output.final[task], atol=1e-5), task
    assert set(slopes) == set(again)
    for name, slope in slopes.items():
        scale = slope.abs().max().item()
        assert torch.allclose(slope, again[name], rtol=1e-3, atol=1e-4 * scale), name


def as_it_was(model, images_B3HW):
    """Feature diffusion without noise, T steps by the posterior's mean, written out plainly."""
    denoiser, config = model.denoiser, model.denoiser.config
    schedule = denoiser.schedule
    shared, _ = model.shared_features(images_B3HW)
    features = {task: model.heads[task].decoder(shared) for task in model.dense}
    maps = [model.heads[task].head(features[task]) for task in model.dense]
    condition = torch.nn.functional.conv2d(
        torch.cat(maps, 1), model.condition.weight, model.condition.bias, padding=1
    )
    pool = torch.nn.AvgPool2d(config.token_stride, ceil_mode=True)
    query = denoiser.to_query(pool(condition)).flatten(2).transpose(1, 2)

    def x0(task, x, t):
        hidden = denoiser.before[task](x) + denoiser.step_mlp(denoiser.step_code[t])[:, None, None]
        noisy = denoiser.to_noisy(pool(hidden))
        tokens, mixed = noisy.flatten(2).transpose(1, 2), query
        for block in denoiser.blocks:
            mixed, tokens = block(mixed, tokens)
        mixed = denoiser.from_tokens(mixed.transpose(1, 2).reshape(noisy.shape))
        return x + denoiser.after[task](hidden + resize(mixed, tuple(hidden.shape[-2:])))

    final = {}
    for task, start in features.items():
        x = start
        for t in range(schedule.steps - 1, 0, -1):
            x = schedule.posterior_x0[t] * x0(task, x, t) + schedule.posterior_xt[t] * x
        final[task] = resize(model.final_heads[task](x0(task, x, 0)), images_B3HW.shape[-2:])
    return final


@torch.no_grad()
@pytest.mark.parametrize("steps", [1, 2])
def test_the_default_is_what_it_was_to_the_bit(images_B3HW, steps):
    model = awaken(build(DiffusionConfig(steps=steps), DENSE_TASKS))
    found, expected = model(images_B3HW).final, as_it_was(model, images_B3HW)
    assert all(torch.equal(found[task], expected[task]) for task in DENSE_TASKS)
    assert len(found["cover"]) == BATCH


@torch.no_grad()
def test_one_step_without_noise_is_plain_refinement(images_B3HW):
    """With sigma 0 a noisy chain of one step is one call of the network on the features."""
    quiet = DIFFUSION.model_copy(
        update={"steps": 1, "noise_scale": dict.fromkeys(DENSE_TASKS, 0.0)}
    )
    quiet = quiet.model_copy(update={"beta_start": 1e-12, "beta_end": 1e-12})
    model = awaken(build(quiet, DENSE_TASKS))
    noisy = model(images_B3HW, None, torch.Generator().manual_seed(0)).final
    plain = as_it_was(model, images_B3HW)
    for task, logits in noisy.items():
        assert torch.allclose(logits, plain[task], atol=1e-6), task
