"""How a model is trained, as a recipe says it."""

from typing import Literal

import pydantic

from goldseam.artifacts import StageConfig
from goldseam.models.config import NetworkConfig
from goldseam.trainer.tag_strategies import Ignore, TagStrategy


class OptimizerConfig(StageConfig):
    """Adam or AdamW, and the schedule of the learning rate.

    Attributes:
        name: `adamw` decays weights apart from the gradient, none on biases and norms; `adam` adds
            the decay of every parameter to its gradient (L2), as DiffusionMTL was published.
        steps: optimizer steps.
        batch_size: images a step, over all processes together.
        learning_rate: highest rate.
        transferred_rate: factor on the rate of weights that were copied from pretraining; the
            pilot on coast saw the gain of pretraining vanish where this rate was high.
        weight_decay: strength of the decay.
        schedule: `one_cycle` warms up and anneals to zero; `poly` falls from the first step as
            (1 - share done)^power; `constant` does neither.
        warmup: share of the steps that `one_cycle` warms up.
        power: exponent of `poly`.
        gradient_clip: largest L2 norm of the gradient.
        average: decay of the moving average of the weights, which is what validation scores and
            the checkpoint keeps; 0 turns it off.
    """

    name: Literal["adamw", "adam"] = "adamw"
    steps: int = pydantic.Field(default=500, ge=1)
    batch_size: int = pydantic.Field(default=16, ge=1)
    learning_rate: float = pydantic.Field(default=2e-3, gt=0)
    transferred_rate: float = pydantic.Field(default=1.0, ge=0)
    weight_decay: float = pydantic.Field(default=1e-4, ge=0)
    schedule: Literal["one_cycle", "poly", "constant"] = "one_cycle"
    warmup: float = pydantic.Field(default=0.1, ge=0, le=1)
    power: float = pydantic.Field(default=0.9, gt=0)
    gradient_clip: float = pydantic.Field(default=10.0, gt=0)
    average: float = pydantic.Field(default=0.0, ge=0, lt=1)


class LossConfig(StageConfig):
    """Weights and forms of the losses, and how those of several tasks are balanced.

    Attributes:
        weights: task → weight; 1 where not named. A balance multiplies its own weights by these.
        category_weights: segmentation task → weight of each category, in order.
        dice: weight of the Dice term beside cross-entropy.
        boundary_positive: weight of boundary pixels against the others. DiffusionMTL's 0.95 and
            0.05 are 19 here with a task weight of 0.05 times theirs.
        saliency: `plain` cross-entropy, or `balanced`: in each image, salient pixels count with the
            share of the others and the other way round (published).
        normals: `cosine` is 1 - cosine; `l1` is the absolute difference of unit vectors, summed
            over their three components (published).
        tags: what a tag that nobody labeled counts for: a label strategy, by its `name`, and its
            options; see `goldseam.trainer.tag_strategies.config`. By default for nothing.
        weighting: `label` takes a task's mean over everything that is labeled in the batch, so
            that each labeled pixel counts the same; `image` takes the mean within each image,
            times tasks / labeled tasks of that image, over the number of images (published): an
            image with few labels then weighs as much as one with many, each of its labels more.
        balance: `fixed` uses `weights` alone; `uncertainty` learns one variance a task (Kendall
            et al. 2018); `gradient_norm` learns weights under which the tasks' gradients are of
            like size (GradNorm, Chen et al. 2018).
        balance_rate: learning rate of the balance's own parameters, constant.
        gradient_norm_alpha: how much faster a task that lags behind is to learn; 0 makes all
            gradients equal.
    """

    weights: dict[str, float] = pydantic.Field(default_factory=dict)
    category_weights: dict[str, tuple[float, ...]] = pydantic.Field(default_factory=dict)
    dice: float = pydantic.Field(default=0.0, ge=0)
    boundary_positive: float = pydantic.Field(default=3.0, gt=0)
    saliency: Literal["plain", "balanced"] = "plain"
    normals: Literal["cosine", "l1"] = "cosine"
    tags: TagStrategy = Ignore()
    weighting: Literal["label", "image"] = "label"
    balance: Literal["fixed", "uncertainty", "gradient_norm"] = "fixed"
    balance_rate: float = pydantic.Field(default=0.025, gt=0)
    gradient_norm_alpha: float = pydantic.Field(default=1.5, ge=0)


class AugmentConfig(StageConfig):
    """Random changes of training samples; `goldseam.dataset.augmentation.Augmentation`.

    Attributes:
        symmetry: `square` for views from above, `flip` (left and right) for photographs, or `none`.
        brightness: largest shift, as part of the range of pixels.
        contrast: largest relative change.
        saturation: largest relative change.
        hue: largest rotation of the colors, degrees.
        color_share: how often each of these four happens.
        scale: smallest and largest factor of the size; regression values that are lengths, or in
            px, change with it; others stay.
        crop: height and width of the window that is cut out, px; [0, 0] takes the whole sample. Of
            an image that is cut, tags that are present become unknown.
        largest_category: share of one category that a window may show before another is drawn.
    """

    symmetry: Literal["square", "flip", "none"] = "square"
    brightness: float = pydantic.Field(default=0.0, ge=0, le=1)
    contrast: float = pydantic.Field(default=0.0, ge=0, le=1)
    saturation: float = pydantic.Field(default=0.0, ge=0, le=1)
    hue: float = pydantic.Field(default=0.0, ge=0, le=180)
    color_share: float = pydantic.Field(default=1.0, ge=0, le=1)
    scale: tuple[float, float] = (1.0, 1.0)
    crop: tuple[int, int] = (0, 0)
    largest_category: float = pydantic.Field(default=1.0, ge=0, le=1)


class LoopConfig(StageConfig):
    """What surrounds the optimizer.

    Attributes:
        seed: of initialization, order, augmentation and noise.
        device: `auto` is CUDA where there is one.
        precision: `bf16` runs forward passes in bfloat16 autocast.
        channels_last: lays channels beside each other in memory, where convolutions are fastest.
        compile: compiles the network's parts with torch.compile; the first steps take minutes.
        augment: random changes of training samples.
        evaluate_every: steps between validations; the best one's weights are kept.
        checkpoint_every: steps between states from which a killed run goes on.
        log_every: steps between the numbers that are written to MLflow, where a run is recorded.
        log_gradients: at each validation, log the cosine between the tasks' gradients on the last
            layer that they share; costs one more backward pass through each task's own layers.
        select: validation metrics whose mean decides which weights are best; an error counts as
            1 - error / spread of the labels.
    """

    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    channels_last: bool = True
    compile: bool = False
    augment: AugmentConfig = AugmentConfig()
    evaluate_every: int = pydantic.Field(default=100, ge=1)
    checkpoint_every: int = pydantic.Field(default=50, ge=1)
    log_every: int = pydantic.Field(default=10, ge=1)
    log_gradients: bool = False
    select: tuple[str, ...] = ()


class LearningConfig(StageConfig):
    """What every stage that learns has.

    Attributes:
        network: the part that pretraining hands to training.
        optimizer: steps and rates.
        loss: weights, forms and balance.
        loop: seed, device, how often to validate and to save.
    """

    network: NetworkConfig = NetworkConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    loss: LossConfig = LossConfig()
    loop: LoopConfig = LoopConfig()
