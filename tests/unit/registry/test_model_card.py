"""The model card says what the results say, and keeps Markdown whole."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.registry.config import Gate
from goldseam.registry.gates import decide
from goldseam.registry.model_card import model_card, plain, read_facts
from goldseam.registry.versions import Candidate
from goldseam.results import (
    AuditResult,
    CategoryRepair,
    CoverageRow,
    DatasetReference,
    Disagreement,
    EvaluationResult,
    FinetuneResult,
)

DATASET = "sha256:" + "d" * 64
GATES = (Gate(metric="cover.miou", at_least=0.70),)


@pytest.fixture
def artifacts(tmp_path: Path) -> dict[str, Path]:
    folders = {name: tmp_path / name for name in ("ingest", "audit", "finetune", "data")}
    for folder in folders.values():
        folder.mkdir()
    task = Task(kind=Kind.SEGMENTATION, categories=("sea", "land"))
    DatasetInfo(
        name="coast", license="LGPL-3.0-or-later", source="old map", tasks={"cover": task}
    ).write_yaml(folders["data"])
    DatasetReference(
        key="k",
        digest=DATASET,
        uri=str(folders["data"]),
        name="coast",
        revision="abc:md5:1",
        rows={"train": 1242, "test": 48},
        tasks=("cover",),
    ).write(folders["ingest"])
    AuditResult(
        key="k",
        digest="d",
        dataset="coast",
        version="1",
        dataset_digest="sha256:data",
        rows={"train": 1242},
        coverage=(
            CoverageRow("cover", None, "train", None, 20, 0, 1222),
            CoverageRow("cover", "sea", "train", None, 19, 1, 1222),
            CoverageRow("cover", None, "test", None, 48, 0, 0),
        ),
        disagreements=(
            Disagreement(
                "cover", "cover_map", "test", 48, 2, 0.045, 0.3, 0.01, ("sea", "land"), ()
            ),
        ),
        sentences=(),
    ).write(folders["audit"])
    FinetuneResult(
        key="k",
        digest="d",
        task="tags",
        categories=(
            CategoryRepair("river", True, "3 known positives", 3, 40, None, None, None),
            CategoryRepair("sea", False, "repaired", 90, 40, 1.0, 0.3, 0.2),
        ),
    ).write(folders["finetune"])
    return {"ingest": folders["ingest"], "audit": folders["audit"] / "result.json"} | {
        "finetune": folders["finetune"]
    }


def card(
    model: Path, evaluation: EvaluationResult, artifacts: dict[str, Path], name: str = "coast"
) -> str:
    candidate = Candidate(name, evaluation.models["pipeline"].model_digest, DATASET, "r", {})
    facts = read_facts(candidate, model, artifacts)
    return model_card(facts, evaluation, decide(GATES, evaluation), alias="champion")


def test_card_says_it_all(
    checkpoint: Callable[..., Path],
    evaluate: Callable[..., EvaluationResult],
    artifacts: dict[str, Path],
) -> None:
    text = card(checkpoint(0), evaluate(checkpoint(0)), artifacts)
    for line in (
        "| cover | segmentation | sea, land, lake |",
        "Dataset **coast**, revision `abc:md5:1`:",
        "1,242 train, 48 test images.",
        "- License of the data: LGPL-3.0-or-later",
        "| cover | 20 | 1,222 |",
        "4.5 % of the pixels",
        "| metric | better | pipeline | scratch | noisy_direct |",
        "| cover.miou | higher | 0.750 [0.730, 0.770] | 0.600 [0.580, 0.620] | 0.800 |",
        "| distance.mae | lower | 1.500 [1.400, 1.600] px | 2.000 [1.900, 2.100] px | – |",
        "| cover.iou.lake | higher | – | – | – |",
        "- Against **noisy_direct**: clearly better on nothing;",
        "worse on cover.miou;",
        "6 groups are few",
        "Undefined on this split, hence not known to work: `cover.iou.lake`.",
        "left as they were: river (3 known positives).",
        "models:/coast@champion",
    ):
        assert line in text, line
    assert "| cover | 19 |" not in text
    # a list right below a table would become one of its rows
    assert not re.search(r"\|\n-", text)


def test_card_without_results_says_less(
    checkpoint: Callable[..., Path], evaluate: Callable[..., EvaluationResult]
) -> None:
    text = card(checkpoint(0), evaluate(checkpoint(0)), {})
    assert "Dataset with the digest below." in text
    assert "License of the data: not recorded here" in text


def test_text_cannot_break_a_table() -> None:
    assert plain("a|b\n# c") == "a\\|b # c"
