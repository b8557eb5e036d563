"""Digests name content, and a result is taken again only for the same key."""

import dataclasses
import json
import math
from pathlib import Path
from typing import ClassVar

import pytest

from goldseam import artifacts
from goldseam.artifacts import (
    Result,
    StageConfig,
    canonical_json,
    code_digest,
    digest_file,
    digest_folder,
    digest_of,
    iterate_results,
    stage_key,
)
from goldseam.errors import MissingInput, OutputExists


class Options(StageConfig):
    steps: int = 3
    rate: float = 0.5
    names: tuple[str, ...] = ("a",)
    place: Path = Path("x/y")


@dataclasses.dataclass(frozen=True)
class Part:
    name: str
    value: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counted(Result):
    stage: ClassVar[str] = "count"
    rows: dict[str, int]
    parts: tuple[Part, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Other(Result):
    stage: ClassVar[str] = "other"


RESULT = Counted(key="sha256:k", digest="sha256:d", rows={"train": 2}, parts=(Part("a", None),))


def test_equal_values_have_equal_json_whatever_their_order() -> None:
    assert canonical_json({"b": 1, "a": [1.5, None]}) == '{"a":[1.5,null],"b":1}'
    assert digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})
    assert digest_of(Options()) == digest_of(Options().model_dump(mode="json"))
    assert digest_of(Part("a", 1.0)) == digest_of({"name": "a", "value": 1.0})
    assert digest_of({"p": Path("a/b")}) == digest_of({"p": "a/b"})


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, object()])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical_json({"value": value})


def test_a_key_changes_with_stage_options_inputs_and_code(monkeypatch: pytest.MonkeyPatch) -> None:
    key = stage_key("train", Options(), dataset="sha256:1")
    assert key == stage_key("train", Options(), dataset="sha256:1")
    others = [
        stage_key("finetune", Options(), dataset="sha256:1"),
        stage_key("train", Options(steps=4), dataset="sha256:1"),
        stage_key("train", Options(), dataset="sha256:2"),
        stage_key("train", Options(), model="sha256:1"),
    ]
    monkeypatch.setattr(artifacts, "code_digest", digest_of)
    others.append(stage_key("train", Options(), dataset="sha256:1"))
    assert len({key, *others}) == 6


def test_options_are_frozen_and_take_no_unknown_key() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Options().steps = 4  # type: ignore[misc]
    with pytest.raises(ValueError, match="Extra inputs"):
        Options(step=4)  # type: ignore[call-arg]


def test_the_code_of_a_stage_is_its_own_room_and_the_ground_floor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "__file__", str(tmp_path / "artifacts.py"))
    files = ["dataset/reading.py", "audit/page.html.j2", "multitask/model.py", "cli/runs.py"]
    for file in ["artifacts.py", *files]:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("1")

    def digests() -> list[str]:
        return [code_digest.__wrapped__(stage) for stage in ("audit", "train")]

    changed = {}
    for file in files:
        before = digests()
        (tmp_path / file).write_text("2")
        changed[file] = [old != new for old, new in zip(before, digests(), strict=True)]
    assert list(changed.values()) == [[True, True], [True, False], [False, True], [False, False]]
    before = digests()
    (tmp_path / "dataset" / "reading.pyc").write_text("compiled")
    assert digests() == before


def test_a_folder_digest_follows_names_and_contents(tmp_path: Path) -> None:
    def folder(name: str, **files: str) -> str:
        for file, content in files.items():
            path = tmp_path / name / file.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return digest_folder(tmp_path / name)

    first = folder("a", x="1", sub__y="2")
    assert first == folder("b", sub__y="2", x="1")
    assert first != folder("c", x="1", sub__y="3")
    assert first != folder("d", x="1", sub__z="2")


def test_what_is_not_there_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="No such file"):
        digest_file(tmp_path / "nowhere")
    with pytest.raises(MissingInput, match="no folder"):
        digest_folder(tmp_path / "nowhere")


def test_a_result_survives_its_file(tmp_path: Path) -> None:
    written = RESULT.write(tmp_path)
    assert written.folder == tmp_path
    read = Counted.read(tmp_path)
    assert read == RESULT
    assert read.folder == tmp_path
    assert isinstance(read.parts[0], Part)
    body = json.loads((tmp_path / "result.json").read_text())
    assert body["stage"] == "count"
    assert "folder" not in body


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"{",
        b"\xff\xfe",
        b"[1]",
        b"{}",
        b'{"stage": "other", "key": "k", "digest": "d"}',
        b'{"stage": "count", "key": "k", "digest": "d"}',
        b'{"stage": "count", "key": "k", "digest": "d", "rows": {"a": "many"}, "parts": []}',
    ],
)
def test_what_is_no_result_of_the_stage_is_one_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(MissingInput, match="result"):
        Counted.read(tmp_path)
    with pytest.raises(OutputExists, match="no result of 'count'"):
        Counted.completed(tmp_path, "sha256:k")


def test_an_output_is_taken_again_for_its_own_key_only(tmp_path: Path) -> None:
    assert Counted.completed(tmp_path / "out", "sha256:k") is None
    RESULT.write(tmp_path)
    assert Counted.completed(tmp_path, "sha256:k") == RESULT
    with pytest.raises(OutputExists, match="other inputs or options") as caught:
        Counted.completed(tmp_path, "sha256:other")
    assert "--out" in caught.value.remedy


def test_a_moved_result_knows_its_new_place(tmp_path: Path) -> None:
    moved = RESULT.write(tmp_path).at(tmp_path / "elsewhere")
    assert moved.folder == tmp_path / "elsewhere"
    assert moved == RESULT


def test_results_are_found_below_a_folder_and_strangers_passed_over(tmp_path: Path) -> None:
    for name in ("b", "a/deep"):
        (tmp_path / name).mkdir(parents=True)
        RESULT.write(tmp_path / name)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "result.json").write_text('["of another program"]')
    assert list(iterate_results(tmp_path)) == [
        ("count", tmp_path / "a" / "deep"),
        ("count", tmp_path / "b"),
    ]
