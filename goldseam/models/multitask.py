"""One model for many tasks, of which each image may carry labels for some only.

Shapes: B batch, D feature channels, H and W pixels, h and w positions of the feature map, C_t
channels of task t's head, K labeled images of a task, E token channels, S samples, Z pooled
features of the tags head. With `diffusion` the denoiser refines each task's initial features or
predictions; without, the same class is the plain multi-task model, and with one task the
pretraining model.
"""

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig
from goldseam.models.conditioning import (
    Condition,
    Labels,
    condition_queries,
    draw_given,
    label_maps,
)
from goldseam.models.config import DiffusionConfig, ModelConfig
from goldseam.models.denoiser import Denoiser
from goldseam.models.heads import Start, TaskHeads
from goldseam.models.layers import resize
from goldseam.models.network import InitialNetwork
from goldseam.models.outputs import DENSE, Output, Preprocessing, one_logit, prediction
from goldseam.models.sampling import Noise, noise_from

__all__ = ["DENSE", "MultitaskModel", "Output", "Preprocessing", "TaskHeads"]

Randomness = torch.Generator | Noise | None


class MultitaskModel(InitialNetwork):
    """The initial network, and the denoiser where the configuration has one.

    Args:
        config: the architecture.
        tasks: what to predict, by name.
        preprocessing: of pixels and regression values.
        pretrained: whether a backbone that has weights of its own loads them; a checkpoint brings
            its own.

    Raises:
        InvalidConfig: a task's kind cannot be trained, or an option names no dense task.
    """

    def __init__(
        self,
        config: ModelConfig,
        tasks: Mapping[str, Task],
        preprocessing: Preprocessing,
        *,
        pretrained: bool = True,
    ) -> None:
        super().__init__(config, tasks, preprocessing, pretrained=pretrained)
        if config.diffusion is not None and self.dense:
            self._add_denoiser(config.diffusion)

    def _add_denoiser(self, diffusion: DiffusionConfig) -> None:
        channels, width = self.channels, self.config.network.decoder_width
        self._require_dense(diffusion.noise_scale, "diffusion.noise_scale")
        features = diffusion.variant == "feature"
        noised = dict.fromkeys(self.dense, width) if features else channels
        inner = diffusion.width or width
        self.denoiser = Denoiser(diffusion, noised, inner)
        if features and diffusion.own_head:
            self.final_heads = nn.ModuleDict(
                {task: nn.Conv2d(width, channels[task], 1) for task in self.dense}
            )
        if diffusion.condition != "none":
            maps = channels
            if diffusion.condition == "features":
                maps = dict.fromkeys(self.dense, width)
            self.condition = Condition(maps, inner, marks=diffusion.known_labels > 0)
        self.start_from_initial()

    @property
    def refines(self) -> bool:
        """True when the model has a denoiser."""
        return hasattr(self, "denoiser")

    @property
    def _takes_labels(self) -> bool:
        """True when known labels can stand in the condition."""
        return hasattr(self, "condition") and self.condition.marks

    def start_from_initial(self) -> None:
        """Copy the initial heads into the final heads: refinement begins as the identity."""
        if hasattr(self, "final_heads"):
            for task, head in self.final_heads.items():
                head.load_state_dict(self._heads(task).head.state_dict())

    def forward(
        self,
        images_B3HW: Tensor,
        known: Mapping[str, Tensor] | None = None,
        generator: Randomness = None,
        *,
        given: Mapping[str, Tensor] | None = None,
        without: Collection[str] = (),
        steps: int | None = None,
    ) -> Output:
        """Predict what is labeled.

        Args:
            images_B3HW: in [0, 1].
            known: task → bool B. A dense task is computed with gradients on its known images only;
                the others serve as condition. None means all.
            generator: source of the denoiser's noise; None for none.
            given: dense task → target of the batch, the ignore value or NaN where unknown: what
                stands there in place of the task's prediction in the condition of the other tasks.
                See `draw_given`.
            without: tasks whose condition channels are zero.
            steps: fewer than in training.

        Raises:
            InvalidConfig: an option names no dense task, or the model was not trained for it.
        """
        self._require_trained(given, without, steps)
        size = (images_B3HW.shape[-2], images_B3HW.shape[-1])
        starts, pooled_BZ = self._start(images_B3HW, known)
        final: dict[str, Tensor] = {}
        if self.refines:
            queries = self._queries(starts, given or {}, without)
            final = self._refine(starts, queries, generator, steps=steps)
        return Output(
            rows={
                task: torch.arange(start.raw_KChw.shape[0], device=start.raw_KChw.device)
                if start.rows_K is None
                else start.rows_K
                for task, start in starts.items()
            },
            initial={task: self._output(task, s.raw_KChw, size) for task, s in starts.items()},
            final={task: self._output(task, raw, size) for task, raw in final.items()},
            tags={task: head(pooled_BZ) for task, head in self.tags.items()},
        )

    def _output(self, task: str, raw_KChw: Tensor, size: tuple[int, int]) -> Tensor:
        return resize(one_logit(self.tasks[task], raw_KChw), size)

    def _require_trained(
        self, given: Mapping[str, Tensor] | None, without: Collection[str], steps: int | None
    ) -> None:
        """Refuse names that are no dense task's, and what the model was not trained for."""
        self._require_dense(without, "without")
        self._require_dense(given or (), "given")
        if given and not self._takes_labels:
            raise InvalidConfig(
                "labels were given, and this model was not trained to use them.",
                remedy="Train with train.diffusion.known_labels above 0, or give none.",
            )
        if steps is not None and not self.refines:
            raise InvalidConfig(
                f"{steps} denoising steps were asked for of a model without a denoiser.",
                remedy="Train with a 'diffusion' section, or leave the steps out.",
            )

    def _queries(
        self,
        starts: Mapping[str, Start],
        given: Mapping[str, Tensor],
        without: Collection[str],
    ) -> dict[str, Tensor] | None:
        """Condition tokens of each task's known images, `K E h w`; None without a condition."""
        if not hasattr(self, "condition"):
            return None
        maps = {
            task: start.map_BDhw for task, start in starts.items() if start.map_BDhw is not None
        }
        labels = label_maps(
            {task: (self.tasks[task], self.preprocessing.scale_of(task)) for task in given},
            given,
            maps,
        )
        rows = {task: start.rows_K for task, start in starts.items()}

        def tokens_of(some: Mapping[str, Tensor], shown: Labels) -> Tensor:
            return self.denoiser.condition_tokens(self.condition.combine(some, shown, without))

        return condition_queries(tokens_of, maps, labels, rows)

    def _refine(
        self,
        starts: Mapping[str, Start],
        queries: Mapping[str, Tensor] | None,
        generator: Randomness,
        *,
        steps: int | None = None,
        scale: float = 1.0,
    ) -> dict[str, Tensor]:
        """Outputs of the heads after the denoiser, `K C_t h w`, of tasks that have images."""
        assert self.config.diffusion is not None
        features = self.config.diffusion.variant == "feature"
        source = noise_from(generator) if isinstance(generator, torch.Generator) else generator
        refined: dict[str, Tensor] = self.denoiser(
            {
                task: start.features_KDhw if features else start.raw_KChw
                for task, start in starts.items()
                if start.raw_KChw.shape[0]  # len() would fix the batch size of an exported graph
            },
            {task: start.rows_K for task, start in starts.items()},
            queries,
            noise=source,
            scale=scale,
            steps=steps,
        )
        if not features:
            return refined
        own = hasattr(self, "final_heads")
        return {
            task: (self.final_heads[task] if own else self._heads(task).head)(x_KDhw)
            for task, x_KDhw in refined.items()
        }

    def draw_given(
        self,
        targets: Mapping[str, Tensor],
        known: Mapping[str, Tensor],
        generator: torch.Generator | None,
    ) -> dict[str, Tensor] | None:
        """Labels for `given` in a training step, drawn with `diffusion.known_labels`.

        Args:
            targets: task → target of the batch.
            known: task → bool B; what stands in other targets is never read.
            generator: source of the draws, before it gives the noise.

        Returns:
            dense task → target, unknown where not drawn; None for a model that takes no labels.
        """
        if not self._takes_labels:
            return None
        assert self.config.diffusion is not None
        tasks = {task: self.tasks[task] for task in self.dense}
        return draw_given(tasks, targets, known, self.config.diffusion.known_labels, generator)

    @torch.no_grad()
    def predict(
        self,
        images_B3HW: Tensor,
        *,
        initial: bool = False,
        steps: int | None = None,
        samples: int = 0,
        generator: Randomness = None,
        given: Mapping[str, Tensor] | None = None,
        without: Collection[str] = (),
    ) -> dict[str, Tensor]:
        """Predictions of every task; without noise, unless a generator is given.

        Args:
            images_B3HW: in [0, 1].
            initial: take the predictions before the denoiser, which then does not run.
            steps: fewer denoising steps than in training: the least noisy ones (`ddpm`), or some
                spaced evenly (`ddim`).
            samples: how many noisy runs to average; 0 runs once.
            generator: source of noise.
            given: known labels of some tasks, see `forward`; the others are predicted with them.
            without: tasks whose predictions the denoiser does not see.

        Returns:
            task → segmentation `B C H W` probabilities; boundary and saliency `B H W`
            probabilities; regression `B H W` in the task's unit; normals `B 3 H W` of length 1;
            tags `B C` probabilities.

        Raises:
            InvalidConfig: an option asks for what the model was not trained for.
        """
        self._require_trained(given, without, steps)
        if samples and self.refines and not initial:
            found = self.sample_predictions(
                images_B3HW, samples, generator, steps=steps, given=given, without=without
            )
            mean = {task: x_SB.mean(dim=0) for task, x_SB in found.items()}
            normals = [task for task in self.dense if self.tasks[task].kind is Kind.NORMALS]
            return mean | {task: F.normalize(mean[task], dim=1) for task in normals}
        size = (images_B3HW.shape[-2], images_B3HW.shape[-1])
        starts, pooled_BZ = self._start(images_B3HW, None)
        raw = {task: start.raw_KChw for task, start in starts.items()}
        if self.refines and not initial:
            queries = self._queries(starts, given or {}, without)
            raw = self._refine(starts, queries, generator, steps=steps)
        return self._predictions(raw, size) | self._tag_predictions(pooled_BZ)

    @torch.no_grad()
    def sample_predictions(
        self,
        images_B3HW: Tensor,
        samples: int,
        generator: Randomness,
        *,
        scale: float = 1.0,
        steps: int | None = None,
        given: Mapping[str, Tensor] | None = None,
        without: Collection[str] = (),
    ) -> dict[str, Tensor]:
        """Predictions under different noise; encoder and decoders run once.

        Args:
            images_B3HW: in [0, 1].
            samples: S.
            generator: source of noise.
            scale: factor on the noise of training: what is this small varies little by itself.
            steps: see `predict`.
            given: see `predict`.
            without: see `predict`.

        Returns:
            task → as `predict` has it, with S in front. Tags do not pass the denoiser: their
            samples are equal.

        Raises:
            InvalidConfig: the model has no denoiser, or there is nothing to draw from.
        """
        if not self.refines or generator is None or samples < 1:
            raise InvalidConfig(
                f"{samples} samples were asked for of a model "
                f"{'with' if self.refines else 'without'} a denoiser, "
                f"{'without' if generator is None else 'with'} a generator of noise.",
                remedy="Samples need a model that was trained with 'diffusion', a generator, and "
                "at least 1 of them.",
            )
        self._require_trained(given, without, steps)
        size = (images_B3HW.shape[-2], images_B3HW.shape[-1])
        starts, pooled_BZ = self._start(images_B3HW, None)
        queries = self._queries(starts, given or {}, without)
        drawn = [
            self._predictions(
                self._refine(starts, queries, generator, steps=steps, scale=scale), size
            )
            for _ in range(samples)
        ]
        dense = {task: torch.stack([sample[task] for sample in drawn]) for task in self.dense}
        tags = self._tag_predictions(pooled_BZ)
        return dense | {task: x_BC.expand(samples, *x_BC.shape) for task, x_BC in tags.items()}

    def _predictions(self, raw: Mapping[str, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
        return {
            task: prediction(
                self.tasks[task],
                self._output(task, raw_BChw, size),
                self.preprocessing.scale_of(task),
            )
            for task, raw_BChw in raw.items()
        }
