"""Category-wise fine-tuning: each category's classifier, alone, on its known labels.

Source: Chong et al., Category-wise Fine-Tuning (arXiv 2401.16991), in a convex form; the frozen
network's features are computed once, and every category is then solved exactly.
"""

import shutil
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from goldseam.artifacts import digest_folder, stage_key
from goldseam.dataset.reading import Dataset
from goldseam.dataset.schema import SPLITS
from goldseam.errors import InvalidConfig, closest
from goldseam.finetuning.config import FinetuneConfig
from goldseam.finetuning.evidence.trust import rank_for_review
from goldseam.finetuning.features import StoredFeatures, store_features
from goldseam.finetuning.fitting import LabeledFeatures
from goldseam.finetuning.page import write_page
from goldseam.finetuning.ranking.options import PublishedBP, PublishedGA
from goldseam.finetuning.repair import Repair, Repairs, repair_categories
from goldseam.finetuning.reporting import category_repair, sentences
from goldseam.models.checkpoint import CheckpointConfig, load_checkpoint, save_checkpoint
from goldseam.models.multitask import MultitaskModel
from goldseam.models.outputs import TagCurve
from goldseam.results import FinetuneResult
from goldseam.results.findings import FINDINGS_FILE
from goldseam.storage.atomic import atomic_folder

SMALLEST_SLOPE = 1e-3


def finetune(
    config: FinetuneConfig,
    dataset: Dataset,
    model: Path,
    out: Path,
    *,
    features: Path | None = None,
) -> FinetuneResult:
    """Repair the tag heads of a trained model, and calibrate what they say.

    Features are computed once and stand beside `out` until the repair is finished; a run that was
    killed goes on with them.

    Args:
        config: options.
        dataset: whose known tags are used.
        model: checkpoint folder; it stays as it is.
        out: folder to make: the repaired model in `checkpoint`, a page, `findings.parquet`.
        features: folder where features are kept, for the next repair of the same model with the
            same data and other options; None keeps none.

    Raises:
        InvalidConfig: the model has no such tags task or category, no tag is known in a split, or
            the network has learned its labels by heart and `config.memorized` is `stop`.
        OutputExists: `features` holds those of another model or of other data.
    """
    key = stage_key(
        FinetuneResult.stage, config, dataset=dataset.info.digest, model=digest_folder(model)
    )
    if (done := FinetuneResult.completed(out, key)) is not None:
        return done
    _require_task(config, dataset, model)
    if features is not None and out.resolve() in (features.resolve(), *features.resolve().parents):
        raise InvalidConfig(
            f"the features at {features} would stand inside {out}, which is made as a whole.",
            remedy="Name a folder beside it with --features.",
        )
    cache = features or out.with_name(out.name + ".features")
    found, used, stored = _repair(config, dataset, model, cache, mine=features is None)
    network = load_checkpoint(model)
    _replace_heads(network, config.task, found)
    findings = rank_for_review(
        found.entries,
        image_ids=stored.image_ids,
        splits=used,
        groups=stored.groups,
        task=config.task,
        share=config.review_share,
    )
    with atomic_folder(out) as folder:
        digest = save_checkpoint(
            folder / "checkpoint", network, dataset_digest=dataset.info.digest, stage_key=key
        )
        pq.write_table(findings, folder / FINDINGS_FILE)
        result = FinetuneResult(
            key=key,
            digest=digest,
            task=config.task,
            categories=tuple(
                category_repair(repair, config.objective) for repair in found.categories
            ),
            memorized="" if found.memorization is None else found.memorization.verdict,
            findings=len(findings),
            sentences=sentences(found, len(findings)),
        ).write(folder)
        write_page(
            result,
            found,
            objective=config.objective,
            dataset=dataset.info.name,
            split=used,
            published=isinstance(config.ranking, PublishedBP | PublishedGA),
            folder=folder,
        )
    if features is None:
        shutil.rmtree(cache, ignore_errors=True)
    return result.at(out)


def _require_task(config: FinetuneConfig, dataset: Dataset, model: Path) -> None:
    theirs = CheckpointConfig.read(model)
    network_tags = [name for name, task in theirs.tasks.items() if task.kind == "tags"]
    if config.task not in network_tags:
        raise InvalidConfig(
            f"finetune.task '{config.task}' is no tags task of the model.",
            remedy=f"Closest: {closest(config.task, network_tags)}.",
        )
    categories = theirs.tasks[config.task].categories
    labeled = dataset.info.task(config.task).categories
    if labeled != categories:
        first = next((a or b for a, b in zip_longest(categories, labeled) if a != b), config.task)
        raise InvalidConfig(
            f"'{config.task}' has other categories in the dataset than in the model, or in another "
            f"order; '{first}' is the first that differs.",
            remedy="Fine-tune on the dataset that the model was trained on, or on one with the "
            "same categories in the same order.",
        )
    for name in config.only:
        if name not in categories:
            raise InvalidConfig(
                f"finetune.only names '{name}', which is no category of '{config.task}'.",
                remedy=f"Closest: {closest(name, categories)}.",
            )
    if isinstance(config.ranking, PublishedBP | PublishedGA) and (
        config.held_out not in dataset.info.splits
        or not dataset.known(config.held_out)[config.task].any()
    ):
        raise InvalidConfig(
            "finetune.ranking names a published method, which chooses heads by clean labels, and "
            f"there are none in split '{config.held_out}'.",
            remedy="Name a split with clean labels under finetune.held_out, or take "
            "'method: search', which needs none.",
        )
    for option in ("split", "held_out", "random_split"):
        split = getattr(config, option)
        if option != "split" and (not split or split not in dataset.info.splits):
            if split and (option == "random_split" or split not in SPLITS):
                raise InvalidConfig(
                    f"finetune.{option}: the dataset has no split '{split}'.",
                    remedy=f"It has {', '.join(dataset.info.splits)}.",
                )
            continue
        if option != "held_out" and not dataset.known(split)[config.task].any():
            raise InvalidConfig(
                f"no image of split '{split}' has a known '{config.task}' label.",
                remedy=f"Name another split under finetune.{option}, or label some images.",
            )


def _repair(
    config: FinetuneConfig, dataset: Dataset, model: Path, features: Path, *, mine: bool
) -> tuple[Repairs, str, StoredFeatures]:
    """What became of the categories, and the split whose labels decided, with its features."""
    stored = {
        split: store_features(
            model,
            dataset,
            split,
            config.task,
            features / config.task / config.precision / split,
            precision=config.precision,
            device=config.device,
            # a folder that somebody named may hold what somebody wants
            discard_others=mine,
        )
        for split in dict.fromkeys((config.split, config.held_out, config.random_split))
        if split in dataset.info.splits and dataset.known(split)[config.task].any()
    }
    network = load_checkpoint(model)
    head = network.tags[config.task]
    assert isinstance(head, torch.nn.Linear)
    heads = (
        head.weight.detach().numpy().astype(np.float64),
        head.bias.detach().numpy().astype(np.float64),
    )
    found = repair_categories(
        config,
        heads,
        _labeled(config, dataset, config.split, stored[config.split]),
        categories=network.tasks[config.task].categories,
        held_out=_other(config.held_out, config.split, stored),
        random=_other(config.random_split, "", stored),
    )
    used = config.held_out if found.on_held_out else config.split
    return found, used, stored[used]


def _labeled(
    config: FinetuneConfig, dataset: Dataset, split: str, stored: StoredFeatures
) -> LabeledFeatures:
    annotators: tuple[str | None, ...] = ()
    if config.annotator:
        column = _annotator_column(config, dataset, split)
        annotators = tuple(column.get(name) for name in stored.image_ids)
    return LabeledFeatures(stored.features, stored.labels_NC, stored.groups, annotators)


def _annotator_column(
    config: FinetuneConfig, dataset: Dataset, split: str
) -> dict[str, str | None]:
    if config.annotator not in dataset.info.meta:
        raise InvalidConfig(
            f"finetune.annotator: the dataset has no metadata column '{config.annotator}'.",
            remedy=f"Closest: {closest(config.annotator, dataset.info.meta)}.",
        )
    table = dataset.table(split, ["image_id", config.annotator])
    names = table.column("image_id").to_pylist()
    return dict(zip(names, table.column(config.annotator).to_pylist(), strict=True))


def _other(split: str, used: str, stored: dict[str, StoredFeatures]) -> LabeledFeatures | None:
    if split == used or split not in stored:
        return None
    part = stored[split]
    return LabeledFeatures(part.features, part.labels_NC, part.groups)


@torch.no_grad()
def _replace_heads(network: MultitaskModel, task: str, found: Repairs) -> None:
    """Put new heads and thresholds into the network.

    Straight calibrations become part of the heads, others a curve.
    """
    head = network.tags[task]
    assert isinstance(head, torch.nn.Linear)
    categories = network.tasks[task].categories
    preprocessing = network.preprocessing
    curves = dict(preprocessing.tag_curves.get(task, {}))
    thresholds = dict(preprocessing.tag_thresholds.get(task, {}))
    for repair in found.categories:
        if not repair.fit.judged:
            # what an earlier repair found stays; without one, nothing is decided
            thresholds.setdefault(repair.fit.category, None)
            continue
        if repair.fit.kept and repair.calibration is None and repair.fit.category in curves:
            # a kept head keeps the curve and the threshold that an earlier repair gave it
            continue
        column = categories.index(repair.fit.category)
        slope, intercept = 1.0, repair.moved
        curves.pop(repair.fit.category, None)
        cut = repair.threshold
        thresholds[repair.fit.category] = None if cut is None else cut.threshold.value
        if repair.map.form == "isotonic":
            slope, intercept = 1.0, 0.0
            curves[repair.fit.category] = _curve(repair)
        elif repair.calibration is not None:
            # a slope of 0 says that margins tell nothing; images keep their order all the same
            slope = max(repair.map.slope, SMALLEST_SLOPE)
            intercept = repair.map.intercept + repair.moved
        head.weight[column] = torch.from_numpy(slope * repair.fit.weight_D)
        head.bias[column] = slope * repair.fit.bias + intercept
    by_task = {**preprocessing.tag_curves, task: curves}
    update = {
        "tag_curves": {name: found for name, found in by_task.items() if found},
        "tag_thresholds": {**preprocessing.tag_thresholds, task: thresholds},
    }
    network.preprocessing = preprocessing.model_copy(update=update)


def _curve(repair: Repair) -> TagCurve:
    """An isotonic calibration with the shift of the intercept, as the network applies it."""
    curve = repair.moved_curve
    return TagCurve(logits=curve.margins, probabilities=curve.probabilities)
