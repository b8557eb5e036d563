"""What a label says about another task is right where it speaks, and silent elsewhere."""

import numpy as np
import pytest

from goldseam.dataset.augmentation import Turn, turn_record
from goldseam.dataset.derivation import (
    DERIVED,
    boundary_from_depth,
    boundary_from_segmentation,
    camera_signs,
    derive,
    merge_derivations,
    normals_from_depth,
    require_derivations,
)
from goldseam.dataset.reading import Record
from goldseam.dataset.resizing import resize_record
from goldseam.dataset.schema import Derivation, Kind, Task
from goldseam.errors import InvalidArray, InvalidConfig
from tests.unit.dataset.scenes import (
    FIELD_OF_VIEW,
    WALLS,
    angles,
    outlines,
    plane_depth,
    rays,
    room,
)

CATEGORIES = ("wall", "floor", "ceiling", "piece")
TASKS = {
    "regions": Task(kind=Kind.SEGMENTATION, categories=CATEGORIES),
    "depth": Task(kind=Kind.REGRESSION, unit="m", scale=1e-3),
    "normals": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
    "edges": Task(kind=Kind.BOUNDARY),
}
NORMALS = Derivation(
    source="depth", target="normals", rule="normals_from_depth", field_of_view=FIELD_OF_VIEW
)
EDGES = Derivation(
    source="regions",
    target="edges",
    rule="boundary_from_segmentation",
    single_instance=("floor", "ceiling"),
)
NO_EDGES = Derivation(
    source="depth", target="edges", rule="boundary_from_depth", field_of_view=FIELD_OF_VIEW
)


def record(**labels) -> Record:
    size = next(label.shape[-2:] for label in labels.values() if label is not None)
    return Record(
        image_id="a",
        group="a",
        image_HWC=np.zeros((*size, 3), np.uint8),
        labels=dict.fromkeys(TASKS) | labels,
        sources={task: "human" if task in labels else None for task in TASKS},
    )


def categories_of(region_HW) -> np.ndarray:
    """Side walls and far wall, floor, ceiling, boxes: as `CATEGORIES`."""
    names = np.array([0, 0, 1, 2, 0] + [3] * 5, np.uint8)
    return names[region_HW]


# --- normals from depth -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 64), (48, 64), (96, 40)])
@pytest.mark.parametrize("field_of_view", [40.0, 66.0, 100.0])
def test_a_plane_gives_its_normal_at_every_pixel(size, field_of_view):
    random = np.random.default_rng(0)
    for _ in range(20):
        tilt_2 = random.uniform(-0.15, 0.15, 2)
        normal_3 = np.array([*tilt_2, 1.0]) / np.linalg.norm([*tilt_2, 1.0])
        depth_HW = plane_depth(normal_3, 2.5, rays(*size, field_of_view))
        assert (depth_HW > 0).all()
        found_3HW = normals_from_depth(depth_HW.astype(np.float32), field_of_view)
        assert found_3HW.dtype == np.float32
        truth_3HW = np.broadcast_to(normal_3[:, None, None], found_3HW.shape)
        assert angles(found_3HW, truth_3HW).max() < 0.1  # NaN would fail as well


@pytest.mark.parametrize("size", [64, 128])
def test_trusted_normals_of_a_room_are_right_and_untrusted_ones_are_at_its_edges(size):
    trusted, wrong, unmasked = [], [], []
    for seed in range(12):
        scene = room(seed, size, size)
        depth_HW = (scene.depth_HW / 2e-4).round() * np.float32(2e-4)  # as rooms stores it
        angle_HW = angles(normals_from_depth(depth_HW, FIELD_OF_VIEW), scene.normal_3HW)
        known_HW = np.isfinite(angle_HW)
        trusted.append(known_HW.mean())
        wrong.append(angle_HW[known_HW])
        unmasked.append(np.nanmean(angles(_central(depth_HW), scene.normal_3HW)))
        near_edge_HW = outlines(scene.region_HW)
        assert known_HW[~near_edge_HW].mean() > 0.85
    wrong = np.concatenate(wrong)
    assert np.mean(trusted) > 0.93
    assert wrong.mean() < 0.8
    assert (wrong > 11.25).mean() < 0.005
    assert np.mean(unmasked) > 4 * wrong.mean()


def _central(depth_HW) -> np.ndarray:
    """The same formula with central differences everywhere, as one would write it first."""
    q_HW = 1 / depth_HW
    size = len(q_HW)
    tangent = np.tan(np.radians(FIELD_OF_VIEW) / 2)
    down_HW, across_HW = np.gradient(q_HW)
    qx_HW, qy_HW = across_HW * size / 2, -down_HW * size / 2
    x_W = (2 * np.arange(size) + 1) / size - 1
    vector_3HW = np.stack(
        [-qx_HW / tangent, -qy_HW / tangent, q_HW - x_W * qx_HW + x_W[:, None] * qy_HW]
    )
    return vector_3HW / np.linalg.norm(vector_3HW, axis=0)


def test_a_step_in_depth_costs_no_pixel_of_two_planes():
    # both sides of the step are planes, so the pixels beside it have three in line on their side
    depth_HW = np.full((16, 16), 2.0, np.float32)
    depth_HW[:, 8:] = 3.0
    normal_3HW = normals_from_depth(depth_HW, FIELD_OF_VIEW)
    np.testing.assert_allclose(normal_3HW[2], 1.0, atol=1e-5)


def test_what_is_thinner_than_three_pixels_is_not_trusted():
    depth_HW = np.full((16, 16), 3.0, np.float32)
    depth_HW[:, 7:9] = 2.0
    known_HW = np.isfinite(normals_from_depth(depth_HW, FIELD_OF_VIEW)[0])
    assert not known_HW[:, 7:9].any()
    assert known_HW[:, :7].all()
    assert known_HW[:, 9:].all()


@pytest.mark.parametrize("content", [np.nan, 0.0, -3.0, np.inf])
def test_what_stands_under_an_invalid_pixel_changes_nothing(content):
    depth_HW = room(1).depth_HW.copy()
    depth_HW[20:24, 30:50] = np.nan
    expected_3HW = normals_from_depth(depth_HW, FIELD_OF_VIEW)
    assert np.isnan(expected_3HW[:, 20:24, 30:50]).all()
    depth_HW[20:24, 30:50] = content
    np.testing.assert_array_equal(normals_from_depth(depth_HW, FIELD_OF_VIEW), expected_3HW)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 9), (9, 2)])
def test_a_map_too_small_for_a_surface_says_nothing(size):
    depth_HW = np.ones(size, np.float32)
    assert np.isnan(normals_from_depth(depth_HW, 60.0)).all()
    assert (boundary_from_depth(depth_HW, 60.0, Task(kind=Kind.BOUNDARY)) == 255).all()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
@pytest.mark.parametrize("y_up", [True, False])
def test_deriving_and_turning_change_places(flip, quarters, y_up):
    tasks = TASKS | {
        "normals": Task(kind=Kind.NORMALS, axes=f"x right, y {'up' if y_up else 'down'}, z away")
    }
    turn = Turn(flip, quarters)
    plain = record(depth=room(3).depth_HW)
    first = turn_record(derive(plain, [NORMALS], tasks), tasks, turn).labels["normals"]
    turned = derive(turn_record(plain, tasks, turn), [NORMALS], tasks).labels["normals"]
    np.testing.assert_array_equal(np.isnan(first), np.isnan(turned))
    np.testing.assert_allclose(first, turned, atol=1e-5)


def test_a_derived_label_is_resized_like_any_other():
    # stretching to another shape would break the camera; a normal that is there stays what it is
    scene = room(3)
    made = derive(record(depth=scene.depth_HW, normals=None), [NORMALS], TASKS)
    own = record(normals=scene.normal_3HW)
    small_3HW, truth_3HW = (
        resize_record(of, TASKS, (32, 48)).labels["normals"] for of in (made, own)
    )
    assert small_3HW.shape == (3, 32, 48)
    assert np.nanmean(angles(small_3HW, truth_3HW)) < 0.5


@pytest.mark.parametrize(
    ("axes", "signs"),
    [
        ("x right, y up, z towards the viewer", (1, 1, 1)),
        ("x right, y down, z away from the viewer", (1, -1, -1)),
        ("X right y down z toward viewer", (1, -1, 1)),
    ],
)
def test_camera_axes(axes, signs):
    assert camera_signs(axes) == signs


@pytest.mark.parametrize(
    "axes", [None, "", "x left, y up, z towards", "x right, y up", "east north"]
)
def test_axes_that_are_not_understood_are_refused(axes):
    with pytest.raises(InvalidConfig, match="x right, y up"):
        camera_signs(axes)


def test_normals_stand_in_the_axes_of_their_task():
    tasks = TASKS | {"normals": Task(kind=Kind.NORMALS, axes="x right, y down, z away")}
    depth = record(depth=room(5).depth_HW)
    up = derive(depth, [NORMALS], TASKS).labels["normals"]
    down = derive(depth, [NORMALS], tasks).labels["normals"]
    np.testing.assert_array_equal(down, up * np.array([1, -1, -1])[:, None, None])


def test_depth_must_be_a_map():
    with pytest.raises(InvalidArray, match="shape"):
        normals_from_depth(np.ones((2, 8, 8), np.float32), 60.0)


# --- boundaries ---------------------------------------------------------------------------------


def test_categories_that_meet_are_a_boundary_and_a_single_instance_has_none_inside():
    category_HW = np.array(
        [
            [0, 0, 1, 1, 1],
            [0, 0, 1, 1, 255],
            [3, 3, 1, 1, 1],
            [3, 3, 1, 1, 1],
        ],
        np.uint8,
    )
    label_HW = boundary_from_segmentation(category_HW, TASKS["regions"], TASKS["edges"], ["floor"])
    i = 255  # two pieces may stand side by side, walls may meet: silent there
    assert label_HW.dtype == np.uint8
    assert label_HW.tolist() == [
        [i, 1, 0, 0, i],
        [1, 1, 0, i, i],
        [i, 1, 0, 0, 0],
        [i, 1, 0, 0, 0],
    ]


def test_a_wide_ignore_value_of_the_target_is_kept():
    target = Task(kind=Kind.BOUNDARY, ignore=65535)
    for label_HW in (
        boundary_from_segmentation(np.zeros((4, 4), np.uint8), TASKS["regions"], target),
        boundary_from_depth(np.full((4, 4), np.nan), 60.0, target),
    ):
        assert label_HW.dtype == np.uint16
        assert (label_HW == 65535).all()


def test_boundaries_of_rooms_are_right_where_they_are_known():
    found = {"lines": 0.0, "nothing": 0.0, "surface": 0.0, "wrong": 0.0}
    for seed in range(20):
        scene = room(seed)
        truth_HW = outlines(scene.region_HW)
        regions_HW = boundary_from_segmentation(
            categories_of(scene.region_HW), TASKS["regions"], TASKS["edges"], ("floor", "ceiling")
        )
        assert truth_HW[regions_HW == 1].all()
        assert not truth_HW[regions_HW == 0].any()
        surface_HW = boundary_from_depth(scene.depth_HW, FIELD_OF_VIEW, TASKS["edges"])
        assert set(np.unique(surface_HW)) <= {0, 255}
        found["wrong"] += truth_HW[surface_HW == 0].mean() / 20
        found["lines"] += ((regions_HW == 1) & truth_HW).sum() / truth_HW.sum() / 20
        found["nothing"] += (regions_HW == 0).mean() / 20
        found["surface"] += (surface_HW == 0).sum() / (~truth_HW).sum() / 20
    assert found["lines"] > 0.6
    assert found["nothing"] > 0.1
    assert found["surface"] > 0.8
    assert found["wrong"] < 5e-4  # a very blunt corner may pass for a surface


def test_two_pieces_of_one_category_side_by_side_are_not_called_one():
    category_HW = np.full((6, 6), CATEGORIES.index("piece"), np.uint8)
    label_HW = boundary_from_segmentation(
        category_HW, TASKS["regions"], TASKS["edges"], ("wall", "floor")
    )
    assert (label_HW == 255).all()


# --- applying rules -----------------------------------------------------------------------------


def test_only_unknown_labels_are_filled_and_only_from_known_ones():
    scene = room(0)
    own_3HW = np.full((3, 64, 64), np.nan, np.float32)
    own_3HW[:, 0, 0] = (0, 0, 1)
    labeled = derive(record(depth=scene.depth_HW, normals=own_3HW), [NORMALS], TASKS)
    assert labeled.labels["normals"] is own_3HW  # its own unknown pixels stay unknown
    assert labeled.sources["normals"] == "human"
    unlabeled = record(regions=categories_of(scene.region_HW))
    untouched = derive(unlabeled, [NORMALS], TASKS)
    assert untouched.labels["normals"] is None
    assert untouched.sources["normals"] is None


def test_a_filled_label_says_where_it_comes_from_and_the_record_stays_as_it_was():
    plain = record(depth=room(0).depth_HW)
    made = derive(plain, [NORMALS, NO_EDGES], TASKS)
    assert made.sources == {
        "regions": None, "depth": "human", "normals": DERIVED, "edges": DERIVED
    }  # fmt: skip
    assert plain.labels["normals"] is None
    assert plain.sources["normals"] is None


def test_the_first_rule_that_speaks_of_a_pixel_counts():
    scene = room(2)
    both = record(regions=categories_of(scene.region_HW), depth=scene.depth_HW)
    regions_HW = derive(both, [EDGES], TASKS).labels["edges"]
    depth_HW = derive(both, [NO_EDGES], TASKS).labels["edges"]
    joined_HW = derive(both, [EDGES, NO_EDGES], TASKS).labels["edges"]
    np.testing.assert_array_equal(joined_HW, np.where(regions_HW == 255, depth_HW, regions_HW))
    assert (joined_HW != 255).sum() > max((regions_HW != 255).sum(), (depth_HW != 255).sum())


def test_a_derived_label_is_no_source():
    tasks = TASKS | {"more": Task(kind=Kind.BOUNDARY), "map": TASKS["regions"]}
    chain = [EDGES, Derivation(source="map", target="more", rule="boundary_from_segmentation")]
    plain = record(regions=np.zeros((4, 4), np.uint8))
    plain.labels.update(more=None, map=None)
    made = derive(plain, chain, tasks)
    assert made.labels["edges"] is not None
    assert made.labels["more"] is None


def test_the_recipe_replaces_what_the_dataset_declares():
    other = NORMALS.model_copy(update={"field_of_view": 50.0})
    assert merge_derivations([NORMALS, EDGES], [other, NO_EDGES]) == (other, EDGES, NO_EDGES)


@pytest.mark.parametrize(
    ("rule", "tasks", "says"),
    [
        (NORMALS.model_copy(update={"field_of_view": 0.0}), {}, "field of view 0"),
        (NO_EDGES.model_copy(update={"field_of_view": 0.0}), {}, "field of view 0"),
        (NORMALS, {"depth": Task(kind=Kind.REGRESSION, unit="1/m")}, "no length"),
        (NORMALS, {"normals": Task(kind=Kind.NORMALS, axes="x left, y up, z away")}, "x left"),
        (NORMALS.model_copy(update={"source": "dept"}), {}, "closest: depth"),
        (NORMALS.model_copy(update={"source": "regions"}), {}, "segmentation task, not regression"),
        (EDGES.model_copy(update={"single_instance": ("flor",)}), {}, "closest: floor"),
    ],
)
def test_a_derivation_that_does_not_fit_the_tasks_is_refused(rule, tasks, says):
    with pytest.raises(InvalidConfig) as caught:
        require_derivations([EDGES, rule], TASKS | tasks)
    assert says in str(caught.value)


def test_the_scene_has_what_these_tests_need():
    regions = [set(np.unique(room(seed).region_HW)) for seed in range(20)]
    assert sum(len(found - set(range(WALLS))) >= 2 for found in regions) >= 15
