"""closet: scenes that repeat, splits that share nothing, labels that agree with each other."""

import numpy as np
import pytest

from goldseam.artifacts import digest_folder
from goldseam.dataset.batch import collate
from goldseam.dataset.checking import check_dataset
from goldseam.dataset.examples import build_example
from goldseam.dataset.examples.closet import build, build_closet, compose, labels
from goldseam.dataset.examples.closet.categories import CATEGORIES, COLORS
from goldseam.dataset.examples.closet.labels import LABELS, TASKS
from goldseam.dataset.examples.closet.photos import read_library
from goldseam.dataset.examples.closet.sources import ClosetTable, tagged_scenes
from goldseam.dataset.partial.tag_protocols import (
    PositivesDropped,
    SinglePositive,
    SizeDependent,
    Uniform,
    tag_mask,
)
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import SPLITS
from goldseam.errors import InvalidArray, InvalidConfig, OutputExists

FEW = {"train": 12, "validation": 3, "test": 3}
HASTY = SizeDependent(small=0.0, middle=0.5, large=1.0, negatives=0.5, boundaries=(0.02, 0.05))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    out = tmp_path_factory.mktemp("closet") / "tiny"
    build_closet(out, tiny=True)
    return open_dataset(out)


@pytest.fixture(scope="module")
def scenes():
    return [compose(0, index, split=split) for split in SPLITS for index in range(60)]


class TestScene:
    def test_is_a_function_of_its_arguments(self):
        first = compose(3, 7)
        compose(3, 8)
        compose(3, 7, size=96)
        again = compose(3, 7)
        assert np.array_equal(first.image_HW3, again.image_HW3)
        assert np.array_equal(first.instance_HW, again.instance_HW)
        for other in (compose(4, 7), compose(3, 8), compose(3, 7, split="validation")):
            assert not np.array_equal(first.image_HW3, other.image_HW3)

    def test_does_not_change_the_photos(self):
        library = read_library()
        before = library.wardrobes["train"].sprite(5, 0, 0).copy()
        for index in range(5, 100, 30):
            compose(0, index)
        assert np.array_equal(library.wardrobes["train"].sprite(5, 0, 0), before)

    def test_shows_two_to_six_items_of_one_closet(self, scenes):
        counts = {len(scene.category_I) for scene in scenes}
        assert counts == {2, 3, 4, 5, 6}
        closets = [scene.group for scene in scenes]
        assert len(set(closets)) == 30 + 5 + 12
        assert closets[0] == closets[30] == "train-closet-0000"

    def test_nearer_items_hide_farther_ones(self, scenes):
        for scene in scenes:
            assert (np.diff(scene.distance_I) >= 0).all()
            assert (scene.visible_I <= scene.alone_I).all()
            assert scene.visible_I[0] == scene.alone_I[0]
            shown = np.unique(scene.instance_HW)
            assert set(shown[shown >= 0]) == set(np.flatnonzero(scene.visible_I))
        assert any((scene.visible_I < scene.alone_I).any() for scene in scenes)

    def test_nearer_items_stand_lower_and_look_larger(self, scenes):
        bottoms, areas = [], []
        for scene in scenes:
            whole = np.flatnonzero(scene.visible_I == scene.alone_I)
            feet = [np.nonzero(scene.instance_HW == i)[0].max() for i in whole.tolist()]
            bottoms.append(np.diff(feet))
            areas += zip(scene.distance_I, scene.alone_I, strict=True)
        # the lowest row of a sprite may be too thin to show after scaling
        assert np.concatenate(bottoms).max() <= 2
        distance, area = np.array(areas).T
        near, far = area[distance < 1.5].mean(), area[distance > 2.2].mean()
        assert near > 2 * far

    def test_items_have_their_color(self, scenes):
        seen = {name: [] for name in ("red", "green", "blue")}
        for scene in scenes:
            for number in np.flatnonzero(scene.counted_I).tolist():
                name = COLORS[scene.color_I[number]]
                if name in seen:
                    here_HW = scene.instance_HW == number
                    seen[name].append(scene.image_HW3[here_HW].mean(axis=0))
        for channel, means in enumerate(seen.values()):
            assert np.argmax(means, axis=1).tolist().count(channel) > 0.9 * len(means) > 20

    def test_no_two_items_have_one_color(self, scenes):
        assert all(len(set(scene.color_I)) == len(scene.color_I) for scene in scenes)

    def test_pictures_are_neither_black_nor_burnt_out(self, scenes):
        means = [scene.image_HW3.mean() for scene in scenes]
        assert min(means) > 5
        assert max(means) < 245

    @pytest.mark.parametrize("size", [64, 80, 96, 128])
    def test_sizes_show_the_same_scene(self, size):
        small, large = compose(0, 4), compose(0, 4, size=size)
        assert large.image_HW3.shape == (size, size, 3)
        assert np.array_equal(small.category_I, large.category_I)
        share_small = small.alone_I / small.instance_HW.size
        share_large = large.alone_I / large.instance_HW.size
        assert np.abs(share_large / share_small - 1).max() < 0.25

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            pytest.param({"size": 32}, "32 px", id="too small"),
            pytest.param({"size": 129}, "129 px", id="too large"),
            pytest.param({"split": "tests"}, r"tests'\.\n.*test\.", id="split"),
            pytest.param({"index": -1}, "scene -1 of seed 0", id="index"),
            pytest.param({"seed": -1}, "scene 0 of seed -1", id="seed"),
        ],
    )
    def test_what_cannot_be_had_is_refused(self, options, message):
        with pytest.raises(InvalidConfig, match=message):
            compose(**{"seed": 0, "index": 0, **options})


class TestLabels:
    """Each label against another that says something about it."""

    def test_masks_ranks_and_boxes_agree(self, scenes):
        for scene in scenes:
            category_HW, rank_HW = labels.segmentation(scene), labels.depth_order(scene)
            boxes = labels.objects(scene)
            assert np.array_equal(np.isnan(rank_HW), category_HW == 0)
            assert np.nanmax(rank_HW) == len(boxes)
            for rank, category, corners in zip(
                range(1, len(boxes) + 1), boxes.category_N, boxes.corners_N4, strict=True
            ):
                here_HW = rank_HW == rank
                assert set(category_HW[here_HW]) == {category + 1}
                left, top, right, bottom = corners.astype(int)
                inside_HW = here_HW[top:bottom, left:right]
                assert inside_HW.sum() == here_HW.sum()
                assert inside_HW.any(axis=1)[[0, -1]].all()
                assert inside_HW.any(axis=0)[[0, -1]].all()

    def test_boxes_of_what_is_mostly_hidden_or_tiny_are_ignored(self, scenes):
        ignored = 0
        for scene in scenes:
            shown = scene.visible_I > 0
            hidden = scene.visible_I < 0.25 * scene.alone_I
            tiny = scene.visible_I < 12
            boxes = labels.objects(scene)
            assert np.array_equal(boxes.ignore_N, (hidden | tiny)[shown])
            assert not boxes.ignore_N[0]
            ignored += boxes.ignore_N.sum()
        assert ignored > 0

    def test_tags_are_the_categories_with_enough_pixels_of_one_item(self, scenes):
        for scene in scenes:
            expected = {
                category
                for category, pixels in zip(scene.category_I, scene.visible_I, strict=True)
                if pixels >= 12
            }
            assert set(np.flatnonzero(labels.tags(scene) == 1)) == expected
            assert expected

    def test_areas_are_those_of_the_largest_item_of_each_tag(self, scenes):
        several = 0
        for scene in scenes:
            area_C, state_C = labels.areas(scene), labels.tags(scene)
            assert np.array_equal(np.isnan(area_C), state_C == 0)
            for category in np.flatnonzero(state_C).tolist():
                pixels = [
                    np.count_nonzero(scene.instance_HW == number)
                    for number in np.flatnonzero(scene.category_I == category).tolist()
                ]
                assert area_C[category] == max(pixels) / 64**2
                several += len(pixels) > 1
        assert several > 5

    def test_caption_names_what_counts_from_the_front(self, scenes):
        for scene in scenes:
            text, phrases = labels.caption(scene), labels.phrases(scene)
            assert [phrase.number for phrase in phrases] == np.flatnonzero(scene.counted_I).tolist()
            for phrase in phrases:
                color, noun = text[phrase.start : phrase.end].split(" ")
                assert color == COLORS[scene.color_I[phrase.number]]
                assert noun.replace("-", "_") == CATEGORIES[scene.category_I[phrase.number]]
                before = text[: phrase.start]
                if noun != "trousers":
                    assert before.endswith("an " if color == "orange" else "a ")
            assert ("in front of" in text) == (len(phrases) > 1)

    def test_caption_reads_as_one_says_it(self, scenes):
        texts = {len(labels.phrases(scene)): labels.caption(scene) for scene in scenes}
        joints = {count: (text.count(","), text.count(" and ")) for count, text in texts.items()}
        for count, found in joints.items():
            assert found == ((max(count - 3, 0), 1) if count > 2 else (0, 0))

    def test_words_have_the_pixels_of_their_item(self, scenes):
        for scene in scenes:
            masks = labels.phrase_masks(scene)
            assert len(masks) == np.count_nonzero(scene.counted_I)
            for mask_HW, number in zip(
                masks.values(), np.flatnonzero(scene.counted_I), strict=True
            ):
                assert np.count_nonzero(mask_HW) == scene.visible_I[number]

    def test_common_and_rare_tags_that_go_together(self):
        tag_NC = tagged_scenes(0, range(400)).tag_NC
        share_C = tag_NC.mean(axis=0)
        assert 0.08 < share_C.min() < 0.2
        assert 0.35 < share_C.max() < 0.7
        sandal, dress = CATEGORIES.index("sandal"), CATEGORIES.index("dress")
        assert np.corrcoef(tag_NC[:, sandal], tag_NC[:, dress])[0, 1] > 0.05


class TestDataset:
    def test_nothing_is_wrong_with_it(self, tiny):
        assert check_dataset(tiny.path) == []
        assert {split: tiny.info.rows(split) for split in tiny.info.splits} == build.TINY
        assert tuple(tiny.info.tasks) == tuple(TASKS)
        assert "Composed" in tiny.info.description
        assert "MIT" in tiny.info.license

    def test_bytes_repeat_and_follow_the_seed(self, tmp_path):
        first, again, other = (tmp_path / name for name in ("first", "again", "other"))
        build_closet(first, **FEW)
        build_closet(again, **FEW)
        build_closet(other, **FEW, seed=1)
        assert digest_folder(first) == digest_folder(again)
        assert digest_folder(first) != digest_folder(other)

    def test_holds_the_scenes_of_compose(self, tiny):
        for split in SPLITS:
            for index, record in enumerate(tiny.records(split)):
                scene = compose(0, index, split=split)
                assert record.image_id == scene.image_id
                assert record.group == scene.group
                assert np.array_equal(record.image_HWC, scene.image_HW3)
                order_HW = labels.depth_order(scene)
                assert np.array_equal(record.labels["depth_order"], order_HW, equal_nan=True)
                assert record.labels["caption"] == labels.caption(scene)

    def test_groups_and_backgrounds_stay_in_their_split(self, tiny):
        seen = {}
        for split in SPLITS:
            table = tiny.table(split, ["group", "meta_background", "meta_items"]).to_pydict()
            seen[split] = (set(table["group"]), set(table["meta_background"]))
            assert min(table["meta_items"]) >= 1
        groups = [seen[split][0] for split in SPLITS]
        assert len(set.union(*groups)) == sum(map(len, groups))
        assert not seen["test"][1] & (seen["train"][1] | seen["validation"][1])

    def test_one_label_each(self, tmp_path):
        tasks = ("segmentation", "objects", "tags")
        build_closet(tmp_path / "d", **FEW, tasks=tasks, protocol="one-label")
        dataset = open_dataset(tmp_path / "d")
        known_NT = np.stack([dataset.known("train")[task] for task in tasks], axis=1)
        assert (known_NT.sum(axis=1) == 1).all()
        assert all(known.all() for known in dataset.known("test").values())

    def test_small_things_are_overlooked(self, tmp_path):
        build_closet(tmp_path / "d", train=80, validation=2, test=2, tag_scheme=HASTY)
        dataset = open_dataset(tmp_path / "d")
        scenes = tagged_scenes(0, range(80))
        known_NC = tag_mask(HASTY, scenes.tag_NC, 0, area_NC=scenes.area_NC)
        tag_NC = np.stack([record.labels["tags"] for record in dataset.records("train")])
        assert np.array_equal(tag_NC, np.where(known_NC, scenes.tag_NC, -1))
        present = scenes.tag_NC == 1
        small, large = present & (scenes.area_NC < 0.02), present & (scenes.area_NC >= 0.05)
        assert small.any()
        assert (tag_NC[small] == -1).all()
        assert large.any()
        assert (tag_NC[large] == 1).all()
        assert all((record.labels["tags"] != -1).all() for record in dataset.records("test"))

    def test_scheme_is_for_the_named_splits(self, tmp_path):
        half = Uniform(rate=0.5)
        splits = ("train", "validation")
        build_closet(
            tmp_path / "d",
            train=40,
            validation=40,
            test=3,
            tasks=["tags"],
            tag_scheme=half,
            tag_splits=splits,
        )
        dataset = open_dataset(tmp_path / "d")
        tags = {
            split: np.stack([record.labels["tags"] for record in dataset.records(split)])
            for split in SPLITS
        }
        for split in splits:
            assert 0.3 < (tags[split] != -1).mean() < 0.7
        assert (tags["test"] != -1).all()
        # whether the n-th training tag is known says nothing of the n-th validation tag
        assert not np.array_equal(tags["train"] != -1, tags["validation"] != -1)

    def test_picture_without_a_known_tag_has_none(self, tmp_path):
        nobody = PositivesDropped(rate=0.0)
        build_closet(tmp_path / "d", **FEW, tag_scheme=nobody)
        table = open_dataset(tmp_path / "d").table("train", ["tags", "tags_source"]).to_pydict()
        assert table["tags"] == table["tags_source"] == [None] * FEW["train"]

    def test_scheme_changes_nothing_but_tags(self, tiny, tmp_path):
        build_closet(tmp_path / "d", tiny=True, tag_scheme=SinglePositive())
        columns = [name for name in tiny.info.arrow_schema().names if not name.startswith("tags")]
        other = open_dataset(tmp_path / "d")
        for split in SPLITS:
            assert other.table(split, columns).equals(tiny.table(split, columns))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            pytest.param({"size": 32}, "32 px", id="too small"),
            pytest.param({"validation": 0}, "0 pictures for validation", id="empty split"),
            pytest.param({"tasks": ("tag",)}, r"tag'\.\n.*tags\.", id="task"),
            pytest.param({"tasks": ()}, "without a task", id="no task"),
            pytest.param({"protocol": "one_lable"}, "one_lable", id="protocol"),
            pytest.param(
                {"tag_scheme": SinglePositive(), "tag_splits": ("validaton",)},
                r"validaton'.*\n.*validation",
                id="tag splits",
            ),
            pytest.param({"seed": -1}, "seed -1", id="seed"),
            pytest.param(
                {"tasks": ("caption",), "tag_scheme": SinglePositive()}, "task 'tags'", id="scheme"
            ),
        ],
    )
    def test_what_cannot_be_had_is_refused(self, tmp_path, options, message):
        with pytest.raises(InvalidConfig, match=message):
            build_closet(tmp_path / "closet", **options)
        assert not list(tmp_path.iterdir())

    def test_what_is_there_stays(self, tiny):
        before = digest_folder(tiny.path)
        with pytest.raises(OutputExists):
            build_closet(tiny.path, **FEW)
        assert digest_folder(tiny.path) == before

    def test_is_built_by_name(self, tmp_path):
        info = build_example("closet", tmp_path / "d", **FEW, tasks=("tags", "caption"))
        assert tuple(info.tasks) == ("tags", "caption")
        with pytest.raises(InvalidConfig, match=r"'rooms' has no option 'photos'.\n.*closet"):
            build_example("rooms", tmp_path / "e", photos=tmp_path)


class TestTable:
    def test_gives_what_the_dataset_on_disk_holds(self, tiny):
        table = ClosetTable(build.TINY["train"], tuple(TASKS))
        assert len(table) == build.TINY["train"]
        for position, stored in enumerate(tiny.records("train")):
            record = table[position]
            assert record.image_id == stored.image_id
            assert record.group == stored.group
            assert record.sources == stored.sources
            assert np.array_equal(record.image_HWC, stored.image_HWC)
            assert np.array_equal(record.labels["tags"], stored.labels["tags"])
            assert np.array_equal(record.labels["segmentation"], stored.labels["segmentation"])

    def test_unknown_tags_are_unknown(self):
        known_NC = np.zeros((4, len(CATEGORIES)), bool)
        known_NC[1, 3] = known_NC[2] = True
        table = ClosetTable(4, ("tags", "caption"), known_tags_NC=known_NC)
        assert table.known["tags"].tolist() == [False, True, True, False]
        assert table.known["caption"].all()
        state_NC = collate([table[i] for i in range(4)], table.tasks).targets["tags"].numpy()
        assert np.array_equal(state_NC != -1, known_NC)
        assert table[0].sources == {"tags": None, "caption": "generated"}

    def test_ends(self):
        table = ClosetTable(2, ("tags",))
        assert len(list(table)) == 2
        with pytest.raises(IndexError):
            table[2]

    def test_what_cannot_be_had_is_refused(self):
        with pytest.raises(InvalidConfig, match="table of 0 scenes"):
            ClosetTable(0, ("tags",))
        with pytest.raises(InvalidConfig, match=r"no task 'boxes'"):
            ClosetTable(2, ("boxes",))
        with pytest.raises(InvalidArray, match=r"known_tags_NC.*\(2, 3\), expected \(2, 10\)"):
            ClosetTable(2, ("tags",), known_tags_NC=np.ones((2, 3), bool))

    def test_no_scene_has_the_shapes_of_none(self):
        none = tagged_scenes(0, [])
        assert none.image_NHW3.shape == (0, 64, 64, 3)
        assert none.tag_NC.shape == none.area_NC.shape == (0, len(CATEGORIES))


def test_every_task_has_its_label():
    assert tuple(TASKS) == tuple(LABELS)
    assert TASKS["segmentation"].categories == ("background", *CATEGORIES)
    assert TASKS["objects"].categories == TASKS["tags"].categories == CATEGORIES
