"""Writes the README of every component and pipeline from its code; `--check` only compares.

python -m components.readme [--check]
"""

import argparse
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import docstring_parser
import yaml
from kfp.dsl.base_component import BaseComponent
from kfp.pipeline_spec import pipeline_spec_pb2

ROOT = Path(__file__).resolve().parent.parent
TYPES = {
    "STRING": "str",
    "STRUCT": "dict",
    "LIST": "list",
    "NUMBER_INTEGER": "int",
    "NUMBER_DOUBLE": "float",
    "BOOLEAN": "bool",
}
BRANCHES = "condition-branches"
NOTICE = "<!-- Written by `python -m components.readme`; change the code instead. -->"


def main(arguments: list[str] | None = None) -> int:
    """Write all READMEs, or with `--check` name those that are out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when one differs")
    check = parser.parse_args(arguments).check
    stale = []
    for path, text in readmes():
        if path.is_file() and path.read_text() == text:
            continue
        stale.append(path.relative_to(ROOT).as_posix())
        if not check:
            path.write_text(text)
    if check and stale:
        sys.stderr.write(
            "Out of date: " + ", ".join(stale) + "\n  remedy: python -m components.readme\n"
        )
    return 2 if check and stale else 0


def readmes() -> Iterator[tuple[Path, str]]:
    """Every README's path and the text that it should have."""
    for file in sorted(ROOT.glob("components/*/component.py")):
        name = file.parent.name
        module = importlib.import_module(f"components.{name}.component")
        yield file.parent / "README.md", component_readme(getattr(module, name), file.parent)
    # by name only: components do not know pipelines
    for file in sorted(ROOT.glob("pipelines/*/pipeline.py")):
        name = file.parent.name
        module = importlib.import_module(f"pipelines.{name}.pipeline")
        yield file.parent / "README.md", pipeline_readme(getattr(module, name)(), file.parent)


def component_readme(component: BaseComponent, folder: Path) -> str:
    """The README of one component."""
    spec = next(iter(component.pipeline_spec.components.values()))
    parts = [
        f"# {folder.name}",
        NOTICE,
        _overview(component),
        *_interface(component, spec),
        _metadata(folder),
    ]
    return "\n\n".join(parts) + "\n"


def pipeline_readme(pipeline: BaseComponent, folder: Path) -> str:
    """The README of one pipeline: its parameters and its tasks as a graph."""
    spec = pipeline.pipeline_spec
    parts = [
        f"# {folder.name}",
        NOTICE,
        spec.pipeline_info.description,
        *_interface(pipeline, spec.root),
        "## Tasks",
        "```mermaid\nflowchart TD\n" + "\n".join(_graph(spec, spec.root.dag)) + "\n```",
        _metadata(folder),
    ]
    return "\n\n".join(parts) + "\n"


def _parsed(component: BaseComponent) -> docstring_parser.Docstring:
    function = (
        component.python_func if hasattr(component, "python_func") else component.pipeline_func
    )
    return docstring_parser.parse(function.__doc__ or "")


def _overview(component: BaseComponent) -> str:
    doc = _parsed(component)
    return "\n\n".join(
        text for text in (doc.short_description, doc.long_description) if text is not None
    )


def _interface(component: BaseComponent, spec: pipeline_spec_pb2.ComponentSpec) -> Iterator[str]:
    """Tables of inputs and outputs."""
    doc = _parsed(component)
    described = {item.arg_name: item.description or "" for item in doc.params}
    inputs = [
        (name, _type(item), _default(item), described.get(name, ""))
        for name, item in _items(spec.input_definitions)
    ]
    yield "## Inputs\n\n" + _table(("name", "type", "default", "meaning"), inputs)
    returned = (doc.returns.description if doc.returns else None) or ""
    outputs = [
        (name, _type(item), described.get(name, returned if name == "Output" else ""))
        for name, item in _items(spec.output_definitions)
    ]
    if outputs:
        yield "## Outputs\n\n" + _table(("name", "type", "meaning"), outputs)


def _items(definitions: Any) -> list[tuple[str, Any]]:
    """Artifacts, then parameters, each by name."""
    return [*sorted(definitions.artifacts.items()), *sorted(definitions.parameters.items())]


def _type(item: Any) -> str:
    if hasattr(item, "artifact_type"):
        return str(item.artifact_type.schema_title.removeprefix("system."))
    kind = pipeline_spec_pb2.ParameterType.ParameterTypeEnum.Name(item.parameter_type)
    return TYPES.get(kind, "status of the run" if kind == "TASK_FINAL_STATUS" else kind.lower())


def _default(item: Any) -> str:
    if hasattr(item, "default_value") and item.HasField("default_value"):
        return f"`{item.default_value.string_value!r}`"
    return "none" if item.is_optional else "required"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines: list[tuple[str, ...]] = [head, ("---",) * len(head)]
    lines += [(f"`{row[0]}`", *(" ".join(cell.split()) for cell in row[1:])) for row in rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _metadata(folder: Path) -> str:
    body: Mapping[str, Any] = yaml.safe_load((folder / "metadata.yaml").read_text())
    needs = [
        f"{item['name']} {item['version']}"
        for group in body["dependencies"].values()
        for item in group
    ]
    rows = [
        ("stability", body["stability"]),
        ("needs", ", ".join(needs)),
        ("tags", ", ".join(body["tags"])),
        ("last verified", f"{body['lastVerified']:%Y-%m-%d}"),
    ]
    return "## Metadata\n\n" + "\n".join(f"- {name}: {value}" for name, value in rows)


def _graph(spec: Any, dag: Any, indent: str = "  ") -> Iterator[str]:
    """Mermaid lines: a box a task, a frame a branch, an arrow where a task waits for another."""
    for name, task in sorted(dag.tasks.items()):
        label = task.task_info.name or name
        inner = spec.components[task.component_ref.name].dag
        if label.startswith(BRANCHES):
            # kfp's own frame around a condition and its Else says nothing
            yield from _graph(spec, inner, indent)
        elif inner.tasks:
            yield f'{indent}subgraph {name}["{label}"]'
            yield from _graph(spec, inner, indent + "  ")
            yield f"{indent}end"
        else:
            yield f'{indent}{name}["{label}"]'
    for name, task in sorted(dag.tasks.items()):
        inner = spec.components[task.component_ref.name].dag
        targets = sorted(inner.tasks) if name.startswith(BRANCHES) else [name]
        for before in _direct(dag, name):
            yield from (f"{indent}{before} --> {target}" for target in targets)


def _direct(dag: Any, name: str) -> list[str]:
    """The tasks that `name` waits for, without those that another of them waits for already."""
    waits_for = set(dag.tasks[name].dependent_tasks)
    implied = set()
    for before in waits_for:
        implied |= _before(dag, before)
    return sorted(waits_for - implied)


def _before(dag: Any, name: str) -> set[str]:
    direct = set(dag.tasks[name].dependent_tasks)
    return direct.union(*(_before(dag, before) for before in direct))


if __name__ == "__main__":
    sys.exit(main())
