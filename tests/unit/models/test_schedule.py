import pytest

from goldseam.models.schedule import linear_schedule


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


def test_agrees_with_diffusers_style_products():
    schedule = linear_schedule(4, 1e-3, 2e-2)
    kept = 1.0
    for t in range(4):
        kept *= 1 - schedule.beta[t]
        assert schedule.signal[t] ** 2 == pytest.approx(kept)
        assert schedule.signal[t] ** 2 + schedule.noise[t] ** 2 == pytest.approx(1)
