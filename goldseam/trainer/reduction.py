"""From the losses of pixels to the loss of a batch: over labels, or over images.

Shapes: K labeled images, then any axes (pixels, entries). Both ways reach over all processes.
"""

from collections.abc import Callable

from torch import Tensor, stack

from goldseam.trainer.distributed import total, world_size

# (loss, weight) of equal shape K… → a scalar
Reduction = Callable[[Tensor, Tensor], Tensor]


def mean_over(loss: Tensor, weight: Tensor) -> Tensor:
    """Mean over what counts, in all processes; exactly 0, with zero gradient, when nothing does.

    Args:
        loss: of each pixel or entry.
        weight: of the same shape: bool, or weights of any size.
    """
    numerator, denominator = (loss * weight).sum(), weight.sum()
    if world_size() > 1:
        numerator, denominator = total(stack([numerator, denominator.to(numerator)])).unbind()
    return numerator / denominator.clamp(min=1e-6)


def within_images(share_K: Tensor) -> Reduction:
    """Means within each image, summed with shares.

    Args:
        share_K: weight of each image, such as tasks / labeled tasks / images.
    """

    def reduce(loss: Tensor, weight: Tensor) -> Tensor:
        weight = weight.to(loss)
        sum_K = (loss * weight).flatten(1).sum(dim=1)
        mean_K = sum_K / weight.flatten(1).sum(dim=1).clamp(min=1e-6)
        return total((share_K.to(loss) * mean_K).sum())

    return reduce
