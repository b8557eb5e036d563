"""rooms: rays, depth, normals, light and visibility in rooms whose truth is known by hand."""

import dataclasses

import numpy as np
import pytest

from goldseam.dataset.examples.rooms import labels, shading
from goldseam.dataset.examples.rooms.build import presentable
from goldseam.dataset.examples.rooms.camera import (
    FIELD_OF_VIEW,
    draw_camera,
    look_at,
    pixel_centers,
)
from goldseam.dataset.examples.rooms.categories import CATEGORIES, CEILING, FLOOR, FURNITURE, WALL
from goldseam.dataset.examples.rooms.furnishing import Piece, Room, _overlap, furnish
from goldseam.dataset.examples.rooms.models import Card, Model, read_library, smooth_normals
from goldseam.dataset.examples.rooms.surfaces import (
    CEILINGS,
    FLOORS,
    SURFACE_PX,
    WALLS,
    Surface,
    draw_surface,
)
from goldseam.dataset.examples.rooms.tracing import MISS, SIDES, Scene
from goldseam.dataset.partial import generator

pytest.importorskip("embreex")

CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
CUBE_FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
     [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)  # fmt: skip
GRAY = Surface(np.full((SURFACE_PX, SURFACE_PX, 3), 0.4, np.float32), 1.0)


def box(category="table", size=(1.0, 1.0, 1.0), mount="floor", top=0.0):
    """A model that fills the box of its size."""
    card = Card("box", "Box", "nobody", "CC0-1.0", "none", category, mount, size, 0.0, top)
    return Model(
        card=card,
        position_V3=(CUBE - [0.5, 0, 0.5]).astype(np.float32) * np.array(size, np.float32),
        uv_V2=np.zeros((8, 2), np.float32),
        face_F3=CUBE_FACES,
        material_F=np.zeros(12, np.int64),
        color_M3=np.array([[0.6, 0.3, 0.2]], np.float32),
        texture_M=np.array([-1]),
        glow_M=np.zeros(1, np.float32),
    )


def room(*pieces, size=(4.0, 2.5, 4.0), light=(2.0, 2.2, 2.0)):
    return Room(
        size=size,
        wall=GRAY,
        floor=GRAY,
        ceiling=GRAY,
        skirting=np.zeros(3, np.float32),
        skirting_height=0.0,
        pieces=pieces,
        light=np.array(light),
        light_color=np.ones(3, np.float32),
        daylight=0.5,
        ambient=0.4,
    )


def view_of(*pieces, position=(2.0, 1.2, 3.5), target=(2.0, 1.2, 0.0), size=64):
    return labels.look(Scene(room(*pieces)), look_at(np.array(position), np.array(target)), size)


class TestGeometry:
    def test_depth_is_along_the_axis_not_along_the_ray(self):
        view = view_of()
        wall = labels.segmentation(view) == WALL
        facing = wall & (view.instance_HW == 4)  # the wall z = 0, square to the axis
        assert facing.sum() > 800
        np.testing.assert_allclose(labels.depth(view)[facing], 3.5, rtol=1e-5)
        expected = np.broadcast_to([[0], [0], [1]], (3, facing.sum()))
        np.testing.assert_allclose(labels.normals(view)[:, facing], expected, atol=1e-5)

    @pytest.mark.parametrize("target", [(1.0, 0.4, 0.0), (3.6, 1.9, 0.2), (0.0, 0.0, 2.0)])
    def test_planes_follow_the_formula_of_derived_normals(self, target):
        """On a plane 1 / depth is affine in the image, and its slopes give the normal."""
        size = 96
        view = view_of(target=target, size=size)
        x_HW, y_HW = (place.reshape(size, size) for place in pixel_centers(size))
        q_HW = 1 / labels.depth(view).astype(np.float64)
        tangent = np.tan(np.radians(FIELD_OF_VIEW / 2))
        tried = 0
        for side in range(len(SIDES)):
            here = view.instance_HW == side
            if here.sum() < 200:
                continue
            tried += 1
            plane = np.stack([np.ones(here.sum()), x_HW[here], y_HW[here]], axis=1)
            (base, slope_x, slope_y), residual, *_ = np.linalg.lstsq(plane, q_HW[here], rcond=None)
            assert float(residual[0]) < 1e-9
            normal = np.array([-slope_x / tangent, -slope_y / tangent, base])
            normal /= np.linalg.norm(normal)
            seen_3N = labels.normals(view)[:, here]
            np.testing.assert_allclose(seen_3N, np.tile(normal[:, None], here.sum()), atol=1e-4)
        assert tried >= 2

    def test_what_is_left_of_the_viewer_is_left_in_the_picture(self):
        left = Piece(box("chair"), (1.0, 0.0, 1.0), 0.0)
        right = Piece(box("lamp"), (3.0, 0.0, 1.0), 0.0)
        category_HW = labels.segmentation(view_of(left, right))
        chair = np.nonzero(category_HW == CATEGORIES.index("chair"))[1]
        lamp = np.nonzero(category_HW == CATEGORIES.index("lamp"))[1]
        assert len(chair) > 50
        assert chair.max() < 32 <= lamp.min()
        assert (category_HW[0] == CEILING).any()
        assert (category_HW[-1] == FLOOR).any()

    def test_a_turned_piece_turns_its_front_to_plus_x(self):
        piece = Piece(box(size=(1.0, 1.0, 0.2)), (2.0, 0.0, 2.0), np.pi / 2)
        np.testing.assert_allclose(piece.rotation_33 @ [0, 0, 1], [1, 0, 0], atol=1e-6)
        low, high = piece.box
        np.testing.assert_allclose(high - low, [0.2, 1.0, 1.0], atol=1e-6)
        corners = piece.model.position_V3 @ piece.rotation_33.T + piece.position
        np.testing.assert_allclose(corners.min(axis=0), low, atol=1e-5)

    def test_projection_is_the_inverse_of_rays(self):
        camera = look_at(np.array([1.0, 1.5, 3.0]), np.array([2.5, 0.7, 0.4]))
        x_R, y_R = pixel_centers(8)
        origin_R3, direction_R3 = camera.rays(x_R, y_R)
        place_R2, depth_R = camera.project(origin_R3 + 2.5 * direction_R3)
        np.testing.assert_allclose(place_R2, np.stack([x_R, y_R], axis=1), atol=1e-5)
        np.testing.assert_allclose(depth_R, 2.5, rtol=1e-5)

    def test_smooth_normals_round_a_cylinder_and_keep_a_cube(self):
        cube = smooth_normals(CUBE[CUBE_FACES])
        assert (np.sort(np.abs(cube), axis=2)[:, :, :2] < 1e-4).all()
        angle = np.linspace(0, 2 * np.pi, 33)[:-1]
        ring = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], axis=1)
        vertices = np.concatenate([ring, ring + np.array([0, 1, 0])]).astype(np.float32)
        k = np.arange(32)
        after = (k + 1) % 32
        faces = np.concatenate(
            [np.stack([k, after, k + 32], 1), np.stack([after, after + 32, k + 32], 1)]
        )
        normal = smooth_normals(vertices[faces]).reshape(-1, 3)
        outwards = vertices[faces].reshape(-1, 3) * [1, 0, 1]
        assert (np.abs((normal * outwards).sum(axis=1)) > 0.995).all()


class TestMisses:
    def test_are_ignored_invalid_and_never_a_category(self):
        view = view_of(position=(2.0, 1.2, 9.0), target=(2.0, 1.2, 20.0))
        assert (view.instance_HW == MISS).all()
        assert (labels.segmentation(view) == 255).all()
        assert (labels.boundary(view) == 255).all()
        assert (labels.saliency(view) == 255).all()
        assert np.isnan(labels.depth(view)).all()
        assert np.isnan(labels.normals(view)).all()
        assert len(labels.objects(view)) == 0
        assert not presentable(view)

    def test_some_leave_the_rest_alone(self):
        view = view_of(position=(2.0, 1.2, 9.0), target=(2.0, 1.2, 0.0))
        met = view.instance_HW != MISS
        assert 0 < met.sum() < met.size
        assert (np.isfinite(labels.depth(view)) == met).all()
        assert ((labels.segmentation(view) != 255) == met).all()
        edge = labels.boundary(view)
        assert (edge[~met] == 255).all()
        # whether the wall ends or goes on beside a miss, no ray has told
        beside = met & ~(np.roll(met, -1, axis=1) & np.roll(met, -1, axis=0))
        assert beside.any()
        assert (edge[beside] == 255).all()
        texture_T = read_library().texture_T
        image = shading.photograph(view.scene, view.camera, 64, texture_T, generator(0, "test"))
        assert image[met].mean() > image[~met].mean()


class TestObjects:
    def test_a_hidden_piece_is_ignored(self):
        screen = Piece(box("storage", size=(1.5, 2.0, 0.1)), (2.0, 0.0, 2.0), 0.0)
        behind = Piece(box("bed", size=(1.6, 1.0, 0.5)), (2.0, 0.0, 1.0), 0.0)
        alone, hidden = view_of(behind), view_of(screen, behind)
        assert labels.visible_share(alone, len(SIDES)) == 1.0
        share = labels.visible_share(hidden, len(SIDES) + 1)
        assert share < labels.VISIBLE_SHARE
        boxes = labels.objects(hidden)
        state = dict(zip(boxes.category_N.tolist(), boxes.ignore_N.tolist(), strict=True))
        assert state[FURNITURE.index("storage")] is False
        assert state.get(FURNITURE.index("bed"), True) is True

    def test_share_counts_the_pixels_of_the_piece_alone(self):
        half = Piece(box("storage", size=(1.0, 2.0, 0.02)), (1.5, 0.0, 1.02), 0.0)
        behind = Piece(box("bed", size=(2.0, 0.5, 0.02)), (2.0, 0.0, 1.0), 0.0)
        share = labels.visible_share(view_of(half, behind), len(SIDES) + 1)
        assert share == pytest.approx(0.5, abs=0.06)

    def test_a_speck_is_boxed_and_ignored_and_no_tag(self):
        speck = Piece(box("plant", size=(0.1, 0.1, 0.1)), (2.0, 0.0, 0.2), 0.0)
        view = view_of(speck)
        assert 0 < view.pixels_I[-1] < 12
        assert labels.objects(view).ignore_N.tolist() == [True]
        assert not labels.tags(view).any()

    def test_saliency_is_the_nearest_piece(self):
        far = Piece(box("sofa", size=(1.5, 1.0, 0.5)), (1.0, 0.0, 0.5), 0.0)
        near = Piece(box("chair", size=(0.4, 0.8, 0.4)), (2.6, 0.0, 2.0), 0.0)
        view = view_of(far, near)
        assert ((labels.saliency(view) == 1) == (view.instance_HW == len(SIDES) + 1)).all()

    def test_nothing_is_salient_where_no_piece_is(self):
        assert not labels.saliency(view_of()).any()

    def test_boundary_is_one_pixel_wide_and_parts_equal_neighbors(self):
        one = Piece(box("chair"), (1.49, 0.0, 1.0), 0.0)
        two = Piece(box("chair"), (2.51, 0.0, 1.0), 0.0)
        view = view_of(one, two)
        edge = labels.boundary(view)
        row = view.instance_HW[40]
        assert {len(SIDES), len(SIDES) + 1} <= set(row.tolist())
        expected = np.append(row[1:] != row[:-1], False) | (
            view.instance_HW[41] != view.instance_HW[40]
        )
        assert (edge[40] == expected).all()
        between = np.flatnonzero((row[:-1] == len(SIDES)) & (row[1:] != len(SIDES)))
        assert edge[40, between].all()


class TestViews:
    def test_one_piece_does_not_fill_a_view(self):
        wall = Piece(box("storage", size=(3.9, 2.3, 0.1)), (2.0, 0.0, 1.5), 0.0)
        others = [Piece(box("chair", (0.4, 0.8, 0.4)), (x, 0.0, 2.2), 0.0) for x in (1.2, 2.8)]
        assert not presentable(view_of(wall, *others))
        assert presentable(view_of(*others))
        assert not presentable(view_of(others[0]))

    def test_pieces_stand_inside_and_apart(self):
        models = read_library().split("train")
        for seed in range(12):
            made = furnish(models, generator(seed, "test"))
            assert len(made.pieces) >= 4
            for number, piece in enumerate(made.pieces):
                low, high = piece.box
                assert (low >= 0).all()
                assert (high <= made.size).all()
                for other in made.pieces[:number]:
                    assert not _overlap(piece, other)
                if piece.model.card.mount == "floor":
                    assert piece.position[1] == 0
                if piece.model.card.mount == "ceiling":
                    assert high[1] == pytest.approx(made.size[1], abs=0.01)
                if piece.model.card.mount == "wall":
                    gaps = [low[0], low[2], made.size[0] - high[0], made.size[2] - high[2]]
                    assert min(gaps) < 0.01
                if piece.model.card.mount == "top":
                    tops = [o.position[1] + o.model.card.top for o in made.pieces]
                    assert min(abs(piece.position[1] - top) for top in tops) < 0.01

    def test_cameras_keep_their_distance(self):
        models = read_library().split("validation")
        found = 0
        for seed in range(10):
            random = generator(seed, "test")
            made = furnish(models, random)
            camera = draw_camera(made, random)
            if camera is None:
                continue
            found += 1
            assert (camera.position > 0.3).all()
            np.testing.assert_allclose(camera.axes_33.T @ camera.axes_33, np.eye(3), atol=1e-9)
            for piece in made.pieces:
                nearest = np.clip(camera.position, *piece.box)
                assert np.linalg.norm(camera.position - nearest) >= 0.55
        assert found >= 8


class TestLight:
    def photograph(self, scene_room, seed=0):
        view = labels.look(
            Scene(scene_room), look_at(np.array([2.0, 1.2, 3.5]), np.array([2.0, 1.2, 0.0])), 64
        )
        texture_T = read_library().texture_T
        return shading.photograph(view.scene, view.camera, 64, texture_T, generator(seed, "test"))

    def test_a_room_whose_lamp_is_shut_away_is_dark(self):
        chest = Piece(box("storage", size=(0.6, 0.6, 0.6)), (2.0, 0.0, 1.0), 0.0)
        lit = room(chest)
        dark = dataclasses.replace(lit, light=np.array([2.0, 0.3, 1.0]))
        assert self.photograph(dark).mean() < 0.5 * self.photograph(lit).mean()
        assert self.photograph(lit).mean() > 80

    def test_a_shadow_falls_away_from_the_lamp(self):
        plate = Piece(box(size=(1.0, 0.05, 1.0)), (2.0, 1.0, 1.5), 0.0)
        camera = look_at(np.array([2.0, 1.2, 3.5]), np.array([2.0, 1.2, 0.0]))
        image = self.photograph(room(plate, light=(2.0, 2.3, 1.5))).astype(float).mean(axis=2)

        def around(x, z):
            (place,), _ = camera.project(np.array([[x, 0.0, z]]))
            column, row = (place * [1, -1] + 1) * 32
            return image[int(row) - 1 : int(row) + 2, int(column) - 1 : int(column) + 2].mean()

        # the plate's shadow on the floor spans 1.8 m around the lamp
        assert around(2.0, 0.9) < 0.85 * around(0.6, 0.9)
        assert around(2.0, 0.9) < 0.85 * around(3.4, 0.9)
        # the same places without the plate: nearer to the lamp is brighter
        image = self.photograph(room(light=(2.0, 2.3, 1.5))).astype(float).mean(axis=2)
        assert around(2.0, 0.9) > around(0.6, 0.9)

    def test_same_stream_same_picture(self):
        assert (self.photograph(room(), 3) == self.photograph(room(), 3)).all()
        assert (self.photograph(room(), 3) != self.photograph(room(), 4)).any()

    def test_surfaces_are_reflectances_and_differ(self):
        for makers in (FLOORS, WALLS, CEILINGS):
            drawn = [draw_surface(makers, generator(seed, "test")) for seed in range(8)]
            for surface in drawn:
                assert surface.pixels_PP3.shape == (SURFACE_PX, SURFACE_PX, 3)
                assert surface.pixels_PP3.min() >= 0
                assert surface.pixels_PP3.max() <= 1
                assert surface.meters > 0
            assert len({float(surface.pixels_PP3.mean()) for surface in drawn}) == 8
