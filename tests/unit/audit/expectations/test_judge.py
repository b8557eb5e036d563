import dataclasses
import json

import numpy as np
import pytest

from goldseam.audit.coverage import coverage_rows
from goldseam.audit.expectations.audit_tables import AUDIT_TABLES, TABLE_OF
from goldseam.audit.expectations.config import GateConfig
from goldseam.audit.expectations.judge import GATE_FILE, judge
from goldseam.audit.findings import Action, Issue, make_findings, no_findings
from goldseam.audit.label_side import read_label_side
from goldseam.errors import InvalidConfig
from goldseam.results import (
    AuditResult,
    DriftTest,
    DuplicateGroup,
    DuplicateImage,
    DuplicateSummary,
    Estimate,
    LabelErrors,
    MissingnessTest,
    NoiseRate,
)

LEAK = DuplicateGroup(
    "near",
    3,
    (DuplicateImage("a", "train", "g"), DuplicateImage("b", "test", "h")),
    ("train", "test"),
    2,
    (),
)


@pytest.fixture(scope="module")
def labels(disc_data):
    return read_label_side(disc_data)


@pytest.fixture(scope="module")
def findings(labels):
    return make_findings(
        **labels.where(np.array([0, 5])),
        task="tags",
        category=["disk", "bar"],
        issue=Issue.WRONG_TAG,
        action=Action.RELABEL,
        score=[0.5, 0.9],
        evidence=["one", "two"],
    )


@pytest.fixture(scope="module")
def audited(disc_data, labels):
    def gap(factor, effect, strength, p_value=0.001):
        return MissingnessTest(
            "tags", None, factor, "metadata", "t", 9, p_value, p_value, effect, "V", strength, "s"
        )

    info = disc_data.info
    return AuditResult(
        key="k",
        digest="d",
        dataset="discs",
        version="1",
        dataset_digest=info.digest,
        rows={split: info.rows(split) for split in info.splits},
        coverage=coverage_rows(labels, labels.states),
        duplicates=DuplicateSummary(76, 0, 0, 0, 0, (), ()),
        noise=(
            NoiseRate(
                "cover_map", "cover", None, "flip", Estimate(0.04, 0.03, 0.06), 9, "measured", "s"
            ),
            NoiseRate("tags", None, None, "flip", Estimate(None), 0, "confident learning", "s"),
        ),
        missingness=(gap("meta_site", 0.4, "moderate"), gap("brightness", 0.9, "none", 0.8)),
        errors=(LabelErrors("tags", None, None, None, 100, 9, Estimate(0.09, 0.05, 0.12), "c"),),
        drift=(
            DriftTest("coverage", "tags", None, "train", 0.5, 0.2, 0.01, 0.01, True, "Tags fell."),
        ),
    )


@pytest.fixture
def decide(audited, labels, findings, tmp_path):
    """The verdict and reasons of limits; parts of the audit can be replaced."""

    def one(*, found=findings, expect=(), result=None, **options):
        suite = {"expectations": list(expect)} if expect else {}
        config = GateConfig(suite=suite, **{"leaks": False, **options})
        return judge(config, result or audited, labels, found, tmp_path)

    return one


def expectation(kind, **kwargs):
    return {"type": f"expect_{kind}", "kwargs": kwargs}


def test_without_a_limit_nothing_is_checked_or_written(decide, tmp_path):
    assert decide() == ("pass", ())
    assert list(tmp_path.iterdir()) == []


def test_limits_that_are_kept_pass(decide, tmp_path):
    verdict, reasons = decide(
        leaks=True,
        min_coverage={"cover": 0.2, "tags.disk": 0.1},
        max_noise={"cover_map": 0.05},
        max_missingness_effect=0.5,
    )
    assert (verdict, reasons) == ("pass", ())
    body = json.loads((tmp_path / GATE_FILE).read_text())
    assert body["verdict"] == "pass"
    # two of coverage, noise, missingness, groups, and each of three pairs of splits
    assert len(body["checks"]) == 8
    docs = (tmp_path / "docs" / "index.html").read_text()
    assert "tags.disk is known on at least 10.0 % of the training images." in docs


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"min_coverage": {"cover": 0.9}}, "train/cover"),
        ({"min_coverage": {"tags.bar": 0.9}}, "train/tags.bar"),
        ({"max_noise": {"cover_map": 0.01}}, "cover_map flip"),
        ({"max_missingness_effect": 0.3}, "tags by meta_site"),
    ],
)
def test_a_broken_limit_names_its_rows(decide, options, expected):
    verdict, (reason,) = decide(**options)
    assert verdict == "fail"
    assert expected in reason


def test_what_nobody_could_measure_keeps_no_limit(decide):
    verdict, (reason,) = decide(max_noise={"tags": 0.5})
    assert verdict == "fail"
    assert "tags flip (unknown)" in reason


def test_an_effect_that_may_be_chance_breaks_no_limit(decide, audited):
    chance = dataclasses.replace(audited, missingness=audited.missingness[1:])
    assert decide(max_missingness_effect=0.3, result=chance)[0] == "pass"


def test_gaps_that_could_not_be_tested_do_not_pass_in_silence(decide, audited):
    untested = dataclasses.replace(
        audited,
        missingness=(dataclasses.replace(audited.missingness[0], p_value=None, effect=None),),
    )
    verdict, (reason,) = decide(max_missingness_effect=0.3, result=untested)
    assert verdict == "fail"
    assert "every value is null" in reason


def test_a_leak_names_the_images(decide, audited):
    leaking = DuplicateSummary(76, 0, 1, 1, 0, (), (LEAK,))
    result = dataclasses.replace(audited, duplicates=leaking)
    verdict, (reason,) = decide(leaks=True, result=result)
    assert verdict == "fail"
    assert "train/a, test/b" in reason


def test_pictures_that_nobody_compared_are_no_proof(decide, audited):
    blind = dataclasses.replace(audited, duplicates=DuplicateSummary(0, 0, 0, 0, 0, (), ()))
    wanted = expectation("no_near_duplicates_between", splits=["train", "test"])
    _, (reason,) = decide(expect=[wanted], result=blind)
    assert "no picture was compared" in reason
    # labels alone are no reason to stop unless somebody asks
    assert decide(leaks=True, result=blind) == ("pass", ())


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (
            expectation("noise_rate_to_be_at_most", task="cover_map", max_rate=0.05, use="high"),
            "cover_map flip",
        ),
        (expectation("error_rate_to_be_at_most", task="tags", max_rate=0.05), "(tags)"),
        (expectation("open_findings_to_be_at_most", task="tags", max_findings=1), "found 2"),
        (expectation("no_drift_of", what="coverage"), "Tags fell."),
        (
            expectation("label_coverage_to_be_at_least", task="cover", min_known=40),
            "train/cover",
        ),
    ],
)
def test_a_suite_may_hold_any_of_them(decide, wanted, expected):
    verdict, (reason,) = decide(expect=[wanted])
    assert verdict == "fail"
    assert expected in reason


def test_findings_below_a_score_are_not_counted(decide):
    wanted = expectation("open_findings_to_be_at_most", max_findings=1, min_score=0.8)
    assert decide(expect=[wanted])[0] == "pass"
    none = expectation("open_findings_to_be_at_most", max_findings=0)
    assert decide(expect=[none], found=no_findings())[0] == "pass"


def test_expectations_of_others_work_on_the_same_tables(decide):
    wanted = {
        "type": "expect_column_values_to_be_between",
        "description": "No finding is sure.",
        "kwargs": {"column": "score", "max_value": 0.8},
        "meta": {"table": "findings"},
    }
    verdict, (reason,) = decide(expect=[wanted])
    assert verdict == "fail"
    assert reason.startswith("No finding is sure: 1 row")


def test_a_name_that_there_is_not_is_refused(decide):
    with pytest.raises(InvalidConfig, match="min_coverage names 'cove'") as error:
        decide(min_coverage={"cove": 0.5})
    assert "cover" in error.value.remedy
    _, (reason,) = decide(
        expect=[expectation("error_rate_to_be_at_most", task="tegs", max_rate=0.1)]
    )
    assert "selects no row" in reason
    with pytest.raises(InvalidConfig, match="no table 'cover'"):
        decide(expect=[{**expectation("no_drift_of", what="rows"), "meta": {"table": "cover"}}])


def test_every_custom_expectation_is_registered_and_has_a_table():
    from great_expectations.expectations.registry import (
        list_registered_expectation_implementations,
    )

    from goldseam.audit.expectations import custom

    assert set(TABLE_OF) <= set(list_registered_expectation_implementations())
    assert set(TABLE_OF.values()) <= set(AUDIT_TABLES)
    assert custom.__doc__
