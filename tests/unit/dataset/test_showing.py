"""Counts by hand against `coverage`, and pictures in which unknown never looks like a label."""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

from goldseam.dataset import codecs
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.coverage import coverage
from goldseam.dataset.drawing import (
    HATCH,
    SEAM_GOLD,
    category_colors,
    describe_label,
    draw_label,
    hatching,
    value_colors,
)
from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.showing import contact_sheet, coverage_table, show_dataset
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import InvalidDataset
from goldseam.results import CoverageRow

MakeSample = Callable[..., Sample]
SIZE = (12, 16)
COVER = Task(kind=Kind.SEGMENTATION, categories=("sea", "land", "lake"))
IMAGE_HW3 = np.full((*SIZE, 3), 90, np.uint8)


def mask(*ids: int) -> np.ndarray:
    return np.resize(np.array(ids, np.uint8), SIZE)


def some_boxes(*of: tuple[int, bool]) -> Boxes:
    return Boxes(
        np.array([category for category, _ in of], np.int32),
        np.tile(np.array([1, 1, 5, 5], np.float32), (len(of), 1)),
        np.array([ignore for _, ignore in of], bool),
    )


@pytest.fixture
def counted(tmp_path: Path, sample: MakeSample) -> Dataset:
    tasks = {
        "cover": COVER,
        "objects": Task(kind=Kind.DETECTION, categories=("house", "boat")),
        "some_objects": Task(kind=Kind.DETECTION, categories=("house", "boat"), exhaustive=False),
        "tags": Task(kind=Kind.TAGS, categories=("bay", "cape")),
    }

    def labeled(number: int, source: str, **labels: Any) -> Sample:
        return sample(number, labels=labels, sources=dict.fromkeys(labels, source), meta={})

    found = some_boxes((0, False), (0, False), (1, True))
    train = [
        labeled(0, "human", cover=mask(0, 1), tags=np.array([1, 0])),
        labeled(1, "human", cover=mask(0, 255), objects=found, some_objects=found),
        labeled(2, "map", cover=mask(1), objects=Boxes.empty(), some_objects=Boxes.empty()),
        labeled(3, "map", tags=np.array([-1, 1])),
        labeled(4, "human"),
    ]
    test = [labeled(5, "human", cover=mask(2))]
    info = DatasetInfo(name="counted", tasks=tasks)
    write_dataset(tmp_path / "counted", info, {"train": train, "test": test}, rows_per_shard=3)
    return open_dataset(tmp_path / "counted")


def counts(rows: list[CoverageRow]) -> dict[tuple[str | None, ...], tuple[int, int, int]]:
    return {
        (row.task, row.category, row.split, row.source): (row.present, row.absent, row.unknown)
        for row in rows
    }


def test_coverage_equals_a_count_by_hand(counted: Dataset) -> None:
    found = counts(coverage(counted, splits=["train"]))
    assert {key[:2] + key[3:]: value for key, value in found.items()} == {
        ("cover", None, None): (3, 0, 2),
        ("cover", None, "human"): (2, 0, 0),
        ("cover", None, "map"): (1, 0, 0),
        # image 1 has ignored pixels, which may hide land and lake
        ("cover", "sea", None): (2, 1, 2),
        ("cover", "sea", "human"): (2, 0, 0),
        ("cover", "sea", "map"): (0, 1, 0),
        ("cover", "land", None): (2, 0, 3),
        ("cover", "land", "human"): (1, 0, 1),
        ("cover", "land", "map"): (1, 0, 0),
        ("cover", "lake", None): (0, 2, 3),
        ("cover", "lake", "human"): (0, 1, 1),
        ("cover", "lake", "map"): (0, 1, 0),
        ("objects", None, None): (2, 0, 3),
        ("objects", None, "human"): (1, 0, 0),
        ("objects", None, "map"): (1, 0, 0),
        ("objects", "house", None): (1, 1, 3),
        ("objects", "house", "human"): (1, 0, 0),
        ("objects", "house", "map"): (0, 1, 0),
        # the only boat is ignored: whether there is one that counts is unknown
        ("objects", "boat", None): (0, 1, 4),
        ("objects", "boat", "human"): (0, 0, 1),
        ("objects", "boat", "map"): (0, 1, 0),
        ("some_objects", None, None): (2, 0, 3),
        ("some_objects", None, "human"): (1, 0, 0),
        ("some_objects", None, "map"): (1, 0, 0),
        # nobody promised to box everything: no box is no absence
        ("some_objects", "house", None): (1, 0, 4),
        ("some_objects", "house", "human"): (1, 0, 0),
        ("some_objects", "house", "map"): (0, 0, 1),
        ("some_objects", "boat", None): (0, 0, 5),
        ("some_objects", "boat", "human"): (0, 0, 1),
        ("some_objects", "boat", "map"): (0, 0, 1),
        ("tags", None, None): (2, 0, 3),
        ("tags", None, "human"): (1, 0, 0),
        ("tags", None, "map"): (1, 0, 0),
        ("tags", "bay", None): (1, 0, 4),
        ("tags", "bay", "human"): (1, 0, 0),
        ("tags", "bay", "map"): (0, 0, 1),
        ("tags", "cape", None): (1, 1, 3),
        ("tags", "cape", "human"): (0, 1, 0),
        ("tags", "cape", "map"): (1, 0, 0),
    }


def test_every_image_is_counted_once_and_sources_add_up(counted: Dataset) -> None:
    rows = coverage(counted)
    for row in rows:
        if row.source is None:
            assert row.present + row.absent + row.unknown == counted.info.rows(row.split)
            of_sources = [
                other
                for other in rows
                if other.source is not None
                and dataclasses.replace(other, source=None, present=0, absent=0, unknown=0)
                == dataclasses.replace(row, present=0, absent=0, unknown=0)
            ]
            assert sum(other.present for other in of_sources) == row.present
            assert sum(other.absent for other in of_sources) == row.absent


def test_without_pictures_nothing_is_decoded_and_the_rest_is_the_same(
    counted: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = coverage(counted)

    def refuse(content: bytes) -> None:
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr(codecs, "decode_picture", refuse)
    quick = coverage(counted, decode_pictures=False)
    assert quick == [row for row in whole if row.task != "cover" or row.category is None]
    with pytest.raises(AssertionError, match="decoded"):
        coverage(counted)


def test_coverage_reads_only_the_columns_it_counts(
    counted: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns: set[str] = set()
    whole = pq.ParquetFile.read_row_group

    def watch(self: pq.ParquetFile, number: int, columns_: Any = None, **options: Any) -> Any:
        columns.update(options["columns"])
        return whole(self, number, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watch)
    coverage(counted, decode_pictures=False)
    assert columns == {
        "cover_source", "objects", "objects_source", "some_objects", "some_objects_source",
        "tags", "tags_source",
    }  # fmt: skip


def test_an_id_outside_the_vocabulary_is_named_by_file_and_column(
    dataset_path: Path, change_row: Callable[..., None]
) -> None:
    box = {"category": 7, "xmin": 1.0, "ymin": 1.0, "xmax": 2.0, "ymax": 2.0, "ignore": False}
    change_row(0, objects=[box])
    with pytest.raises(InvalidDataset, match=r"train-00000-of-00002\.parquet, 'objects'.*id 7"):
        coverage(open_dataset(dataset_path), tasks=["objects"])


def test_show_counts_and_draws(dataset_path: Path, tmp_path: Path) -> None:
    rows = show_dataset(dataset_path, sheet=tmp_path / "sheet.png", images_per_split=3)
    assert rows == coverage(open_dataset(dataset_path))
    stream = io.StringIO()
    Console(file=stream, width=120).print(coverage_table(rows))
    text = stream.getvalue()
    assert "objects" in text
    assert "unknown" in text
    with Image.open(tmp_path / "sheet.png") as picture:
        sheet_HW3 = np.asarray(picture)
    assert sheet_HW3.shape[1] > 11 * 192
    assert sheet_HW3.shape[0] > 5 * 144


def test_the_sheet_is_the_same_each_time_and_shows_every_task(dataset_path: Path) -> None:
    dataset = open_dataset(dataset_path)
    assert np.array_equal(contact_sheet(dataset, 2), contact_sheet(dataset, 2))
    # rows of a split that is smaller than what was asked for
    assert contact_sheet(dataset, 9).shape[0] > contact_sheet(dataset, 2).shape[0]


@pytest.mark.parametrize("side", [5, 64, 700])
def test_images_of_any_size_fit_the_sheet(tmp_path: Path, sample: MakeSample, side: int) -> None:
    info = DatasetInfo(name="sizes", tasks={"cover": COVER})
    cover_HW = np.zeros((side, 2 * side), np.uint8)
    image_HW3 = np.zeros((side, 2 * side, 3), np.uint8)
    one = sample(
        0, image=image_HW3, labels={"cover": cover_HW}, sources={"cover": "human"}, meta={}
    )
    write_dataset(tmp_path / "d", info, {"train": [one]})
    sheet_HW3 = contact_sheet(open_dataset(tmp_path / "d"))
    assert sheet_HW3.shape[1] < 600


@pytest.mark.parametrize("scale", [1, 3])
def test_an_unknown_label_is_hatched_gray_for_every_kind(info: DatasetInfo, scale: int) -> None:
    for task in info.tasks.values():
        tile_HW3 = draw_label(task, None, IMAGE_HW3, scale=scale)
        assert tile_HW3.shape == (SIZE[0] * scale, SIZE[1] * scale, 3)
        assert tile_HW3.dtype == np.uint8
        gray = {tuple(color) for color in tile_HW3[:, -1].tolist()}
        assert gray == set(HATCH)
        assert describe_label(task, None) == ""


def test_every_kind_is_drawn_in_the_size_of_its_image(
    info: DatasetInfo, labels: Callable[[int], dict[str, Any]]
) -> None:
    for name, label in labels(0).items():
        task = info.tasks[name]
        drawn_HW3 = draw_label(task, label, IMAGE_HW3, scale=12)
        assert drawn_HW3.shape == (144, 192, 3)
        assert drawn_HW3.dtype == np.uint8
        assert not np.array_equal(drawn_HW3, draw_label(task, None, IMAGE_HW3, scale=12))


def test_ignored_and_invalid_pixels_are_hatched_and_the_rest_is_not() -> None:
    hatch_HW3 = hatching(*SIZE)
    cover_HW = mask(0, 1, 2, 255)
    cover_HW3 = draw_label(COVER, cover_HW, IMAGE_HW3)
    colors = category_colors(3)
    assert np.array_equal(cover_HW3[cover_HW == 255], hatch_HW3[cover_HW == 255])
    assert np.array_equal(cover_HW3[cover_HW < 3], colors[cover_HW[cover_HW < 3]])

    depth = Task(kind=Kind.REGRESSION, unit="m")
    depth_HW = np.linspace(0, 5, 192, dtype=np.float32).reshape(SIZE)
    depth_HW[0, 0] = np.nan
    depth_HW3 = draw_label(depth, depth_HW, IMAGE_HW3)
    assert np.array_equal(depth_HW3[0, 0], hatch_HW3[0, 0])
    assert np.array_equal(depth_HW3[-1, -1], value_colors()[255])
    assert np.array_equal(
        draw_label(depth, depth_HW, IMAGE_HW3, limits=(0, 100))[-1, -1], value_colors()[13]
    )
    assert describe_label(depth, depth_HW) == "0.02618 to 5 m"

    edge_HW3 = draw_label(Task(kind=Kind.BOUNDARY), mask(0, 1, 255), IMAGE_HW3)
    assert tuple(edge_HW3[0, 1]) == SEAM_GOLD
    assert np.array_equal(edge_HW3[0, 2], hatch_HW3[0, 2])


def test_a_label_with_no_valid_pixel_is_hatched_whole() -> None:
    depth = Task(kind=Kind.REGRESSION, unit="m")
    nothing_HW = np.full(SIZE, np.nan, np.float32)
    assert np.array_equal(draw_label(depth, nothing_HW, IMAGE_HW3), hatching(*SIZE))
    assert describe_label(depth, nothing_HW) == "all invalid"


def test_no_boxes_and_unknown_boxes_look_different() -> None:
    task = Task(kind=Kind.DETECTION, categories=("house",))
    none_HW3 = draw_label(task, Boxes.empty(), IMAGE_HW3, scale=10)
    assert (none_HW3[-1] == 90).all()
    assert not np.array_equal(none_HW3, draw_label(task, None, IMAGE_HW3, scale=10))
    assert describe_label(task, Boxes.empty()) == "no boxes"


@pytest.mark.parametrize("ignore", [True, False])
def test_a_box_is_drawn_on_the_pixels_it_covers(ignore: bool) -> None:
    task = Task(kind=Kind.DETECTION, categories=("house",))
    image_HW3 = np.full((80, 80, 3), 90, np.uint8)
    one = Boxes(np.array([0]), np.array([[20, 40, 60, 70]], np.float32), np.array([ignore]))
    drawn_HW = (draw_label(task, one, image_HW3) != 90).any(axis=2)
    rows, columns = np.nonzero(drawn_HW[40:])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 29, 20, 59)
    assert not drawn_HW[42:68, 22:58].any()
    # its name stands above it; an ignored box has none, not to hide those that count
    assert drawn_HW[:40].any() == (not ignore)
    assert describe_label(task, one) == ("1 box, 1 ignored" if ignore else "1 box")


def test_colors_of_categories_are_distinct_and_stay_when_categories_are_added() -> None:
    colors = category_colors(40)
    assert np.array_equal(colors[:5], category_colors(5))
    apart = np.abs(colors[:, None].astype(int) - colors[None].astype(int)).sum(axis=2)
    assert apart[~np.eye(40, dtype=bool)].min() > 10
    # neither black nor the gray of what is unknown
    assert (colors.max(axis=1) > 90).all()
    assert (np.ptp(colors.astype(int), axis=1) > 40).all()


def test_colors_of_values_grow_evenly_lighter() -> None:
    linear = (value_colors() / 255) ** 2.2
    lightness = np.cbrt(linear @ np.array([0.2126, 0.7152, 0.0722]))
    steps = np.diff(lightness)
    assert (steps > -1e-3).all()
    assert steps.max() < 4 * steps.mean()


def test_texts_longer_than_their_tile_are_cut_and_counted() -> None:
    task = Task(kind=Kind.TAGS, categories=[f"category number {i}" for i in range(500)])
    tile_HW3 = draw_label(task, np.ones(500, np.int8), IMAGE_HW3, scale=12)
    assert tile_HW3.shape == (144, 192, 3)
    caption = Task(kind=Kind.CAPTION)
    assert draw_label(caption, "word " * 300 + "x" * 400, IMAGE_HW3, scale=4).shape == (48, 64, 3)
