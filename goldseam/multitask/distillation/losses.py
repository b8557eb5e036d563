"""How far a student's predictions are from a teacher's.

Shapes: B batch, C categories, H and W pixels. The teacher looks at every image, so nothing here is
unknown and no label is read. Each loss is 0, and smallest, where the two agree.
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from goldseam.dataset.schema import Kind, Task

SMALLEST = 1e-7  # probability; keeps logarithms finite


def category_divergence(
    logits_BCHW: Tensor, teacher_BCHW: Tensor, temperature: float = 1.0
) -> Tensor:
    """KL divergence of the student's category probabilities from the teacher's, mean over pixels.

    Both are flattened by `temperature` T, and the divergence is multiplied by T squared, so that
    its gradient keeps its size. Source: Hinton, Vinyals and Dean 2015, sec. 2.

    Args:
        logits_BCHW: of the student.
        teacher_BCHW: probabilities, which may be 0.
        temperature: T.
    """
    # a softmax of log(p) / T is a softmax of the teacher's logits / T: what they lack cancels
    teacher_BCHW = (teacher_BCHW.clamp(min=SMALLEST).log() / temperature).log_softmax(dim=1)
    student_BCHW = (logits_BCHW / temperature).log_softmax(dim=1)
    divergence_BHW = F.kl_div(student_BCHW, teacher_BCHW, reduction="none", log_target=True).sum(1)
    return divergence_BHW.mean() * temperature**2


def probability_divergence(logits: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy against the teacher's probabilities, less their own entropy; any shape."""
    teacher = teacher.clamp(SMALLEST, 1 - SMALLEST)
    entropy = F.binary_cross_entropy(teacher, teacher)
    return F.binary_cross_entropy_with_logits(logits, teacher) - entropy


def value_difference(
    standardized_BHW: Tensor, teacher_BHW: Tensor, center: float, spread: float
) -> Tensor:
    """Mean absolute difference in units of `spread`; the teacher's values are in the task's own."""
    return (standardized_BHW - (teacher_BHW - center) / spread).abs().mean()


def direction_difference(vector_B3HW: Tensor, teacher_B3HW: Tensor) -> Tensor:
    """Mean of 1 - cosine; vectors may have any length."""
    return (1 - F.cosine_similarity(vector_B3HW, teacher_B3HW, dim=1)).mean()


def imitation_losses(
    outputs: Mapping[str, Tensor],
    predictions: Mapping[str, Tensor],
    tasks: Mapping[str, Task],
    values: Mapping[str, tuple[float, float]],
    temperature: float,
) -> dict[str, Tensor]:
    """Task → how far the student is from the teacher.

    Args:
        outputs: task → what the student's network gave for the whole batch; see `Output`.
        predictions: task → what the teacher's `predict` gave for the same images.
        tasks: by name.
        values: regression task → the student's (center, spread).
        temperature: of category probabilities.
    """
    losses: dict[str, Tensor] = {}
    for name, logits in outputs.items():
        scale = values.get(name, (0.0, 1.0))
        losses[name] = _difference(
            tasks[name].kind, logits.float(), predictions[name], scale, temperature
        )
    return losses


def _difference(
    kind: Kind, logits: Tensor, teacher: Tensor, scale: tuple[float, float], temperature: float
) -> Tensor:
    match kind:
        case Kind.SEGMENTATION:
            return category_divergence(logits, teacher, temperature)
        case Kind.NORMALS:
            return direction_difference(logits, teacher)
        case Kind.REGRESSION:
            return value_difference(logits[:, 0], teacher, *scale)
        case Kind.TAGS:
            return probability_divergence(logits, teacher)
        case _:
            return probability_divergence(logits[:, 0], teacher)
