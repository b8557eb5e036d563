"""`check_dataset` names each fault by file, row and column, and goes on to the next."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from goldseam.dataset.checking import Problem, check_dataset, problems_table, require_valid
from goldseam.dataset.codecs import encode_png
from goldseam.dataset.reading import open_dataset
from goldseam.errors import DigestMismatch, GoldseamError, InvalidDataset, MissingInput

FILE = "train-00000-of-00002.parquet"
SIZE = (12, 16)


def png(value: int, shape: tuple[int, ...] = SIZE, dtype: type = np.uint8) -> dict[str, Any]:
    return {"bytes": encode_png(np.full(shape, value, dtype)), "path": None}


def cut(cell: dict[str, Any]) -> dict[str, Any]:
    return {**cell, "bytes": cell["bytes"][:-30]}


def box(**changes: Any) -> dict[str, Any]:
    valid = {"category": 1, "xmin": 1.0, "ymin": 1.0, "xmax": 4.0, "ymax": 4.0, "ignore": False}
    return {**valid, **changes}


def tags(present: list[int | None] | None, absent: list[int | None] | None) -> dict[str, Any]:
    return {"present": present, "absent": absent}


NOISE = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
BAD_CELLS: list[tuple[str, Any, str, str]] = [
    ("cover", png(3), "pixels of id 3 (192 of 192)", "0 to 2, or 255"),
    ("cover", png(0, (12, 15)), "15 x 12 px", "16 x 12 px"),
    ("cover", png(0, (12, 16, 3)), "3 channels", "1 channel"),
    ("cover", cut(png(1)), "cannot be decoded", "a whole PNG"),
    ("cover", {"bytes": b"no picture", "path": None}, "cannot be decoded", "a whole PNG"),
    ("cover", {"bytes": None, "path": "mask.png"}, "no bytes", "a whole PNG"),
    ("edge", png(2), "pixels of id 2", "0 to 1, or 255"),
    ("salient", png(254), "pixels of id 254", "0 to 1, or 255"),
    ("distance", png(700, (16, 16), np.uint16), "16 x 16 px", "16 x 12 px"),
    ("facing", png(0), "another layout", "3 channels and 16 bits"),
    ("objects", [box(), box(category=2)], "box 1 of category id 2", "0 to 1"),
    ("objects", [box(category=2**40)], "category id", "0 to 1"),
    ("objects", [box(xmax=16.5)], "16.5", "inside the image of 16 x 12 px"),
    ("objects", [box(ymin=-0.5)], "-0.5", "inside the image"),
    ("objects", [box(xmax=1.0)], "1, 1, 1, 4", "xmin < xmax"),
    ("objects", [box(xmin=float("nan"))], "nan", "xmin < xmax"),
    ("objects", [box(category=None)], "null inside a box", "category"),
    ("tags", tags([0, 2], [2]), "river both present and absent", "one list at most"),
    ("tags", tags([4], []), "[4] in 'present'", "0 to 3"),
    ("tags", tags([], [-1]), "[-1] in 'absent'", "0 to 3"),
    ("tags", tags([None], []), "[None] in 'present'", "0 to 3"),
    ("tags", tags(None, []), "null in 'present'", "a list"),
    ("caption", " ", "empty caption", "text"),
    ("cover_source", None, "None beside a label", "a source"),
    ("cover_source", "", "'' beside a label", "a source"),
    ("width", 15, "15 px", "16 px"),
    ("height", 99, "99 px", "12 px"),
    ("group", "", "''", "a value"),
    ("image", {"bytes": b"", "path": None}, "no bytes", "a whole PNG"),
    ("image", cut({"bytes": encode_png(NOISE), "path": None}), "cannot be decoded", "a whole PNG"),
    ("image", png(7, SIZE, np.uint16), "mode I;16", "8 bits"),
]


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, problems
    return problems[0]


def test_a_valid_dataset_has_no_problem(dataset_path: Path) -> None:
    assert check_dataset(dataset_path) == []
    require_valid(dataset_path)


def name(bad: tuple[str, Any, str, str]) -> str:
    return f"{bad[0]}: {bad[2]}"


@pytest.mark.parametrize("bad", BAD_CELLS, ids=name)
def test_a_bad_cell_is_named(
    dataset_path: Path, change_row: Callable[..., None], bad: tuple[str, Any, str, str]
) -> None:
    column, value, found, expected = bad
    change_row(1, **{column: value})
    problem = only(check_dataset(dataset_path))
    assert (problem.file, problem.row, problem.image_id) == (FILE, 1, "image-1")
    assert problem.column == column
    assert found in problem.value
    assert expected in problem.expected
    assert problem.remedy


# the reader looks at pictures and labels; the other columns are a matter of the check
READ = [bad for bad in BAD_CELLS if bad[0] not in {"cover_source", "width", "height", "group"}]


@pytest.mark.parametrize("bad", READ, ids=name)
def test_a_reader_stops_at_a_bad_cell_and_names_it(
    dataset_path: Path, change_row: Callable[..., None], bad: tuple[str, Any, str, str]
) -> None:
    column, value, *_ = bad
    change_row(1, **{column: value})
    dataset = open_dataset(dataset_path)
    with pytest.raises(InvalidDataset, match=rf"{FILE}, row 1, image 'image-1', column '{column}'"):
        list(dataset.records("train"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_named_unless_it_is_the_invalid_value(
    dataset_path: Path,
    change_row: Callable[..., None],
    picture: Callable[..., dict[str, Any]],
    value: float,
) -> None:
    elevation_HW = np.zeros(SIZE, np.float32)
    elevation_HW[3, 4] = value
    change_row(0, elevation=picture(elevation_HW, "TIFF"))
    problem = only(check_dataset(dataset_path))
    assert problem.column == "elevation"
    assert "NaN or infinite" in problem.value
    assert "-9999" in problem.expected
    with pytest.raises(InvalidDataset, match="NaN or infinite"):
        list(open_dataset(dataset_path).records("train", tasks=["elevation"]))

    yaml = dataset_path / "dataset.yaml"
    invalid = {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}[str(value)]
    yaml.write_text(yaml.read_text().replace("invalid: -9999.0", f"invalid: {invalid}"))
    assert check_dataset(dataset_path) == []
    dataset = open_dataset(dataset_path)
    record = next(dataset.records("train", tasks=["elevation"]))
    assert np.argwhere(np.isnan(record.labels["elevation"])).tolist() == [[3, 4]]
    assert dataset.info.digest.startswith("sha256:")


def test_normals_that_are_no_unit_vectors_are_named(
    dataset_path: Path, change_row: Callable[..., None]
) -> None:
    import cv2

    half = np.full((*SIZE, 3), 32768, np.uint16)
    half[..., 0] = 32768 + 16000
    change_row(0, facing={"bytes": cv2.imencode(".png", half)[1].tobytes(), "path": None})
    problem = only(check_dataset(dataset_path))
    assert "length 0.488" in problem.value


def test_a_truncated_normals_picture_is_named(
    dataset_path: Path, change_row: Callable[..., None]
) -> None:
    cell = pq.read_table(dataset_path / FILE, columns=["facing"]).to_pylist()[0]["facing"]
    for length in (20, len(cell["bytes"]) // 2, len(cell["bytes"]) - 5):
        change_row(0, facing={"bytes": cell["bytes"][:length], "path": None})
        assert "cannot be decoded" in only(check_dataset(dataset_path)).value


def test_a_source_without_a_label_is_named(
    dataset_path: Path, change_row: Callable[..., None]
) -> None:
    change_row(1, file="train-00001-of-00002.parquet", edge_source="human")
    problem = only(check_dataset(dataset_path))
    assert (problem.column, problem.value) == ("edge_source", "'human' beside no label")


def test_a_label_of_another_size_is_found_beside_a_truncated_image(
    dataset_path: Path, change_row: Callable[..., None]
) -> None:
    image = cut({"bytes": encode_png(NOISE), "path": None})
    change_row(1, image=image, cover=png(0, (3, 3)))
    assert [problem.column for problem in check_dataset(dataset_path)] == ["image", "cover"]


def test_a_repeated_image_id_is_named(dataset_path: Path, change_row: Callable[..., None]) -> None:
    change_row(0, file="test-00000-of-00001.parquet", image_id="image-2")
    problem = only(check_dataset(dataset_path))
    assert problem.column == "image_id"
    assert problem.value.endswith("met before in train-00001-of-00002.parquet, row 0")


def test_a_group_in_two_splits_is_named_once(
    dataset_path: Path, change_row: Callable[..., None]
) -> None:
    for row in (0, 1):
        change_row(row, file="test-00000-of-00001.parquet", group="group-3")
    problem = only(check_dataset(dataset_path))
    assert (problem.file, problem.column) == ("test-00000-of-00001.parquet", "group")
    assert "met before in 'train'" in problem.value


def test_a_missing_shard_is_named(dataset_path: Path) -> None:
    (dataset_path / FILE).unlink()
    problem = only(check_dataset(dataset_path))
    assert (problem.file, problem.row, problem.value) == (FILE, None, "no such file")
    with pytest.raises(MissingInput, match=FILE):
        open_dataset(dataset_path)


def test_a_changed_shard_is_named_and_still_read(
    dataset_path: Path, change_row: Callable[..., None]
) -> None:
    yaml = (dataset_path / "dataset.yaml").read_text()
    change_row(0, cover=png(9))
    (dataset_path / "dataset.yaml").write_text(yaml)
    digest, cell = check_dataset(dataset_path)
    assert digest.value.startswith("SHA-256")
    assert cell.column == "cover"
    with pytest.raises(DigestMismatch, match="dvc pull"):
        open_dataset(dataset_path)


@pytest.mark.parametrize("keep", [0, 3, 200, 0.5, -10])
def test_a_cut_off_shard_is_named(
    dataset_path: Path, redeclare: Callable[[], None], keep: float
) -> None:
    content = (dataset_path / FILE).read_bytes()
    length = int(len(content) * keep) if keep == 0.5 else int(keep)
    (dataset_path / FILE).write_bytes(content[:length])
    digest, damage = check_dataset(dataset_path)
    assert digest.value.startswith("SHA-256")
    assert damage.expected == "a whole Parquet file"
    with pytest.raises(GoldseamError):
        open_dataset(dataset_path)
    with pytest.raises(InvalidDataset, match="damaged"):
        list(open_dataset(dataset_path, verify=False).records("train"))


def test_a_wrong_row_count_is_named(dataset_path: Path) -> None:
    yaml = dataset_path / "dataset.yaml"
    yaml.write_text(yaml.read_text().replace("rows: 2", "rows: 3", 1))
    problem = only(check_dataset(dataset_path))
    assert (problem.file, problem.value) == (FILE, "2 rows")
    with pytest.raises(InvalidDataset, match="2 rows"):
        open_dataset(dataset_path)


def test_columns_that_are_not_those_of_the_declaration_are_named(
    dataset_path: Path, redeclare: Callable[[], None]
) -> None:
    table = pq.read_table(dataset_path / FILE)
    table = table.drop_columns(["caption", "edge_source"])
    table = table.append_column("meta_extra", [["a", "b"]])
    table = table.set_column(table.schema.get_field_index("width"), "width", [[16.0, 16.0]])
    pq.write_table(table, dataset_path / FILE)
    redeclare()
    found = {problem.column: problem.value for problem in check_dataset(dataset_path)}
    assert found == {
        "width": "double",
        "edge_source": "no such column",
        "caption": "no such column",
        "meta_extra": "a column that is not declared",
    }
    with pytest.raises(InvalidDataset, match="column 'width'"):
        open_dataset(dataset_path)


def test_stale_category_names_in_the_metadata_are_named(dataset_path: Path) -> None:
    yaml = dataset_path / "dataset.yaml"
    yaml.write_text(yaml.read_text().replace("- bay\n", "- bight\n"))
    problems = check_dataset(dataset_path)
    assert len(problems) == 3  # one for each shard
    assert all("names of categories" in problem.value for problem in problems)


def test_a_parquet_file_that_is_not_listed_is_named(dataset_path: Path) -> None:
    (dataset_path / "train-extra.parquet").write_bytes((dataset_path / FILE).read_bytes())
    problem = only(check_dataset(dataset_path))
    assert (problem.file, problem.value) == ("train-extra.parquet", "a file that is not declared")


def test_every_fault_of_the_declaration_is_listed(dataset_path: Path) -> None:
    yaml = dataset_path / "dataset.yaml"
    text = (
        yaml.read_text().replace("kind: boundary", "kind: borders").replace("unit: px", "units: px")
    )
    yaml.write_text(text)
    by_column = {problem.column: problem for problem in check_dataset(dataset_path)}
    assert set(by_column) == {"tasks.edge.kind", "tasks.distance.units"}
    assert by_column["tasks.edge.kind"].value == "'borders'"
    assert "closest: unit" in by_column["tasks.distance.units"].expected


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: [", b"- 1\n- 2\n", b""])
def test_a_declaration_that_is_none_is_one_problem_and_one_error(
    dataset_path: Path, content: bytes
) -> None:
    (dataset_path / "dataset.yaml").write_bytes(content)
    assert only(check_dataset(dataset_path)).file == "dataset.yaml"
    with pytest.raises(InvalidDataset, match=r"dataset\.yaml"):
        open_dataset(dataset_path)


def test_a_shard_outside_the_folder_is_refused(dataset_path: Path) -> None:
    yaml = dataset_path / "dataset.yaml"
    yaml.write_text(yaml.read_text().replace(f"file: {FILE}", f"file: ../{FILE}"))
    with pytest.raises(InvalidDataset, match=r"shards\.0\.file.*beside dataset\.yaml"):
        open_dataset(dataset_path)


def test_an_unreadable_folder_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingInput, match="No such file"):
        check_dataset(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingInput, match="Not a directory"):
        open_dataset(tmp_path / "file")

    # tests may run as root, whom permissions do not stop
    def refuse(self: Path, *args: object, **options: object) -> str:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(MissingInput, match="Permission denied"):
        check_dataset(tmp_path)


def test_an_unreadable_shard_is_one_error(
    dataset_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_open = Path.open

    def refuse(self: Path, *args: Any, **options: Any) -> Any:
        if self.name == FILE:
            raise PermissionError(13, "Permission denied", str(self))
        return whole_open(self, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(MissingInput, match=FILE):
        open_dataset(dataset_path)
    assert only(check_dataset(dataset_path)).file == FILE


def test_many_problems_are_all_listed_and_the_error_names_the_first(
    dataset_path: Path, change_row: Callable[..., None]
) -> None:
    change_row(0, cover=png(9), edge=png(9), objects=[box(category=9), box(xmax=99.0)])
    change_row(1, cover=png(9), width=1, tags=tags([0], [0]))
    problems = check_dataset(dataset_path)
    assert len(problems) == 7
    with pytest.raises(InvalidDataset) as caught:
        require_valid(dataset_path, shown=2)
    assert "7 problems" in caught.value.message
    assert "row 0, image 'image-0', column 'cover': pixels of id 9" in caught.value.message
    assert "5 more" in caught.value.message
    assert "goldseam dataset check" in caught.value.remedy


def test_the_table_shows_text_as_it_is_and_counts_what_it_leaves_out() -> None:
    problem = Problem("train.parquet", 3, "[bold]x[/nope]", "cover", "id 9", "0 to 2", "Mend it.")
    stream = io.StringIO()
    Console(file=stream, width=160).print(problems_table([problem] * 5, limit=2))
    text = stream.getvalue()
    assert text.count("[bold]x[/nope]") == 2
    assert "5 problems" in text
    assert "3 more" in text
