"""What the model promises: known images only, exact grouping, refinement from the identity."""

import pytest
import torch

from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig
from goldseam.models.config import DiffusionConfig, ModelConfig
from goldseam.models.multitask import MultitaskModel, Preprocessing
from tests.unit.models.conftest import BATCH, TASKS, awaken, build

DIFFUSION = DiffusionConfig(token_width=16, token_stride=4)


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


def test_a_plain_model_refuses_what_it_has_no_part_for(images_B3HW):
    model = build(None)
    for call in (model, model.predict):
        with pytest.raises(InvalidConfig, match="1 denoising steps were asked for of a model with"):
            call(images_B3HW, steps=1)
        with pytest.raises(InvalidConfig, match="without names 'relif'"):
            call(images_B3HW, without=["relif"])


def test_a_task_with_the_name_of_a_networks_part_is_refused():
    tasks = {"items": TASKS["tags"]}
    with pytest.raises(InvalidConfig, match="task 'items' has the name of a part"):
        MultitaskModel(ModelConfig(), tasks, Preprocessing())
