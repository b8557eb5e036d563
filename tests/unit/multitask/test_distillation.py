"""The student learns from the teacher on every image, and never from a label that is unknown."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from goldseam.dataset.loading import evaluation_batches
from goldseam.dataset.memory import TrainingTable
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.schema import Kind
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import InvalidConfig
from goldseam.models.checkpoint import load_checkpoint
from goldseam.models.config import DiffusionConfig, EncoderConfig, NetworkConfig
from goldseam.multitask.distillation import DistilConfig, distil
from goldseam.multitask.distillation.losses import (
    category_divergence,
    direction_difference,
    imitation_losses,
    probability_divergence,
    value_difference,
)
from goldseam.multitask.distillation.objective import Distillation
from goldseam.multitask.distillation.samples import EveryImage
from goldseam.trainer.config import LoopConfig, LossConfig, OptimizerConfig
from goldseam.trainer.losses import MultitaskLoss
from goldseam.trainer.objective import StepContext
from tests.conftest import disc_info, discs
from tests.unit.conftest import Killed

TASKS = ("cover", "edge", "relief", "tags")
NETWORK = NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8)


def options(steps: int = 8, **more) -> DistilConfig:
    return DistilConfig(
        optimizer=OptimizerConfig(steps=steps, batch_size=8, **more.pop("optimizer", {})),
        loop=LoopConfig(evaluate_every=4, checkpoint_every=3),
        **more,
    )


@pytest.fixture(scope="module")
def teacher(disc_models) -> Path:
    return disc_models["pipeline"]


@pytest.fixture(scope="module")
def partly_labeled(tmp_path_factory) -> Dataset:
    """As `disc_data`, with 12 training images on which nobody has looked at anything."""
    blank = [
        Sample(image_id=s.image_id, image=s.image, group=s.group, labels={}, sources={})
        for s in discs(7, 12, partial=False)
    ]
    out = tmp_path_factory.mktemp("unlabeled") / "d"
    train = [*discs(1, 24, partial=True), *blank]
    write_dataset(out, disc_info(), {"train": train, "validation": discs(2, 8, partial=False)})
    return open_dataset(out)


def disagreement(model, teacher, dataset) -> float:
    """Summed over tasks, on validation images."""
    batch = next(evaluation_batches(dataset, "validation", list(TASKS), 64))
    with torch.no_grad():
        output = model.eval()(batch.images_BCHW)
        losses = imitation_losses(
            {**output.initial, **output.final, **output.tags},
            teacher.predict(batch.images_BCHW),
            model.tasks,
            model.preprocessing.values,
            1.0,
        )
    assert set(losses) == set(TASKS)
    return sum(float(loss) for loss in losses.values())


def test_a_student_comes_to_agree_with_its_teacher(tmp_path, disc_data, teacher):
    barely = distil(
        options(steps=1, optimizer={"learning_rate": 1e-9}), disc_data, teacher, tmp_path / "a"
    )
    learned = distil(
        options(steps=80, optimizer={"learning_rate": 5e-3}), disc_data, teacher, tmp_path / "b"
    )
    assert learned.steps == 80
    theirs = load_checkpoint(teacher)
    before, after = (
        disagreement(load_checkpoint(Path(result.checkpoint)), theirs, disc_data)
        for result in (barely, learned)
    )
    assert after < 0.5 * before
    first, last = learned.history[0], learned.history[-1]
    for task in TASKS:
        assert last[f"loss.{task}.teacher"] < first[f"loss.{task}.teacher"] + 0.02
    assert last["loss"] < first["loss"]
    student = load_checkpoint(Path(learned.checkpoint))
    assert theirs.refines
    assert not student.refines
    assert student.config.network == theirs.config.network


def test_the_same_run_after_a_kill_and_the_same_digest(tmp_path, disc_data, teacher, steps):
    config = options(diffusion=DiffusionConfig(steps=1, token_width=16, token_stride=4))
    straight = distil(config, disc_data, teacher, tmp_path / "straight")
    before = steps.begun
    steps.fatal = before + 5
    with pytest.raises(Killed):
        distil(config, disc_data, teacher, tmp_path / "killed")
    resumed = distil(config, disc_data, teacher, tmp_path / "killed")
    assert steps.begun - before == 5 + 5  # it went on after step 3
    assert resumed.digest == straight.digest
    assert load_checkpoint(Path(resumed.checkpoint)).refines


def test_the_teacher_stays_as_it_is(tmp_path, disc_data, teacher):
    theirs = load_checkpoint(teacher)
    before = {name: value.clone() for name, value in theirs.state_dict().items()}
    model, losses, _ = one_step(disc_data, theirs)
    torch.stack(list(losses.values())).sum().backward()
    assert all(parameter.grad is None for parameter in theirs.parameters())
    assert any(parameter.grad is not None for parameter in model.parameters())
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in before.items())
    assert not theirs.training


def one_step(dataset, theirs, change=None, **config):
    """A model with every parameter's gradient set, and the losses of one step on partial labels."""
    torch.manual_seed(0)
    model = load_checkpoint_copy(theirs)
    batch = next(evaluation_batches(dataset, "train", list(TASKS), 24))
    if change is not None:
        change(batch.targets, batch.known)
    loss = MultitaskLoss(model.tasks, LossConfig(), model.preprocessing.values, 0.5)
    objective = Distillation(loss, theirs, DistilConfig(**config))
    losses = objective(model, batch, StepContext(step=0, steps=10))
    return model, losses, batch


def load_checkpoint_copy(theirs):
    import copy

    model = copy.deepcopy(theirs).requires_grad_(True).train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def test_what_stands_in_an_unknown_label_changes_no_loss_and_no_gradient(disc_data, teacher):
    def scramble(targets, known):
        random = torch.Generator().manual_seed(1)
        for task, target in targets.items():
            rows = ~known[task]
            assert rows.any()
            if target.is_floating_point():
                target[rows] = torch.randn(target[rows].shape, generator=random) * 50
            else:
                filled = torch.randint(0, 2, target[rows].shape, generator=random)
                target[rows] = filled.to(target.dtype)

    results = []
    for change in (None, scramble):
        model, losses, _ = one_step(disc_data, load_checkpoint(teacher), change)
        torch.stack(list(losses.values())).sum().backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        results.append((losses, gradients))
    (plain, plain_gradients), (scrambled, scrambled_gradients) = results
    assert plain.keys() == scrambled.keys()
    assert {"cover", "cover.initial", "cover.teacher", "tags", "tags.teacher"} <= plain.keys()
    assert all(torch.equal(plain[name], scrambled[name]) for name in plain)
    for one, other in zip(plain_gradients, scrambled_gradients, strict=True):
        assert torch.equal(one, other)


def test_a_known_label_does_change_the_loss(disc_data, teacher):
    def shift(targets, known):
        targets["relief"][known["relief"]] += 1

    _, plain, _ = one_step(disc_data, load_checkpoint(teacher))
    _, shifted, _ = one_step(disc_data, load_checkpoint(teacher), shift)
    assert plain["relief"] != shifted["relief"]
    assert torch.equal(plain["relief.teacher"], shifted["relief.teacher"])


def test_weights_scale_their_losses_and_no_labels_means_no_label_losses(disc_data, teacher):
    _, plain, _ = one_step(disc_data, load_checkpoint(teacher))
    _, alone, _ = one_step(disc_data, load_checkpoint(teacher), label_weight=0, teacher_weight=2)
    assert set(alone) == {f"{task}.teacher" for task in TASKS}
    for name, loss in alone.items():
        torch.testing.assert_close(loss, 2 * plain[name])


def test_every_image_is_drawn_once_an_epoch_labeled_or_not(partly_labeled, tmp_path):
    table = TrainingTable(partly_labeled, "train", list(TASKS), cache=tmp_path)
    assert len(table) == 24
    every = EveryImage(table)
    assert len(every) == 36
    order = every.order(6, seed=3, balance=True)
    drawn = [row for step in range(6) for row in order.batch(step)]
    assert sorted(drawn) == list(range(36))
    unlabeled = every[30]
    assert all(label is None for label in unlabeled.labels.values())


def test_a_batch_without_any_label_still_teaches(partly_labeled, teacher):
    rows = [24, 25, 26]
    batch = next(evaluation_batches(partly_labeled, "train", list(TASKS), 3, rows=rows))
    assert not any(known.any() for known in batch.known.values())
    theirs = load_checkpoint(teacher)
    model = load_checkpoint_copy(theirs)
    loss = MultitaskLoss(model.tasks, LossConfig(), model.preprocessing.values, 0.5)
    losses = Distillation(loss, theirs, DistilConfig())(model, batch, StepContext(0, 10))
    assert all(losses[f"{task}.teacher"].item() > 0 for task in TASKS)
    assert all(x.item() == 0 for name, x in losses.items() if not name.endswith(".teacher"))


def test_images_without_labels_change_the_student(tmp_path, partly_labeled, teacher):
    with_them = distil(options(), partly_labeled, teacher, tmp_path / "a")
    write_dataset(
        tmp_path / "d",
        disc_info(),
        {"train": discs(1, 24, partial=True), "validation": discs(2, 8, partial=False)},
    )
    without = distil(options(), open_dataset(tmp_path / "d"), teacher, tmp_path / "b")
    assert with_them.digest != without.digest


def test_tasks_that_the_teacher_lacks_or_means_otherwise(tmp_path, disc_data, disc_models, teacher):
    with pytest.raises(InvalidConfig, match="does not predict task 'edge'"):
        distil(options(tasks=("edge",)), disc_data, disc_models["noisy_direct"], tmp_path / "a")
    info = disc_info()
    cover = info.tasks["cover"].model_copy(update={"categories": ("ground", "disk", "rod")})
    tasks = {**info.tasks, "cover": cover}
    del tasks["cover_map"]
    samples = [
        Sample(
            image_id=s.image_id,
            image=s.image,
            group=s.group,
            labels={"cover": s.labels["cover"]},
            sources={"cover": "human"},
        )
        for s in discs(1, 4, partial=False)
    ]
    write_dataset(tmp_path / "d", info.model_copy(update={"tasks": tasks}), {"train": samples})
    with pytest.raises(InvalidConfig, match="task 'cover' has categories"):
        distil(options(), open_dataset(tmp_path / "d"), teacher, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_another_network_needs_a_student_of_its_own(tmp_path, disc_data, teacher):
    wider = NetworkConfig(encoder=EncoderConfig(width=16, levels=2), decoder_width=8)
    with pytest.raises(InvalidConfig, match="another network"):
        distil(options(network=wider), disc_data, teacher, tmp_path / "a")
    result = distil(
        options(steps=2, network=wider, student="own"), disc_data, teacher, tmp_path / "b"
    )
    assert load_checkpoint(Path(result.checkpoint)).config.network == wider
    same = distil(options(steps=2, network=NETWORK), disc_data, teacher, tmp_path / "c")
    assert load_checkpoint(Path(same.checkpoint)).config.network == NETWORK


def test_a_student_may_learn_some_of_the_tasks(tmp_path, disc_data, teacher):
    result = distil(options(steps=2, tasks=("relief",)), disc_data, teacher, tmp_path / "a")
    assert tuple(load_checkpoint(Path(result.checkpoint)).tasks) == ("relief",)


def test_a_student_of_one_step_begins_with_the_denoiser_of_its_teacher(
    tmp_path, disc_data, teacher
):
    theirs = load_checkpoint(teacher)
    for form, copied in ({}, True), ({"blocks": 1}, False):
        diffusion = theirs.config.diffusion.model_copy(update={"steps": 1, **form})
        config = options(steps=1, diffusion=diffusion, optimizer={"learning_rate": 1e-12})
        result = distil(config, disc_data, teacher, tmp_path / str(copied))
        weights = load_checkpoint(Path(result.checkpoint)).denoiser.state_dict()
        same = [
            torch.allclose(value, theirs.denoiser.state_dict()[name], atol=1e-6)
            for name, value in weights.items()
        ]
        assert all(same) == copied


def test_divergences_are_zero_where_both_agree_and_equal_the_textbook():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 5, 6, generator=random, dtype=torch.float64)
    theirs = torch.randn(3, 4, 5, 6, generator=random, dtype=torch.float64)
    for temperature in (1.0, 2.0):
        expected = F.kl_div(
            (logits / temperature).log_softmax(1),
            (theirs / temperature).softmax(1),
            reduction="sum",
        ) * (temperature**2 / (3 * 5 * 6))
        found = category_divergence(logits, theirs.softmax(1), temperature)
        torch.testing.assert_close(found, expected)
        assert abs(float(category_divergence(logits, logits.softmax(1), temperature))) < 1e-12
    p, q = theirs.sigmoid(), logits.sigmoid()
    expected = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    torch.testing.assert_close(probability_divergence(logits, p), expected)
    assert abs(float(probability_divergence(logits, q))) < 1e-12


def test_certain_teachers_give_finite_gradients():
    logits = torch.zeros(1, 3, 2, 2, requires_grad=True)
    certain = F.one_hot(torch.zeros(1, 2, 2, dtype=torch.long), 3).movedim(3, 1).float()
    loss = category_divergence(logits, certain, 4.0) + probability_divergence(logits, certain)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_values_are_compared_in_the_units_of_their_spread():
    student = torch.tensor([[[0.5, -1.0]]])
    meters = torch.tensor([[[12.0, 8.0]]])
    assert float(value_difference(student, meters, center=10.0, spread=2.0)) == pytest.approx(
        np.mean([0.5, 0.0])
    )


def test_directions_are_compared_whatever_their_length():
    one, other = torch.zeros(1, 3, 1, 2), torch.zeros(1, 3, 1, 2)
    one[0, 0] = 5.0
    other[0, 0, 0, 0], other[0, 1, 0, 1] = 0.1, 2.0
    assert float(direction_difference(one, other)) == pytest.approx(0.5)


def test_every_kind_that_can_be_trained_has_a_loss(disc_data):
    from goldseam.dataset.schema import Task

    tasks = {
        "n": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
        "s": Task(kind=Kind.SALIENCY),
    }
    outputs = {"n": torch.randn(2, 3, 4, 4), "s": torch.randn(2, 1, 4, 4)}
    predictions = {"n": outputs["n"].clone(), "s": outputs["s"][:, 0].sigmoid()}
    losses = imitation_losses(outputs, predictions, tasks, {}, 1.0)
    assert all(float(loss) == pytest.approx(0, abs=1e-5) for loss in losses.values())


def test_copied_heads_keep_the_units_they_were_learned_in(tmp_path, teacher, partly_labeled):
    theirs = load_checkpoint(teacher).preprocessing.values
    made = distil(options(steps=1), partly_labeled, teacher, tmp_path / "copied")
    assert load_checkpoint(made.folder / "checkpoint").preprocessing.values == theirs
    fresh = options(steps=1, student="own", network=NETWORK)
    made = distil(fresh, partly_labeled, teacher, tmp_path / "fresh")
    assert load_checkpoint(made.folder / "checkpoint").preprocessing.values != theirs
