"""Photos of closet: splits that share none, items cut out whole, files that say what is wrong."""

import gzip
import io

import numpy as np
import pytest
from PIL import Image

from goldseam.dataset.checking import check_dataset
from goldseam.dataset.examples.closet import build_closet, selection
from goldseam.dataset.examples.closet.categories import CATEGORIES
from goldseam.dataset.examples.closet.idx import read_idx, read_photos
from goldseam.dataset.examples.closet.photos import (
    BACKDROP,
    ITEMS_EACH,
    MARGIN,
    PX,
    SHIPPED,
    Library,
    cut_out,
    into_closets,
    make_sprite,
    read_library,
    write_library,
)
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import SPLITS
from goldseam.errors import MissingInput

FEW = {"train": 12, "validation": 3, "test": 3}


class TestPhotos:
    def test_splits_share_no_item_and_test_has_its_own_backgrounds(self):
        wardrobes = read_library().wardrobes
        items = [wardrobes[split].photo_KCJHW.reshape(-1, PX * PX) for split in SPLITS]
        together = np.concatenate(items)
        assert len(np.unique(together, axis=0)) == len(together) == 47 * 10 * ITEMS_EACH
        names = {split: {b.card.name for b in wardrobes[split].backgrounds} for split in SPLITS}
        assert names["train"] == names["validation"]
        assert not names["train"] & names["test"]

    def test_shipped_file_is_small_and_credited(self):
        assert SHIPPED.stat().st_size < 1_200_000
        page = SHIPPED.with_name("CREDITS.md").read_text(encoding="utf-8")
        assert page == selection.credits_page()
        assert "Copyright 2017 Zalando SE" in page
        assert "Permission is hereby granted" in page
        for wardrobe in read_library().wardrobes.values():
            for background in wardrobe.backgrounds:
                card = background.card
                assert f"| {card.name} |" in page
                assert card.creator in page

    def test_written_library_reads_back(self, tmp_path):
        (tmp_path / "photos.npz").write_bytes(write_library(read_library()))
        again = read_library.__wrapped__(tmp_path / "photos.npz")
        for split, wardrobe in read_library().wardrobes.items():
            assert np.array_equal(again.wardrobes[split].photo_KCJHW, wardrobe.photo_KCJHW)
            assert [b.card for b in again.wardrobes[split].backgrounds] == [
                b.card for b in wardrobe.backgrounds
            ]

    @pytest.mark.parametrize("content", [b"", b"no npz", b"PK\x03\x04"])
    def test_damaged_file_is_named(self, tmp_path, content):
        path = tmp_path / "photos.npz"
        path.write_bytes(content)
        with pytest.raises(MissingInput, match=r"photos\.npz.*no photos"):
            read_library.__wrapped__(path)

    def test_item_is_cut_out_with_its_dark_parts(self):
        ndimage = pytest.importorskip("scipy.ndimage")
        photos = read_library().wardrobes["test"].photo_KCJHW[0].reshape(-1, PX, PX)
        holes = 0
        for photo_HW in photos:
            expected_HW = ndimage.binary_fill_holes(photo_HW > BACKDROP)
            assert np.array_equal(cut_out(photo_HW), expected_HW)
            holes += np.count_nonzero(expected_HW) - np.count_nonzero(photo_HW > BACKDROP)
        assert holes > 0

    def test_sprite_is_tight_and_its_shadow_soft(self):
        photo_HW = np.zeros((PX, PX), np.uint8)
        photo_HW[10:16, 4:13] = 200
        photo_HW[12:14, 6:9] = 0
        sprite_HW3 = make_sprite(photo_HW)
        assert sprite_HW3.shape == (6 + 2 * MARGIN, 9 + 2 * MARGIN, 3)
        shade_HW, alpha_HW, shadow_HW = np.moveaxis(sprite_HW3, 2, 0)
        assert np.count_nonzero(alpha_HW == 255) == 6 * 9 == np.count_nonzero(alpha_HW)
        assert (shade_HW[alpha_HW == 0] == 0).all()
        assert (shade_HW[alpha_HW > 0] >= 76).all()  # what is black keeps some of its tint
        assert (shadow_HW[0] == 0).all()
        assert np.count_nonzero((shadow_HW > 0) & (shadow_HW < 255)) > 0


def write_idx(path, array, code=8):
    header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes()))


def write_photos(folder, train, test):
    """Photos whose gray level tells them apart: `train` and `test` of each category."""
    for part, each in (("train", train), ("t10k", test)):
        count = each * len(CATEGORIES)
        photo_NHW = np.zeros((count, PX, PX), np.uint8)
        level_N = 20 + np.arange(count) % 200
        photo_NHW[:, 6:22, 8:20] = level_N[:, None, None]
        photo_NHW[:, 0, 0] = np.arange(count) // 200 + (0 if part == "train" else 6)
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", photo_NHW)
        category_N = (np.arange(count) % len(CATEGORIES)).astype(np.uint8)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", category_N)


class TestFashionFiles:
    def test_every_photo_is_used_once(self, tmp_path):
        write_photos(tmp_path, train=41, test=8)
        library = read_photos(tmp_path)
        closets = {split: len(w.photo_KCJHW) for split, w in library.wardrobes.items()}
        assert closets == {"train": 9, "validation": 1, "test": 2}
        photos = [w.photo_KCJHW.reshape(-1, PX * PX) for w in library.wardrobes.values()]
        together = np.concatenate(photos)
        assert len(np.unique(together, axis=0)) == len(together)

    def test_photos_keep_their_category(self):
        photo_NHW = np.zeros((40, PX, PX), np.uint8)
        category_N = np.repeat(np.arange(10), 4).astype(np.uint8)
        photo_NHW[:, 3:9, 3:9] = 50 + category_N[:, None, None]
        photo_KCJHW = into_closets(photo_NHW, category_N)
        assert photo_KCJHW.shape == (1, 10, 4, PX, PX)
        assert (photo_KCJHW.max(axis=(0, 2, 3, 4)) == 50 + np.arange(10)).all()

    def test_black_photos_are_passed_over(self):
        photo_NHW = np.full((50, PX, PX), 80, np.uint8)
        category_N = np.tile(np.arange(10), 5).astype(np.uint8)
        photo_NHW[3] = BACKDROP
        photo_KCJHW = into_closets(photo_NHW, category_N)
        assert photo_KCJHW.min() == 80
        assert len(into_closets(photo_NHW[:40], category_N[:40])) == 0

    def test_dataset_is_built_from_them(self, tmp_path):
        write_photos(tmp_path, train=8, test=4)
        build_closet(tmp_path / "d", **FEW, photos=tmp_path)
        assert check_dataset(tmp_path / "d") == []
        record = next(open_dataset(tmp_path / "d").records("test"))
        assert record.group == "test-closet-0000"

    def test_selection_writes_a_library_and_credits(self, tmp_path):
        write_photos(tmp_path, train=35 * ITEMS_EACH, test=12 * ITEMS_EACH)
        for number, file in enumerate(selection.BACKGROUNDS):
            picture = Image.new("RGB", (90 + number, 60), (20 * number, 100, 50))
            picture.save(tmp_path / file)
        out = tmp_path / "photos.npz"
        selection.main(
            [str(tmp_path), str(tmp_path), "--out", str(out), "--credits", str(tmp_path / "c.md")]
        )
        library = read_library.__wrapped__(out)
        assert isinstance(library, Library)
        assert {s: len(w.photo_KCJHW) for s, w in library.wardrobes.items()} == selection.CLOSETS
        with Image.open(io.BytesIO(library.wardrobes["test"].backgrounds[0].content)) as picture:
            assert picture.size == (selection.BACKGROUND_PX, selection.BACKGROUND_PX)
        assert (tmp_path / "c.md").read_text(encoding="utf-8") == selection.credits_page()

    def test_missing_folder_names_the_package(self, tmp_path):
        with pytest.raises(MissingInput, match=r"train-images.*\n.*dataset-fashion-mnist"):
            build_closet(tmp_path / "d", photos=tmp_path / "nowhere")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("break_it", "message"),
        [
            pytest.param(
                lambda path: path.write_bytes(path.read_bytes()[:-12]), "damaged", id="cut"
            ),
            pytest.param(lambda path: path.write_bytes(b"plain"), "cannot be read", id="no gzip"),
            pytest.param(
                lambda path: write_idx(path, np.zeros((2, 3), np.uint8)), "no idx", id="axes"
            ),
            pytest.param(
                lambda path: write_idx(path, np.zeros((2, 3, 4), np.uint8), code=13),
                "no idx",
                id="type",
            ),
            pytest.param(
                lambda path: path.write_bytes(
                    gzip.compress(gzip.decompress(path.read_bytes())[:-5])
                ),
                r"bytes instead of",
                id="short",
            ),
        ],
    )
    def test_damaged_files_are_named(self, tmp_path, break_it, message):
        path = tmp_path / "some-images-idx3-ubyte.gz"
        write_idx(path, np.zeros((3, 4, 5), np.uint8))
        assert read_idx(path, 3).shape == (3, 4, 5)
        break_it(path)
        with pytest.raises(MissingInput, match=rf"some-images.*{message}"):
            read_idx(path, 3)

    def test_files_that_do_not_belong_together_are_named(self, tmp_path):
        write_photos(tmp_path, train=8, test=4)
        write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.zeros(3, np.uint8))
        with pytest.raises(MissingInput, match=r"t10k-images.*40 x 28 x 28.*3 x 28 x 28"):
            read_photos(tmp_path)
        wrong = np.arange(40, dtype=np.uint8) % 11
        write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", wrong)
        with pytest.raises(MissingInput, match=r"t10k-labels.*row 10 has the label 10"):
            read_photos(tmp_path)

    def test_too_few_photos_are_named(self, tmp_path):
        write_photos(tmp_path, train=7, test=4)
        with pytest.raises(MissingInput, match=r"train-images.*fewer than 8 usable"):
            read_photos(tmp_path)
