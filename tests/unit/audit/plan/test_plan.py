"""What the plan buys, and what must have no part in it."""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from goldseam.audit.plan.buying import Market
from goldseam.audit.plan.config import PlanConfig
from goldseam.audit.plan.design import Design, looks
from goldseam.audit.plan.offers import Offers, TaskOffers
from goldseam.audit.plan.redundancy import Correction, Redundancy, effective_share
from goldseam.audit.plan.section import SCHEMA, audit_plan
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidArray, InvalidConfig
from goldseam.results import MissingnessTest
from tests.unit.audit.missingness.made import label_side

CONFIG = PlanConfig(simulate=False)


def made(seed=0, images=300, columns=4, known=0.3, **more):
    """Tags that depend on features, known at random; a mask that is known of some images."""
    random = np.random.default_rng(seed)
    feature_ND = random.normal(size=(images, 6)).astype(np.float32)
    p_NC = 1 / (1 + np.exp(-feature_ND[:, :columns] * 2))
    state_NC = (random.random(p_NC.shape) < p_NC).astype(np.int8)
    state_NC[random.random(p_NC.shape) >= known] = -1
    labels = label_side({"mask": random.random(images) < known}, {"tags": state_NC}, **more)
    return labels, p_NC, feature_ND


def columns_of(section):
    return pc.binary_join_element_wise(
        section.ranking["task"], pc.fill_null(section.ranking["category"], ""), "."
    ).to_pylist()


def pairs_of(section):
    return list(zip(section.ranking["image_id"].to_pylist(), columns_of(section), strict=True))


def test_every_unknown_label_is_ranked_once_and_no_known_one():
    labels, p_NC, feature_ND = made()
    section = audit_plan(labels, {"tags": p_NC}, CONFIG, embeddings_ND=feature_ND)
    assert section.ranking.schema == SCHEMA
    pairs = pairs_of(section)
    wanted = {
        (f"image {row}", f"tags.c{column}")
        for row, column in np.argwhere(labels.states["tags"] == -1)
    }
    wanted |= {(f"image {row}", "mask.") for row in np.flatnonzero(~labels.known["mask"])}
    assert set(pairs) == wanted
    assert len(pairs) == len(wanted) == section.plan.candidates
    assert section.plan.budget_seconds is None
    assert section.ranking["rank"].to_pylist() == list(range(1, len(pairs) + 1))
    assert sum(row.labels for row in section.plan.rows) == len(pairs)
    total = pc.sum(section.ranking["seconds"]).as_py()
    assert sum(row.seconds for row in section.plan.rows) == pytest.approx(total)


def test_the_same_input_gives_the_same_ranking():
    labels, p_NC, feature_ND = made()
    config = PlanConfig(seeds=3, steps=2)
    first, second = (
        audit_plan(labels, {"tags": p_NC}, config, embeddings_ND=feature_ND) for _ in range(2)
    )
    assert first.ranking.equals(second.ranking)
    assert first.plan == second.plan


def test_what_is_unknown_or_outside_the_split_changes_nothing():
    split_N = np.tile([2, 0, 0], 100)
    labels, p_NC, feature_ND = made(split_N=split_N)
    feature_ND[:5] = np.nan
    p_NC[5:9] = np.nan
    config = PlanConfig(seeds=3, steps=2)
    before = audit_plan(labels, {"tags": p_NC}, config, embeddings_ND=feature_ND)
    random = np.random.default_rng(1)
    outside_N = split_N == 2
    state_NC = labels.states["tags"].copy()
    state_NC[outside_N] = random.integers(-1, 2, (100, 4))
    mask_N = np.where(outside_N, ~labels.known["mask"], labels.known["mask"])
    changed = dataclasses.replace(
        labels, states={"tags": state_NC}, known={**labels.known, "mask": mask_N}
    )
    feature_ND[outside_N], p_NC[outside_N] = 1e6, random.random((100, 4))
    after = audit_plan(changed, {"tags": p_NC}, config, embeddings_ND=feature_ND)
    assert after.ranking.equals(before.ranking)
    assert after.plan == before.plan
    assert set(before.ranking["split"].to_pylist()) == {"train"}


def test_what_others_say_on_hidden_labels_of_a_replay_is_never_read_before_it_is_bought():
    """The first purchase of every order is the same whatever the hidden labels say."""
    from goldseam.audit.plan.replay import ORDERS, Learner, Pool

    random = np.random.default_rng(0)
    look_NK = looks(random.normal(size=(80, 4)).astype(np.float32), 80, 4)
    start_NC = np.full((80, 3), -1, np.int8)
    start_NC[:20] = random.integers(0, 2, (20, 3))
    for order in ORDERS.values():
        choices = []
        for seed in range(2):
            truth_NC = np.random.default_rng(seed).integers(0, 2, (80, 3)).astype(np.int8)
            truth_NC[:20] = start_NC[:20]
            truth_NC[70:] = -1
            pool = Pool(look_NK, truth_NC, np.arange(80), np.full(3, 2.0), look_NK, truth_NC)
            learner = Learner(pool, start_NC.copy(), CONFIG)
            p_NC = learner.predict(learner.fit(), look_NK)
            row_B, column_B = order(learner, p_NC, 100.0, np.random.default_rng(7))
            choices.append((row_B.tolist(), column_B.tolist()))
            assert not (truth_NC[row_B, column_B] == -1).any()
            assert 0 < 2 * len(row_B) + 3 * len(set(row_B.tolist())) <= 100
        assert choices[0] == choices[1]


@pytest.mark.parametrize("budget", [4.0, 61.0, 500.0])
def test_the_budget_is_kept_and_used(budget):
    labels, p_NC, feature_ND = made()
    config = PlanConfig(simulate=False, budget_seconds=budget)
    section = audit_plan(labels, {"tags": p_NC}, config, embeddings_ND=feature_ND)
    ranking = section.ranking
    opened = len(set(ranking["image_id"].to_pylist()))
    of_kind = {"tags": 2, "mask": 120}
    spent = 3 * opened + sum(of_kind[task] for task in ranking["task"].to_pylist())
    assert pc.sum(ranking["seconds"]).as_py() == pytest.approx(spent) if len(ranking) else True
    assert spent <= budget
    assert section.plan.budget_seconds == budget
    # what is left could not open one image more
    assert spent > budget - 5
    if budget == 4:
        assert not len(ranking)
        assert "none fits" in section.plan.sentence


def test_cheaper_labels_come_first_and_worthless_ones_never():
    labels, p_NC, _ = made()
    dear = PlanConfig(simulate=False, listed=50, open_seconds=0, costs={"tags": 5, "tags.c2": 500})
    assert "tags.c2" not in columns_of(audit_plan(labels, {"tags": p_NC}, dear))
    cheap = dear.model_copy(update={"costs": {"tags": 5, "tags.c2": 0.01}})
    assert set(columns_of(audit_plan(labels, {"tags": p_NC}, cheap))) == {"tags.c2"}
    unwanted = PlanConfig(simulate=False, worth={"tags": 0})
    assert set(columns_of(audit_plan(labels, {"tags": p_NC}, unwanted))) == {"mask."}


def test_dear_openings_put_the_labels_of_an_image_together():
    labels, p_NC, _ = made(known=0.2)
    shares = []
    for seconds in (0, 60):
        config = PlanConfig(simulate=False, listed=60, open_seconds=seconds)
        ranking = audit_plan(labels, {"tags": p_NC}, config).ranking
        shares.append(len(ranking) / len(set(ranking["image_id"].to_pylist())))
    assert shares[1] > 1.5 * shares[0]


def test_scarce_categories_come_first():
    random = np.random.default_rng(0)
    state_NC = random.integers(0, 2, (400, 2)).astype(np.int8)
    state_NC[200:, 0] = -1
    state_NC[20:, 1] = -1
    config = PlanConfig(simulate=False, listed=100)
    section = audit_plan(label_side({}, {"tags": state_NC}), {}, config)
    assert columns_of(section)[:50] == ["tags.c1"] * 50
    assert section.ranking["reason"][0].as_py().startswith("c1 is known on 20 images")


def test_uncertain_images_come_first():
    labels, _, _ = made(columns=1)
    p_NC = np.full((300, 1), 0.02)
    unknown = np.flatnonzero(labels.states["tags"][:, 0] == -1)
    p_NC[unknown[::7]] = 0.5
    config = PlanConfig(simulate=False, budget_seconds=5 * len(unknown[::7]), worth={"mask": 0})
    found = audit_plan(labels, {"tags": p_NC}, config).ranking["image_id"].to_pylist()
    assert set(found) == {f"image {row}" for row in unknown[::7]}


def test_predictions_that_saw_no_absence_are_not_trusted():
    state_NC = np.full((60, 1), -1, np.int8)
    state_NC[:20] = 1
    labels = label_side({}, {"tags": state_NC})
    p_NC = np.random.default_rng(0).random((60, 1))
    with_them = audit_plan(labels, {"tags": p_NC}, CONFIG).ranking
    without = audit_plan(labels, {}, CONFIG).ranking
    assert with_them.drop(["reason"]).equals(without.drop(["reason"]))


def test_a_copy_of_a_labeled_or_bought_image_comes_late():
    random = np.random.default_rng(2)
    feature_ND = random.normal(size=(120, 5)).astype(np.float32)
    state_NC = np.full((120, 1), -1, np.int8)
    state_NC[:20, 0] = random.integers(0, 2, 20)
    feature_ND[20:30] = feature_ND[:10]  # copies of labeled images
    feature_ND[30:40] = feature_ND[40:50]  # copies of each other
    labels = label_side({}, {"tags": state_NC})
    config = PlanConfig(simulate=False, near=0.01)
    ranked = audit_plan(labels, {}, config, embeddings_ND=feature_ND).ranking["image_id"]
    place = {int(name.split()[1]): at for at, name in enumerate(ranked.to_pylist())}
    last = sorted(place, key=place.get)[-20:]
    assert {*range(20, 30)} < set(last)
    assert sum(1 for left in range(30, 40) if (left in last) != (left + 10 in last)) == 10


def test_groups_that_have_labels_come_after_those_that_have_none():
    group_N = np.repeat(np.arange(20), 5)
    state_NC = np.full((100, 1), -1, np.int8)
    state_NC[np.arange(0, 50, 5)] = np.tile([0, 1], 5)[:, None]
    labels = label_side({}, {"tags": state_NC}, group_N=group_N)
    found = audit_plan(labels, {}, CONFIG).ranking["group"].to_pylist()
    assert set(found[:10]) == {f"g{group}" for group in range(10, 20)}


def test_images_of_an_under_labeled_site_count_more():
    random = np.random.default_rng(0)
    site_N = np.array(["a", "b"])[random.integers(0, 2, 400)]
    state_NC = random.integers(0, 2, (400, 1)).astype(np.int8)
    state_NC[random.random(400) > np.where(site_N == "a", 0.6, 0.1)] = -1
    labels = label_side({}, {"tags": state_NC}, meta={"meta_site": pa.array(site_N)})
    test = MissingnessTest(
        "tags", "c0", "meta_site", "metadata", "chi2", 400, 0.001, 0.001, 0.5, "V", "strong", "…"
    )
    config = PlanConfig(simulate=False, listed=60)
    found = audit_plan(labels, {}, config, missingness=[test]).ranking["image_id"].to_pylist()
    assert {site_N[int(name.split()[1])] for name in found} == {"b"}
    off = config.model_copy(update={"correction": 1.0})
    found = audit_plan(labels, {}, off, missingness=[test]).ranking["image_id"].to_pylist()
    assert {site_N[int(name.split()[1])] for name in found} == {"a", "b"}


def test_images_with_more_expected_error_come_first():
    labels, _, _ = made()
    error_N = np.linspace(0, 1, 300)
    error_N[::10] = np.nan
    config = PlanConfig(simulate=False, worth={"tags": 0}, listed=20)
    found = audit_plan(labels, {}, config, uncertainty={"mask": error_N}).ranking
    order = [int(name.split()[1]) for name in found["image_id"].to_pylist()]
    assert order == sorted(order, reverse=True)
    assert "times the mean error" in found["reason"][0].as_py()


def test_nothing_left_to_buy():
    labels = label_side({}, {"tags": np.ones((5, 2), np.int8)})
    section = audit_plan(labels, {}, PlanConfig())
    assert (section.plan.candidates, section.plan.rows, section.plan.simulation) == (0, (), ())
    assert section.plan.sentence.startswith("There is no label left to buy")
    assert section.ranking.schema == SCHEMA
    assert not len(section.ranking)


def test_noisy_versions_are_not_for_sale():
    tasks = {
        "clean": Task(kind=Kind.BOUNDARY),
        "noisy": Task(kind=Kind.BOUNDARY, noisy_version_of="clean"),
    }
    known = dict.fromkeys(tasks, np.arange(10) < 5)
    section = audit_plan(label_side(known, tasks=tasks), {}, CONFIG)
    assert set(section.ranking["task"].to_pylist()) == {"clean"}


def test_refusals_name_what_is_wrong():
    labels, p_NC, _ = made()
    with pytest.raises(InvalidConfig, match=r"tags\.c9") as found:
        audit_plan(labels, {}, PlanConfig(costs={"tags.c9": 1}))
    assert "tags.c" in found.value.remedy
    with pytest.raises(InvalidArray, match="shape"):
        audit_plan(labels, {"tags": p_NC[:, :2]}, CONFIG)
    with pytest.raises(InvalidArray, match="rows"):
        audit_plan(labels, {}, CONFIG, embeddings_ND=np.zeros((3, 2)))


def test_gains_equal_what_is_saved_when_the_label_is_added():
    """Sherman-Morrison against inverting anew, before and after a purchase."""
    random = np.random.default_rng(0)
    look_ND = looks(random.normal(size=(50, 5)).astype(np.float32), 50, 3)
    state_NC = random.integers(-1, 2, (50, 2)).astype(np.int8)
    p_NC = random.uniform(0.1, 0.9, (50, 2))
    task = TaskOffers("tags", ("a", "b"), np.ones(2), np.ones(2), state_NC, p_NC)
    offers = Offers((task,))
    w_NC = offers.information(np.arange(50)).astype(float)

    def left_over(known_NC):
        excess = []
        for w_N, known_N in zip(w_NC.T, known_NC.T, strict=True):
            weighted_ND = look_ND * (w_N * known_N)[:, None]
            inverse_DD = np.linalg.inv(np.eye(4) + look_ND.T @ weighted_ND)
            excess.append(
                0.5 * np.mean(w_N * np.einsum("nd,de,ne->n", look_ND, inverse_DD, look_ND))
            )
        return np.array(excess) / task.entropy

    known_NC = state_NC != -1
    design = Design.of(offers, look_ND)
    for row in np.flatnonzero(~known_NC[:, 0])[:3]:
        more_NC = known_NC.copy()
        more_NC[row, 0] = True
        saved = left_over(known_NC) - left_over(more_NC)
        gain_U = design.gains_of(look_ND[row].astype(float), w_NC[row])
        assert gain_U[0] == pytest.approx(saved[0], rel=1e-5)
        every_NU = design.gains(look_ND[[row]], offers.information(np.array([row])))
        assert every_NU[0] == pytest.approx(gain_U, rel=1e-3)
        design.add(0, look_ND[row].astype(float), w_NC[row, 0])
        known_NC = more_NC


def test_labels_of_a_cluster_add_up_to_its_effective_number():
    each = effective_share(np.arange(10), 0.3)
    assert each[0] == 1
    assert each.sum() == pytest.approx(10 / (1 + 9 * 0.3))
    assert (np.diff(each) < 0).all()


@pytest.mark.parametrize("opening", [0.0, 3.0, 200.0])
def test_bundles_equal_the_best_of_all_subsets(opening):
    random = np.random.default_rng(0)
    state_NC = np.where(random.random((40, 5)) < 0.5, random.integers(0, 2, (40, 5)), -1)
    seconds_C = random.uniform(1, 9, 5)
    task = TaskOffers(
        "tags", tuple("abcde"), seconds_C, np.ones(5), state_NC, random.uniform(0.05, 0.95, (40, 5))
    )
    offers, look_ND = Offers((task,)), looks(None, 40, 1)
    redundancy = Redundancy(offers, np.arange(40), look_ND, correlation=0.3, near=0.1)
    correction = Correction({}, (None,) * 5, ())
    design = Design.of(offers, look_ND)
    market = Market(offers, look_ND, design, redundancy, correction, opening)
    row_N = np.arange(40)
    buyable_NC = offers.buyable(row_N)
    gain_NC = design.gains(look_ND, offers.information(row_N)) * buyable_NC
    value_N, cost_N, labels_N = market.bundles(row_N, buyable_NC, np.full(40, opening))
    chosen_SC = np.array(list(itertools.product([0, 1], repeat=5)))[1:]
    cost_S = opening + chosen_SC @ seconds_C
    best_N = (gain_NC @ chosen_SC.T / cost_S).max(axis=1)
    assert value_N == pytest.approx(best_N, rel=1e-4)
    some_N = best_N > 0
    assert (labels_N[some_N] <= buyable_NC[some_N].sum(axis=1)).all()
    assert (cost_N[some_N] > opening).all()
