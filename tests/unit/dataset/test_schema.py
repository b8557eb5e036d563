"""What `dataset.yaml` may say, and what it becomes."""

import importlib.util
import json
import math
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pydantic
import pytest

from goldseam.dataset.checking import check_dataset
from goldseam.dataset.coverage import coverage
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import BOX, PICTURE, TAGS, DatasetInfo, Kind, Shard, Task
from goldseam.errors import InvalidDataset

SHA256 = "0" * 64


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ({"kind": "segmentation"}, "needs categories"),
        ({"kind": "detection"}, "needs categories"),
        ({"kind": "tags"}, "needs categories"),
        ({"kind": "tags", "categories": ["a", "a"]}, "same name"),
        ({"kind": "segmentation", "categories": ["a", "b", "c"], "ignore": 2}, "id of a category"),
        ({"kind": "boundary", "ignore": 1}, "2 to 65535"),
        ({"kind": "boundary", "ignore": 70000}, "2 to 65535"),
        ({"kind": "regression"}, "needs a unit"),
        ({"kind": "regression", "unit": "m", "scale": 0}, "scale"),
        ({"kind": "regression", "unit": "m", "scale": math.inf}, "scale"),
        ({"kind": "regression", "unit": "m", "offset": math.nan}, "offset"),
        ({"kind": "regression", "unit": "m", "invalid": -1}, "0 to 65535"),
        ({"kind": "regression", "unit": "m", "invalid": 0.5}, "0 to 65535"),
        ({"kind": "regression", "unit": "m", "invalid": math.nan}, "0 to 65535"),
        ({"kind": "normals"}, "camera axes"),
        ({"kind": "depth"}, "segmentation"),
        ({"kind": "caption", "color": "red"}, "Extra inputs"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused(task: dict[str, Any], why: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=why):
        Task.model_validate(task)


@pytest.mark.parametrize("name", ["image", "width", "meta_x", "x_source", "", "a b", "a.b"])
def test_a_task_cannot_take_the_name_of_another_column(name: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="column"):
        DatasetInfo(name="d", tasks={name: Task(kind=Kind.CAPTION)})


def test_a_noisy_version_names_a_task_of_the_same_kind_and_categories() -> None:
    clean = Task(kind=Kind.SEGMENTATION, categories=("sea", "land"))
    noisy = clean.model_copy(update={"noisy_version_of": "cover"})
    DatasetInfo(name="d", tasks={"cover": clean, "cover_map": noisy})
    with pytest.raises(pydantic.ValidationError, match="closest: cover"):
        DatasetInfo(name="d", tasks={"covers": clean, "cover_map": noisy})
    other = noisy.model_copy(update={"categories": ("land", "sea")})
    with pytest.raises(pydantic.ValidationError, match="other categories"):
        DatasetInfo(name="d", tasks={"cover": clean, "cover_map": other})


def test_metadata_columns_are_named_as_such() -> None:
    with pytest.raises(pydantic.ValidationError, match="'meta_site'"):
        DatasetInfo(name="d", tasks={}, meta={"site": "string"})


@pytest.mark.parametrize(
    "change",
    [
        {"file": "/data/train.parquet"},
        {"file": "../train.parquet"},
        {"file": "sub/train.parquet"},
        {"file": "train.csv"},
        {"split": "training"},
        {"rows": -1},
        {"sha256": "abc"},
    ],
)
def test_a_shard_is_a_parquet_file_beside_the_declaration(change: dict[str, Any]) -> None:
    shard = {"file": "train.parquet", "split": "train", "rows": 1, "sha256": SHA256}
    Shard.model_validate(shard)
    with pytest.raises(pydantic.ValidationError):
        Shard.model_validate({**shard, **change})


def test_a_shard_is_listed_once() -> None:
    shard = Shard(file="train.parquet", split="train", rows=1, sha256=SHA256)
    with pytest.raises(pydantic.ValidationError, match="listed twice"):
        DatasetInfo(name="d", tasks={}, shards=(shard, shard))


def test_the_declaration_survives_its_file(tmp_path: Path, info: DatasetInfo) -> None:
    shard = Shard(file="train.parquet", split="train", rows=3, sha256=SHA256)
    written = info.model_copy(update={"shards": (shard,), "description": "späte Küste"})
    written.write_yaml(tmp_path)
    read = DatasetInfo.read_yaml(tmp_path)
    assert read == written
    assert read.digest == written.digest


def test_the_digest_follows_content_not_description(info: DatasetInfo) -> None:
    assert info.model_copy(update={"description": "other words"}).digest == info.digest
    shard = Shard(file="train.parquet", split="train", rows=3, sha256=SHA256)
    assert info.model_copy(update={"shards": (shard,)}).digest != info.digest


def test_nan_as_invalid_value_survives_the_file(tmp_path: Path) -> None:
    task = Task(kind=Kind.REGRESSION, unit="m", encoding="tiff32", invalid=math.nan)
    written = DatasetInfo(name="d", tasks={"depth": task})
    written.write_yaml(tmp_path)
    read = DatasetInfo.read_yaml(tmp_path)
    assert math.isnan(read.tasks["depth"].invalid)
    assert read.digest == written.digest


def test_the_schema_has_a_nullable_column_and_a_source_for_each_task(info: DatasetInfo) -> None:
    schema = info.arrow_schema()
    types = {"objects": pa.list_(BOX), "tags": TAGS, "caption": pa.string()}
    for name in info.tasks:
        assert schema.field(name).type == types.get(name, PICTURE)
        assert schema.field(name).nullable
        assert schema.field(f"{name}_source").type == pa.string()
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names
    assert features["tags"]["present"]["feature"]["names"] == ["bay", "cape", "river", "harbor"]
    assert features["cover"] == {"_type": "Image"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            "name: d\ntasks: {depth: {kind: regression, units: m}}",
            "tasks.depth.units'.*closest: unit",
        ),
        ("name: d\ntasks: {depth: {kind: regresion}}", "tasks.depth.kind'.*'regresion'"),
        ("tasks: {}", "key 'name'.*Field required"),
        ("name: d\ntasks: []", "key 'tasks'"),
    ],
)
def test_a_wrong_key_is_named_with_the_nearest_right_one(
    tmp_path: Path, wrong: str, message: str
) -> None:
    (tmp_path / "dataset.yaml").write_text(wrong)
    with pytest.raises(InvalidDataset, match=message) as caught:
        DatasetInfo.read_yaml(tmp_path)
    assert "docs/dataset.md" in caught.value.remedy


def test_asking_for_a_task_that_is_not_there_names_the_closest(info: DatasetInfo) -> None:
    with pytest.raises(InvalidDataset, match="no task 'covers'") as caught:
        info.task("covers")
    assert caught.value.remedy == "Closest: cover."


DOCS = Path(__file__).parents[3] / "docs" / "dataset.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_code_of_the_docs_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    write, *reads = BLOCKS
    assert len([line for line in write.splitlines() if line]) <= 15
    for block in (write, *reads):
        if "import duckdb" in block and importlib.util.find_spec("duckdb") is None:
            continue
        exec(compile(block, str(DOCS), "exec"), {})
    assert check_dataset(tmp_path / "shores") == []
    printed = capsys.readouterr().out
    assert "s0 (64, 64, 3) False" in printed
    assert "s1 (64, 64, 3) True" in printed
    assert "names=['boat']" in printed


def test_the_docs_list_every_key() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for model in (DatasetInfo, Task, Shard):
        for key in model.model_fields:
            assert f"`{key}`" in text, key
    for kind in Kind:
        assert f"`{kind}`" in text, kind


def test_the_docs_show_the_counts_of_their_own_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[0], str(DOCS), "exec"), {})
    rows = coverage(open_dataset("shores"), splits=["train"])
    lines = DOCS.read_text(encoding="utf-8").split("task   category  split  source")[1]
    shown = [line.split() for line in lines.splitlines()[1:6]]
    expected = [
        [row.task, *([row.category] if row.category else []), row.split, "human", str(row.present),
         *([str(row.absent)] if row.category else []), str(row.unknown)]
        for row in rows
        if row.source is None
    ]  # fmt: skip
    assert shown == expected
