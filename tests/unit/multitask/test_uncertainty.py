"""Uncertainty signals against closed forms, and what of them is unknown rather than zero."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from goldseam.dataset.batch import Batch
from goldseam.dataset.loading import evaluation_batches
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig
from goldseam.models.config import DiffusionConfig, EncoderConfig, ModelConfig, NetworkConfig
from goldseam.models.multitask import MultitaskModel, Preprocessing
from goldseam.multitask.uncertainty import (
    SIGNALS,
    image_uncertainty,
    measure_uncertainty,
    prediction_error,
    uncertainty,
)
from goldseam.multitask.uncertainty.maps import angle, distance, entropy, spread

TASKS = {
    "cover": Task(kind=Kind.SEGMENTATION, categories=("ground", "disk", "bar")),
    "edge": Task(kind=Kind.BOUNDARY),
    "relief": Task(kind=Kind.REGRESSION, unit="m"),
    "slope": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
    "tags": Task(kind=Kind.TAGS, categories=("disk", "bar", "big")),
}
DENSE = ("cover", "edge", "relief", "slope")


def make_model(diffusion: DiffusionConfig | None, tasks=TASKS, seed: int = 0) -> MultitaskModel:
    """Random weights, also where training would begin with zeros."""
    network = NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8)
    torch.manual_seed(seed)
    preprocessing = Preprocessing(values={"relief": (10.0, 4.0)})
    model = MultitaskModel(ModelConfig(network=network, diffusion=diffusion), tasks, preprocessing)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def refining() -> MultitaskModel:
    return make_model(DiffusionConfig(token_width=16, token_stride=4))


@pytest.fixture(scope="module")
def plain() -> MultitaskModel:
    return make_model(None)


IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_entropy_equals_the_textbook():
    p = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])[:, :, None, None]
    found = entropy(p, Kind.SEGMENTATION)[:, 0, 0]
    torch.testing.assert_close(found, torch.tensor([1.5, 0.0]))
    binary = entropy(torch.tensor([0.0, 0.5, 1.0, 0.25]), Kind.BOUNDARY)
    expected = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    torch.testing.assert_close(binary, torch.tensor([0.0, 1.0, 0.0, expected]))


def test_angles_are_exact_where_they_are_small():
    degrees = torch.tensor([0.0, 1e-4, 30.0, 90.0, 180.0], dtype=torch.float64)
    one = torch.tensor([1.0, 0, 0], dtype=torch.float64)[None, :, None, None].expand(1, 3, 1, 5)
    radians = torch.deg2rad(degrees)
    other = torch.stack([radians.cos(), radians.sin(), 0 * radians])[None, :, None, :] * 7
    torch.testing.assert_close(angle(one, other)[0, 0], degrees, atol=1e-12, rtol=0)


def test_distances_and_spreads_by_hand():
    one = torch.tensor([0.6, 0.3, 0.1])[None, :, None, None]
    other = torch.tensor([0.2, 0.3, 0.5])[None, :, None, None]
    assert distance(one, other, Kind.SEGMENTATION).item() == pytest.approx(0.4)
    assert distance(torch.tensor([3.0]), torch.tensor([5.0]), Kind.REGRESSION).item() == 2
    values = torch.tensor([[1.0], [3.0], [5.0]])
    assert spread(values, Kind.REGRESSION).item() == pytest.approx(2.0)
    samples = torch.stack([one, other])
    expected = math.sqrt(2 * 0.2**2 * 2)  # two categories differ by .4, variance .08 each
    assert spread(samples, Kind.SEGMENTATION).item() == pytest.approx(expected)
    turned = torch.tensor([[1.0, 1.0, 0], [1.0, -1.0, 0]])[:, None, :, None, None]
    assert spread(turned, Kind.NORMALS).item() == pytest.approx(45.0)


def test_every_signal_of_a_model_that_refines(refining):
    found = uncertainty(refining, IMAGES, samples=3)
    assert set(found) == set(TASKS)
    plain_prediction = refining.predict(IMAGES)
    for task, one in found.items():
        torch.testing.assert_close(one.prediction, plain_prediction[task])
        shape = (2, 3) if task == "tags" else (2, 16, 16)
        has = {name for name in SIGNALS if one.signal(name) is not None}
        expected = {"mirror"}
        if task in ("cover", "edge", "tags"):
            expected.add("entropy")
        if task in DENSE:
            expected |= {"spread", "correction"}
        assert has == expected
        for name in has:
            unsure = one.signal(name)
            assert unsure.shape == shape
            assert torch.isfinite(unsure).all()
            assert (unsure >= 0).all()
            assert unsure.max() > 0


def test_a_plain_model_has_no_spread_and_no_correction(plain):
    found = uncertainty(plain, IMAGES)
    assert all(one.spread is None and one.correction is None for one in found.values())
    assert found["cover"].entropy is not None
    assert found["relief"].entropy is None
    assert found["relief"].mirror is not None


def test_only_what_is_asked_for_is_computed(refining):
    found = uncertainty(refining, IMAGES, signals=("correction",))
    assert found["cover"].entropy is None
    assert found["cover"].mirror is None
    assert found["cover"].correction is not None


def test_the_correction_is_what_the_denoiser_changed(refining):
    found = uncertainty(refining, IMAGES, signals=("correction",))
    before = refining.predict(IMAGES, initial=True)
    expected = (found["relief"].prediction - before["relief"]).abs()
    torch.testing.assert_close(found["relief"].correction, expected)


def test_more_noise_spreads_more_and_a_seed_repeats(refining):
    def drawn(scale, seed=0):
        generator = torch.Generator().manual_seed(seed)
        found = uncertainty(
            refining, IMAGES, signals=("spread",), noise_scale=scale, generator=generator
        )
        return {task: found[task].spread for task in DENSE}

    small, large = drawn(0.1), drawn(3.0)
    for task in DENSE:
        assert large[task].mean() > 3 * small[task].mean() > 0
        assert torch.equal(small[task], drawn(0.1)[task])
        assert not torch.equal(small[task], drawn(0.1, seed=1)[task])


def test_a_mirrored_image_of_a_symmetric_scene_agrees_with_itself():
    class Symmetric:
        """Stands in for a model that predicts the mean color, and normals by the gradient in x."""

        tasks, dense, refines = TASKS, DENSE, False

        def predict(self, images):
            light = images.mean(dim=1)
            slope = F.pad(light[..., 2:] - light[..., :-2], (1, 1))
            normals = torch.stack([slope, light * 0, light * 0 + 1], dim=1)
            return {"relief": light, "slope": F.normalize(normals, dim=1)}

    found = uncertainty(Symmetric(), IMAGES, signals=("mirror",))
    assert found["relief"].mirror.max() < 1e-6
    # an x component that changes its sign with the image is no disagreement
    assert found["slope"].mirror.max() < 1e-3


def test_normals_along_other_axes_cannot_be_mirrored():
    tasks = {"slope": Task(kind=Kind.NORMALS, axes="z up, x north, y west")}
    assert uncertainty(make_model(None, tasks), IMAGES)["slope"].mirror is None
    # a flip turns the sign of x, whether it points right or left
    tasks = {"slope": Task(kind=Kind.NORMALS, axes="x left, y up, z away from the viewer")}
    assert uncertainty(make_model(None, tasks), IMAGES)["slope"].mirror is not None


@pytest.mark.parametrize("bad", [{"samples": 1}, {"noise_scale": 0.0}])
def test_spread_needs_samples_and_noise(refining, bad):
    with pytest.raises(InvalidConfig, match="at least 2 samples"):
        uncertainty(refining, IMAGES, **bad)
    assert uncertainty(refining, IMAGES, signals=("entropy",), **bad)


def test_errors_of_pixels():
    labels = np.array([[[0, 1, 255]]])
    probability = np.array([[[[0.9, 0.9, 0.1]], [[0.1, 0.1, 0.9]]]])
    error = prediction_error(
        Task(kind=Kind.SEGMENTATION, categories=("a", "b")), probability, labels
    )
    np.testing.assert_array_equal(error, [[[0, 1, np.nan]]])
    edges = prediction_error(Task(kind=Kind.BOUNDARY), [[[0.7, 0.2, 0.9]]], labels)
    np.testing.assert_array_equal(edges, [[[1, 1, np.nan]]])
    meters = prediction_error(TASKS["relief"], [[[3.0, 5.0]]], np.array([[[1.0, np.nan]]]))
    np.testing.assert_array_equal(meters, [[[2.0, np.nan]]])
    up = np.array([0, 0, 2.0])[None, :, None, None]
    target = np.stack([[1.0, 0, 0], [0, 0, 0], [np.nan] * 3], axis=1)[None, :, None, :]
    degrees = prediction_error(TASKS["slope"], np.broadcast_to(up, target.shape), target)
    np.testing.assert_allclose(degrees, [[[90, np.nan, np.nan]]])
    # no direction is no right one
    nowhere = prediction_error(TASKS["slope"], 0 * np.ones(target.shape), target)
    np.testing.assert_allclose(nowhere, [[[180, np.nan, np.nan]]])


def labeled_batch(seed: int = 0, images: int = 6) -> Batch:
    random = torch.Generator().manual_seed(seed)

    def integers(high, *shape):
        return torch.randint(0, high, shape, generator=random)

    size = (images, 16, 16)
    normals = F.normalize(torch.randn(images, 3, 16, 16, generator=random), dim=1)
    known = {task: integers(2, images).bool() for task in TASKS}
    for known_B in known.values():
        known_B[0], known_B[1] = True, False
    return Batch(
        image_ids=[str(n) for n in range(images)],
        groups=[f"g{n % 3}" for n in range(images)],
        images_BCHW=torch.rand(images, 3, 16, 16, generator=random),
        targets={
            "cover": integers(3, *size),
            "edge": integers(2, *size),
            "relief": torch.randn(size, generator=random) * 4 + 10,
            "slope": normals,
            "tags": integers(3, images, 3).to(torch.int8) - 1,
        },
        boxes={},
        captions={},
        known=known,
    )


def test_quality_of_every_task_and_signal(refining):
    quality = measure_uncertainty(refining, [labeled_batch(0), labeled_batch(1)], TASKS, samples=2)
    assert set(quality) == set(TASKS)
    assert quality["relief"].calibration is None
    assert quality["tags"].sparsification == {}
    for task in ("cover", "edge", "tags"):
        assert 0 <= quality[task].calibration.compute()["ece"] <= 1
    assert set(quality["cover"].sparsification) == {"entropy", "spread", "correction", "mirror"}
    assert set(quality["slope"].sparsification) == {"spread", "correction", "mirror"}
    for one in quality.values():
        for metric in one.sparsification.values():
            assert metric.compute()["ause"] is not None


def test_what_stands_in_an_unknown_label_changes_no_quality(refining):
    batch = labeled_batch(0)
    scores = []
    for fill in (0, 1):
        for task, target in batch.targets.items():
            target[~batch.known[task]] = fill
        quality = measure_uncertainty(refining, [batch], TASKS, samples=2)
        scores.append(
            {
                (task, name): metric.compute()
                for task, one in quality.items()
                for name, metric in {"ece": one.calibration, **one.sparsification}.items()
                if metric is not None
            }
        )
    assert scores[0] == scores[1]


def test_a_perfect_uncertainty_is_found_to_be_one():
    """Values are off by as much as the mirrored prediction differs."""

    ramp = torch.linspace(0, 1, 16)

    class Knowing:
        tasks, dense, refines = {"relief": TASKS["relief"]}, ("relief",), False

        def parameters(self):
            yield torch.zeros(1)

        def predict(self, images):
            return {"relief": images[:, 0] * ramp}

    batch = labeled_batch(0)
    light = batch.images_BCHW[:, 0].double()
    batch = dataclasses.replace(batch, images_BCHW=batch.images_BCHW.double())
    batch.targets["relief"] = light * ramp + (light * (ramp - ramp.flip(-1))).abs()
    quality = measure_uncertainty(
        Knowing(), [batch], {"relief": TASKS["relief"]}, signals=("mirror",)
    )
    assert quality["relief"].sparsification["mirror"].compute()["found"] == pytest.approx(1)


def test_one_number_an_image_and_nan_where_there_is_no_signal(refining):
    batch = labeled_batch(0)
    ids, unsure_NT = image_uncertainty(
        refining, [batch, labeled_batch(1)], ("cover", "relief", "tags"), signal="entropy"
    )
    assert len(ids) == 12
    assert unsure_NT.shape == (12, 3)
    assert np.isnan(unsure_NT[:, 1]).all()
    assert np.isfinite(unsure_NT[:, [0, 2]]).all()
    expected = uncertainty(refining, batch.images_BCHW)["cover"].entropy.mean(dim=(1, 2))
    np.testing.assert_allclose(unsure_NT[:6, 0], expected, rtol=1e-5)


def test_images_are_judged_without_their_labels(refining, disc_data):
    batches = list(evaluation_batches(disc_data, "test", [], 8))
    ids, unsure_NT = image_uncertainty(refining, batches, DENSE)
    assert len(ids) == disc_data.info.rows("test")
    assert np.isfinite(unsure_NT).all()
