"""Label strategies against slow, plain programs of their formulas; unknown is read only on request.

The programs are written entry by entry, with Python's own floats.
"""

import math

import pydantic
import pytest
import torch
import torch.nn.functional as F

from goldseam.dataset.codecs import UNSURE
from goldseam.errors import InvalidConfig
from goldseam.trainer import tag_strategies as options
from goldseam.trainer.reduction import mean_over, within_images
from goldseam.trainer.tag_strategies.building import build_tag_loss
from goldseam.trainer.tag_strategies.states import TagContext, entry_uniform

B, C, N = 6, 5, 20
STEPS = 40


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def states(seed=0, images=B):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-1, 2, (images, C), generator=generator).to(torch.int8)


def context(step=0, *, labeled=None, rows=None):
    return TagContext(step, STEPS, torch.arange(B) if rows is None else rows, labeled_B=labeled)


def build(strategy):
    return build_tag_loss(strategy, categories=C, images=N)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def log_loss(x, y):
    p = sigmoid(x)
    return -(y * math.log(p) + (1 - y) * math.log(1 - p))


def mean_by_hand(logits, state, cost):
    """The mean over entries of `cost(logit, state)`, without those that cost None."""
    costs = [
        cost(x, s) for x, s in zip(logits.flatten().tolist(), state.flatten().tolist(), strict=True)
    ]
    counted = [c for c in costs if c is not None]
    return sum(counted) / len(counted)


def ignore(x, s):
    return None if s < 0 else log_loss(x, s)


def negative(x, s):
    return log_loss(x, max(s, 0))


def weighted(x, s):
    return log_loss(x, max(s, 0)) * (1 / (C - 1) if s < 0 else 1)


def smoothed(x, s):
    return log_loss(x, 0.9 if s == 1 else 0.1)


def smoothed_unknown(x, s):
    return log_loss(x, 0.2 if s < 0 else s)


def asymmetric(positive, negative_, unknown, margin):
    def cost(x, s):
        p = sigmoid(x)
        q = max(p - margin, 0)
        gamma = {1: positive, 0: negative_, -1: unknown}[s]
        if gamma is None:
            return None
        return -((1 - p) ** gamma) * math.log(p) if s == 1 else -(q**gamma) * math.log(1 - q)

    return cost


def hill(x, s):
    if s == 1:
        r = sigmoid(x - 1)
        return -((1 - r) ** 2) * math.log(r)
    return (1.5 - sigmoid(x)) * sigmoid(x) ** 2


def splc(start):
    def cost(x, s):
        p, r = sigmoid(x), sigmoid(x - 1)
        if s == 1 or (s < 0 and start and p > 0.6):
            return -((1 - r) ** 2) * math.log(r)
        return -(p**2) * math.log(1 - p)

    return cost


def undecided(x, s):
    p = sigmoid(x)
    return 0.2 * (p * math.log(p) + (1 - p) * math.log(1 - p)) if s < 0 else log_loss(x, s)


PLAIN = [
    (options.Ignore(), 0, ignore),
    (options.AssumeNegative(), 0, negative),
    (options.WeightedNegative(), 0, weighted),
    (options.WeightedNegative(weight=0.0), 0, lambda x, s: 0.0 if s < 0 else log_loss(x, s)),
    (options.SmoothedNegative(), 0, smoothed),
    (options.SmoothedNegative(smoothing=0.2, known=False), 0, smoothed_unknown),
    (options.Asymmetric(), 0, asymmetric(0, 4, None, 0.05)),
    (options.Asymmetric(gamma_positive=1, unknown="absent"), 0, asymmetric(1, 4, 4, 0.05)),
    (options.Asymmetric(gamma_negative=0, margin=0), 0, ignore),
    (options.Hill(), 0, hill),
    (options.Splc(), 0, splc(start=False)),
    (options.Splc(epochs=STEPS), 1, splc(start=True)),
    (options.Entropy(), 0, undecided),
    (options.ClassSelective(), 0, asymmetric(0, 1, None, 0.05)),
    (
        options.ClassSelective(likeliest=0, priors=(0.5,) * C, gamma_positive=1),
        0,
        asymmetric(1, 1, 4, 0.05),
    ),
    (options.LargeLoss(), 0, negative),
]
EVERY = [
    *(strategy for strategy, _, _ in PLAIN),
    options.LargeLoss(rate=0.05),
    options.LargeLoss(rate=0.05, mode="temporary"),
    options.LargeLoss(rate=0.05, mode="permanent"),
    options.Entropy(negatives=0.9, warmup=1),
    options.ClassSelective(likeliest=1, priors=(0.1, 0.2, 0.3, 0.7, 0.9)),
]


@pytest.mark.parametrize(("strategy", "step", "cost"), PLAIN)
def test_formulas(strategy, step, cost):
    logits, state = 3 * random(B, C), states()
    loss = build(strategy)(logits, state, context(step))
    assert loss.item() == pytest.approx(mean_by_hand(logits, state, cost), rel=1e-5)


@pytest.mark.parametrize("strategy", EVERY)
def test_images_that_nobody_looked_at_change_nothing(strategy):
    labeled = torch.tensor([True, True, False, True, False, True])
    logits, state = random(B, C), states()
    other, content = logits.clone(), state.clone()
    other[~labeled] = 9 * random(2, C, seed=5)
    content[~labeled] = states(8, 2)
    found = []
    for x, s in ((logits, state), (other, content)):
        loss_of = build(strategy)
        for step in range(0, STEPS, 2):  # late enough for anything that is remembered to count
            leaf = x.clone().requires_grad_()
            loss = loss_of(leaf, s, context(step, labeled=labeled))
            loss.backward()
        assert not leaf.grad[~labeled].any()
        found.append((loss.detach(), leaf.grad[labeled]))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize(
    "strategy", [options.Ignore(), options.Asymmetric(), options.ClassSelective(warmup=9)]
)
def test_unknown_entries_are_never_read_where_they_are_ignored(strategy):
    logits, state = random(B, C), states()
    other = torch.where(state < 0, 7 * random(B, C, seed=3), logits)
    losses = []
    for x in (logits, other):
        leaf = x.clone().requires_grad_()
        losses.append(build(strategy)(leaf, state, context()))
        losses[-1].backward()
        assert not leaf.grad[state < 0].any()
    assert torch.equal(*losses)


def test_ignore_is_the_loss_of_known_tags_to_the_bit():
    logits, state = random(B, C), states()
    labeled = torch.tensor([True, False, True, True, True, True])
    masked = torch.where(labeled[:, None], state, -1)
    shares = within_images(torch.rand(B, generator=torch.Generator().manual_seed(2)))
    for reduce in ({}, {"reduce": shares}):
        found = build(options.Ignore())(logits, state, context(labeled=labeled), **reduce)
        loss = F.binary_cross_entropy_with_logits(
            logits, masked.clamp(min=0).float(), reduction="none"
        )
        assert torch.equal(found, reduce.get("reduce", mean_over)(loss, masked >= 0))


@pytest.mark.parametrize("strategy", EVERY)
def test_extreme_logits_of_half_precision_stay_finite(strategy):
    state = states()
    for value in (50.0, -50.0, 0.0):
        for kind in (torch.float32, torch.float16, torch.bfloat16):
            loss_of = build(strategy)
            for step in (0, STEPS // 2, STEPS - 1):
                x = torch.full((B, C), value, dtype=kind, requires_grad=True)
                loss = loss_of(x, state, context(step))
                loss.backward()
                assert loss.dtype == torch.float32
                assert torch.isfinite(loss)
                assert x.grad.isfinite().all()


@pytest.mark.parametrize("strategy", EVERY)
def test_a_batch_without_anything_to_count_costs_nothing(strategy):
    x = random(B, C).requires_grad_()
    nobody = torch.zeros(B, dtype=torch.bool)
    loss = build(strategy)(x, states(), context(STEPS - 1, labeled=nobody))
    loss.backward()
    assert loss == 0
    assert not x.grad.any()


def test_focusing_weights_carry_no_gradient():
    x = torch.tensor([[0.3, -0.4]], requires_grad=True)
    loss_of = build_tag_loss(options.Asymmetric(gamma_positive=2, gamma_negative=3), categories=2)
    loss_of(x, torch.tensor([[1, 0]]), TagContext(0, 1)).backward()
    p, q = sigmoid(0.3), sigmoid(-0.4) - 0.05
    # d(-log p)/dx = -(1 - p); d(-log(1 - q))/dx = p'(1 - p') / (1 - q) with p' = sigmoid(-0.4)
    slope = sigmoid(-0.4) * sigmoid(0.4) / (1 - q)
    expected = [-((1 - p) ** 2) * (1 - p) / 2, q**3 * slope / 2]
    assert x.grad[0].tolist() == pytest.approx(expected, rel=1e-5)


def chosen_by_hand(losses, candidates, k):
    """Positions of the k largest candidates; of equal ones the first."""
    order = sorted((-loss, at) for at, loss in enumerate(losses) if candidates[at])
    return {at for _, at in order[:k]}


@pytest.mark.parametrize("mode", ["reject", "temporary", "permanent"])
def test_large_losses_step_by_step(mode):
    epochs, rate = 4, 0.04
    loss_of = build(options.LargeLoss(mode=mode, rate=rate, epochs=epochs))
    state_NC = states(3, N)
    overwritten = set()
    for step in range(STEPS):
        rows = torch.tensor([(5 * step + i) % N for i in range(B)])
        logits, state = random(B, C, seed=step).round(decimals=1), state_NC[rows]
        found = loss_of(logits, state, context(step, rows=rows))
        flat, known = logits.flatten().tolist(), state.flatten().tolist()
        places = [(int(rows[at // C]), at % C) for at in range(B * C)]
        truth = [
            1 if known[at] < 0 and places[at] in overwritten else max(known[at], 0)
            for at in range(B * C)
        ]
        free = [known[at] < 0 and truth[at] == 0 for at in range(B * C)]
        costs = [log_loss(x, y) for x, y in zip(flat, truth, strict=True)]
        epoch = step * epochs // STEPS
        # 30 entries x 0.04 = 1.2, rounded up
        k = math.ceil(B * C * rate * (min(epoch, 1) if mode == "permanent" else epoch))
        for at in chosen_by_hand(flat, free, k):  # of negatives, the loss grows with the logit
            costs[at] = 0.0 if mode == "reject" else log_loss(flat[at], 1)
            if mode == "permanent":
                overwritten.add(places[at])
        assert found.item() == pytest.approx(sum(costs) / len(costs), rel=1e-5), step
    if mode == "permanent":
        assert {tuple(at) for at in loss_of.overwritten_NC.nonzero().tolist()} == overwritten
        assert not any(state_NC[at] >= 0 for at in overwritten)


def test_exactly_k_of_equal_losses_and_never_one_more_by_rounding():
    # 30 entries x 0.1 is 3.0000000000000004 or so in some orders of multiplication
    loss_of = build(options.LargeLoss(rate=0.1, epochs=STEPS))
    for epoch in (1, 2, 3, 7):
        logits = torch.zeros(B, C, requires_grad=True)
        loss_of(logits, torch.full((B, C), -1), context(epoch)).backward()
        rejected = (logits.grad == 0).flatten()
        assert rejected.nonzero()[:, 0].tolist() == list(range(3 * epoch))


def test_fewer_candidates_than_k_are_all_chosen():
    loss_of = build(options.LargeLoss(rate=1.0, epochs=STEPS))
    state = states()
    logits = random(B, C).requires_grad_()
    loss_of(logits, state, context(STEPS - 1)).backward()
    assert torch.equal(logits.grad == 0, state < 0)


def test_soft_negatives_epoch_by_epoch():
    epochs, warmup, share = 5, 2, 0.9
    loss_of = build(options.Entropy(negatives=share, warmup=warmup, epochs=epochs, beta=0.3))
    state_NC = states(3, N)
    state_NC[:, 4] = -1
    score, soft = {}, {}
    for step in range(STEPS):
        epoch = step * epochs // STEPS
        if epoch >= warmup and epoch > (step - 1) * epochs // STEPS:
            for c in range(C):
                seen = [at for at in score if at[1] == c]
                count = int(share / (epochs - warmup) * len(seen) + 1e-9)
                free = sorted((score[at], at[0]) for at in seen if at not in soft)
                soft |= {(row, c): value for value, row in free[:count]}
        rows = torch.tensor([(3 * step + i) % N for i in range(B)])
        logits, state = random(B, C, seed=step), state_NC[rows]
        found = loss_of(logits, state, context(step, rows=rows))
        costs = []
        for i in range(B):
            for c in range(C):
                at, x, s = (int(rows[i]), c), float(logits[i, c]), int(state[i, c])
                costs.append(0.3 * log_loss(x, soft[at]) if at in soft else undecided(x, s))
                if s < 0:
                    score[at] = sigmoid(x)
        assert found.item() == pytest.approx(sum(costs) / len(costs), rel=1e-4), step
    assert {tuple(at) for at in loss_of.negative_NC.nonzero().tolist()} == set(soft)
    assert (loss_of.negative_NC[:, 4]).sum() == 3 * int(0.3 * N)


def test_an_image_that_a_batch_holds_twice_is_remembered_once():
    rows = torch.tensor([4, 4, 2, 2, 4, 0])
    logits = random(B, C)
    loss_of = build(options.Entropy(negatives=0.5))
    loss_of(logits, torch.full((B, C), -1), context(rows=rows))
    for row, first in ((4, 0), (2, 2), (0, 5)):
        assert torch.equal(loss_of.score_NC[row], logits[first].sigmoid())
    assert loss_of.score_NC[[1, 3, 5]].isnan().all()


def test_an_epoch_that_begins_without_a_tag_is_made_up_for():
    """The steps in which no image carries tags are left out by the training loop."""
    strategy = options.Entropy(negatives=0.8, warmup=1, epochs=5)
    given = []
    for steps in (range(STEPS), [s for s in range(STEPS) if s < 7 or s >= 30]):
        loss_of = build(strategy)
        for step in steps:
            loss_of(random(B, C, seed=1), torch.full((B, C), -1), context(step))
        given.append(loss_of.negative_NC)
    assert given[0].sum() == C * 4  # 0.8 x 6 images, in 4 epochs of one each
    assert torch.equal(*given)
    loss_of = build(options.ClassSelective(warmup=1, epochs=5))
    for step in (5, 30):
        loss_of(random(B, C), states(), context(step))
    assert torch.allclose(loss_of.prior_C, random(B, C).sigmoid().double().mean(dim=0))


def test_priors_are_what_the_last_epoch_of_the_warm_up_predicts():
    epochs = 4  # of ten steps each
    strategy = options.ClassSelective(
        warmup=2, epochs=epochs, prior_above=0.6, likeliest=1, gamma_unknown=2
    )
    loss_of = build(strategy)
    offset = torch.tensor([2.0, -1.0, 0.0, 1.5, -2.0])
    labeled = torch.tensor([True] * 5 + [False])
    sums, images = [0.0] * C, 0
    for step in range(STEPS):
        logits, state = random(B, C, seed=step) + offset, states(step)
        found = loss_of(logits, state, context(step, labeled=labeled))
        if step < 20:
            cost = mean_by_hand(logits[:5], state[:5], asymmetric(0, 1, None, 0.05))
            if step >= 10:
                images += 5
                for c in range(C):
                    sums[c] += sum(sigmoid(float(x)) for x in logits[:5, c])
        else:
            unknown_cost = asymmetric(0, 1, 2, 0.05)
            costs = []
            for i in range(5):
                entries = [(float(logits[i, c]), int(state[i, c])) for c in range(C)]
                likeliest = max((x for x, s in entries if s < 0), default=None)
                for c, (x, s) in enumerate(entries):
                    if s >= 0 or (sums[c] / images <= 0.6 and x != likeliest):
                        costs.append(unknown_cost(x, s))
            cost = sum(costs) / len(costs)
        assert found.item() == pytest.approx(cost, rel=1e-4), step
    assert loss_of.prior_C.tolist() == pytest.approx([s / images for s in sums], rel=1e-6)
    assert (loss_of.prior_C > 0.6).tolist() == [True, False, False, True, False]


@pytest.mark.parametrize(
    "strategy",
    [
        options.LargeLoss(rate=0.05, mode="permanent"),
        options.Entropy(negatives=0.9, warmup=2),
        options.ClassSelective(warmup=2, prior_above=0.4, likeliest=1),
    ],
)
def test_a_saved_memory_goes_on_to_the_bit(strategy):
    state_NC = states(1, N)

    def run(loss_of, steps):
        found = []
        for step in steps:
            rows = torch.randperm(N, generator=torch.Generator().manual_seed(step))[:B]
            found.append(loss_of(random(B, C, seed=step), state_NC[rows], context(step, rows=rows)))
        return found

    whole = run(build(strategy), range(STEPS))
    for stop in (7, 8, 25):
        first = build(strategy)
        run(first, range(stop))
        saved = {name: value.clone() for name, value in first.state_dict().items()}
        second = build(strategy)
        shapes = {name: value.shape for name, value in second.state_dict().items()}
        assert shapes == {name: value.shape for name, value in saved.items()}
        second.load_state_dict(saved)
        assert run(second, range(stop, STEPS)) == whole[stop:]
    forgetful = run(build(strategy), range(25, STEPS))
    assert forgetful != whole[25:]


def unsure(policy, **more):
    return options.Ignore(uncertain=options.UncertainPolicy(policy=policy, **more))


@pytest.mark.parametrize(("policy", "target"), [("zeros", 0), ("ones", 1), ("ignore", None)])
def test_what_nobody_was_sure_of(policy, target):
    logits, state = random(B, C), states()
    state[2, :3] = UNSURE
    expected = mean_by_hand(
        logits,
        state,
        lambda x, s: log_loss(x, target) if s == -2 and target is not None else ignore(x, s),
    )
    found = build(unsure(policy))(logits, state, context())
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("strategy", EVERY)
def test_unsure_is_not_unknown(strategy):
    """Left out by the policy `ignore`, also where a strategy takes unknown for absent."""
    state = states()
    state[2:4] = UNSURE
    x = random(B, C).requires_grad_()
    build(strategy)(x, state, context(STEPS - 1)).backward()
    assert not x.grad[2:4].any()


def test_smoothed_targets_belong_to_the_entry_and_not_to_the_step():
    strategy = unsure("smoothed_ones", seed=5)
    logits, state = random(B, C), torch.full((B, C), UNSURE)
    rows = torch.tensor([3, 9, 1, 0, 7, 5])
    loss_of = build(strategy)
    target = 0.55 + 0.3 * entry_uniform(rows, C, 5)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
    for step, order in ((0, [0, 1, 2, 3, 4, 5]), (9, [4, 2, 0, 1, 5, 3])):
        found = loss_of(logits[order], state, context(step, rows=rows[order]))
        assert torch.isclose(found, expected)
    other = build(unsure("smoothed_ones", seed=6))(logits, state, context(rows=rows))
    assert not torch.isclose(other, expected)
    low = build(unsure("smoothed_zeros"))(logits, state, context(rows=rows))
    target = 0.3 * entry_uniform(rows, C, 0)
    assert torch.isclose(low, torch.nn.functional.binary_cross_entropy_with_logits(logits, target))


def splitmix(value):
    """The finalizer of splitmix64 on Python's integers."""
    mask = (1 << 64) - 1
    value = (value * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return value ^ (value >> 31)


def test_the_numbers_of_entries_are_even_and_equal_those_of_python_integers():
    uniform = entry_uniform(torch.arange(2000), 7, 3)
    for row, category in ((0, 0), (1999, 6), (17, 3)):
        mixed = splitmix((row + splitmix(3)) % (1 << 64))
        expected = (splitmix(mixed ^ splitmix(category + 1)) >> 40) / 2**24
        assert uniform[row, category].item() == expected
    assert 0 <= uniform.min() <= uniform.max() < 1
    counts = torch.histc(uniform, 10, 0, 1)
    assert (counts - 1400).abs().max() < 5 * math.sqrt(1400)
    # neighbors have nothing to do with each other
    assert abs(torch.corrcoef(uniform.T)[0, 1]) < 0.1
    assert abs(torch.corrcoef(torch.stack([uniform[1:, 0], uniform[:-1, 0]]))[0, 1]) < 0.1


def test_a_strategy_is_named_in_yaml_and_takes_its_own_options_alone():
    adapter = pydantic.TypeAdapter(options.TagStrategy)
    for strategy in EVERY:
        assert adapter.validate_python(strategy.model_dump(mode="json")) == strategy
    with pytest.raises(pydantic.ValidationError, match="rate"):
        adapter.validate_python({"name": "ignore", "rate": 0.1})
    with pytest.raises(pydantic.ValidationError, match="name"):
        adapter.validate_python({"mode": "reject"})
    for faulty in (
        {"name": "entropy", "negatives": 0.5, "warmup": 10},
        {"name": "class_selective", "warmup": 10},
        {"name": "ignore", "uncertain": {"policy": "zeros", "zeros": [0.4, 0.3]}},
    ):
        with pytest.raises(pydantic.ValidationError, match=r"warmup|smallest"):
            adapter.validate_python(faulty)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidConfig, match="2 numbers; the task has 5"):
        build(options.ClassSelective(priors=(0.1, 0.2)))
    for strategy in (
        options.LargeLoss(mode="permanent"),
        options.Entropy(negatives=0.5),
        unsure("smoothed_zeros"),
    ):
        loss_of = build(strategy)
        assert loss_of.needs_rows
        state = torch.full((B, C), UNSURE)
        with pytest.raises(InvalidConfig, match="which images"):
            loss_of(random(B, C), state, TagContext(0, STEPS))
