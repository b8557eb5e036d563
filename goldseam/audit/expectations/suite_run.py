"""Running expectations with Great Expectations, quietly, and its Data Docs without a network.

Everything happens in an ephemeral context: nothing is kept outside the folder of the docs.
"""

import contextlib
import dataclasses
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldseam.audit.expectations.audit_tables import TABLE_OF
from goldseam.audit.expectations.data_docs import take_offline
from goldseam.audit.expectations.suite import Expectation
from goldseam.errors import InvalidConfig, InvalidDataset, closest
from goldseam.page import count

if TYPE_CHECKING:
    import pandas as pd

ROWS_NAMED = 20
SITE = "labels"


@dataclasses.dataclass(frozen=True)
class Check:
    """One expectation and what became of it.

    Attributes:
        sentence: what was expected.
        table: which table it is about.
        column: one or several names; empty for an expectation about the table.
        rows: where it failed, the first twenty.
        count: how many rows failed.
        detail: what was found, when it is not told by rows.
    """

    sentence: str
    type: str
    table: str
    column: str
    passed: bool
    rows: tuple[str, ...]
    count: int
    detail: str = ""


class SuiteRun:
    """Checks tables one after the other and writes the docs of all of them."""

    def __init__(self) -> None:
        with _quiet():
            import great_expectations as gx
            from great_expectations.data_context.types.base import ProgressBarsConfig

            self._context = gx.get_context(mode="ephemeral")
            self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
            self._source = self._context.data_sources.add_pandas("goldseam")

    def check(
        self, table: str, frame: "pd.DataFrame", expectations: Sequence[Expectation]
    ) -> list[Check]:
        """Check one table.

        Args:
            table: its name.
            frame: its rows, with a column `row` that names each.
            expectations: in the JSON form of Great Expectations.

        Raises:
            InvalidConfig: an expectation is none of Great Expectations', or names no column of the
                table.
        """
        if not expectations:
            return []
        _check_columns(table, frame, expectations)
        with _quiet():
            import great_expectations as gx

            suite = self._context.suites.add(_suite(table, expectations))
            asset = self._source.add_dataframe_asset(table)
            batch = asset.add_batch_definition_whole_dataframe("all rows")
            definition = gx.ValidationDefinition(name=table, data=batch, suite=suite)
            outcome = self._context.validation_definitions.add(definition).run(
                batch_parameters={"dataframe": frame},
                result_format={
                    "result_format": "SUMMARY",
                    "unexpected_index_column_names": ["row"],
                    "partial_unexpected_count": ROWS_NAMED,
                },
                run_id=gx.RunIdentifier(run_name="goldseam"),
            )
        checks = [_check(table, result.to_json_dict()) for result in outcome.results]
        # the results come in an order of their own
        position = {_sentence(e): n for n, e in reversed(list(enumerate(expectations)))}
        return sorted(checks, key=lambda check: position.get(check.sentence, len(position)))

    def write_docs(self, folder: Path) -> None:
        """Write the pages of Data Docs below `folder`; they load nothing from a network."""
        with _quiet():
            self._context.add_data_docs_site(
                site_name=SITE,
                site_config={
                    "class_name": "SiteBuilder",
                    "show_how_to_buttons": False,
                    "store_backend": {
                        "class_name": "TupleFilesystemStoreBackend",
                        "base_directory": str(folder.resolve()),
                    },
                },
            )
            self._context.build_data_docs(site_names=[SITE])
        take_offline(folder)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What Great Expectations logs about a failing suite, its result says better.

    Its import also turns every warning of the process into a log line; that is undone.
    """
    logger = logging.getLogger("great_expectations")
    level, show_warning = logger.level, warnings.showwarning
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
        if warnings.showwarning is not show_warning:
            logging.captureWarnings(capture=False)


def _suite(table: str, expectations: Sequence[Expectation]) -> Any:
    from great_expectations.core import ExpectationSuite
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    known = list_registered_expectation_implementations()
    suite = ExpectationSuite(name=table)
    for expectation in expectations:
        kind = expectation.get("type")
        if kind not in known:
            raise InvalidConfig(
                f"validate.suite has an expectation of type {kind!r}, which there is not.",
                remedy=f"Closest: {closest(kind, known)}.",
            )
        try:
            suite.add_expectation_configuration(_configuration(expectation))
        except Exception as error:
            raise InvalidConfig(
                f"validate.suite, {_sentence(expectation)}: {_first_line(error)}",
                remedy="Mend its kwargs; Great Expectations' gallery lists what each type takes.",
            ) from error
    return suite


def _configuration(expectation: Expectation) -> Any:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    wanted = ("type", "kwargs", "meta", "description")
    return ExpectationConfiguration(**{k: v for k, v in expectation.items() if k in wanted})


def _first_line(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:4]) + "."


def _columns(kwargs: Mapping[str, Any]) -> list[str]:
    names = [kwargs.get(key) for key in ("column", "column_A", "column_B")]
    return [name for name in [*names, *(kwargs.get("column_list") or [])] if name]


def _check_columns(table: str, frame: "pd.DataFrame", expectations: Sequence[Expectation]) -> None:
    for expectation in expectations:
        for column in _columns(expectation.get("kwargs") or {}):
            if column not in frame.columns:
                raise InvalidConfig(
                    f"validate.suite, {_sentence(expectation)}: the table '{table}' has no column "
                    f"'{column}'.",
                    remedy=f"Closest: {closest(column, list(frame.columns))}.",
                )


def _sentence(expectation: Mapping[str, Any]) -> str:
    """The expectation's own description, else its type and arguments."""
    if expectation.get("description"):
        return str(expectation["description"])
    hidden = ("batch_id",)
    kwargs = {k: v for k, v in (expectation.get("kwargs") or {}).items() if k not in hidden}
    return f"{expectation['type']}({', '.join(f'{k}={v!r}' for k, v in kwargs.items())})"


def _check(table: str, body: Mapping[str, Any]) -> Check:
    """Great Expectations' result of one expectation as a `Check`."""
    configuration, result = body["expectation_config"], body["result"]
    kwargs = configuration["kwargs"]
    passed, detail = bool(body["success"]), ""
    if error := _raised(body.get("exception_info") or {}):
        passed, detail = False, f"it could not be checked ({error})"
    elif kwargs.get("row_condition") and result.get("element_count") == 0:
        # a condition that selects no row would pass without having looked at anything
        passed, detail = False, "its row_condition selects no row"
    elif configuration["type"] in TABLE_OF and _all_null(result):
        passed, detail = False, "every value is null, so nothing was checked"
    elif not passed and "unexpected_count" not in result:
        found = result.get("observed_value")
        detail = f"found {found.item() if hasattr(found, 'item') else found}"
    named = result.get("partial_unexpected_index_list") or []
    return Check(
        sentence=_sentence(configuration),
        type=configuration["type"],
        table=table,
        column=", ".join(_columns(kwargs)),
        passed=passed,
        rows=tuple(str(row["row"]) for row in named[:ROWS_NAMED]) if not passed else (),
        count=int(result.get("unexpected_count") or 0) if not passed else 0,
        detail=detail,
    )


def _all_null(result: Mapping[str, Any]) -> bool:
    """Whether every value that was to be checked is unknown: it would pass in silence."""
    count, missing = result.get("element_count"), result.get("missing_count")
    return bool(count) and count == missing and "unexpected_count" in result


def _raised(info: Mapping[str, Any]) -> str | None:
    """The message of an exception, which stands at the top or under each metric's name."""
    for part in (info, *(value for value in info.values() if isinstance(value, dict))):
        if part.get("raised_exception"):
            return str(part.get("exception_message")).splitlines()[0]
    return None


def require_declared_schema(frame: "pd.DataFrame") -> None:
    """Refuse a schema that differs from `dataset.yaml` when no expectation did.

    Raises:
        InvalidDataset: names the first column that differs.
    """
    differs = frame[frame["declared"] != frame["found"]]
    if len(differs):
        first = differs.iloc[0]
        raise InvalidDataset(
            f"{first['file']}, column '{first['column']}': type {first['found']}, expected "
            f"{first['declared']}.",
            remedy="Build or import the dataset anew.",
        )


def reason(check: Check) -> str:
    """What failed and where, in one sentence."""
    if check.detail:
        return f"{check.sentence.rstrip('.')}: {check.detail}."
    shown = ", ".join(check.rows[:3]) + (", …" if check.count > 3 else "")
    noun = "row does" if check.count == 1 else "rows do"
    return f"{check.sentence.rstrip('.')}: {count(check.count)} {noun} not meet this ({shown})."
