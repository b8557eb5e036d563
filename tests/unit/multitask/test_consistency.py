"""Right predictions of related tasks cost nothing; wrong ones are pulled towards the labels."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from goldseam.dataset.batch import Batch
from goldseam.dataset.derivation import normals_from_depth
from goldseam.models.multitask import Output, Preprocessing
from goldseam.multitask.config import ConsistencyConfig
from goldseam.multitask.consistency import Consistency
from goldseam.multitask.geometry import category_change, same_direction, surface_normals
from goldseam.multitask.terms import Seen
from goldseam.trainer.objective import StepContext
from tests.unit.dataset.scenes import (
    EDGES,
    FIELD_OF_VIEW,
    NORMALS,
    angles,
    outlines,
    room,
    scene_info,
)

TASKS = scene_info().tasks
SIZE = 48
CENTER, SPREAD = 2.5, 0.8
NOW = StepContext(step=99, steps=100)


def scenes(count: int = 4):
    return [room(seed, SIZE, SIZE) for seed in range(count)]


def truth(count: int = 4) -> dict[str, torch.Tensor]:
    made = scenes(count)
    return {
        "regions": torch.from_numpy(np.stack([s.region_HW for s in made])).long(),
        "depth": torch.from_numpy(np.stack([s.depth_HW for s in made])),
        "normals": torch.from_numpy(np.stack([s.normal_3HW for s in made])),
        "edges": torch.from_numpy(np.stack([outlines(s.region_HW) for s in made])).long(),
    }


def batch(labeled: str, count: int = 4) -> Batch:
    """Every image carries a label of one task, and of the others what collate makes of unknown."""
    nothing = {"regions": 255, "depth": math.nan, "normals": math.nan, "edges": 255}
    found = truth(count)
    targets = {t: x if t == labeled else torch.full_like(x, nothing[t]) for t, x in found.items()}
    known = {task: torch.full((count,), task == labeled) for task in TASKS}
    return Batch(
        image_ids=[""] * count, groups=[""] * count, images_BCHW=torch.zeros(count, 3, SIZE, SIZE),
        targets=targets, boxes={}, captions={}, known=known,
    )  # fmt: skip


def right(count: int = 4) -> dict[str, torch.Tensor]:
    """Logits that say what is true."""
    found = truth(count)
    return {
        "regions": 20.0 * F.one_hot(found["regions"], 10).movedim(3, 1),
        "depth": ((found["depth"] - CENTER) / SPREAD)[:, None],
        "normals": 3 * found["normals"],
        "edges": 20.0 * (2 * found["edges"] - 1.0)[:, None],
    }


def seen(logits: dict[str, torch.Tensor]) -> Seen:
    model = SimpleNamespace(
        tasks=TASKS, preprocessing=Preprocessing(values={"depth": (CENTER, SPREAD)})
    )
    rows = {task: torch.arange(len(x)) for task, x in logits.items()}
    return Seen(model, Output(rows=rows, initial=logits, final={}, tags={}))


def term(against: str, *rules) -> Consistency:
    config = ConsistencyConfig(weight=1.0, ramp=0.0, against=against)
    return Consistency(config, rules or (NORMALS, EDGES), TASKS)


def test_surface_normals_are_those_of_the_derivation():
    for scene in scenes():
        depth = torch.from_numpy(scene.depth_HW)[None].double()
        normal, bend = surface_normals(depth, FIELD_OF_VIEW)
        expected = normals_from_depth(scene.depth_HW, FIELD_OF_VIEW)[:, 1:-1, 1:-1]
        flat = (bend[0] < 1e-5).numpy() & np.isfinite(expected[0])
        assert flat.mean() > 0.7
        assert angles(normal[0].numpy(), expected)[flat].max() < 0.1


def test_surface_normals_of_an_image_that_is_not_square():
    scene = room(0, 36, 60)
    normal, bend = surface_normals(torch.from_numpy(scene.depth_HW)[None].double(), FIELD_OF_VIEW)
    flat = (bend[0] < 1e-5).numpy()
    angle = angles(normal[0].numpy(), scene.normal_3HW[:, 1:-1, 1:-1])[flat]
    assert np.median(angle) < 0.01


@pytest.mark.parametrize(
    ("labeled", "against", "name"),
    [
        ("normals", "labels", "depth.consistency"),
        ("edges", "labels", "regions.consistency"),
        ("regions", "predictions", "normals.consistency"),
        ("depth", "predictions", "edges.consistency"),
    ],
)
def test_right_predictions_cost_next_to_nothing_and_wrong_ones_do(labeled, against, name):
    made = batch(labeled)
    small = term(against).losses(seen(right()), made, NOW)[name]
    wrong = right()
    source = {"depth": "depth", "regions": "regions", "normals": "depth", "edges": "regions"}[
        name.partition(".")[0]
    ]
    noise = torch.randn(wrong[source].shape, generator=torch.Generator().manual_seed(0))
    wrong[source] = wrong[source] + noise * (0.01 if source == "depth" else 12.0)
    large = term(against).losses(seen(wrong), made, NOW)[name]
    assert small.item() < 2e-3
    assert large.item() > 10 * small.item()


def test_predicted_depth_is_pulled_towards_the_surfaces_of_known_normals():
    made, wrong = batch("normals", 2), right(2)
    start = F.avg_pool2d(wrong["depth"], 9, 1, 4, count_include_pad=False)  # a blurred guess
    depth = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([depth], 0.01)
    judged = term("labels", NORMALS)
    values = []
    for _ in range(150):
        value = judged.losses(seen({**wrong, "depth": depth}), made, NOW)["depth.consistency"]
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())

    def error(logits) -> float:
        normal, _ = surface_normals(logits.detach()[:, 0] * SPREAD + CENTER, FIELD_OF_VIEW)
        inner = truth(2)["normals"][..., 1:-1, 1:-1]
        found = [angles(a.numpy(), b.numpy()) for a, b in zip(normal, inner, strict=True)]
        return float(np.median(found))

    assert values[-1] < 0.3 * values[0]
    assert error(depth) < 0.5 * error(start)


def test_only_images_without_the_source_and_with_the_target_are_read():
    made = batch("normals")
    made.known["depth"][1] = True  # this one knows both
    made.known["normals"][2] = False  # and this one neither
    wanted = term("labels", NORMALS).images(made.known)
    assert wanted["depth"].tolist() == [True, False, False, True]
    assert not wanted["normals"].any()
    wanted = term("both", NORMALS).images(made.known)
    assert wanted["depth"].tolist() == [True, False, True, True]
    assert wanted["normals"].tolist() == [False, False, True, False]
    poisoned = batch("normals")
    poisoned.known["depth"][1], poisoned.known["normals"][2] = True, False
    poisoned.targets["normals"][1:3] = F.normalize(torch.randn(2, 3, SIZE, SIZE), dim=1)
    poisoned.targets["depth"][:] = 7.0
    for against in ("labels", "predictions", "both"):
        first, second = (term(against).losses(seen(right()), one, NOW) for one in (made, poisoned))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_unknown_pixels_of_a_label_are_never_read():
    made = batch("normals")
    made.targets["normals"][:, :, 10:20, 10:20] = math.nan
    logits = right()
    logits["depth"].requires_grad_()
    value = term("labels", NORMALS).losses(seen(logits), made, NOW)["depth.consistency"]
    value.backward()
    gradient = logits["depth"].grad
    assert gradient.isfinite().all()
    assert (gradient[:, :, 12:18, 12:18] == 0).all()
    edges = batch("edges")
    edges.targets["edges"][:, 10:20, 10:20] = 255
    logits["regions"] = torch.zeros_like(logits["regions"], requires_grad=True)
    term("labels", EDGES).losses(seen(logits), edges, NOW)["regions.consistency"].backward()
    assert (logits["regions"].grad[:, :, 11:20, 11:20] == 0).all()


def test_a_prediction_behind_the_camera_gives_no_gradient_and_no_nan():
    logits = right()
    logits["depth"] = torch.full_like(logits["depth"], -100.0, requires_grad=True)
    value = term("labels", NORMALS).losses(seen(logits), batch("normals"), NOW)["depth.consistency"]
    assert value.item() == 0.0
    value.backward()
    assert (logits["depth"].grad == 0).all()


def test_known_edges_of_normals_are_left_alone():
    scene = room(0, SIZE, SIZE)
    normal = torch.from_numpy(scene.normal_3HW)[None]
    smooth = same_direction(normal, math.cos(math.radians(15)))
    turns = outlines(scene.region_HW)[1:-1, 1:-1] & (
        angles(scene.normal_3HW[:, 1:-1, 1:-1], scene.normal_3HW[:, 1:-1, 2:]) > 20
    )
    assert turns.any()
    assert not smooth[0].numpy()[turns].any()
    assert smooth.float().mean() > 0.6


def test_category_change_by_hand():
    probability = torch.tensor([[[0.9, 0.2], [0.5, 1.0]], [[0.1, 0.8], [0.5, 0.0]]])[None]
    right_KHW, lower_KHW = category_change(probability.clamp(min=1e-30).log())
    torch.testing.assert_close(
        right_KHW.exp(), torch.tensor([[[0.9 * 0.2 + 0.1 * 0.8], [0.5 * 1.0 + 0.5 * 0.0]]])
    )
    torch.testing.assert_close(
        lower_KHW.exp(), torch.tensor([[[0.9 * 0.5 + 0.1 * 0.5, 0.2 * 1.0 + 0.8 * 0.0]]])
    )


def test_a_relation_needs_both_tasks():
    depth_only = {name: TASKS[name] for name in ("depth", "regions")}
    assert not Consistency(ConsistencyConfig(weight=1.0), (NORMALS, EDGES), depth_only).derivations
