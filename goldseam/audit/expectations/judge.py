"""The gate after an audit: limits and a suite are held against the audit's tables."""

import dataclasses
import json
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa

from goldseam.audit.expectations.audit_tables import AUDIT_TABLES, TABLE_OF, audit_tables
from goldseam.audit.expectations.config import GateConfig
from goldseam.audit.expectations.suite import Expectation, by_table, expectations_of
from goldseam.audit.label_side import LabelSide
from goldseam.errors import InvalidConfig, closest
from goldseam.results import AuditResult, Verdict
from goldseam.storage.atomic import write_text

GATE_FILE = "gate.json"


def judge(
    config: GateConfig, result: AuditResult, labels: LabelSide, findings: pa.Table, folder: Path
) -> tuple[Verdict, tuple[str, ...]]:
    """Hold an audit against its limits; writes `gate.json` and Data Docs in `docs/`.

    Args:
        config: the limits; without any nothing is written and the labels pass.
        result: of the audit.
        labels: the label side.
        findings: all findings of the audit.
        folder: the audit's output.

    Returns:
        The verdict, and the reasons of a failure.

    Raises:
        InvalidConfig: a limit or the suite names something that there is not.
    """
    suite = _of_suite(config)
    said = [(one.get("type"), one.get("kwargs")) for one in suite]
    generated = [one for one in limits(config, result) if (one["type"], one["kwargs"]) not in said]
    expectations = [*generated, *suite]
    if not expectations:
        return "pass", ()
    from goldseam.audit.expectations import custom  # noqa: F401 (registers its expectations)
    from goldseam.audit.expectations.data_docs import write_index
    from goldseam.audit.expectations.suite_run import SuiteRun, reason

    tables = audit_tables(result, labels, findings)
    run = SuiteRun()
    checks = [
        check
        for table, of_table in by_table(expectations, AUDIT_TABLES).items()
        if of_table
        for check in run.check(table, tables[table](), of_table)
    ]
    reasons = tuple(reason(check) for check in checks if not check.passed)
    verdict: Verdict = "fail" if reasons else "pass"
    run.write_docs(folder / "docs")
    write_index(folder / "docs", result.dataset, checks, reasons)
    body = {
        "verdict": verdict,
        "reasons": reasons,
        "suite": {"name": result.dataset, "expectations": expectations},
        "checks": [dataclasses.asdict(check) for check in checks],
    }
    write_text(folder / GATE_FILE, json.dumps(body, indent=1, ensure_ascii=False) + "\n")
    return verdict, reasons


def limits(config: GateConfig, result: AuditResult) -> list[Expectation]:
    """The expectations behind the short limits.

    Raises:
        InvalidConfig: a limit names a task or category that the dataset does not have.
    """
    found = []
    tasks = list(dict.fromkeys(row.task for row in result.coverage))
    named = [f"{row.task}.{row.category}" for row in result.coverage if row.category]
    for name, share in config.min_coverage.items():
        _require(name, [*tasks, *named], "min_coverage")
        task, _, category = name.partition(".")
        wanted = {"task": task, "category": category, "min_share": share}
        found.append(_expect("expect_label_coverage_to_be_at_least", "coverage", wanted))
    for task, rate in config.max_noise.items():
        _require(task, tasks, "max_noise")
        wanted = {"task": task, "max_rate": rate}
        found.append(_expect("expect_noise_rate_to_be_at_most", "noise", wanted))
    if config.max_missingness_effect > 0:
        effect = {"max_effect": config.max_missingness_effect}
        found.append(_expect("expect_missingness_effect_to_be_at_most", "missingness", effect))
    if config.leaks:
        found.append(_expect("expect_groups_not_to_cross_splits", "groups", {}))
        # a suite may insist on it; by default labels alone are no reason to stop
        if result.duplicates is not None and result.duplicates.images:
            for pair in combinations(result.rows, 2):
                between = {"splits": list(pair)}
                found.append(_expect("expect_no_near_duplicates_between", "duplicates", between))
    return found


def _expect(kind: str, table: str, kwargs: Mapping[str, Any]) -> Expectation:
    return {"type": kind, "kwargs": dict(kwargs), "meta": {"table": table}}


def _require(name: str, known: list[str], option: str) -> None:
    if name not in known:
        raise InvalidConfig(
            f"audit.gate.{option} names '{name}', which the dataset does not have.",
            remedy=f"Closest: {closest(name, known)}.",
        )


def _of_suite(config: GateConfig) -> list[Expectation]:
    """The suite's expectations; goldseam's own need not say which table they are about."""
    listed = expectations_of(config.suite) if config.suite else []
    return [
        {**one, "meta": {"table": TABLE_OF.get(str(one.get("type"))), **(one.get("meta") or {})}}
        for one in listed
    ]
