"""What the pages for people say about commands, keys, defaults and each other, held to the code."""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
import typer
import yaml

from goldseam.cli.app import app
from goldseam.finetuning.config import FinetuneConfig
from goldseam.models.config import DiffusionConfig
from goldseam.multitask.config import TrainConfig
from goldseam.recipe.checking import models_in

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("data/*.md"),
        *ROOT.glob("infra/*/*.md"),
    ]
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
OURS = ("goldseam", "components", "pipelines")
# what a table says where a default is no single value
UNSAID = {
    "",
    "none",
    "see below",
    "the recipe's",
    "the same",
    "1 each",
    "all",
    "a primary metric a task",
}


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_exist_with_their_options(page: Path) -> None:
    assert [fault for line in commands(page) for fault in faults_of(line)] == []


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every line that calls goldseam."""
    for _, block in FENCE.findall(page.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            text = re.sub(r"\s#.*$", "", line).replace("[", " ").replace("]", " ")
            found = re.match(r"(?:\S+=\S+ |\S*torchrun .*-m |\.venv/bin/)*goldseam (.*)", text)
            if found:
                yield shlex.split(found[1])


def faults_of(words: list[str]) -> Iterator[str]:
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while rest and hasattr(command, "commands"):
        name = rest.pop(0)
        if name not in command.commands:
            yield f"goldseam {' '.join(words)}: no command '{name}'"
            return
        command = command.commands[name]
    options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    for word in rest:
        if word.startswith("--") and word.split("=")[0] not in options:
            yield f"goldseam {' '.join(words)}: no option {word}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_python_imports_what_there_is(page: Path) -> None:
    lost = []
    for _, block in FENCE.findall(page.read_text()):
        for name, things in re.findall(
            r"^(?:>>> )?from (\S+) import ([\w, ]+)$", block, re.MULTILINE
        ):
            module = importlib.import_module(name) if name.split(".")[0] in OURS else None
            lost += [one for one in things.split(", ") if module and not hasattr(module, one)]
    assert lost == []


def rows() -> Iterator[tuple[str, str, str]]:
    """Page, dotted key and stated default of the tables that head a section such as `loop.`."""
    for name in ("recipe.md", "multitask.md"):
        prefix = None
        for line in (ROOT / "docs" / name).read_text().splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if head := re.match(r"\| `([a-z_.]+\.)` \| default \|", line):
                prefix = head[1]
            elif not line.startswith("|"):
                prefix = None
            elif prefix and not line.startswith("| ---"):
                keys = re.findall(r"`([a-z_.]+)`", cells[0])
                stated = cells[1].split(", ") if len(keys) > 1 else [cells[1]]
                if len(stated) == 1:  # one value for all keys of the row
                    stated = stated * len(keys)
                yield from (
                    (name, prefix + key, text) for key, text in zip(keys, stated, strict=True)
                )


def test_tables_of_keys_state_their_defaults() -> None:
    wrong = []
    for page, key, stated in rows():
        found, default = field(key.removeprefix("train."))
        text = re.sub(r" \(off\)$", "", stated.strip("`"))
        if not found:
            wrong.append(f"{page}: no key {key}")
        elif text not in UNSAID and yaml.safe_load(text) != plain(default):
            wrong.append(f"{page}: {key} is {default!r}, not {stated}")
    assert wrong == []


def test_every_key_of_a_denoiser_and_of_training_is_in_a_table() -> None:
    told = {key.removeprefix("train.") for _, key, _ in rows()}
    assert {f"diffusion.{key}" for key in DiffusionConfig.model_fields} <= told
    sections = TrainConfig.model_fields.keys() - {"network", "diffusion"}
    for section in sections:
        kind = TrainConfig.model_fields[section].annotation
        if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
            assert {f"{section}.{key}" for key in kind.model_fields} <= told
        else:
            assert section in told


def test_every_key_of_finetuning_is_in_a_table() -> None:
    assert {f"finetune.{key}" for key in FinetuneConfig.model_fields} <= {
        key for _, key, _ in rows()
    }


def forms() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Dotted key, value and stated options of the tables of options that have several forms."""
    discriminator = None
    for line in (ROOT / "docs" / "recipe.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if head := re.match(r"\| `([a-z_.]+)` \| its options and defaults \|", line):
            discriminator = head[1]
        elif not line.startswith("|"):
            discriminator = None
        elif discriminator and not line.startswith("| ---"):
            options = dict(re.findall(r"`([a-z_]+)` (\[.*?\]|[^,]+)", cells[1]))
            yield discriminator, cells[0].strip("`"), options


def members(discriminator: str) -> dict[str, type[pydantic.BaseModel]]:
    """What the value of a dotted key chooses from, by that value."""
    place, _, key = discriminator.rpartition(".")
    models = list(models_in(info_of(place).annotation))
    return {str(model.model_fields[key].default): model for model in models}


def test_tables_of_forms_state_all_options_and_their_defaults() -> None:
    told: dict[str, set[str]] = {}
    for discriminator, value, stated in forms():
        told.setdefault(discriminator, set()).add(value)
        model = members(discriminator)[value]
        key = discriminator.rpartition(".")[2]
        # what all forms have has a table of its own
        defaults = {
            name: plain(info.get_default(call_default_factory=True))
            for name, info in model.model_fields.items()
            if name not in (key, "uncertain")
        }
        read = {
            name: None if text == "none" else yaml.safe_load(text) for name, text in stated.items()
        }
        assert read == defaults, (discriminator, value)
    for discriminator in ("loss.tags.name", "finetune.objective.kind", "finetune.ranking.method"):
        assert told[discriminator] == set(members(discriminator))


def field(key: str) -> tuple[bool, Any]:
    """Whether a section has a dotted key, and its default."""
    try:
        return True, info_of(key).get_default(call_default_factory=True)
    except KeyError:
        return False, None


def info_of(key: str) -> Any:
    """What a dotted key of `TrainConfig` is, or one of `FinetuneConfig` below `finetune`."""
    model: Any = TrainConfig
    if key.startswith("finetune."):
        model, key = FinetuneConfig, key.removeprefix("finetune.")
    *sections, last = key.split(".")
    for section in sections:
        # of several forms the first: what is looked up below them is in all
        model = next(models_in(model.model_fields[section].annotation))
    return model.model_fields[last]


def plain(default: Any) -> Any:
    return list(default) if isinstance(default, tuple) else default
