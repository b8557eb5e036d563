"""Known labels in the condition: used where given, and never for their own task."""

import pytest
import torch

from goldseam.errors import InvalidConfig
from goldseam.models.conditioning import draw_given, label_map
from goldseam.models.config import DiffusionConfig
from tests.unit.models.conftest import (
    BATCH,
    DENSE_TASKS,
    TableNoise,
    awaken,
    build,
    final_loss,
    gradients,
)

DIFFUSION = DiffusionConfig(token_width=16, token_stride=4, known_labels=0.5)
DENSE_KNOWN = ("cover", "edge", "object", "normal", "relief")


def scramble(targets, known):
    """The same labels; what nobody labeled becomes something else, NaN where it can."""
    generator = torch.Generator().manual_seed(9)
    changed = {}
    for task, target in targets.items():
        other = target.clone()
        unknown = ~known[task]
        if target.is_floating_point():
            other[unknown] = float("nan")
        else:
            high = len(DENSE_TASKS[task].categories) if task == "cover" else 2
            shape = other[unknown].shape
            other[unknown] = torch.randint(high, shape, generator=generator).to(other)
        changed[task] = other
    return changed


def test_what_nobody_labeled_changes_nothing(images_B3HW, known, targets):
    def run(labels):
        model = awaken(build(DIFFUSION, DENSE_TASKS)).train()
        given = model.draw_given(labels, known, torch.Generator().manual_seed(0))
        output = model(images_B3HW, known, TableNoise(), given=given)
        return output.final, gradients(model, final_loss(output))

    other = scramble(targets, known)
    assert any(not torch.equal(other[task], targets[task]) for task in targets)
    (final, slopes), (final_other, slopes_other) = run(targets), run(other)
    assert all(torch.equal(logits, final_other[task]) for task, logits in final.items())
    assert set(slopes) == set(slopes_other)
    assert all(torch.equal(slope, slopes_other[name]) for name, slope in slopes.items())


def test_a_task_never_sees_its_own_label_but_those_of_others(images_B3HW, targets):
    model = awaken(build(DIFFUSION, DENSE_TASKS))
    plain = model.predict(images_B3HW)
    helped = model.predict(images_B3HW, given={"relief": targets["relief"]})
    assert torch.allclose(helped["relief"], plain["relief"], atol=1e-6)
    for task in ("cover", "edge", "object", "normal"):
        assert not torch.allclose(helped[task], plain[task], atol=1e-5), task


def test_given_labels_are_each_images_own(images_B3HW, known, targets):
    """Known images get what they get alone, labels and all."""
    model = awaken(build(DIFFUSION, DENSE_TASKS))
    known = {**known, "relief": torch.tensor([1, 0, 0, 0, 1, 0]).bool()}
    given = model.draw_given(targets, known, torch.Generator().manual_seed(1))
    together = model(images_B3HW, known, given=given)
    for task in DENSE_KNOWN:
        for place, row in enumerate(known[task].nonzero()[:, 0].tolist()):
            one = {name: target[row : row + 1] for name, target in given.items()}
            alone = model(images_B3HW[row : row + 1], given=one).final[task][0]
            assert torch.allclose(together.final[task][place], alone, atol=1e-5), task


def test_unknown_pixels_keep_the_prediction(images_B3HW, targets):
    model = awaken(build(DIFFUSION, DENSE_TASKS))
    nothing = {
        "relief": torch.full_like(targets["relief"], float("nan")),
        "cover": torch.full_like(targets["cover"], DENSE_TASKS["cover"].ignore),
    }
    plain, helped = model.predict(images_B3HW), model.predict(images_B3HW, given=nothing)
    assert all(torch.allclose(plain[task], helped[task], atol=1e-6) for task in plain)


def test_each_known_label_is_drawn_with_its_probability():
    tasks = {"cover": DENSE_TASKS["cover"], "relief": DENSE_TASKS["relief"]}
    count = 4000
    known = {task: torch.rand(count) < 0.5 for task in tasks}
    targets = {
        "cover": torch.zeros(count, 1, 1, dtype=torch.long),
        "relief": torch.zeros(count, 1, 1),
    }
    given = draw_given(tasks, targets, known, 0.3, torch.Generator().manual_seed(0))
    shown = {
        "cover": given["cover"][:, 0, 0] != tasks["cover"].ignore,
        "relief": given["relief"][:, 0, 0].isfinite(),
    }
    for task in tasks:
        assert not shown[task][~known[task]].any()
        assert shown[task][known[task]].float().mean().item() == pytest.approx(0.3, abs=0.03)
    everything = draw_given(tasks, targets, known, 0.3, None)
    assert torch.equal(everything["relief"].isfinite()[:, 0, 0], known["relief"])


def test_draws_do_not_depend_on_what_is_labeled():
    tasks = {"cover": DENSE_TASKS["cover"], "relief": DENSE_TASKS["relief"]}
    targets = {"cover": torch.zeros(9, 1, 1, dtype=torch.long), "relief": torch.zeros(9, 1, 1)}
    all_known = {task: torch.ones(9).bool() for task in tasks}
    some_known = {"cover": torch.zeros(9).bool(), "relief": torch.ones(9).bool()}
    one, other = (
        draw_given(tasks, targets, known, 0.5, torch.Generator().manual_seed(2))["relief"]
        for known in (all_known, some_known)
    )
    assert torch.equal(one.isnan(), other.isnan())


def test_labels_become_the_maps_that_predictions_would_be(targets):
    def made(task, target, channels, scale=(0.0, 1.0)):
        return label_map(DENSE_TASKS[task], target, channels=channels, size=(8, 8), scale=scale)

    targets["cover"][0, 4:6, 4:6] = DENSE_TASKS["cover"].ignore
    label, given = made("cover", targets["cover"], 3)
    assert label.shape == (BATCH, 3, 8, 8)
    assert not given[0, 0, 2, 2]
    assert not label[0, :, 2, 2].any()
    nearest = torch.nn.functional.interpolate(
        targets["cover"][:, None].float(), size=(8, 8), mode="nearest-exact"
    )[:, 0].long()
    counted = given[:, 0]
    assert torch.equal(label.argmax(1)[counted], nearest[counted])
    label, given = made("relief", targets["relief"], 1, scale=(1.0, 2.0))
    picked = targets["relief"][:, 1::2, 1::2]
    assert torch.allclose(label[:, 0], (picked - 1) / 2)
    assert given.all()
    label, _ = made("edge", targets["edge"], 1)
    assert torch.equal(label[:, 0] > 0, targets["edge"][:, 1::2, 1::2] == 1)
    pair, _ = made("object", targets["object"], 2)
    single, _ = made("object", targets["object"], 1)
    assert torch.equal(pair[:, 1] - pair[:, 0], single[:, 0])
    targets["normal"][0, :, 1, 1] = float("nan")
    label, given = made("normal", targets["normal"], 3)
    assert not given[0, 0, 0, 0]
    assert not label[0, :, 0, 0].any()
    assert torch.equal(label[1], targets["normal"][1, :, 1::2, 1::2])


def test_labels_cannot_be_given_to_a_model_that_was_not_trained_for_them(images_B3HW, targets):
    for diffusion in (None, DIFFUSION.model_copy(update={"known_labels": 0.0})):
        model = build(diffusion, DENSE_TASKS)
        assert model.draw_given(targets, {}, None) is None
        for call in (model, model.predict):
            with pytest.raises(InvalidConfig, match="not trained to use them"):
                call(images_B3HW, given={"relief": targets["relief"]})
    with pytest.raises(InvalidConfig, match="given names 'tags'"):
        build(DIFFUSION, DENSE_TASKS).predict(images_B3HW, given={"tags": targets["tags"]})
