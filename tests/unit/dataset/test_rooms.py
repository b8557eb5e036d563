"""rooms: the same bytes each time, splits that share nothing, labels that agree with each other."""

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from goldseam.artifacts import digest_folder
from goldseam.dataset.checking import check_dataset
from goldseam.dataset.derivation import boundary_from_segmentation, normals_from_depth
from goldseam.dataset.examples import build_example
from goldseam.dataset.examples.rooms import build, build_rooms, tracing
from goldseam.dataset.examples.rooms.categories import CATEGORIES, FURNITURE, STRUCTURE
from goldseam.dataset.examples.rooms.labels import BOUNDARY_DERIVATIONS, SMALLEST, TASKS
from goldseam.dataset.examples.rooms.models import Library, read_library
from goldseam.dataset.partial import Protocol
from goldseam.dataset.reading import open_dataset
from goldseam.errors import InvalidConfig, MissingExtra, OutputExists

pytest.importorskip("embreex")

FEW = {"train": 12, "validation": 3, "test": 3}
DENSE = ("segmentation", "depth", "normals")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    out = tmp_path_factory.mktemp("rooms") / "tiny"
    build_rooms(out, tiny=True)
    return open_dataset(out)


@pytest.fixture(scope="module")
def records(tiny):
    return [record for split in tiny.info.splits for record in tiny.records(split)]


def pictures(dataset, split):
    cells = dataset.table(split, ["image"])["image"].to_pylist()
    return [cell["bytes"] for cell in cells]


class TestDataset:
    def test_nothing_is_wrong_with_it(self, tiny):
        assert check_dataset(tiny.path) == []
        assert {split: tiny.info.rows(split) for split in tiny.info.splits} == build.TINY
        assert tuple(tiny.info.tasks) == tuple(TASKS)

    def test_says_that_it_is_rendered(self, tiny):
        assert "Rendered, not photographed" in tiny.info.source
        assert "Rendered, not photographed" in tiny.info.description
        sources = tiny.table("train", ["depth_source"])["depth_source"].to_pylist()
        assert set(sources) == {"generated"}

    def test_bytes_repeat_and_follow_the_seed(self, tmp_path):
        first, again, other = (tmp_path / name for name in ("first", "again", "other"))
        build_rooms(first, **FEW)
        build_rooms(again, **FEW)
        build_rooms(other, **FEW, seed=1)
        assert digest_folder(first) == digest_folder(again)
        assert digest_folder(first) != digest_folder(other)

    def test_a_larger_dataset_begins_with_the_smaller_one(self, tiny, tmp_path):
        build_rooms(tmp_path / "few", **FEW)
        few = open_dataset(tmp_path / "few")
        assert pictures(few, "train") == pictures(tiny, "train")[:12]

    def test_rooms_stay_in_their_split_and_have_two_or_three_views(self, tiny):
        groups = {
            split: tiny.table(split, ["group"])["group"].to_pylist() for split in tiny.info.splits
        }
        names = [set(of_split) for of_split in groups.values()]
        assert len(set.union(*names)) == sum(map(len, names))
        views = list(Counter(groups["train"]).values())
        assert max(views) <= build.VIEWS
        assert sum(count >= 2 for count in views) >= 0.8 * len(views)

    def test_every_category_is_seen_and_none_everywhere(self, records):
        state_NC = np.stack([record.labels["tags"] for record in records])
        assert set(np.unique(state_NC)) == {0, 1}
        share_C = state_NC.mean(axis=0)
        assert share_C.min() > 0.1
        assert share_C.max() < 0.8

    def test_pictures_are_neither_black_nor_burnt_out(self, tiny):
        means = []
        for content in pictures(tiny, "train"):
            image = np.asarray(Image.open(io.BytesIO(content)))
            assert image.shape == (64, 64, 3)
            means.append(image.mean())
        assert min(means) > 40
        assert max(means) < 220

    def test_sizes_show_the_same_rooms(self, tmp_path):
        build_rooms(tmp_path / "large", train=2, validation=1, test=1, size=96)
        large = open_dataset(tmp_path / "large")
        assert next(large.records("train")).labels["segmentation"].shape == (96, 96)
        assert check_dataset(tmp_path / "large") == []


class TestLabels:
    """Each label against another that says something about it."""

    def test_boundary_contains_what_the_segmentation_knows(self, tiny, records):
        source, target = tiny.info.tasks["segmentation"], tiny.info.tasks["boundary"]
        rule = BOUNDARY_DERIVATIONS[0]
        silent = 0.0
        for record in records:
            derived = boundary_from_segmentation(
                record.labels["segmentation"], source, target, rule.single_instance
            )
            known = derived != target.ignore
            assert (derived == record.labels["boundary"])[known].all()
            silent += (~known).mean()
        assert 0 < silent < len(records)

    def test_normals_follow_from_depth_through_the_camera(self, tiny, records):
        (rule,) = tiny.info.derivations
        angles = []
        for record in records:
            derived_3HW = normals_from_depth(record.labels["depth"], rule.field_of_view)
            cosine_HW = (derived_3HW * record.labels["normals"]).sum(axis=0)
            angles.append(np.degrees(np.arccos(cosine_HW[np.isfinite(cosine_HW)].clip(-1, 1))))
        angle_N = np.concatenate(angles)
        assert len(angle_N) > 0.5 * 64 * 64 * len(records)
        assert np.median(angle_N) < 0.5
        assert np.mean(angle_N < 5) > 0.95

    def test_normals_have_unit_length_and_face_the_viewer(self, tiny, records):
        fov = tiny.info.derivations[0].field_of_view
        half = np.tan(np.radians(fov / 2))
        place = (np.arange(64) + 0.5) / 32 - 1
        x_HW, y_HW = np.meshgrid(place, -place)
        to_viewer_3HW = np.stack([-x_HW * half, -y_HW * half, np.ones((64, 64))])
        for record in records:
            normal_3HW = record.labels["normals"]
            assert np.abs(np.linalg.norm(normal_3HW, axis=0) - 1).max() < 1e-3
            assert (normal_3HW * to_viewer_3HW).sum(axis=0).min() > -1e-3

    def test_floor_lies_down_and_ceiling_hangs_over(self, records):
        for record in records:
            category_HW = record.labels["segmentation"]
            up_HW = record.labels["normals"][1]
            for name, sign in (("floor", 1), ("ceiling", -1)):
                here = category_HW == CATEGORIES.index(name)
                if here.any():
                    # one plane: the same normal everywhere
                    assert np.ptp(up_HW[here]) < 1e-3
                    assert (sign * up_HW[here]).min() > 0.5

    def test_boxes_and_saliency_lie_on_their_category(self, records):
        for record in records:
            category_HW, boxes = record.labels["segmentation"], record.labels["objects"]
            for category, corners in zip(boxes.category_N, boxes.corners_N4, strict=True):
                left, top, right, bottom = corners.astype(int)
                inside = category_HW[top:bottom, left:right] == len(STRUCTURE) + category
                assert inside.any(axis=1)[[0, -1]].all()
                assert inside.any(axis=0)[[0, -1]].all()
            salient = record.labels["saliency"] == 1
            assert len(np.unique(category_HW[salient])) == 1
            assert salient.sum() >= SMALLEST * salient.size

    def test_tags_are_the_categories_with_enough_pixels(self, records):
        for record in records:
            count_C = np.bincount(record.labels["segmentation"].ravel(), minlength=len(CATEGORIES))
            present = record.labels["tags"] == 1
            furniture_C = count_C[len(STRUCTURE) :]
            assert (furniture_C[present] >= 12).all()
            boxes = record.labels["objects"]
            kept = boxes.category_N[~boxes.ignore_N]
            assert present[kept].all()
            assert present.sum() >= 1

    def test_depth_is_that_of_a_room(self, records):
        depth = np.stack([record.labels["depth"] for record in records])
        assert np.isfinite(depth).all()
        assert 0.2 < depth.min() < 1.5
        assert 2.5 < depth.max() < 9


class TestProtocol:
    @pytest.mark.parametrize("protocol", ["one_label", "one-label", Protocol.ONE_LABEL])
    def test_one_label_each(self, tmp_path, protocol):
        build_rooms(tmp_path / "d", **FEW, tasks=DENSE, protocol=protocol)
        dataset = open_dataset(tmp_path / "d")
        known_NT = np.stack([dataset.known("train")[task] for task in DENSE], axis=1)
        assert (known_NT.sum(axis=1) == 1).all()
        assert known_NT.sum(axis=0).tolist() == [4, 4, 4]
        for split in ("validation", "test"):
            assert all(known.all() for known in dataset.known(split).values())

    def test_random_label_leaves_some_and_takes_some(self, tmp_path):
        build_rooms(tmp_path / "d", train=24, validation=1, test=1, protocol="random_label")
        known = open_dataset(tmp_path / "d").known("train")
        count_N = np.sum([known[task] for task in TASKS], axis=0)
        assert count_N.min() >= 1
        assert count_N.max() < len(TASKS)

    def test_what_is_kept_does_not_change(self, tiny, tmp_path):
        build_rooms(tmp_path / "d", **FEW, protocol="one_label")
        dataset = open_dataset(tmp_path / "d")
        assert pictures(dataset, "train") == pictures(tiny, "train")[:12]
        full = tiny.table("train", list(TASKS)).to_pylist()
        kept = 0
        for row, whole in zip(
            dataset.table("train", list(TASKS)).to_pylist(), full[:12], strict=True
        ):
            for task, cell in row.items():
                assert cell is None or cell == whole[task]
                kept += cell is not None
        assert kept == 12

    def test_derivations_need_both_tasks(self, tmp_path):
        info = build_rooms(tmp_path / "d", train=1, validation=1, test=1, tasks=("depth", "tags"))
        assert tuple(info.tasks) == ("depth", "tags")
        assert info.derivations == ()

    def test_a_task_that_is_named_twice_is_one(self, tmp_path):
        once, twice = tmp_path / "once", tmp_path / "twice"
        for protocol in ("full", "one_label"):
            build_rooms(once, **FEW, tasks=("depth", "tags"), protocol=protocol, replace=True)
            build_rooms(
                twice, **FEW, tasks=("tags", "depth", "tags"), protocol=protocol, replace=True
            )
            assert digest_folder(once) == digest_folder(twice)


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            pytest.param({"size": 32}, "32 px", id="too small"),
            pytest.param({"size": 512}, "512 px", id="too large"),
            pytest.param({"validation": 0}, "0 pictures for validation", id="empty split"),
            pytest.param({"tasks": ("dept",)}, r"dept'\.\n.*depth\.", id="task"),
            pytest.param({"tasks": ()}, "without a task", id="no task"),
            pytest.param(
                {"protocol": "one_lable"},
                r"one_lable'\.\n.*full, one-label or random-label",
                id="protocol",
            ),
        ],
    )
    def test_what_cannot_be_had_is_refused(self, tmp_path, options, message):
        with pytest.raises(InvalidConfig, match=message):
            build_rooms(tmp_path / "rooms", **options)
        assert not list(tmp_path.iterdir())

    def test_what_is_there_stays(self, tiny):
        before = digest_folder(tiny.path)
        with pytest.raises(OutputExists):
            build_rooms(tiny.path, train=1, validation=1, test=1)
        assert digest_folder(tiny.path) == before

    def test_missing_ray_tracer_names_the_extra(self, monkeypatch, tmp_path):
        monkeypatch.setattr(tracing.importlib.util, "find_spec", lambda _: None)
        with pytest.raises(MissingExtra, match=r"embreex.*\n.*goldseam\[rooms\]"):
            build_rooms(tmp_path / "rooms")
        assert not list(tmp_path.iterdir())

    def test_models_that_furnish_nothing_are_named(self, monkeypatch, tmp_path):
        library = read_library()
        monkeypatch.setattr(build, "read_library", lambda: Library((), library.texture_T))
        with pytest.raises(InvalidConfig, match="0 models for train"):
            build_rooms(tmp_path / "rooms", tiny=True)
        assert not list(tmp_path.iterdir())


class TestByName:
    def test_options_of_another_example_are_refused(self, tmp_path):
        with pytest.raises(InvalidConfig, match=r"'coast' has no option 'train'.\n.*rooms"):
            build_example("coast", tmp_path / "d", train=3)
        with pytest.raises(
            InvalidConfig, match=r"'rooms' has no option 'clean_per_task'.\n.*coast"
        ):
            build_example("rooms", tmp_path / "d", clean_per_task=3)

    def test_unknown_options_are_refused(self, tmp_path):
        with pytest.raises(InvalidConfig, match=r"no option 'sise'"):
            build_example("rooms", tmp_path / "d", sise=3)

    def test_command_passes_what_was_given(self, tmp_path):
        from typer.testing import CliRunner

        from goldseam.cli.datasets import app

        out = tmp_path / "d"
        counts = ["--train", "2", "--validation", "1", "--test", "1"]
        options = ["--tasks", "depth, tags", "--protocol", "one-label", "--size", "72"]
        command = ["build", "rooms", "--out", str(out), *counts, *options]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
        assert "2 train, 1 validation, 1 test" in result.output
        dataset = open_dataset(out)
        assert tuple(dataset.info.tasks) == ("depth", "tags")
        assert sum(int(known.sum()) for known in dataset.known("train").values()) == 2

    def test_command_refuses_the_other_example_s_option(self, tmp_path):
        from typer.testing import CliRunner

        from goldseam.cli.datasets import app

        command = ["build", "rooms", "--out", str(tmp_path / "d"), "--clean-per-task", "4"]
        result = CliRunner().invoke(app, command)
        assert isinstance(result.exception, InvalidConfig)
        assert "clean_per_task" in result.exception.message


def test_furniture_is_what_boxes_and_tags_name():
    assert TASKS["objects"].categories == TASKS["tags"].categories == FURNITURE
    assert TASKS["segmentation"].categories == STRUCTURE + FURNITURE
