"""A first recipe for somebody's own dataset, from what it declares and what is known."""

from pathlib import Path
from typing import Any

import yaml

from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.schema import Kind
from goldseam.errors import InvalidConfig

TRAINABLE = (Kind.SEGMENTATION, Kind.BOUNDARY, Kind.SALIENCY, Kind.REGRESSION, Kind.TAGS)
HEADER = """\
# Drafted by 'goldseam recipe init'. Every key and its default: goldseam recipe show {name}
"""


def draft_recipe(folder: Path) -> str:
    """The text of a recipe for the dataset in `folder`.

    Raises:
        InvalidConfig: the dataset has no noisy task to pretrain on, or no clean one to train.
    """
    dataset = open_dataset(folder, verify=False)
    tasks = dataset.info.tasks
    known = dataset.known("train")
    noisy = [
        name
        for name, task in tasks.items()
        if task.noisy_version_of is not None and task.kind is Kind.SEGMENTATION
    ]
    clean = [
        name
        for name, task in tasks.items()
        if task.noisy_version_of is None and task.kind in TRAINABLE and known[name].any()
    ]
    if not noisy or not clean:
        lacking = "a segmentation task that is noisy_version_of another" if not noisy else "a task"
        raise InvalidConfig(
            f"{folder}: the pipeline needs {lacking} with known training labels.",
            remedy="Declare it in dataset.yaml; docs/dataset.md shows how.",
        )
    body = _body(dataset, folder, noisy[0], clean)
    return HEADER.format(name="recipe.yaml") + yaml.safe_dump(body, sort_keys=False, width=100)


def _body(dataset: Dataset, folder: Path, noisy: str, clean: list[str]) -> dict[str, Any]:
    tags = [name for name in clean if dataset.info.tasks[name].kind is Kind.TAGS]
    target = dataset.info.tasks[noisy].noisy_version_of
    select = {"loop": {"select": [f"{target}.miou"]}} if target in clean else {}
    body: dict[str, Any] = {
        "name": dataset.info.name,
        "dataset": {"uri": str(folder)},
        "pretrain": {"task": noisy, **select},
        "train": {"tasks": clean, "transfer": "heads", "diffusion": {"steps": 2}},
        "baselines": {"scratch": {"tasks": clean}, "noisy_direct": {"task": noisy, **select}},
        "promote": {"model_name": dataset.info.name, "gates": []},
    }
    if tags:
        body["finetune"] = {"task": tags[0]}
    if target in clean:
        gate = {"metric": f"{target}.miou", "not_worse_than": "champion", "margin": 0.01}
        body["promote"]["gates"] = [gate]
    return body
