"""The chain's numbers against the published closed forms and against diffusers' schedulers."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from goldseam.errors import InvalidConfig
from goldseam.models.config import DiffusionConfig
from goldseam.models.sampling import denoise, draws_of, noise_scale, x0_from_noise
from goldseam.models.schedule import cosine_schedule, linear_schedule, schedule_of


def test_two_steps_match_the_published_closed_forms():
    schedule = linear_schedule(2)
    assert schedule.beta == pytest.approx((1e-3, 1e-2))
    assert schedule.noise == pytest.approx((0.0316, 0.1048), abs=1e-4)
    assert schedule.posterior_x0[1] == pytest.approx(0.9095, abs=1e-4)
    assert schedule.posterior_xt[1] == pytest.approx(0.0905, abs=1e-4)
    assert schedule.posterior_std[1] ** 2 == pytest.approx(9.1e-4, rel=1e-2)


def test_the_last_step_returns_x0_without_noise():
    for steps in (1, 2, 5):
        schedule = linear_schedule(steps)
        assert schedule.posterior_x0[0] == pytest.approx(1)
        assert schedule.posterior_xt[0] == 0
        assert schedule.posterior_std[0] == 0


def test_the_configuration_names_the_schedule():
    linear = DiffusionConfig(steps=3, beta_start=2e-3, beta_end=2e-2)
    assert schedule_of(linear) == linear_schedule(3, 2e-3, 2e-2)
    assert schedule_of(DiffusionConfig(steps=3, schedule="cosine")) == cosine_schedule(3)


SCHEDULES = [
    (linear_schedule(2), {"beta_schedule": "scaled_linear", "beta_start": 1e-3, "beta_end": 1e-2}),
    (
        linear_schedule(5, 1e-3, 0.2),
        {"beta_schedule": "scaled_linear", "beta_start": 1e-3, "beta_end": 0.2},
    ),
    (cosine_schedule(4), {"beta_schedule": "squaredcos_cap_v2"}),
]


@pytest.mark.parametrize(("schedule", "options"), SCHEDULES)
def test_ddpm_is_that_of_diffusers(schedule, options):
    theirs = DDPMScheduler(
        num_train_timesteps=schedule.steps,
        prediction_type="sample",
        clip_sample=False,
        variance_type="fixed_small",
        **options,
    )
    assert theirs.betas.tolist() == pytest.approx(schedule.beta, rel=1e-5)
    x, x0 = torch.randn(2, 4, 4), torch.randn(2, 4, 4)
    for transition in schedule.ddpm():
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(transition.t))
        expected = theirs.step(
            x0, transition.t, x, generator=torch.Generator().manual_seed(transition.t)
        ).prev_sample
        found = transition.x0 * x0 + transition.xt * x + transition.std * noise
        # diffusers keeps variances above 1e-20, also that of the last step
        assert torch.allclose(found, expected, atol=2e-5)
        noised = theirs.add_noise(x0, noise, torch.tensor([transition.t]))
        assert torch.allclose(transition.signal * x0 + transition.noise * noise, noised, atol=1e-5)


@pytest.mark.parametrize(("schedule", "options"), SCHEDULES)
def test_ddim_is_that_of_diffusers(schedule, options):
    theirs = DDIMScheduler(
        num_train_timesteps=schedule.steps,
        prediction_type="sample",
        clip_sample=False,
        set_alpha_to_one=True,
        **options,
    )
    theirs.set_timesteps(schedule.steps)
    x, x0 = torch.randn(2, 4, 4), torch.randn(2, 4, 4)
    for transition in schedule.ddim():
        expected = theirs.step(x0, transition.t, x).prev_sample
        found = transition.x0 * x0 + transition.xt * x
        assert torch.allclose(found, expected, atol=1e-4)


def test_ddim_may_skip_steps_as_in_diffusers():
    schedule = linear_schedule(4, 1e-3, 0.2)
    theirs = DDIMScheduler(
        num_train_timesteps=4,
        beta_schedule="scaled_linear",
        beta_start=1e-3,
        beta_end=0.2,
        prediction_type="sample",
        clip_sample=False,
    )
    theirs.set_timesteps(2)  # 2 and 0: the step before t is t - 4 // 2
    x, x0 = torch.randn(2, 4, 4), torch.randn(2, 4, 4)
    expected = theirs.step(x0, 2, x).prev_sample
    kept = linear_schedule(4, 1e-3, 0.2)
    two = type(kept)(
        **{
            name: tuple(getattr(kept, name)[t] for t in (0, 2))
            for name in kept.__dataclass_fields__
        }
    )
    transition = two.ddim()[0]
    assert torch.allclose(transition.x0 * x0 + transition.xt * x, expected, atol=1e-5)
    assert [t.t for t in schedule.ddim(2)] == [3, 0]
    assert [t.t for t in linear_schedule(9).ddim(3)] == [8, 4, 0]
    assert [t.t for t in schedule.ddim(1)] == [0]


def test_fewer_ddpm_steps_are_the_least_noisy_ones():
    assert [transition.t for transition in linear_schedule(4).ddpm(2)] == [1, 0]


@pytest.mark.parametrize("steps", [0, 5])
def test_steps_that_were_not_trained_are_refused(steps):
    with pytest.raises(InvalidConfig, match="trained with 4"):
        linear_schedule(4).ddpm(steps)
    with pytest.raises(InvalidConfig, match="trained with 4"):
        linear_schedule(4).ddim(steps)


@pytest.mark.parametrize("schedule", [linear_schedule(2), linear_schedule(6), cosine_schedule(4)])
def test_a_chain_without_noise_keeps_what_it_is_given(schedule):
    start = torch.randn(2, 3, 4, 4)
    for transitions in (schedule.ddpm(), schedule.ddim()):
        quiet = [transition.without_noise() for transition in transitions]
        (found,) = denoise(quiet, [start], lambda xs, _: xs)
        assert torch.allclose(found, start, atol=2e-6 * schedule.steps)


def test_with_published_noise_a_chain_without_noise_uses_the_posterior_itself():
    """The coast demo's numbers rest on it."""
    transition = linear_schedule(2).ddpm()[0]
    quiet = transition.without_noise()
    assert (quiet.x0, quiet.xt) == (transition.x0, transition.xt)
    assert (quiet.signal, quiet.noise, quiet.std) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_predicting_the_noise_is_predicting_x0(sampler):
    """A network that knows the truth says the same in both parameterizations, draw for draw."""
    transitions = getattr(linear_schedule(4, 1e-3, 0.2), sampler)()
    truth, start = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    noise = [[torch.randn(start.shape) for _ in range(draws_of(transitions))]]
    visited: dict[str, list[torch.Tensor]] = {"x0": [], "epsilon": []}

    def x0(xs, transition):
        visited["x0"].append(xs[0])
        return [truth + 0.1 * xs[0]]

    def epsilon(xs, transition):
        visited["epsilon"].append(xs[0])
        guess = truth + 0.1 * xs[0]
        noise = (xs[0] - transition.signal * guess) / transition.noise
        return [x0_from_noise(xs[0], noise, transition)]

    (one,), (other,) = (denoise(transitions, [start], f, noise) for f in (x0, epsilon))
    assert torch.allclose(one, other, atol=1e-4)
    for a, b in zip(visited["x0"], visited["epsilon"], strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_a_chain_draws_as_often_as_it_adds_noise():
    assert draws_of(linear_schedule(1).ddpm()) == 1
    assert draws_of(linear_schedule(4).ddpm()) == 4
    assert draws_of(linear_schedule(4).ddim()) == 1


def test_relative_noise_is_in_units_of_each_image():
    x_KDHW = torch.randn(3, 4, 8, 8) * torch.tensor([1.0, 10.0, 0.0])[:, None, None, None]
    scale_K111 = noise_scale(x_KDHW, 0.5, relative=True)
    expected = 0.5 * x_KDHW.square().mean((1, 2, 3)).sqrt()
    assert torch.allclose(scale_K111[:, 0, 0, 0], expected)
    assert noise_scale(x_KDHW, 0.5, relative=False) == 0.5


def test_every_noisy_step_takes_a_draw_of_its_own():
    transitions = linear_schedule(3, 1e-2, 0.3).ddpm()
    start, draws = torch.randn(2, 3, 4, 4), [torch.randn(2, 3, 4, 4) for _ in range(3)]
    first, second, _ = transitions
    x = first.signal * start + first.noise * draws[0]
    for transition, noise in ((first, draws[1]), (second, draws[2])):
        x = (transition.x0 * 0.9 + transition.xt) * x + transition.std * noise
    (found,) = denoise(transitions, [start], lambda xs, _: [0.9 * xs[0]], [draws])
    assert torch.allclose(found, 0.9 * x, atol=1e-6)
