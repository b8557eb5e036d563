"""The teacher speaks where nobody has looked, and only of what it is sure of."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from goldseam.dataset.batch import Batch
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig
from goldseam.models.config import DiffusionConfig, EncoderConfig, ModelConfig, NetworkConfig
from goldseam.models.multitask import MultitaskModel, Output, Preprocessing
from goldseam.multitask import objective as objective_module
from goldseam.multitask.config import TeacherConfig
from goldseam.multitask.objective import Combined
from goldseam.multitask.photometry import Photometry
from goldseam.multitask.teacher import MeanTeacher
from goldseam.multitask.terms import Seen, ramp
from goldseam.trainer.config import LossConfig
from goldseam.trainer.losses import MultitaskLoss
from goldseam.trainer.objective import StepContext, Supervised

TASKS = {
    "cover": Task(kind=Kind.SEGMENTATION, categories=("a", "b", "c")),
    "edge": Task(kind=Kind.BOUNDARY),
    "relief": Task(kind=Kind.REGRESSION, unit="m"),
    "facing": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
    "tags": Task(kind=Kind.TAGS, categories=("x", "y")),
}
VALUES = {"relief": (2.0, 0.5)}
KNOWN = {
    "cover": [True, False, False, False],
    "edge": [False, True, False, False],
    "relief": [False, True, True, False],
    "facing": [False, False, False, True],
    "tags": [True, True, False, False],
}
SIZE = 8


def targets(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (4, SIZE, SIZE)
    return {
        "cover": torch.randint(0, 3, shape, generator=generator),
        "edge": torch.randint(0, 2, shape, generator=generator),
        "relief": torch.rand(shape, generator=generator) + 1.5,
        "facing": F.normalize(torch.randn(4, 3, SIZE, SIZE, generator=generator), dim=1),
        "tags": torch.randint(0, 2, (4, 2), generator=generator).to(torch.int8),
    }


def batch(unknown: str = "as collated", seed: int = 1) -> Batch:
    """`unknown` says what stands in targets that are unknown."""
    known = {task: torch.tensor(flags) for task, flags in KNOWN.items()}
    filled, poison = targets(seed), targets(99)
    nothing = {"cover": 255, "edge": 255, "relief": math.nan, "facing": math.nan, "tags": -1}
    for task, known_B in known.items():
        filled[task][~known_B] = (
            poison[task][~known_B] if unknown == "other labels" else nothing[task]
        )
    filled["tags"][1, 0] = -1  # known image, unknown tag
    images = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    return Batch(
        image_ids=list("abcd"), groups=list("abcd"), images_BCHW=images,
        targets=filled, boxes={}, captions={}, known=known,
    )  # fmt: skip


def model(diffusion: DiffusionConfig | None = None) -> MultitaskModel:
    torch.manual_seed(0)
    network = NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8)
    config = ModelConfig(network=network, diffusion=diffusion)
    return MultitaskModel(config, TASKS, Preprocessing(values=VALUES))


def supervised() -> MultitaskLoss:
    return MultitaskLoss(TASKS, LossConfig(), VALUES, 0.5)


def context(average: object, step: int = 60) -> StepContext:
    return StepContext(step=step, steps=100, average=average)


class Fixed:
    """A teacher whose predictions, of an image and of its mirror image, are given."""

    def __init__(self, straight, mirrored=None) -> None:
        self.answers = [straight, mirrored]

    def predict(self, images_BCHW):
        del images_BCHW
        return self.answers.pop(0)


def losses_of(config: TeacherConfig, teacher, logits, made: Batch) -> dict[str, torch.Tensor]:
    term = MeanTeacher(config, TASKS, VALUES)
    dense = {task: x for task, x in logits.items() if task != "tags"}
    output = Output(
        rows={task: torch.arange(4) for task in dense},
        initial=dense,
        final={},
        tags={task: x for task, x in logits.items() if task == "tags"},
    )
    return term.losses(Seen(SimpleNamespace(), output), made, context(teacher))


def test_segmentation_counts_sure_pixels_of_unlabeled_images_only():
    random = torch.Generator().manual_seed(3)
    logits = {"cover": torch.randn(4, 3, SIZE, SIZE, generator=random)}
    taught = torch.full((4, 3, SIZE, SIZE), 0.05)
    taught[:, 1] = 0.9
    taught[:, :, 0] = 1 / 3  # the first row is anybody's guess
    found = losses_of(
        TeacherConfig(weight=2.0, confidence=0.9, tasks=("cover",)),
        Fixed({"cover": taught}), logits, batch(),
    )  # fmt: skip
    loss_KHW = -(taught * logits["cover"].log_softmax(dim=1)).sum(dim=1)[1:]
    expected = 2.0 * loss_KHW[:, 1:].sum() / loss_KHW.numel()
    torch.testing.assert_close(found, {"cover.teacher": expected})


def test_boundaries_and_tags_are_sure_of_absence_as_of_presence():
    edge = torch.zeros(4, 1, SIZE, SIZE)
    tags = torch.zeros(4, 2)
    taught = {
        "edge": torch.tensor([0.97, 0.5, 0.03, 0.6])[:, None, None].expand(4, SIZE, SIZE),
        "tags": torch.tensor([[0.99, 0.01], [0.98, 0.02], [0.5, 0.96], [0.6, 0.4]]),
    }
    config = TeacherConfig(weight=1.0, confidence=0.95, tasks=("edge", "tags"))
    found = losses_of(config, Fixed(taught), {"edge": edge, "tags": tags}, batch())
    # at logit 0 the loss is log 2 whatever the target: two of the three unlabeled images count
    assert found["edge.teacher"].item() == pytest.approx(math.log(2) * 2 / 3, rel=1e-5)
    # unknown tags: one of the second image, both of the last two; sure: the first and one of these
    assert found["tags.teacher"].item() == pytest.approx(math.log(2) * 2 / 5, rel=1e-5)


def test_values_and_normals_count_where_the_mirrored_image_says_the_same():
    config = TeacherConfig(weight=1.0, confidence=0.8, tasks=("relief", "facing"))
    straight = {
        "relief": torch.full((4, SIZE, SIZE), 2.0),
        "facing": F.normalize(torch.tensor([0.6, 0.0, 0.8]), dim=0)[None, :, None, None].repeat(
            4, 1, SIZE, SIZE
        ),
    }
    # as predicted from the mirrored image: columns mirrored, x the other way round
    mirrored = {"relief": straight["relief"].clone(), "facing": straight["facing"].clone()}
    mirrored["facing"][:, 0] *= -1
    mirrored["relief"][:, :, : SIZE // 2] += 0.2  # seen in the right half; beyond 0.2 x spread
    mirrored["facing"][:, 0, :, : SIZE // 2] = 0.0
    mirrored["facing"][:, 2, :, : SIZE // 2] = 1.0  # 37° away, more than 18°
    logits = {
        "relief": torch.full((4, 1, SIZE, SIZE), 1.0),
        "facing": torch.tensor([0.0, 0.0, 5.0])[None, :, None, None].repeat(4, 1, SIZE, SIZE),
    }
    found = losses_of(config, Fixed(straight, mirrored), logits, batch())
    # half the pixels count: |1 - (2 - 2) / 0.5| = 1, and 1 - 0.8
    assert found["relief.teacher"].item() == pytest.approx(0.5, rel=1e-5)
    assert found["facing.teacher"].item() == pytest.approx(0.5 * 0.2, rel=1e-5)


def test_the_weight_rises_over_the_ramp():
    assert ramp(0.0, 0.3) == pytest.approx(math.exp(-5))
    assert ramp(0.15, 0.3) == pytest.approx(math.exp(-5 / 4))
    assert ramp(0.3, 0.3) == ramp(0.9, 0.3) == ramp(0.0, 0.0) == 1.0


@pytest.mark.parametrize("diffusion", [None, DiffusionConfig(token_width=16, token_stride=4)])
def test_what_stands_in_unknown_labels_changes_no_loss_and_no_gradient(diffusion):
    gradients = []
    for unknown in ("as collated", "other labels"):
        student = model(diffusion)
        teacher = copy.deepcopy(student).eval()
        term = MeanTeacher(TeacherConfig(weight=1.0, confidence=0.3), TASKS, VALUES)
        objective = Combined(supervised(), [term], Photometry(0.5, seed=4))
        found = objective(student, batch(unknown), context(teacher))
        torch.stack(list(found.values())).sum().backward()
        gradients.append((found, [p.grad for p in student.parameters()]))
    (first, mine), (second, theirs) = gradients
    assert {f"{task}.teacher" for task in TASKS} <= set(first)
    assert all(torch.equal(first[name], second[name]) for name in second)
    for one, other in zip(mine, theirs, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)


def test_the_teacher_gets_no_gradient():
    student = model()
    teacher = copy.deepcopy(student).eval()
    term = MeanTeacher(TeacherConfig(weight=1.0, confidence=0.0), TASKS, VALUES)
    found = Combined(supervised(), [term])(student, batch(), context(teacher))
    torch.stack([loss for name, loss in found.items() if "teacher" in name]).sum().backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert any(parameter.grad is not None for parameter in student.parameters())


def test_losses_of_known_labels_stay_what_they_are():
    student = model()
    teacher = copy.deepcopy(student).eval()
    plain = Supervised(supervised())(student, batch(), context(None))
    term = MeanTeacher(TeacherConfig(weight=1.0), TASKS, VALUES)
    found = Combined(supervised(), [term])(student, batch(), context(teacher))
    torch.testing.assert_close({name: found[name] for name in plain}, plain)
    alone = Combined(supervised(), [])(student, batch(), context(None))
    assert all(torch.equal(alone[name], plain[name]) for name in plain)  # to the bit
    assert set(alone) == set(plain)


def test_the_teacher_pulls_the_student_towards_itself_on_unlabeled_images():
    student = model()
    with torch.no_grad():
        teacher = copy.deepcopy(student).eval()
        for parameter in teacher.parameters():
            seeded = torch.Generator().manual_seed(parameter.numel())
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=seeded))
    term = MeanTeacher(TeacherConfig(weight=1.0, confidence=0.0), TASKS, VALUES)
    optimizer = torch.optim.Adam(student.parameters(), 5e-3)
    history = []
    for _ in range(25):
        found = Combined(supervised(), [term])(student, batch(), context(teacher))
        value = torch.stack([x for name, x in found.items() if "teacher" in name]).sum()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        history.append(value.item())
    assert history[-1] < 0.8 * history[0]


def test_only_the_named_tasks_are_computed_beyond_their_labels():
    term = MeanTeacher(TeacherConfig(weight=1.0, tasks=("relief",)), TASKS, VALUES)
    wanted = term.images({task: torch.tensor(flags) for task, flags in KNOWN.items()})
    assert list(wanted) == ["relief"]
    assert wanted["relief"].all()


def test_without_a_moving_average_there_is_no_teacher():
    term = MeanTeacher(TeacherConfig(weight=1.0), TASKS, VALUES)
    with pytest.raises(InvalidConfig, match="moving average"):
        Combined(supervised(), [term])(model(), batch(), context(None))


def test_normals_along_other_axes_are_refused():
    tasks = {**TASKS, "facing": Task(kind=Kind.NORMALS, axes="z up, x north, y west")}
    with pytest.raises(InvalidConfig, match="mirrored image, and task 'facing'"):
        MeanTeacher(TeacherConfig(weight=1.0), tasks, VALUES)
    MeanTeacher(TeacherConfig(weight=1.0, tasks=("cover",)), tasks, VALUES)


def test_everything_known_leaves_nothing_to_teach():
    made = batch()
    for task in TASKS:
        made.known[task][:] = True
    made.targets["tags"][:] = 1
    term = MeanTeacher(TeacherConfig(weight=1.0), TASKS, VALUES)
    found = Combined(supervised(), [term])(model(), made, context(Fixed(None)))
    assert not [name for name in found if "teacher" in name]


def test_a_process_names_the_losses_that_only_another_one_has(monkeypatch):
    # balances exchange one gradient a task: processes that name different tasks would never meet
    made = batch()
    made.known["cover"][:] = True
    student = model()
    teacher = copy.deepcopy(student).eval()
    asked = []

    def anywhere(flags):
        asked.append(list(flags))
        return [True] * len(flags)

    monkeypatch.setattr(objective_module, "world_size", lambda: 2)
    monkeypatch.setattr(objective_module, "anywhere", anywhere)
    term = MeanTeacher(TeacherConfig(weight=1.0), TASKS, VALUES)
    found = Combined(supervised(), [term])(student, made, context(teacher))
    assert asked == [[False, True, True, True, True]]
    assert [name for name in found if "teacher" in name] == [f"{task}.teacher" for task in TASKS]
    assert found["cover.teacher"] == 0
    found["cover.teacher"].backward()
    gradients = [p.grad for p in student.parameters() if p.grad is not None]
    assert gradients
    assert not any(gradient.any() for gradient in gradients)


def test_photometry_is_a_function_of_seed_and_step():
    images = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    change = Photometry(0.7, seed=1)
    assert torch.equal(change(images, 5), change(images, 5))
    assert not torch.equal(change(images, 5), change(images, 6))
    assert not torch.equal(change(images, 5), Photometry(0.7, seed=2)(images, 5))
    assert change(images, 5).min() >= 0
    assert change(images, 5).max() <= 1
    torch.testing.assert_close(Photometry(0.0, seed=1)(images, 5), images.clamp(min=1e-4))
    # each image is changed in its own way, and its parts stay in their places
    changed = np.asarray(change(images, 5))
    for before, after in zip(np.asarray(images), changed, strict=True):
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.8
