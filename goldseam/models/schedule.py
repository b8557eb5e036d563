"""The noise schedule of a short diffusion chain and its reverse transitions, as plain numbers.

Steps count t = 0 … T-1; x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise with a_t the product of 1 - beta.
Sources: Ho et al., DDPM, 2020, eq. 4 and 7; Song et al., DDIM, 2021, eq. 12 with eta 0; Nichol &
Dhariwal, 2021, eq. 17. DiffusionMTL uses T = 2 and very little noise. The numbers are those of
diffusers' schedulers, which keep them as tensors and look them up at every step.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Self

from goldseam.errors import InvalidConfig
from goldseam.models.config import DiffusionConfig

COSINE_OFFSET = 0.008
LARGEST_BETA = 0.999
# the weights of a chain without noise are left alone where they sum to 1 as closely as this
SUM_TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True)
class Transition:
    """One reverse step: the next x is `x0 * predicted x_0 + xt * x_t + std * noise`.

    Attributes:
        t: which step of the schedule.
        signal: sqrt(a_t).
        noise: sqrt(1 - a_t).
        x0: factor of the predicted x_0.
        xt: factor of x_t.
        std: standard deviation of the noise that is added.
    """

    t: int
    signal: float
    noise: float
    x0: float
    xt: float
    std: float

    def without_noise(self) -> Self:
        """The same step of a chain in which nothing is noised: an average of x_0 and x_t.

        The posterior's mean expects x_t to be shrunk by sqrt(a_t), which it is not here.
        """
        total = self.x0 + self.xt
        scale = 1.0 if abs(total - 1) < SUM_TOLERANCE else total
        return dataclasses.replace(
            self, signal=1.0, noise=0.0, x0=self.x0 / scale, xt=self.xt / scale, std=0.0
        )


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Closed-form coefficients of each step.

    Attributes:
        beta: variance added at step t.
        signal: sqrt(a_t), factor of x_0 in x_t.
        noise: sqrt(1 - a_t), factor of the noise in x_t.
        posterior_x0: factor of the predicted x_0 in the mean of x_{t-1} given x_t.
        posterior_xt: factor of x_t there.
        posterior_std: standard deviation of x_{t-1} given x_t and x_0.
    """

    beta: tuple[float, ...]
    signal: tuple[float, ...]
    noise: tuple[float, ...]
    posterior_x0: tuple[float, ...]
    posterior_xt: tuple[float, ...]
    posterior_std: tuple[float, ...]

    @property
    def steps(self) -> int:
        """T."""
        return len(self.beta)

    def ddpm(self, steps: int | None = None) -> tuple[Transition, ...]:
        """The reverse chain by the posterior, noisiest first.

        Args:
            steps: fewer than T keep the least noisy ones, which are neighbors, so that each
                posterior stays what it was.

        Raises:
            InvalidConfig: the schedule has not so many.
        """
        return tuple(
            Transition(
                t=t,
                signal=self.signal[t],
                noise=self.noise[t],
                x0=self.posterior_x0[t],
                xt=self.posterior_xt[t],
                std=self.posterior_std[t],
            )
            for t in reversed(range(self._allowed(steps)))
        )

    def ddim(self, steps: int | None = None) -> tuple[Transition, ...]:
        """The deterministic reverse chain, noisiest first.

        Args:
            steps: fewer than T are spaced evenly from the noisiest to the least noisy; one alone is
                the least noisy.

        Raises:
            InvalidConfig: the schedule has not so many.
        """
        count = self._allowed(steps)
        span = (self.steps - 1) / max(count - 1, 1)
        found: list[Transition] = []
        signal_next, noise_next = 1.0, 0.0  # of what the least noisy step leads to: x_0
        for t in (round(number * span) for number in range(count)):
            signal, noise = self.signal[t], self.noise[t]
            xt = noise_next / noise
            x0 = signal_next - xt * signal
            found.append(Transition(t=t, signal=signal, noise=noise, x0=x0, xt=xt, std=0.0))
            signal_next, noise_next = signal, noise
        return tuple(reversed(found))

    def _allowed(self, steps: int | None) -> int:
        if steps is None:
            return self.steps
        if not 1 <= steps <= self.steps:
            raise InvalidConfig(
                f"the denoiser was asked for {steps} steps and was trained with {self.steps}.",
                remedy=f"Ask for 1 to {self.steps}, or train with more (train.diffusion.steps).",
            )
        return steps


def linear_schedule(steps: int, beta_start: float = 1e-3, beta_end: float = 1e-2) -> Schedule:
    """The schedule whose square roots of beta are spaced linearly from start to end."""
    low, high = math.sqrt(beta_start), math.sqrt(beta_end)
    span = max(steps - 1, 1)
    return _schedule((low + (high - low) * t / span) ** 2 for t in range(steps))


def cosine_schedule(steps: int) -> Schedule:
    """The schedule whose a_t falls as a squared cosine from 1 to almost 0."""

    def kept(share: float) -> float:
        return math.cos((share + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2) ** 2

    return _schedule(
        min(1 - kept((t + 1) / steps) / kept(t / steps), LARGEST_BETA) for t in range(steps)
    )


def schedule_of(config: DiffusionConfig) -> Schedule:
    """The schedule that a configuration names."""
    if config.schedule == "cosine":
        return cosine_schedule(config.steps)
    return linear_schedule(config.steps, config.beta_start, config.beta_end)


def _schedule(betas: Iterable[float]) -> Schedule:
    beta = tuple(betas)
    kept, products = 1.0, []
    for value in beta:
        kept *= 1 - value
        products.append(kept)
    before = [1.0, *products[:-1]]
    rows = list(zip(beta, products, before, strict=True))
    return Schedule(
        beta=beta,
        signal=tuple(math.sqrt(a) for a in products),
        noise=tuple(math.sqrt(1 - a) for a in products),
        posterior_x0=tuple(b * math.sqrt(p) / (1 - a) for b, a, p in rows),
        posterior_xt=tuple((1 - p) * math.sqrt(1 - b) / (1 - a) for b, a, p in rows),
        posterior_std=tuple(math.sqrt(b * (1 - p) / (1 - a)) for b, a, p in rows),
    )
