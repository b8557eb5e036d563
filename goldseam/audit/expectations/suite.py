"""The expectation suite of a dataset, in Great Expectations' own JSON form.

`generated_suite` writes down what `dataset.yaml` promises. A suite in a file has the same form; the
table that an expectation is about stands in its `meta.table` (`images` when it is missing).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from goldseam.audit.config import ValidateConfig
from goldseam.dataset.schema import SPLITS, DatasetInfo, Kind, Task
from goldseam.errors import InvalidConfig, closest

TABLES = ("schema", "images", "categories")
DEFAULT_TABLE = "images"
Expectation = dict[str, Any]


def _expect(kind: str, description: str, table: str = "images", **kwargs: Any) -> Expectation:
    return {
        "type": f"expect_{kind}",
        "description": description,
        "kwargs": kwargs,
        "meta": {"table": table},
    }


def _between(column: str, description: str, **limits: Any) -> Expectation:
    return _expect("column_values_to_be_between", description, column=column, **limits)


def generated_suite(info: DatasetInfo, config: ValidateConfig) -> dict[str, Any]:
    """The suite that follows from `dataset.yaml` and the options.

    Raises:
        InvalidConfig: an option names a task or category that the dataset does not have.
    """
    expectations = [
        _expect(
            "column_pair_values_to_be_equal",
            "Every shard has the columns and types that dataset.yaml declares.",
            "schema",
            column_A="declared",
            column_B="found",
        ),
        _expect("column_values_to_not_be_null", "image_id is never null.", column="image_id"),
        _expect("column_values_to_be_unique", "image_id is unique.", column="image_id"),
        _expect("column_values_to_not_be_null", "group is never null.", column="group"),
        _between("group_splits", "A group never crosses splits.", min_value=1, max_value=1),
        _expect(
            "column_values_to_be_in_set",
            "Splits are train, validation and test.",
            column="split",
            value_set=list(SPLITS),
        ),
        _between("width", "width is at least 1 px.", min_value=1),
        _between("height", "height is at least 1 px.", min_value=1),
    ]
    for name, task in info.tasks.items():
        expectations += _task_expectations(name, task, config.sources.get(name))
    _check_names(config.sources, list(info.tasks), "sources")
    expectations += _minimum_expectations(info, config)
    return {"name": info.name, "expectations": expectations}


def _task_expectations(name: str, task: Task, sources: Sequence[str] | None) -> list[Expectation]:
    found = [
        _expect(
            "column_pair_values_to_be_equal",
            f"{name}_source is null exactly where {name} is unknown.",
            column_A=f"{name}_known",
            column_B=f"{name}_sourced",
        )
    ]
    if sources is not None:
        found.append(
            _expect(
                "column_values_to_be_in_set",
                f"{name} comes from {', '.join(sources)}.",
                column=f"{name}_source",
                value_set=list(sources),
            )
        )
    if task.kind in (Kind.DETECTION, Kind.TAGS):
        last = len(task.categories) - 1
        sentence = f"Category ids of {name} are 0 to {last}, as dataset.yaml lists them."
        found += [
            _between(f"{name}_category_min", sentence, min_value=0, max_value=last),
            _between(f"{name}_category_max", sentence, min_value=0, max_value=last),
        ]
    if task.kind is Kind.TAGS:
        states = "two of present, absent and unsure" if task.unsure else "both present and absent"
        sentence = f"No category of {name} is {states}."
        found.append(_between(f"{name}_contradictions", sentence, min_value=0, max_value=0))
    if task.kind is Kind.DETECTION:
        found += _box_expectations(name)
    return found


def _box_expectations(name: str) -> list[Expectation]:
    inside = f"Boxes of {name} lie inside the image."

    def at_most(column: str, size: str) -> Expectation:
        return _expect(
            "column_pair_values_a_to_be_greater_than_b",
            inside,
            column_A=size,
            column_B=f"{name}_{column}",
            or_equal=True,
            ignore_row_if="either_value_is_missing",
        )

    return [
        _between(f"{name}_not_finite", f"Corners of {name} are numbers.", min_value=0, max_value=0),
        _between(f"{name}_xmin_min", inside, min_value=0),
        _between(f"{name}_ymin_min", inside, min_value=0),
        at_most("xmax_max", "width"),
        at_most("ymax_max", "height"),
        _between(f"{name}_side_min", f"No box of {name} is empty.", min_value=0, strict_min=True),
    ]


def _minimum_expectations(info: DatasetInfo, config: ValidateConfig) -> list[Expectation]:
    """One expectation a task, and one a category with a minimum of its own."""
    counted = {n: t for n, t in info.tasks.items() if t.kind in (Kind.DETECTION, Kind.TAGS)}
    named = [f"{name}.{category}" for name, task in counted.items() for category in task.categories]
    _check_names(config.minimum_known_of, [*info.tasks, *named], "minimum_known_of")
    if "train" not in info.splits:
        return []
    found = []
    for name in info.tasks:
        minimum = config.minimum_known_of.get(name, config.minimum_known)
        if minimum > 0:
            where = [_where("split", "==", "train"), _where("task", "==", name)]
            apart = [
                f"train/{key}" for key in config.minimum_known_of if key.startswith(f"{name}.")
            ]
            if apart:
                where.append(_where("row", "NOT_IN", apart))
            each = ", and each of its categories," if name in counted else ""
            sentence = f"{name}{each} is known on at least {minimum} training images."
            found.append(_minimum({"type": "and", "conditions": where}, minimum, sentence))
    for key, minimum in config.minimum_known_of.items():
        if key not in info.tasks and minimum > 0:
            sentence = f"{key} is known on at least {minimum} training images."
            found.append(_minimum(_where("row", "==", f"train/{key}"), minimum, sentence))
    return found


def _where(column: str, operator: str, value: str | list[str]) -> dict[str, Any]:
    """A condition on rows, as Great Expectations writes it."""
    named = {"name": column}
    return {"type": "comparison", "column": named, "operator": operator, "parameter": value}


def _minimum(where: dict[str, Any], minimum: int, sentence: str) -> Expectation:
    return _expect(
        "column_values_to_be_between",
        sentence,
        "categories",
        column="known",
        min_value=minimum,
        row_condition=where,
    )


def _check_names(named: Mapping[str, Any], known: Sequence[str], option: str) -> None:
    for name in named:
        if name not in known:
            raise InvalidConfig(
                f"validate.{option} names '{name}', which the dataset does not have.",
                remedy=f"Closest: {closest(name, known)}.",
            )


def expectations_of(suite: Mapping[str, Any]) -> list[Expectation]:
    """The expectations of a suite.

    Raises:
        InvalidConfig: the suite has another form.
    """
    expectations = suite.get("expectations")
    if not isinstance(expectations, list) or not all(isinstance(e, dict) for e in expectations):
        raise InvalidConfig(
            "the suite has no list 'expectations'.",
            remedy='Use the JSON form of Great Expectations: {"name": …, "expectations": [{"type": '
            '…, "kwargs": {…}}]}; data/expectations/coast.json is an example.',
        )
    return expectations


def by_table(
    expectations: Sequence[Expectation], tables: Sequence[str] = TABLES
) -> dict[str, list[Expectation]]:
    """Expectations by the table that they are about, `images` where none is named.

    Raises:
        InvalidConfig: an expectation names a table that there is not.
    """
    found: dict[str, list[Expectation]] = {table: [] for table in tables}
    for number, expectation in enumerate(expectations):
        table = (expectation.get("meta") or {}).get("table", DEFAULT_TABLE)
        if table not in found:
            raise InvalidConfig(
                f"the suite's expectation {number} ({expectation.get('type')}): there is no table "
                f"'{table}'.",
                remedy=f"Closest: {closest(table, tables)}.",
            )
        found[table].append(expectation)
    return found
