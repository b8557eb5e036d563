"""The published forms of the losses, and how those of images become one number."""

import math

import pytest
import torch
import torch.nn.functional as F

from goldseam.dataset.schema import Kind, Task
from goldseam.models.multitask import Output
from goldseam.trainer.config import LossConfig
from goldseam.trainer.losses import MultitaskLoss, normals_loss, saliency_loss

K, H, W = 4, 6, 5
TASKS = {
    "cover": Task(kind=Kind.SEGMENTATION, categories=("a", "b", "c")),
    "depth": Task(kind=Kind.REGRESSION, unit="m"),
    "normals": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
    "salient": Task(kind=Kind.SALIENCY),
    "tags": Task(kind=Kind.TAGS, categories=("p", "q")),
}
CHANNELS = {"cover": 3, "depth": 1, "normals": 3, "salient": 1}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labels():
    generator = torch.Generator().manual_seed(5)
    normals = F.normalize(random(K, 3, H, W, seed=6), dim=1)
    normals[:, :, 0] = torch.nan
    return {
        "cover": torch.randint(0, 3, (K, H, W), generator=generator),
        "depth": random(K, H, W, seed=7),
        "normals": normals,
        "salient": torch.randint(0, 2, (K, H, W), generator=generator),
        "tags": torch.randint(-1, 2, (K, 2), generator=generator).to(torch.int8),
    }


KNOWN = {
    "cover": torch.tensor([True, True, False, False]),
    "depth": torch.tensor([True, False, True, False]),
    "normals": torch.tensor([False, False, True, True]),
    "salient": torch.tensor([True, True, True, False]),
    "tags": torch.tensor([False, True, True, False]),
}


def full_output(*, final=False):
    """Predictions of every task on every image."""
    dense = {task: random(K, c, H, W, seed=20 + c) for task, c in CHANNELS.items()}
    return Output(
        rows={task: torch.arange(K) for task in CHANNELS},
        initial=dense,
        final={task: 2 * x for task, x in dense.items()} if final else {},
        tags={"tags": random(K, 2, seed=30)},
    )


def of_rows(output, rows):
    """The same predictions, computed on some rows of each task only."""
    return Output(
        rows=dict(rows),
        initial={task: x[rows[task]] for task, x in output.initial.items()},
        final={task: x[rows[task]] for task, x in output.final.items()},
        tags=output.tags,
    )


def losses_of(output, targets=None, **options):
    loss = MultitaskLoss(TASKS, LossConfig(**options), {"depth": (0.5, 2.0)}, 0.0)
    return loss(output, targets or labels(), KNOWN)


@pytest.mark.parametrize("weighting", ["label", "image"])
def test_predictions_of_unlabeled_images_change_nothing(weighting):
    rows = {task: KNOWN[task].nonzero()[:, 0] for task in CHANNELS}
    everywhere = losses_of(full_output(), weighting=weighting)
    labeled = losses_of(of_rows(full_output(), rows), weighting=weighting)
    assert everywhere.keys() == labeled.keys() == TASKS.keys()
    for task in TASKS:
        assert torch.equal(everywhere[task], labeled[task])


@pytest.mark.parametrize("options", [{"weighting": "image"}, {"saliency": "balanced"}])
def test_content_under_unknown_labels_changes_no_form(options):
    changed = labels()
    for task, known in KNOWN.items():
        noise = torch.full_like(changed[task], 1)
        changed[task][~known] = noise[~known]
    first, second = (
        losses_of(full_output(), **options),
        losses_of(full_output(), changed, **options),
    )
    assert all(torch.equal(first[task], second[task]) for task in TASKS)


def test_image_weighting_is_the_published_sum_over_images():
    options = {"weighting": "image", "normals": "l1", "saliency": "balanced"}
    found = losses_of(full_output(), **options)
    output, targets = full_output(), labels()
    expected = dict.fromkeys(TASKS, 0.0)
    for image in range(K):
        present = [task for task in TASKS if KNOWN[task][image]]
        for task in present:
            alone = {name: torch.zeros(K).bool() for name in TASKS}
            alone[task][image] = True
            plain = {k: v for k, v in options.items() if k != "weighting"}
            of_image = MultitaskLoss(TASKS, LossConfig(**plain), {"depth": (0.5, 2.0)}, 0.0)(
                output, targets, alone
            )
            # (1 / B) sum_i (T / n_i) l_t(i), the mean over its own pixels within l_t(i)
            if task in of_image:
                expected[task] += len(TASKS) / len(present) / K * of_image[task].item()
    for task in TASKS:
        assert found[task].item() == pytest.approx(expected[task], rel=1e-5), task


def test_label_weighting_counts_each_pixel_once():
    target = torch.full((2, H, W), torch.nan)
    target[0] = 1.0  # a full label and one of a single pixel
    target[1, 0, 0] = 1.0
    known = {"depth": torch.ones(2).bool()}
    output = Output(
        rows={"depth": torch.arange(2)},
        initial={"depth": torch.tensor([1.0, 3.0])[:, None, None, None].expand(2, 1, H, W)},
        final={},
        tags={},
    )

    def loss(weighting):
        tasks = {"depth": TASKS["depth"]}
        config = LossConfig(weighting=weighting)
        return MultitaskLoss(tasks, config, {}, 0.0)(output, {"depth": target}, known)["depth"]

    assert loss("label").item() == pytest.approx(2.0 / (H * W + 1))
    assert loss("image").item() == pytest.approx(2.0 / 2)


def test_balanced_saliency_by_hand():
    target = torch.tensor([[[1, 0, 0, 255]], [[1, 1, 1, 1]]])
    logits = torch.tensor([[[0.3, -0.2, 0.9, 5.0]], [[0.1, 0.2, 0.3, 0.4]]])
    negative = 2 / 3  # of the first image's counted pixels; the second has none, and no weight
    expected = negative * F.softplus(torch.tensor(-0.3))
    expected += (1 - negative) * (F.softplus(torch.tensor(-0.2)) + F.softplus(torch.tensor(0.9)))
    found = saliency_loss(logits, target, 255, balanced=True)
    assert found.item() == pytest.approx(expected.item() / 7)


def test_normals_by_hand():
    target = torch.zeros(1, 3, 1, 2)
    target[0, 2, 0, 0] = 1.0
    target[0, :, 0, 1] = torch.nan
    predicted = torch.tensor([3.0, 0.0, 4.0])[None, :, None, None].expand(1, 3, 1, 2).clone()
    assert normals_loss(predicted, target, "cosine").item() == pytest.approx(1 - 0.8)
    assert normals_loss(predicted, target, "l1").item() == pytest.approx(0.6 + 0.2)
    # length means nothing
    assert normals_loss(7 * predicted, target, "l1").item() == pytest.approx(0.8)


def test_deep_supervision_follows_the_share_of_training():
    output = full_output(final=True)
    loss = MultitaskLoss(TASKS, LossConfig(), {}, lambda share: 0.5 * (1 - share))
    at = {share: loss(output, labels(), KNOWN, share) for share in (0.0, 0.5, 1.0)}
    assert at[0.5]["depth.initial"].item() == pytest.approx(at[0.0]["depth.initial"].item() / 2)
    assert "depth.initial" not in at[1.0]  # nothing is computed for a weight of 0
    assert at[0.0]["depth"] == at[1.0]["depth"]


def test_tags_of_which_nothing_is_known_have_no_loss():
    targets = labels()
    targets["tags"][:] = -1
    found = losses_of(full_output(), targets)
    assert "tags" not in found
    assert all(math.isfinite(loss) for loss in found.values())


@pytest.mark.parametrize("weighting", ["label", "image"])
def test_an_image_without_any_label_changes_no_loss(weighting):
    nothing = {task: known & (torch.arange(K) != 3) for task, known in KNOWN.items()}
    output = full_output()
    logits = output.tags["tags"].requires_grad_()
    loss = MultitaskLoss(TASKS, LossConfig(weighting=weighting), {}, 0.0)
    found = loss(output, labels(), nothing)
    assert all(math.isfinite(part.detach()) for part in found.values())
    found["tags"].backward()
    assert logits.grad.isfinite().all()
    assert not logits.grad[3].any()


@pytest.mark.parametrize("task", ["cover", "depth", "normals", "salient"])
def test_labels_that_count_nowhere_are_no_loss(task):
    """A window may show nothing of a label; a balance must not take that for a loss of 0."""
    targets = labels()
    ignored = torch.nan if targets[task].is_floating_point() else TASKS[task].ignore
    targets[task][KNOWN[task]] = ignored
    found = losses_of(full_output(final=True), targets)
    assert {name.partition(".")[0] for name in found} == TASKS.keys() - {task}
