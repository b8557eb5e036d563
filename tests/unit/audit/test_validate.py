"""Each expectation names the rows that break it; a sound dataset passes; nothing calls a server."""

import json
import re
import warnings
from pathlib import Path

import pyarrow as pa
import pytest

from goldseam.artifacts import digest_of
from goldseam.audit.config import ValidateConfig
from goldseam.audit.expectations.suite import generated_suite
from goldseam.audit.expectations.validate import validate
from goldseam.dataset.examples.coast.labels import TASKS
from goldseam.dataset.schema import DatasetInfo, Shard
from goldseam.errors import GoldseamError, InvalidConfig, InvalidDataset, OutputExists
from goldseam.results import ValidationResult
from tests.unit.audit.bays import INFO, build, rewrite

COAST_SUITE = Path(__file__).parents[3] / "data" / "expectations" / "coast.json"
LOADS = re.compile(
    r"<(?:script|img|iframe|source|link)\b[^>]*(?:src|href)\s*=\s*[\"']?\s*(?:https?:)?//"
    r"|url\(\s*[\"']?(?:https?:)?//|@import",
    re.IGNORECASE,
)


def box(xmin, ymin, xmax, ymax):
    corners = {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}
    return {"category": 0, **corners, "ignore": False}


def unchanged(rows):
    return rows


def break_every_rule(rows):
    rows[0]["group"] = "test-block-0"
    rows[1]["image_id"] = "train-2"
    rows[3]["objects"][0]["xmax"] = 16.5
    rows[4]["width"] = 0
    rows[4]["tags"]["present"] = [0, 3]
    rows[5]["cover_source"] = "human"
    rows[6]["cover_source"] = None
    rows[6]["objects"] = [box(1, 3, 4, 3)]
    rows[7]["height"] = -4
    rows[8]["tags"]["absent"] = [0, 1, 2]
    rows[9]["objects"][0]["category"] = -1
    rows[9]["objects"][1]["xmin"] = float("nan")
    rows[10]["cover_map_source"] = "rumor"
    rows[11]["objects"] = [box(-1, 0, 4, 17)]
    rows[11]["objects_source"] = "human"


EXPECTED = {
    "image_id is unique.": {"image_id": ["train/train-2", "train/train-2"]},
    "A group never crosses splits.": {
        "group_splits": ["train/train-0", *(f"test/test-{n}" for n in range(4))]
    },
    "width is at least 1 px.": {"width": ["train/train-4"]},
    "height is at least 1 px.": {"height": ["train/train-7"]},
    "cover_source is null exactly where cover is unknown.": {
        "cover_known, cover_sourced": ["train/train-5", "train/train-6"]
    },
    "cover_map comes from map.": {"cover_map_source": ["train/train-10"]},
    "Category ids of tags are 0 to 2, as dataset.yaml lists them.": {
        "tags_category_max": ["train/train-4"]
    },
    "No category of tags is both present and absent.": {"tags_contradictions": ["train/train-8"]},
    "Category ids of objects are 0 to 1, as dataset.yaml lists them.": {
        "objects_category_min": ["train/train-9"]
    },
    "Corners of objects are numbers.": {"objects_not_finite": ["train/train-9"]},
    "Boxes of objects lie inside the image.": {
        "objects_xmin_min": ["train/train-11"],
        "width, objects_xmax_max": ["train/train-3"],
        "height, objects_ymax_max": ["train/train-11"],
    },
    "No box of objects is empty.": {"objects_side_min": ["train/train-6"]},
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> ValidationResult:
    folder = tmp_path_factory.mktemp("broken")
    dataset = rewrite(build(folder / "bays"), "train", break_every_rule)
    return validate(ValidateConfig(sources={"cover_map": ("map",)}), dataset, folder / "out")


def test_a_sound_dataset_passes(dataset, tmp_path, no_network):
    show_warning = warnings.showwarning
    result = validate(ValidateConfig(), dataset, tmp_path / "out")
    assert warnings.showwarning is show_warning
    assert (result.verdict, result.reasons, result.failures) == ("pass", (), ())
    assert result.checks == len(generated_suite(dataset.info, ValidateConfig())["expectations"])
    report = json.loads((tmp_path / "out" / "validation.json").read_text())
    assert all(check["passed"] for check in report["checks"])
    assert ValidationResult.read(tmp_path / "out") == result


@pytest.mark.parametrize("sentence", EXPECTED)
def test_each_expectation_names_the_rows_that_break_it(broken, sentence):
    found = {f.column: list(f.rows) for f in broken.failures if f.expectation == sentence}
    assert found == EXPECTED[sentence]


def test_nothing_else_fails_and_every_failure_is_a_reason(broken):
    assert broken.verdict == "fail"
    assert {failure.expectation for failure in broken.failures} == set(EXPECTED)
    assert len(broken.reasons) == len(broken.failures)
    assert "image_id is unique: 2 rows do not meet this (train/train-2" in broken.reasons[0]
    assert all(failure.count == len(failure.rows) for failure in broken.failures)


def test_ids_outside_the_vocabulary_leave_the_categories_uncounted(broken):
    report = json.loads((broken.folder / "validation.json").read_text())
    assert {check["table"] for check in report["checks"]} == {"schema", "images"}


def test_the_docs_name_the_rows_and_load_nothing(broken):
    pages = sorted((broken.folder / "docs").rglob("*.html"))
    assert len(pages) == 5  # the index, and of each table its suite and its results
    for page in pages:
        assert not LOADS.search(page.read_text()), page
        assert "<script src" not in page.read_text()
    index = (broken.folder / "docs" / "index.html").read_text()
    assert "train/train-11" in index
    for link in re.findall(r'href="([^"#][^"]*\.html)"', index):
        assert (broken.folder / "docs" / link).is_file()


def test_at_most_twenty_rows_are_named(tmp_path):
    dataset = build(tmp_path / "bays", training=30)

    def edit(rows):
        for row in rows:
            row["width"] = 0

    result = validate(ValidateConfig(), rewrite(dataset, "train", edit), tmp_path / "out")
    failure = next(f for f in result.failures if f.column == "width")
    assert (len(failure.rows), failure.count) == (20, 30)


def test_a_column_of_another_type_fails_and_ends_the_checks(dataset, tmp_path):
    schema = dataset.info.arrow_schema()
    wider = schema.set(schema.get_field_index("width"), pa.field("width", pa.int64()))
    broken = rewrite(dataset, "train", unchanged, wider.append(pa.field("note", pa.string())))
    result = validate(ValidateConfig(), broken, tmp_path / "out")
    file = "train-00000-of-00001.parquet"
    assert [list(failure.rows) for failure in result.failures] == [
        [f"{file}/width", f"{file}/note"]
    ]
    assert result.checks == 1


def test_too_few_known_labels_fail_by_category(dataset, tmp_path):
    """`tags` is known on at least 3 training images, `tags.river` on 2 of them; `objects` on 4."""
    config = ValidateConfig(minimum_known=3, minimum_known_of={"objects": 0, "tags.sea": 4})
    result = validate(config, dataset, tmp_path / "out")
    rows = {failure.expectation: failure.rows for failure in result.failures}
    assert rows == {
        "tags, and each of its categories, is known on at least 3 training images.": (
            "train/tags.river",
        ),
        "tags.sea is known on at least 4 training images.": ("train/tags.sea",),
    }


def test_unknown_boxes_differ_from_no_boxes(dataset, tmp_path):
    """An empty list is somebody's label; null is none: only the second lowers the known count."""

    def forget(rows):
        for row in rows:
            if row["objects"] == []:
                row["objects"] = row["objects_source"] = None

    config = ValidateConfig(minimum_known_of={"objects": 4, "objects.lake": 0})
    assert validate(config, dataset, tmp_path / "before").verdict == "pass"
    forgotten = rewrite(dataset, "train", forget)
    result = validate(config, forgotten, tmp_path / "after")
    assert [f.rows for f in result.failures] == [("train/objects", "train/objects.island")]


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        ({"present": [0], "absent": [], "unsure": [0]}, "two of present, absent and unsure"),
        ({"present": [], "absent": [], "unsure": [3]}, "Category ids of tags are 0 to 2"),
        ({"present": [0], "absent": [1], "unsure": [2]}, ""),
    ],
)
def test_what_is_unsure_is_looked_at_as_well(tmp_path, tags, sentence):
    tasks = {**INFO.tasks, "tags": INFO.tasks["tags"].model_copy(update={"unsure": True})}

    def edit(rows):
        rows[0]["tags"] = tags

    dataset = build(tmp_path / "d", INFO.model_copy(update={"tasks": tasks}))
    config = ValidateConfig(minimum_known=0)
    result = validate(config, rewrite(dataset, "train", edit), tmp_path / "out")
    failed = {failure.expectation: list(failure.rows) for failure in result.failures}
    assert all(rows == ["train/train-0"] for rows in failed.values())
    assert [sentence in name for name in failed] == [True] * bool(sentence)


def test_the_same_inputs_give_the_same_digest(dataset, tmp_path):
    first = validate(ValidateConfig(), dataset, tmp_path / "first")
    second = validate(ValidateConfig(), dataset, tmp_path / "second")
    assert (first.digest, first.key) == (second.digest, second.key)
    assert validate(ValidateConfig(), dataset, tmp_path / "first") == first
    with pytest.raises(OutputExists):
        validate(ValidateConfig(minimum_known=2), dataset, tmp_path / "first")


def expect(kind, *, meta=None, **kwargs):
    return {"type": f"expect_{kind}", "kwargs": kwargs, "meta": meta or {}}


def test_a_suite_of_ones_own_replaces_the_generated_one(dataset, tmp_path):
    between = expect("column_values_to_be_between", column="width", min_value=20)
    mean = expect("column_mean_to_be_between", column="height", max_value=15)
    result = validate(
        ValidateConfig(suite={"expectations": [between, mean]}), dataset, tmp_path / "out"
    )
    assert result.checks == 2
    assert result.failures[0].count == 16
    assert "min_value=20" in result.failures[0].expectation
    assert "found 16.0" in result.reasons[1]


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        ({}, "no list 'expectations'"),
        ({"expectations": [expect("column_values_to_be_betwen", column="width")]}, "there is not"),
        ({"expectations": [expect("column_values_to_be_unique", column="widht")]}, "'widht'"),
        ({"expectations": [expect("column_values_to_be_between", column="width")]}, "cannot both"),
        ({"expectations": [expect("x", meta={"table": "image"}, column="width")]}, "table 'image'"),
    ],
)
def test_a_wrong_suite_is_refused_with_the_reason(dataset, tmp_path, suite, message):
    with pytest.raises(InvalidConfig, match=re.escape(message)) as caught:
        validate(ValidateConfig(suite=suite), dataset, tmp_path / "out")
    assert caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_a_condition_that_selects_no_row_does_not_pass(dataset, tmp_path):
    known = expect(
        "column_values_to_be_between",
        meta={"table": "categories"},
        column="known",
        min_value=1,
        row_condition={
            "type": "comparison",
            "column": {"name": "task"},
            "operator": "==",
            "parameter": "covr",
        },
    )
    config = ValidateConfig(suite={"expectations": [known]})
    result = validate(config, dataset, tmp_path / "out")
    assert result.verdict == "fail"
    assert "selects no row" in result.reasons[0]


def test_a_foreign_schema_is_refused_when_no_expectation_looks_at_it(dataset, tmp_path):
    schema = dataset.info.arrow_schema()
    wider = schema.set(schema.get_field_index("width"), pa.field("width", pa.int64()))
    broken = rewrite(dataset, "train", unchanged, wider)
    suite = {"expectations": [expect("column_values_to_be_unique", column="image_id")]}
    with pytest.raises(InvalidDataset, match="column 'width': type int64, expected int32"):
        validate(ValidateConfig(suite=suite), broken, tmp_path / "out")


@pytest.mark.parametrize(
    "options", [{"sources": {"covr": ("map",)}}, {"minimum_known_of": {"tags.rivre": 1}}]
)
def test_an_option_that_names_no_task_is_refused(options):
    with pytest.raises(GoldseamError, match="does not have") as caught:
        generated_suite(INFO, ValidateConfig(**options))
    assert "Closest" in caught.value.remedy


def test_options_of_the_generated_suite_are_refused_beside_a_suite():
    with pytest.raises(ValueError, match="minimum_known: this shapes"):
        ValidateConfig(suite={"expectations": []}, minimum_known=3)
    # the defaults, spelled out, are no contradiction: a resolved recipe does that
    ValidateConfig(**ValidateConfig(suite={"expectations": []}).model_dump(mode="json"))


def test_coasts_suite_holds_everything_that_its_tasks_ask_for():
    shard = Shard(file="train-00000-of-00001.parquet", split="train", rows=1, sha256="0" * 64)
    info = DatasetInfo(name="coast", tasks=TASKS, shards=(shard,))
    sources = {task: ("map",) if task == "cover_map" else ("survey",) for task in TASKS}
    generated = generated_suite(info, ValidateConfig(minimum_known=5, sources=sources))
    stored = json.loads(COAST_SUITE.read_text())
    missing = [e for e in generated["expectations"] if e not in stored["expectations"]]
    assert missing == []
    assert len({digest_of(e) for e in stored["expectations"]}) == len(stored["expectations"])
