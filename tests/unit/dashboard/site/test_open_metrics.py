"""The metrics by the parsers that will read them, and what is built on their names."""

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from goldseam.dashboard.site.build import build_site
from goldseam.dashboard.site.config import SiteConfig
from goldseam.dashboard.site.entries import audit_entry
from goldseam.dashboard.site.history import History
from goldseam.dashboard.site.open_metrics import FAMILIES, open_metrics
from goldseam.results import CoverageRow, Estimate, NoiseRate
from tests.unit.dashboard.site.sample import BEGUN, audit_result, make_team

ROOT = Path(__file__).parents[4]
MONITORING = ROOT / "infra" / "monitoring"
ALERTS = MONITORING / "prometheus" / "alerts.yaml"
GRAFANA = MONITORING / "grafana" / "goldseam.json"
NAME = re.compile(r"\bgoldseam_[a-z0-9_]+")
EXPORTED = {family.name for family in FAMILIES}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("team")
    build_site(SiteConfig(), make_team(root / "runs").folders, root / "site")
    return (root / "site" / "metrics.txt").read_text()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in openmetrics.text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    (found,) = (
        number
        for (metric, its), number in samples(text).items()
        if metric == name and set(labels.items()) <= set(its)
    )
    return found


def test_both_parsers_read_the_same(text: str) -> None:
    old = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples(text) == old
    assert len(old) > 40
    families = list(openmetrics.text_string_to_metric_families(text))
    assert {family.name for family in families} == EXPORTED
    assert all(family.type == "gauge" and family.documentation for family in families)
    assert text.endswith("# EOF\n")


def test_numbers_are_those_of_the_latest_audit(text: str) -> None:
    cover = {"task": "cover", "split": "train", "category": ""}
    assert value(text, "goldseam_label_coverage_ratio", **cover) == pytest.approx(88 / 706)
    assert value(text, "goldseam_open_findings", issue="wrong_tag") == 22
    assert value(text, "goldseam_open_findings", issue="leak") == 0
    assert value(text, "goldseam_leaking_groups") == 0
    assert value(text, "goldseam_gate_passed", gate="labels") == 1
    assert value(text, "goldseam_missingness_findings", strength="moderate") == 1
    assert value(text, "goldseam_noise_displacement_pixels") == pytest.approx(1.4 * 0.86)
    assert value(text, "goldseam_runs", status="stopped") == 1
    champion = {"metric": "distance.mae", "alias": "champion", "version": "1"}
    assert value(text, "goldseam_model_metric", **champion) == pytest.approx(3.53)


def test_what_is_unknown_has_no_sample(text: str) -> None:
    assert not re.search(r"NaN|None|null", text)
    # nobody looked for wrong masks in the latest version; the noise of tags is unknown
    assert "wrong_mask" not in text
    noisy = [line for line in text.splitlines() if line.startswith("goldseam_noise_rate")]
    assert noisy
    assert not any('task="tags"' in line for line in noisy)

    nothing = dataclasses.replace(
        audit_result(1),
        coverage=(CoverageRow("cover", None, "train", None, 0, 0, 0),),
        noise=(NoiseRate("cover", None, None, "flip", Estimate(None), 0, "m", "s"),),
        errors=(),
        findings=(),
        missingness=(),
        duplicates=None,
    )
    bare = open_metrics(History(audits={"d": audit_entry(nothing, {"made": BEGUN})}))
    assert {name for name, _ in samples(bare)} == {
        "goldseam_dataset_images",
        "goldseam_dataset_versions",
        "goldseam_audit_timestamp_seconds",
        "goldseam_gate_passed",
    }


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "ß 海", "a}b", "\\n"])
def test_any_name_survives_the_parser(name: str) -> None:
    result = dataclasses.replace(audit_result(1), dataset=name)
    text = open_metrics(History(audits={"d": audit_entry(result, {"made": BEGUN})}))
    assert value(text, "goldseam_dataset_versions", dataset=name) == 1


def expressions(rules: Any) -> list[str]:
    return [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


def test_alerts_name_metrics_that_exist() -> None:
    rules = yaml.safe_load(ALERTS.read_text())
    found = expressions(rules)
    assert len(found) >= 8
    names = {name for expression in found for name in NAME.findall(expression)}
    assert names
    assert names <= EXPORTED
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert set(rule) >= {"alert", "expr", "for", "labels", "annotations"}
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert set(rule["annotations"]) == {"summary", "description"}


def test_alerts_use_labels_that_exist(text: str) -> None:
    known = {label for _, labels in samples(text) for label, _ in labels}
    texts = [ALERTS.read_text(), GRAFANA.read_text()]
    for one in texts:
        used = set(re.findall(r"\$labels\.(\w+)", one)) | set(re.findall(r"\{\{(\w+)\}\}", one))
        assert used
        assert used <= known


def test_promtool_accepts_metrics_and_rules(text: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    for command, given in (
        ([promtool, "check", "metrics"], text),
        ([promtool, "check", "rules", str(ALERTS)], ""),
        ([promtool, "test", "rules", str(ALERTS.with_name("alerts_test.yaml"))], ""),
    ):
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_cases_of_the_alerts_are_about_alerts_that_exist() -> None:
    cases = yaml.safe_load(ALERTS.with_name("alerts_test.yaml").read_text())
    alerts = {r["alert"] for g in yaml.safe_load(ALERTS.read_text())["groups"] for r in g["rules"]}
    (test,) = cases["tests"]
    assert {one["alertname"] for one in test["alert_rule_test"]} <= alerts
    names = {name for one in test["input_series"] for name in NAME.findall(one["series"])}
    assert names <= EXPORTED


def test_the_grafana_dashboard_asks_for_what_there_is() -> None:
    board = json.loads(GRAFANA.read_text())
    assert board["schemaVersion"] >= 39
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    queries = [one["definition"] for one in variables.values() if one["type"] == "query"]
    targets = [target for panel in board["panels"] for target in panel["targets"]]
    asked = [target["expr"] for target in targets] + queries
    names = set()
    for expression in asked:
        found = NAME.findall(expression)
        assert found, expression
        names |= set(found)
        for used in re.findall(r"\$(\w+)", expression):
            assert used in variables
    assert names == EXPORTED
    uids = {target["datasource"]["uid"] for target in targets}
    uids |= {panel["datasource"]["uid"] for panel in board["panels"]}
    assert uids == {"${datasource}"}
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    assert all(panel["title"] and panel["description"] for panel in board["panels"])


def test_panels_do_not_cover_each_other() -> None:
    taken = set()
    for panel in json.loads(GRAFANA.read_text())["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        taken |= cells


def test_the_docs_list_every_metric() -> None:
    docs = (ROOT / "docs" / "dashboards.md").read_text()
    for name in EXPORTED:
        short = re.sub(r"_rate_(low|high)_ratio$|_metric_(low|high)$", "", name)
        assert short in docs
