"""A first recipe for somebody's own dataset, from what it declares and what is known."""

from pathlib import Path
from typing import Any

import yaml

from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.schema import Kind
from goldseam.errors import InvalidConfig
from goldseam.metrics import metric_for

TRAINABLE = (
    Kind.SEGMENTATION,
    Kind.BOUNDARY,
    Kind.SALIENCY,
    Kind.REGRESSION,
    Kind.NORMALS,
    Kind.TAGS,
)
HEADER = """\
# Drafted by 'goldseam recipe init'. Every key and its default: goldseam recipe show {name}
"""
# what was copied from pretraining is changed gently, as in the recipe of coast, where validation of
# one seed preferred it to 1.0
TRANSFERRED_RATE = 0.3
# the metadata column in which imports say who labeled an image
ANNOTATOR = "meta_annotator"


def draft_recipe(folder: Path) -> str:
    """The text of a recipe for the dataset in `folder`.

    With a noisy task to pretrain on it is one of `label_to_model`, without of `partial_to_model`;
    where all that is to be learned are tags, of `tags_to_model`.

    Raises:
        InvalidConfig: the dataset has no clean task to train.
    """
    sections = draft_sections(open_dataset(folder, verify=False))
    if "train" not in sections:
        raise InvalidConfig(
            f"{folder}: the pipelines need a task that can be trained, with known training labels.",
            remedy="Declare it in dataset.yaml; docs/dataset.md shows how. Stages that need no "
            "such task run alone: 'goldseam audit'.",
        )
    if "pretrain" not in sections:
        tasks = sections["train"]["tasks"]
        only_tags = tasks == [sections.get("finetune", {}).get("task")]
        pipeline = "tags_to_model" if only_tags else "partial_to_model"
        shared = ("name", "dataset", "audit", "promote")
        kept: dict[str, Any] = {key: sections[key] for key in shared if key in sections}
        sections = {"pipeline": pipeline, **kept, "train": {"tasks": tasks}}
    text = yaml.safe_dump(sections, sort_keys=False, width=100)
    return HEADER.format(name="recipe.yaml") + text


def draft_sections(dataset: Dataset) -> dict[str, Any]:
    """The sections of a recipe that fit a dataset, as far as its tasks allow."""
    tasks = dataset.info.tasks
    known = dataset.known("train") if "train" in dataset.info.splits else {}
    usable = [name for name in known if tasks[name].kind in TRAINABLE and known[name].any()]
    clean = [name for name in usable if tasks[name].noisy_version_of is None]
    noisy = [name for name in usable if name not in clean and tasks[name].kind is Kind.SEGMENTATION]
    sections: dict[str, Any] = {
        "name": dataset.info.name,
        "dataset": {"uri": str(dataset.path)},
        "promote": {"model_name": dataset.info.name, "gates": []},
    }
    if clean:
        # a noisy task among them would have a say in which weights are best
        primary = [f"{name}.{metric_for(tasks[name]).primary}" for name in clean]
        choice = {"loop": {"select": primary}} if noisy else {}
        sections["train"] = {
            "tasks": [*clean, *noisy[:1]],
            "transfer": "heads",
            "optimizer": {"transferred_rate": TRANSFERRED_RATE},
            **choice,
        }
        sections["baselines"] = {"scratch": {"tasks": clean, **choice}}
    if clean and noisy:
        target = tasks[noisy[0]].noisy_version_of
        chosen = {"loop": {"select": [f"{target}.miou"]}} if target in clean else {}
        sections["pretrain"] = {"task": noisy[0], **chosen}
        sections["baselines"]["noisy_direct"] = sections["pretrain"].copy()
        if target in clean:
            gate = {"metric": f"{target}.miou", "not_worse_than": "champion", "margin": 0.01}
            sections["promote"]["gates"] = [gate]
    if ANNOTATOR in dataset.info.meta:
        sections["audit"] = {"errors": {"annotator": ANNOTATOR}}
    tags = [name for name in clean if tasks[name].kind is Kind.TAGS]
    if tags:
        sections["finetune"] = {"task": tags[0]}
    return sections
