"""coast, audited against the suite that is kept for it."""

import copy
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from goldseam.audit.config import AuditConfig
from goldseam.audit.stage import audit
from goldseam.dataset.examples import build_example
from goldseam.dataset.reading import Dataset, open_dataset

SUITE = Path(__file__).parents[2] / "data" / "expectations" / "coast_audit.json"


@pytest.fixture(scope="module")
def coast(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "coast"
    build_example("coast", folder, tiny=True, clean_per_task=8)
    return open_dataset(folder)


def audited(coast: Dataset, out: Path, suite: dict):
    return audit(AuditConfig.model_validate({"gate": {"suite": suite}}), coast, out)


def test_coast_keeps_its_suite(coast: Dataset, tmp_path: Path) -> None:
    result = audited(coast, tmp_path / "out", json.loads(SUITE.read_text()))
    assert (result.verdict, result.reasons) == ("pass", ())
    gate = json.loads((tmp_path / "out" / "gate.json").read_text())
    # every line of the suite, and the one pair of splits that it does not name
    assert len(gate["checks"]) == 1 + len(json.loads(SUITE.read_text())["expectations"])
    # the map is measured against the survey; few labels are known, and nobody is blamed for gaps
    rates = {(one.task, one.kind): one.rate.value for one in result.noise if one.category is None}
    assert 0.01 < rates["cover_map", "flip"] < 0.1
    findings = pq.read_table(tmp_path / "out" / "findings.parquet").to_pylist()
    known = {(r.image_id, task) for s in coast.info.splits for r in coast.records(s)
             for task, label in r.labels.items() if label is not None}  # fmt: skip
    assert {(f["image_id"], f["task"]) for f in findings} <= known


def test_a_tighter_suite_fails_and_names_rows(coast: Dataset, tmp_path: Path) -> None:
    suite = copy.deepcopy(json.loads(SUITE.read_text()))
    for expectation in suite["expectations"]:
        if expectation["type"] == "expect_noise_rate_to_be_at_most":
            expectation["kwargs"]["max_rate"] = 0.001
        if expectation["kwargs"].get("category") == "lake":
            expectation["kwargs"]["min_share"] = 0.99
    result = audited(coast, tmp_path / "out", suite)
    assert result.verdict == "fail"
    told = " ".join(result.reasons)
    assert "cover_map flip" in told
    assert "train/tags.lake" in told
    assert "/cover_map interior" in told
