"""The noise schedule and the posterior of a short diffusion chain, as plain numbers.

Steps count t = 0 … T-1; x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise with a_t the product of 1 - beta.
Source: Ho et al., DDPM, 2020, eq. 4 and 7; DiffusionMTL uses T = 2 and very small noise.
"""

import dataclasses
import math


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


def linear_schedule(steps: int, beta_start: float = 1e-3, beta_end: float = 1e-2) -> Schedule:
    """The schedule whose square roots of beta are spaced linearly from start to end."""
    low, high = math.sqrt(beta_start), math.sqrt(beta_end)
    span = max(steps - 1, 1)
    beta = [(low + (high - low) * t / span) ** 2 for t in range(steps)]
    kept, products = 1.0, []
    for value in beta:
        kept *= 1 - value
        products.append(kept)
    before = [1.0, *products[:-1]]
    rows = list(zip(beta, products, before, strict=True))
    return Schedule(
        beta=tuple(beta),
        signal=tuple(math.sqrt(a) for a in products),
        noise=tuple(math.sqrt(1 - a) for a in products),
        posterior_x0=tuple(b * math.sqrt(p) / (1 - a) for b, a, p in rows),
        posterior_xt=tuple((1 - p) * math.sqrt(1 - b) / (1 - a) for b, a, p in rows),
        posterior_std=tuple(math.sqrt(b * (1 - p) / (1 - a)) for b, a, p in rows),
    )
