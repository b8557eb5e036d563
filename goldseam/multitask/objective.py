"""Known labels, a teacher and consistency between tasks in one forward pass."""

from collections.abc import Sequence

from torch import Tensor

from goldseam.dataset.batch import Batch
from goldseam.models.multitask import MultitaskModel, Output
from goldseam.multitask.photometry import Photometry
from goldseam.multitask.terms import Seen, Term, union
from goldseam.trainer.distributed import anywhere, world_size
from goldseam.trainer.losses import MultitaskLoss
from goldseam.trainer.objective import StepContext


class Combined:
    """The losses of known labels and those of further terms.

    Each dense task is computed on the images that carry it and on those that a term asks for; the
    losses of known labels stay means over what is known. Where several processes train together, a
    term's mean is one of the process.

    Args:
        loss: of known labels.
        terms: what else counts.
        photometry: change of the images that the student sees; None shows them as they are.
    """

    def __init__(
        self, loss: MultitaskLoss, terms: Sequence[Term], photometry: Photometry | None = None
    ) -> None:
        self.loss = loss
        self.terms = tuple(terms)
        self.photometry = photometry

    def __call__(
        self, model: MultitaskModel, batch: Batch, context: StepContext
    ) -> dict[str, Tensor]:
        """Losses of a step, by the names of supervised learning and `task.suffix` of each term."""
        computed = dict(batch.known)
        for term in self.terms:
            computed = union(computed, term.images(batch.known))
        images = batch.images_BCHW
        if self.photometry is not None:
            images = self.photometry(images, context.step)
        given = model.draw_given(batch.targets, batch.known, context.generator)
        with context.autocast():
            output = model(images, computed, context.generator, given=given)
        losses = self.loss(output, batch.targets, batch.known, context.share, context.place(batch))
        seen = Seen(model, output)
        found: dict[str, Tensor] = {}
        for term in self.terms:
            found |= term.losses(seen, batch, context)
        return losses | self._in_every_process(found, output)

    def _in_every_process(self, found: dict[str, Tensor], output: Output) -> dict[str, Tensor]:
        """The terms' losses, and 0 for those that only other processes have.

        Balances compare the gradients of all tasks over all processes: each must name the same.
        """
        if world_size() == 1 or not self.terms:
            return found
        names = [f"{task}.{term.suffix}" for term in self.terms for task in self.loss.tasks]
        somewhere = anywhere([name in found for name in names])
        return {
            name: found[name] if name in found else output.nothing()
            for name, flag in zip(names, somewhere, strict=True)
            if flag
        }
