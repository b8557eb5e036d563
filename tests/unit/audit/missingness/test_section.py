"""The section as a whole: what it finds, what it leaves alone, and what it refuses."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from goldseam.audit.label_side import read_label_side
from goldseam.audit.missingness import MissingnessConfig, audit_missingness
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import Kind, Task
from goldseam.errors import InvalidConfig
from tests.unit.audit.missingness.made import label_side

CONFIG = MissingnessConfig(resamples=199, most_resamples=1999)


def random(seed=0):
    return np.random.default_rng(seed)


def one(section, **wanted):
    """The only test with these values."""
    (found,) = [
        test
        for test in section.tests
        if all(getattr(test, name) == value for name, value in wanted.items())
    ]
    return found


def by_site(images=600):
    """Shoreline is labeled on 5 % of the images of site B and on 60 % of the others."""
    draw = random(1)
    site_N = np.array(["A", "B", "C"])[draw.integers(3, size=images)]
    shoreline_N = draw.random(images) < np.where(site_N == "B", 0.05, 0.6)
    known = {"shoreline": shoreline_N, "cover": draw.random(images) < 0.4}
    return known, {"meta_site": pa.array(site_N)}


def test_a_site_that_is_labeled_less_is_named():
    known, meta = by_site()
    section = audit_missingness(label_side(known, meta=meta), CONFIG)
    found = one(section, task="shoreline", factor="meta_site")
    share = known["shoreline"][meta["meta_site"].to_numpy(False) == "B"].mean()
    assert found.strength in ("moderate", "strong")
    assert found.q_value < 1e-6
    assert found.sentence.startswith("Images whose site is B carry a label of shoreline in ")
    assert f"{100 * share:.1f} %" in found.sentence
    assert section.sentences[0] == found.sentence
    other = one(section, task="cover", factor="meta_site")
    assert other.strength == "none"
    assert "does not visibly depend on its site" in other.sentence


def test_q_values_count_every_test():
    known, meta = by_site()
    section = audit_missingness(label_side(known, meta=meta), CONFIG)
    found = one(section, task="shoreline", factor="meta_site")
    tested = [test for test in section.tests if test.p_value is not None]
    assert len(tested) == 2
    assert found.q_value == pytest.approx(2 * found.p_value)


def test_the_same_again():
    known, meta = by_site(200)
    labels = label_side(known, meta=meta, group_N=np.arange(200) // 5)
    assert audit_missingness(labels, CONFIG) == audit_missingness(labels, CONFIG)


def test_null_is_a_level_and_a_missing_number_a_factor():
    draw = random(2)
    missing_N = draw.random(400) < 0.5
    known_N = draw.random(400) < np.where(missing_N, 0.1, 0.8)
    site = [None if missing else "a" for missing in missing_N]
    height = [None if missing else float(n % 7) for n, missing in enumerate(missing_N)]
    meta = {"meta_site": pa.array(site, pa.string()), "meta_height": pa.array(height)}
    section = audit_missingness(label_side({"cover": known_N}, meta=meta), CONFIG)
    site_test = one(section, factor="meta_site")
    assert site_test.images == 400
    assert site_test.strength == "strong"
    assert one(section, factor="meta_height recorded").strength == "strong"
    assert one(section, factor="meta_height").images == int((~missing_N).sum())
    assert "Images whose height is unknown" in one(section, factor="meta_height recorded").sentence


def test_times_and_many_levels():
    draw = random(3)
    day_N = draw.integers(1000, size=500)
    start = dt.datetime(2026, 1, 1)  # noqa: DTZ001 (the dataset's times have no zone)
    times = [start + dt.timedelta(days=int(day)) for day in day_N]
    annotators = [f"person {number}" for number in draw.integers(200, size=500)]
    meta = {
        "meta_captured_at": pa.array(times, pa.timestamp("us")),
        "meta_annotator": pa.array(annotators),
    }
    known_N = draw.random(500) < day_N / 1000
    section = audit_missingness(label_side({"cover": known_N}, meta=meta), CONFIG)
    captured = one(section, factor="meta_captured_at")
    assert captured.effect > 0.3
    assert captured.strength in ("moderate", "strong")
    assert "the lowest captured at" in captured.sentence
    assert one(section, factor="meta_annotator").p_value is not None


def test_one_site_and_one_annotator_cannot_be_compared():
    known = {"cover": np.arange(50) < 10}
    meta = {"meta_site": pa.array(["a"] * 50), "meta_annotator": pa.array([7] * 50)}
    section = audit_missingness(label_side(known, meta=meta), CONFIG)
    for factor in ("meta_site", "meta_annotator"):
        found = one(section, factor=factor)
        assert found.p_value is None
        assert found.q_value is None
        assert found.effect is None
        assert "the same on all 50 images" in found.sentence
    assert section.sentences[0] == "Nothing could be tested about which labels are missing."


def test_a_task_that_nobody_labeled_and_one_that_is_complete():
    known = {"cover": np.zeros(60, bool), "edges": np.ones(60, bool)}
    meta = {"meta_height": pa.array(random(4).random(60))}
    section = audit_missingness(label_side(known, meta=meta), CONFIG)
    assert all(test.p_value is None for test in section.tests)
    assert (
        "none of the 60 images is labeled"
        in one(section, task="cover", factor="meta_height").sentence
    )
    (pair,) = section.pairs
    assert pair.verdict == "unknown"
    assert pair.why == "No training image carries a label of cover."


def test_no_image_at_all():
    section = audit_missingness(label_side({"cover": np.zeros(0, bool)}), CONFIG)
    assert section.tests == ()
    assert section.sentences == ("There are no images, so nothing can be said.",)


def test_pictures_are_matched_by_id():
    draw = random(5)
    brightness_N = draw.random(400)
    labels = label_side({"cover": draw.random(400) < brightness_N})
    order_N = draw.permutation(400)[:300]
    pictures = pa.table(
        {
            "image_id": labels.image_ids.take(pa.array(order_N)),
            "brightness": brightness_N[order_N],
            "hash": pa.array(order_N),
        }
    )
    section = audit_missingness(labels, CONFIG, pictures=pictures)
    found = one(section, factor_kind="image")
    assert found.factor == "brightness"
    assert found.images == 300
    assert found.effect > 0.4
    assert "with the lowest brightness carry a label of cover in" in found.sentence


@pytest.mark.parametrize("group_size", [1, 8])
def test_embeddings_tell_what_is_labeled(group_size):
    draw = random(6)
    group_N = np.arange(600) // group_size
    embedding_ND = draw.normal(size=(600, 90)) + draw.normal(size=(600, 90))[group_N]
    known = {
        "cover": embedding_ND[:, :3].sum(axis=1) + draw.normal(size=600) > 0,
        "edges": draw.random(600) < 0.3,
    }
    embedding_ND[:20] = np.nan
    labels = label_side(known, group_N=group_N)
    section = audit_missingness(labels, CONFIG, embeddings_ND=embedding_ND)
    cover = one(section, task="cover", factor_kind="embedding")
    edges = one(section, task="edges", factor_kind="embedding")
    assert cover.images <= 580
    assert cover.effect > 0.4
    assert cover.strength in ("moderate", "strong")
    assert edges.strength == "none"
    assert abs(edges.effect) < 0.3


def test_gaps_that_depend_on_the_label_of_another_task():
    draw = random(7)
    lake_N = draw.random(800) < 0.4
    state_N1 = np.where(draw.random(800) < 0.8, lake_N, -1).astype(np.int8)[:, None]
    known_N = draw.random(800) < np.where(lake_N, 0.8, 0.2)
    section = audit_missingness(label_side({"cover": known_N}, {"tags": state_N1}), CONFIG)
    found = one(section, task="cover", factor_kind="other_label")
    assert found.factor == "tags.c0"
    assert found.images == int((state_N1 != -1).sum())
    assert found.sentence.startswith("Images that show c0 (tags) carry a label of cover in ")
    (pair,) = section.pairs
    assert pair.verdict == "biased"
    assert pair.why == found.sentence


def test_gaps_that_depend_on_the_label_itself_show_in_its_complete_noisy_version():
    draw = random(8)
    lake_N = draw.random(800) < 0.4
    noisy_N = np.where(draw.random(800) < 0.1, ~lake_N, lake_N)
    known_N = draw.random(800) < np.where(lake_N, 0.7, 0.2)
    masks = Task(kind=Kind.SEGMENTATION, categories=("sea", "lake"))
    tasks = {"cover": masks, "map": masks.model_copy(update={"noisy_version_of": "cover"})}
    labels = label_side({"cover": known_N, "map": np.ones(800, bool)}, tasks=tasks)
    states = {
        "cover": np.where(known_N[:, None], np.stack([~lake_N, lake_N], 1), -1).astype(np.int8),
        "map": np.stack([~noisy_N, noisy_N], axis=1).astype(np.int8),
    }
    section = audit_missingness(labels, CONFIG, states=states)
    found = one(section, task="cover", factor="map.lake")
    assert found.factor_kind == "own_label"
    assert found.effect > 0.3


def test_gaps_that_depend_on_the_label_itself_show_beside_a_complete_split():
    draw = random(9)
    present_N = draw.random(1600) < 0.3
    split_N = np.repeat([0, 1], [1200, 400])
    known_N = (split_N == 1) | (draw.random(1600) < np.where(present_N, 0.8, 0.2))
    state_N1 = np.where(known_N, present_N, -1).astype(np.int8)[:, None]
    section = audit_missingness(label_side({}, {"tags": state_N1}, split_N=split_N), CONFIG)
    found = one(section, factor_kind="own_label")
    assert found.category == "c0"
    assert found.strength in ("moderate", "strong")
    assert "the validation images, where it is known of all" in found.sentence
    (presence,) = section.presence
    assert presence.method == "complete split"
    assert presence.prior.value == pytest.approx(0.3, abs=0.07)


def test_gaps_that_depend_on_the_predicted_label():
    draw = random(10)
    probability_N = draw.random(600)
    known_N = draw.random(600) < probability_N
    state_N1 = np.where(known_N, draw.random(600) < probability_N, -1).astype(np.int8)[:, None]
    labels = label_side({}, {"tags": state_N1})
    section = audit_missingness(labels, CONFIG, probabilities={"tags": probability_N[:, None]})
    found = one(section, factor="predicted tags.c0")
    assert found.factor_kind == "own_label"
    assert found.effect > 0.4
    assert found.sentence.startswith("Images that least seem to show tags.c0 carry a label of tags")


def test_presences_that_are_recorded_alone_are_no_gap_that_could_be_tested():
    """Where only presences are written down, a site that shows more is not one that is labeled."""
    draw = random(11)
    site_N = draw.integers(2, size=500)
    state_N2 = np.full((500, 2), -1, np.int8)
    state_N2[draw.random(500) < np.where(site_N, 0.6, 0.1), 0] = 1
    state_N2[:, 1] = draw.random(500) < 0.5
    labels = label_side({}, {"tags": state_N2}, meta={"meta_site": pa.array(site_N)})
    section = audit_missingness(labels, CONFIG)
    assert not [test for test in section.tests if test.category == "c0"]


def test_training_images_are_tested_and_splits_are_a_factor():
    draw = random(12)
    split_N = np.repeat([0, 1, 2], [300, 150, 150])
    known_N = (split_N > 0) | (draw.random(600) < 0.1)
    meta = {"meta_height": pa.array(draw.random(600))}
    section = audit_missingness(label_side({"cover": known_N}, meta=meta, split_N=split_N), CONFIG)
    assert one(section, factor="meta_height").images == 300
    split = one(section, factor_kind="split")
    assert split.images == 600
    assert split.sentence.startswith("Training images carry a label of cover in ")
    assert section.held_out == {}


def test_a_biased_validation_split_is_named():
    draw = random(13)
    split_N = np.repeat([0, 1], [400, 1600])
    site_N = draw.integers(2, size=2000)
    present_N = draw.random(2000) < np.where(site_N, 0.8, 0.2)
    known_N = draw.random(2000) < np.where(split_N == 1, np.where(site_N, 0.9, 0.1), 0.5)
    labels = label_side(
        {},
        {"tags": np.where(known_N, present_N, -1).astype(np.int8)[:, None]},
        meta={"meta_site": pa.array(np.array(["a", "b"])[site_N])},
        split_N=split_N,
    )
    section = audit_missingness(labels, CONFIG)
    assert one(section, factor="meta_site").strength == "none"
    (found,) = [test for test in section.held_out["validation"] if test.factor == "meta_site"]
    assert found.strength == "strong"
    assert any("The validation split is biased" in text for text in section.sentences)
    assert any("Of the labeled validation images 7" in text for text in section.sentences)


def pair_of(known, **more):
    section = audit_missingness(label_side(known, **more), CONFIG)
    (pair,) = section.pairs
    return pair


def test_pairs_that_are_safe():
    draw = random(14)
    meta = {"meta_height": pa.array(draw.random(300))}
    pair = pair_of({"a": draw.random(300) < 0.5, "b": draw.random(300) < 0.5}, meta=meta)
    assert pair.verdict == "safe"
    whole = pair_of({"a": np.ones(300, bool), "b": np.ones(300, bool)})
    assert whole.verdict == "safe"
    assert whole.why == "Every training image carries labels of a and b."
    # labels that are made together say nothing against each other
    same_N = draw.random(300) < 0.5
    assert pair_of({"a": same_N, "b": same_N}, meta=meta).verdict == "safe"


def test_pairs_that_never_meet_or_are_hardly_known_are_unknown():
    draw = random(15)
    meta = {"meta_height": pa.array(draw.random(300))}
    first_N = draw.random(300) < 0.5
    never = pair_of({"a": first_N, "b": ~first_N}, meta=meta)
    assert (never.verdict, never.together) == ("unknown", 0)
    assert "never meet on a training image" in never.why
    few = pair_of({"a": np.arange(300) < 20, "b": np.ones(300, bool)}, meta=meta)
    assert few.verdict == "unknown"
    assert "Only 20 training images" in few.why
    blind = pair_of({"a": first_N, "b": np.ones(300, bool)})
    assert blind.verdict == "unknown"
    assert "Nothing is recorded" in blind.why


def test_pairs_that_avoid_each_other_or_share_a_cause_are_biased():
    draw = random(16)
    first_N = draw.random(400) < 0.5
    second_N = np.where(draw.random(400) < 0.05, first_N, ~first_N)
    meta = {"meta_height": pa.array(draw.random(400))}
    avoiding = pair_of({"a": first_N, "b": second_N}, meta=meta)
    assert avoiding.verdict == "biased"
    assert "a is labeled where b is not" in avoiding.why
    height_N = draw.random(400)
    known = {name: draw.random(400) < height_N for name in ("a", "b")}
    shared = pair_of(known, meta={"meta_height": pa.array(height_N)})
    assert shared.verdict == "biased"
    assert "the height of the image" in shared.why


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"embeddings_ND": np.zeros((9, 3))}, "embeddings have shape (9, 3)"),
        ({"probabilities": {"tags": np.full((10, 2), 1.5)}}, "row 0, column 0: 1.5"),
        ({"probabilities": {"tags": np.zeros((10, 3))}}, "shape (10, 3), expected (10, 2)"),
        ({"probabilities": {"tag": np.zeros((10, 2))}}, "'tag', which is not a task"),
        ({"states": {"cover": np.full((10, 0), 0), "x": np.zeros((10, 2))}}, "'x'"),
        ({"pictures": pa.table({"id": ["a"]})}, "no column 'image_id'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(given, words):
    labels = label_side({"cover": np.arange(10) < 5}, {"tags": np.zeros((10, 2), np.int8)})
    with pytest.raises(InvalidConfig) as caught:
        audit_missingness(labels, CONFIG, **given)
    assert words in caught.value.message
    assert caught.value.remedy


def test_impossible_states_are_refused():
    masks = {"cover": Task(kind=Kind.SEGMENTATION, categories=("sea", "land"))}
    labels = label_side({"cover": np.ones(4, bool)}, tasks=masks)
    with pytest.raises(InvalidConfig, match="row 1, column 0: 7"):
        audit_missingness(labels, CONFIG, states={"cover": np.array([[0, 1], [7, 1]] * 2)})


def test_unknown_is_not_absent():
    """Writing absences where nobody looked changes tests and priors."""
    draw = random(17)
    state_N1 = (draw.random(500) < 0.4).astype(np.int8)[:, None]
    state_N1[draw.random(500) < 0.5] = -1
    filled_N1 = np.where(state_N1 == -1, 0, state_N1).astype(np.int8)
    unknown, filled = (
        audit_missingness(label_side({}, {"tags": state}), CONFIG).presence[0]
        for state in (state_N1, filled_N1)
    )
    assert unknown.prior.value == pytest.approx(state_N1[state_N1 != -1].mean())
    assert filled.prior.value < unknown.prior.value - 0.1
    assert (unknown.unknown, filled.unknown) == (int((state_N1 == -1).sum()), 0)


def test_discs_are_audited(disc_data):
    section = audit_missingness(read_label_side(disc_data), CONFIG)
    assert {test.task for test in section.tests} == set(disc_data.info.tasks)
    assert len(section.pairs) == 10
    assert all(test.sentence.endswith(".") for test in section.tests)
    # with four groups no finding can be sure; the splits differ by design
    for test in section.tests:
        sure = test.p_value is not None and test.p_value < 0.001
        assert not sure or test.factor_kind == "split"


def test_a_dataset_on_disk(disc_folder):
    labels = read_label_side(open_dataset(disc_folder))
    names = [row.category for row in audit_missingness(labels, CONFIG).presence]
    assert names == list(labels.info.tasks["tags"].categories)
