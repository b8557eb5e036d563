"""What the model promises: known images only, exact grouping, refinement from the identity."""

import pytest
import torch

from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig
from goldseam.models.config import DiffusionConfig
from tests.unit.models.conftest import BATCH, TASKS, awaken, build

DIFFUSION = DiffusionConfig(token_width=16, token_stride=4)


def test_a_new_model_refines_by_the_identity(images_B3HW):
    output = build(DIFFUSION)(images_B3HW)
    for task, logits in output.initial.items():
        assert torch.allclose(output.final[task], logits, atol=1e-6)


def test_residual_none_does_not_start_at_the_identity(images_B3HW):
    output = build(DIFFUSION.model_copy(update={"residual": "none"}))(images_B3HW)
    assert not torch.allclose(output.final["cover"], output.initial["cover"], atol=1e-3)


@pytest.mark.parametrize("diffusion", [None, DIFFUSION])
def test_known_images_get_what_they_get_alone(images_B3HW, known, diffusion):
    """One denoiser call a task over its labeled images equals one call an (image, task) pair."""
    model = build(diffusion)
    if diffusion:
        awaken(model)
    together = model(images_B3HW, known)
    everything = model(images_B3HW)
    found = "final" if diffusion else "initial"
    for task in ("cover", "edge"):
        rows = together.rows[task]
        assert rows.tolist() == known[task].nonzero()[:, 0].tolist()
        for place, row in enumerate(rows.tolist()):
            alone = getattr(model(images_B3HW[row : row + 1]), found)[task][0]
            assert torch.allclose(getattr(together, found)[task][place], alone, atol=1e-5)
            assert torch.allclose(getattr(everything, found)[task][row], alone, atol=1e-5)
    assert len(together.rows["relief"]) == 0


def test_gradients_equal_those_of_the_per_pair_loop(images_B3HW, known):
    model = awaken(build(DIFFUSION))

    def gradients(pairs):
        model.zero_grad()
        output = model(images_B3HW, known) if pairs is None else None
        if output is not None:
            loss = sum(logits.square().sum() for logits in output.final.values())
        else:
            loss = torch.zeros(())
            for task in ("cover", "edge"):
                for row in known[task].nonzero()[:, 0].tolist():
                    loss = loss + model(images_B3HW[row : row + 1]).final[task].square().sum()
        loss.backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    grouped, naive = gradients(None), gradients("loop")
    for name, gradient in grouped.items():
        if name in naive:
            assert torch.allclose(gradient, naive[name], rtol=1e-3, atol=1e-4), name


def test_a_task_without_labels_learns_nothing_from_the_final_loss(images_B3HW, known):
    model = awaken(build(DIFFUSION))
    output = model(images_B3HW, known)
    sum(logits.square().sum() for logits in output.final.values()).backward()
    for name, parameter in model.named_parameters():
        if name.startswith(("heads.relief", "final_heads.relief", "denoiser.after.relief")):
            assert parameter.grad is None or not parameter.grad.any(), name
    assert model.encoder.levels[0][0][0].weight.grad.any()


def test_the_condition_is_detached_from_the_predictions_but_trains_its_convolution(
    images_B3HW, known
):
    model = awaken(build(DIFFUSION))
    model(images_B3HW, known).final["cover"].square().sum().backward()
    assert model.condition.weight.grad.any()
    # the initial head of cover reaches the final loss through the condition alone
    head = model.heads["cover"].head
    assert head.weight.grad is None or not head.weight.grad.any()


def test_other_tasks_predictions_matter_only_with_conditioning(images_B3HW):
    def change(condition: str) -> float:
        model = awaken(build(DIFFUSION.model_copy(update={"condition": condition})))
        before = model(images_B3HW).final["cover"]
        with torch.no_grad():
            model.heads["relief"].head.bias += 5
        return (model(images_B3HW).final["cover"] - before).abs().max().item()

    assert change("predictions") > 1e-4
    assert change("none") == 0


def test_noise_is_off_without_a_generator_and_repeatable_with_one(images_B3HW):
    model = awaken(build(DIFFUSION))

    def run(seed: int | None) -> torch.Tensor:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return model(images_B3HW, None, generator).final["cover"]

    assert torch.equal(run(None), run(None))
    assert torch.equal(run(3), run(3))
    assert not torch.equal(run(3), run(4))
    assert not torch.equal(run(3), run(None))


def test_predictions_have_the_shapes_and_ranges_that_are_promised(images_B3HW):
    found = build(DIFFUSION).predict(images_B3HW)
    assert found["cover"].shape == (BATCH, 3, 16, 16)
    assert torch.allclose(found["cover"].sum(1), torch.ones(BATCH, 16, 16), atol=1e-5)
    assert found["edge"].shape == found["relief"].shape == (BATCH, 16, 16)
    assert found["tags"].shape == (BATCH, 3)
    assert found["edge"].min() >= 0
    assert found["tags"].max() <= 1


@pytest.mark.parametrize("size", [(17, 23), (8, 40)])
def test_any_image_size_is_predicted_at_its_size(size):
    found = build(DIFFUSION).predict(torch.rand(1, 3, *size))
    assert found["cover"].shape[-2:] == size


def test_a_kind_that_cannot_be_trained_is_refused():
    boxes = Task(kind=Kind.DETECTION, categories=("x",))
    with pytest.raises(InvalidConfig, match="'objects' is of kind detection"):
        build(None, {**TASKS, "objects": boxes})
