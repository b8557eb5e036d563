"""Expectations about what only an audit knows, in Great Expectations' own terms.

Each is one of Great Expectations' with its column, limit and rows filled in from arguments that
people think in. They are written in a suite like any other (`"type":
"expect_label_coverage_to_be_at_least"`), and name the rows that break them. Importing this module
registers them.

A condition that selects no row fails, and so does a rate that is unknown: see `suite_run` and
`audit_tables`.
"""

from collections.abc import Mapping
from typing import Any

import great_expectations.expectations as gxe
from great_expectations.compatibility import pydantic

from goldseam.page.numbers import percent, split_name


def _where(**values: Any) -> dict[str, Any]:
    """A condition on rows, as Great Expectations writes it: every column has its value."""
    conditions = [
        {"type": "comparison", "column": {"name": name}, "operator": "==", "parameter": value}
        for name, value in values.items()
        if value is not None
    ]
    return conditions[0] if len(conditions) == 1 else {"type": "and", "conditions": conditions}


def _named(values: Mapping[str, Any]) -> str:
    category = values.get("category")
    return f"{values['task']}.{category}" if category else str(values["task"])


class _Limit(gxe.ExpectColumnValuesToBeBetween):
    """A limit on one column of some rows; subclasses say which."""

    @pydantic.root_validator(pre=True)
    def _fill(cls, values: dict[str, Any]) -> dict[str, Any]:  # noqa: N805 (pydantic 1)
        filled = {**values, **cls._limits(values)}
        if not values.get("description"):
            filled["description"] = cls._words(values)
        return filled

    @classmethod
    def _limits(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def _words(cls, values: Mapping[str, Any]) -> str:
        raise NotImplementedError


class ExpectLabelCoverageToBeAtLeast(_Limit):
    """A task, or one of its categories, is known on enough images of a split.

    Arguments: task, category (optional), split (`train`), and min_share or min_known.
    """

    column: str = "known_share"
    task: str
    category: str = ""
    split: str = "train"
    min_share: float = 0.0
    min_known: int = 0

    @classmethod
    def _limits(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        by_count = values.get("min_known", 0) > 0
        split, category = values.get("split", "train"), values.get("category", "")
        return {
            "column": "known" if by_count else "known_share",
            "min_value": values["min_known"] if by_count else values.get("min_share", 0.0),
            "row_condition": _where(task=values["task"], category=category, split=split, source=""),
        }

    @classmethod
    def _words(cls, values: Mapping[str, Any]) -> str:
        by_count = values.get("min_known", 0) > 0
        share = f"{values.get('min_known')}" if by_count else percent(values.get("min_share", 0.0))
        return f"{_named(values)} is known on at least {share} of the {_split(values)} images."


class ExpectMissingnessEffectToBeAtMost(_Limit):
    """Whether a label is missing depends on nothing by more than a limit.

    Arguments: max_effect, task and factor (both optional). Effects that may be chance count as 0.
    """

    column: str = "certain_effect"
    task: str = ""
    factor: str = ""
    max_effect: float

    @classmethod
    def _limits(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        chosen = {name: values[name] for name in ("task", "factor") if values.get(name)}
        limits = {"column": "certain_effect", "max_value": values["max_effect"]}
        return {**limits, **({"row_condition": _where(**chosen)} if chosen else {})}

    @classmethod
    def _words(cls, values: Mapping[str, Any]) -> str:
        of = f" of {values['task']}" if values.get("task") else ""
        on = f" on {values['factor']}" if values.get("factor") else ""
        return f"Gaps{of} depend{on} by no more than {values['max_effect']} (0 none, 1 wholly)."


class ExpectNoiseRateToBeAtMost(_Limit):
    """A task's labels are no noisier than a limit.

    Arguments: task, max_rate, kind (`flip`), category (optional), part (`all`; `overall`,
    `interior` or `boundary` of kind `disagreement`), use (`value`, or `high` for the upper end of
    the interval).
    """

    column: str = "worst_rate"
    task: str
    category: str = ""
    kind: str = "flip"
    part: str = "all"
    use: str = "value"
    max_rate: float

    @classmethod
    def _limits(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "column": "worst_high" if values.get("use") == "high" else "worst_rate",
            "max_value": values["max_rate"],
            "row_condition": _where(
                task=values["task"],
                category=values.get("category", ""),
                kind=values.get("kind", "flip"),
                part=values.get("part", "all"),
            ),
        }

    @classmethod
    def _words(cls, values: Mapping[str, Any]) -> str:
        kind = values.get("kind", "flip")
        return f"The {kind} rate of {_named(values)} is at most {percent(values['max_rate'])}."


class ExpectErrorRateToBeAtMost(_Limit):
    """The estimated share of wrong labels of a task, or of one of its categories, keeps a limit.

    Arguments: task, category (optional), max_rate.
    """

    column: str = "worst_rate"
    task: str
    category: str = ""
    max_rate: float

    @classmethod
    def _limits(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        chosen = {"task": values["task"], "category": values.get("category", "")}
        return {
            "column": "worst_rate",
            "max_value": values["max_rate"],
            "row_condition": _where(**chosen, source="", annotator=""),
        }

    @classmethod
    def _words(cls, values: Mapping[str, Any]) -> str:
        rate = percent(values["max_rate"])
        return f"At most an estimated {rate} of the labels of {_named(values)} are wrong."


class ExpectGroupsNotToCrossSplits(_Limit):
    """No group stands in more than one split. No arguments."""

    column: str = "splits"

    @classmethod
    def _limits(cls, values: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG003
        return {"column": "splits", "max_value": 1}

    @classmethod
    def _words(cls, values: Mapping[str, Any]) -> str:  # noqa: ARG003
        return "No group stands in more than one split."


class ExpectNoNearDuplicatesBetween(_Limit):
    """No picture, or one that is all but equal, stands in both of two splits.

    Arguments: splits, two names in the order train, validation, test.
    """

    column: str = ""
    splits: tuple[str, str]

    @classmethod
    def _limits(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return {"column": "_".join(values["splits"]), "max_value": 0}

    @classmethod
    def _words(cls, values: Mapping[str, Any]) -> str:
        one, other = values["splits"]
        return f"No picture of {one} stands in {other} as well, or one that is all but equal."


class ExpectOpenFindingsToBeAtMost(gxe.ExpectTableRowCountToBeBetween):
    """So many findings are open at most.

    Arguments: max_findings, task, issue and min_score (all optional but the first).
    """

    task: str = ""
    issue: str = ""
    min_score: float = 0.0
    max_findings: int

    @pydantic.root_validator(pre=True)
    def _fill(cls, values: dict[str, Any]) -> dict[str, Any]:  # noqa: N805 (pydantic 1)
        chosen = {name: values[name] for name in ("task", "issue") if values.get(name)}
        least = values.get("min_score", 0.0)
        score = {"type": "comparison", "column": {"name": "score"}, "operator": ">="}
        conditions: dict[str, Any] = {**score, "parameter": least}
        if chosen:
            conditions = {"type": "and", "conditions": [_where(**chosen), conditions]}
        named = " ".join(str(value) for value in chosen.values())
        words = (
            f"At most {values['max_findings']} findings{f' ({named})' if named else ''} are open"
        )
        words += f" with a score of {least} or more." if least else "."
        return {
            "description": words,
            **values,
            "max_value": values["max_findings"],
            "row_condition": conditions,
        }


class ExpectNoDriftOf(_Limit):
    """Nothing of a kind changed since the earlier version.

    Arguments: what (such as `coverage`, `noise`, `vocabulary`), task (optional).
    """

    column: str = "changed"
    what: str
    task: str = ""

    @classmethod
    def _limits(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        chosen = {"what": values["what"], "task": values.get("task") or None}
        return {"column": "changed", "max_value": 0, "row_condition": _where(**chosen)}

    @classmethod
    def _words(cls, values: Mapping[str, Any]) -> str:
        of = f" of {values['task']}" if values.get("task") else ""
        return f"The {values['what']}{of} did not change since the earlier version."


def _split(values: Mapping[str, Any]) -> str:
    return split_name(values.get("split", "train"))
