"""The reverse chain on tensors, and where its noise comes from.

Shapes: K images of a task, D channels, H and W positions. A chain runs on several tensors at once,
one a task, so that what the tasks share can be computed together.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from goldseam.models.schedule import Transition


class Noise(Protocol):
    """Standard normal noise as a function of what it is for.

    A source that looks at `rows_K` gives an image the same noise whatever batch it comes in.
    """

    def __call__(self, task: str, draw: int, rows_K: Tensor | None, shape: torch.Size) -> Tensor:
        """Noise of `shape`, of any float type and on any device.

        Args:
            task: whose chain.
            draw: 0 at the start of the chain, then 1, 2, … for each step that adds noise.
            rows_K: positions of the images in the batch; None means all, in order.
            shape: `K D H W`.
        """
        ...


def noise_from(generator: torch.Generator) -> Noise:
    """Noise in the order in which it is asked for, drawn on the generator's device.

    A generator on the CPU gives the same noise to a CPU and a GPU run; one on the GPU is faster.
    """

    def draw_next(task: str, draw: int, rows_K: Tensor | None, shape: torch.Size) -> Tensor:
        del task, draw, rows_K  # the order of the calls decides
        return torch.randn(shape, generator=generator, dtype=torch.float32, device=generator.device)

    return draw_next


def noise_scale(start_KDHW: Tensor, factor: float, *, relative: bool) -> float | Tensor:
    """Standard deviation of a task's noise: a factor, or one for each image, `K 1 1 1`."""
    if not relative:
        return factor
    mean_square_K111 = start_KDHW.detach().float().square().mean(dim=(1, 2, 3), keepdim=True)
    return (factor * mean_square_K111.sqrt()).to(start_KDHW)


def scaled_noise(
    source: Noise,
    starts: Mapping[str, Tensor],
    rows: Mapping[str, Tensor | None],
    scales: Mapping[str, float | Tensor],
    draws: int,
) -> list[list[Tensor]]:
    """All noise of a chain, task by task: it does not depend on which tasks run together."""
    return [
        [scales[task] * source(task, draw, rows[task], x.shape).to(x) for draw in range(draws)]
        for task, x in starts.items()
    ]


def draws_of(transitions: Sequence[Transition]) -> int:
    """How often a chain draws noise: at the start, and after each step but the last that adds it.

    What the last step would add is never seen: the chain ends with the predicted x_0.
    """
    return 1 + sum(transition.std > 0 for transition in transitions[:-1])


def denoise(
    transitions: Sequence[Transition],
    starts: Sequence[Tensor],
    predict_x0: Callable[[list[Tensor], Transition], list[Tensor]],
    noise: Sequence[Sequence[Tensor]] | None = None,
) -> list[Tensor]:
    """Run the reverse chain.

    Args:
        transitions: noisiest first.
        starts: first guesses of x_0, one tensor a task.
        predict_x0: (x_t of each task, the transition) → predicted x_0 of each task.
        noise: for each task its draws in order, scaled; None adds none.

    Returns:
        The last predicted x_0 of each task.
    """
    first = transitions[0]
    xs = [first.signal * start if first.signal != 1 else start for start in starts]
    if noise is not None:
        xs = [x + first.noise * draws[0] for x, draws in zip(xs, noise, strict=True)]
    draw = 0
    for transition in transitions[:-1]:
        x0s = predict_x0(xs, transition)
        xs = [transition.x0 * x0 + transition.xt * x for x0, x in zip(x0s, xs, strict=True)]
        if noise is not None and transition.std > 0:
            draw += 1
            xs = [x + transition.std * draws[draw] for x, draws in zip(xs, noise, strict=True)]
    return predict_x0(xs, transitions[-1])


def x0_from_noise(x: Tensor, noise: Tensor, transition: Transition) -> Tensor:
    """The x_0 that a predicted noise means; `noise` is scaled as it was added."""
    return (x - transition.noise * noise) / transition.signal
