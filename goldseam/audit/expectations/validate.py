"""The stage that checks the form of the labels: a Great Expectations suite on the label tables."""

import dataclasses
import json
from pathlib import Path

from goldseam.artifacts import digest_of, stage_key
from goldseam.audit.config import ValidateConfig
from goldseam.audit.expectations.data_docs import write_index
from goldseam.audit.expectations.suite import (
    Expectation,
    by_table,
    expectations_of,
    generated_suite,
)
from goldseam.audit.expectations.suite_run import Check, SuiteRun, reason, require_declared_schema
from goldseam.audit.expectations.tables import category_table, image_table, schema_table
from goldseam.dataset.reading import Dataset
from goldseam.errors import InvalidDataset
from goldseam.results import FailedCheck, ValidationResult, Verdict
from goldseam.storage.atomic import atomic_folder, write_text

REPORT = "validation.json"


def validate(config: ValidateConfig, dataset: Dataset, out: Path) -> ValidationResult:
    """Check the label tables against an expectation suite; docs/audit.md explains the checks.

    A failing suite is a verdict, not an error: the caller decides what it stops. `out` holds
    `validation.json` with every check, the suite as `suite.json`, and Data Docs in
    `docs/index.html`.

    Args:
        config: the options.
        dataset: an open dataset.
        out: the folder to make; when it holds the same result already, that one is returned.

    Raises:
        InvalidConfig: the suite or an option names something that there is not.
        OutputExists: `out` holds something else.
    """
    key = stage_key(ValidationResult.stage, config, dataset=dataset.info.digest)
    if (done := ValidationResult.completed(out, key)) is not None:
        return done
    suite = generated_suite(dataset.info, config) if config.suite is None else config.suite
    with atomic_folder(out) as folder:
        run = SuiteRun()
        checks = _check_tables(run, dataset, by_table(expectations_of(suite)))
        failed = [check for check in checks if not check.passed]
        reasons = tuple(reason(check) for check in failed)
        verdict: Verdict = "fail" if failed else "pass"
        run.write_docs(folder / "docs")
        write_index(folder / "docs", dataset.info.name, checks, reasons)
        body = {
            "verdict": verdict,
            "reasons": reasons,
            "checks": [dataclasses.asdict(check) for check in checks],
        }
        write_text(folder / REPORT, json.dumps(body, indent=1, ensure_ascii=False) + "\n")
        write_text(folder / "suite.json", json.dumps(suite, indent=1, ensure_ascii=False) + "\n")
        result = ValidationResult(
            key=key,
            digest=digest_of(body),
            verdict=verdict,
            reasons=reasons,
            failures=tuple(
                FailedCheck(check.sentence, check.column, check.rows, check.count)
                for check in failed
            ),
            checks=len(checks),
        ).write(folder)
    return result.at(out)


def _check_tables(
    run: SuiteRun, dataset: Dataset, tables: dict[str, list[Expectation]]
) -> list[Check]:
    """Schema first, since the other tables can only be read when it is as declared."""
    schema = schema_table(dataset)
    checks = run.check("schema", schema, tables["schema"])
    if not all(check.passed for check in checks):
        return checks
    require_declared_schema(schema)
    checks += run.check("images", image_table(dataset), tables["images"])
    try:
        categories = category_table(dataset)
    except InvalidDataset:
        if all(check.passed for check in checks):
            raise
        return checks  # ids outside the vocabulary cannot be counted, and are reported above
    return checks + run.check("categories", categories, tables["categories"])
