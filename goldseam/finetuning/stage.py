"""Category-wise fine-tuning: each category's classifier, alone, on its known labels.

Source: Chong et al., Category-wise Fine-Tuning (arXiv 2401.16991), in a convex form; the frozen
network's features are computed once, and every category is then solved exactly.
"""

from pathlib import Path

import numpy as np
import torch

from goldseam.artifacts import digest_folder, stage_key
from goldseam.dataset.reading import Dataset
from goldseam.errors import InvalidConfig, closest
from goldseam.finetuning.config import FinetuneConfig
from goldseam.finetuning.features import cache_features
from goldseam.finetuning.solver import HeadFit, fit_heads
from goldseam.models.checkpoint import load_checkpoint, save_checkpoint
from goldseam.models.multitask import MultitaskModel
from goldseam.results import CategoryRepair, FinetuneResult
from goldseam.storage.atomic import atomic_folder
from goldseam.trainer.devices import choose_device


def finetune(config: FinetuneConfig, dataset: Dataset, model: Path, out: Path) -> FinetuneResult:
    """Repair the tag heads of a trained model.

    Args:
        config: options.
        dataset: whose known tags are used.
        model: checkpoint folder; it stays as it is.
        out: folder to make; the repaired model stands in `out/checkpoint`.

    Raises:
        InvalidConfig: the model has no such tags task, or no tag is known in the split.
    """
    key = stage_key(
        FinetuneResult.stage, config, dataset=dataset.info.digest, model=digest_folder(model)
    )
    if (done := FinetuneResult.completed(out, key)) is not None:
        return done
    network = load_checkpoint(model, choose_device(config.device))
    fits = _fit(config, dataset, network)
    _replace_heads(network, config.task, fits)
    with atomic_folder(out) as folder:
        digest = save_checkpoint(
            folder / "checkpoint", network, dataset_digest=dataset.info.digest, stage_key=key
        )
        result = FinetuneResult(
            key=key,
            digest=digest,
            task=config.task,
            categories=tuple(_report(fit) for fit in fits),
        ).write(folder)
    return result.at(out)


def _fit(config: FinetuneConfig, dataset: Dataset, network: MultitaskModel) -> list[HeadFit]:
    if config.task not in network.tagged:
        raise InvalidConfig(
            f"finetune.task '{config.task}' is no tags task of the model.",
            remedy=f"Closest: {closest(config.task, network.tagged)}.",
        )
    if not dataset.known(config.split)[config.task].any():
        raise InvalidConfig(
            f"no image of split '{config.split}' has a known '{config.task}' label.",
            remedy="Name another split under finetune.split, or label some images.",
        )
    cached = cache_features(network, dataset, config.split, config.task)
    head = network.tags[config.task]
    assert isinstance(head, torch.nn.Linear)
    return fit_heads(
        cached.features_NZ,
        cached.labels_NC,
        head.weight.detach().cpu().numpy(),
        head.bias.detach().cpu().numpy(),
        categories=network.tasks[config.task].categories,
        penalties=config.penalties,
        folds=config.folds,
        groups=cached.groups,
        min_known=config.minimum_known,
        method=config.method,
        seed=config.seed,
    )


@torch.no_grad()
def _replace_heads(network: MultitaskModel, task: str, fits: list[HeadFit]) -> None:
    head = network.tags[task]
    assert isinstance(head, torch.nn.Linear)
    head.weight.copy_(torch.from_numpy(np.stack([fit.weight_D for fit in fits])))
    head.bias.copy_(torch.tensor([fit.bias for fit in fits]))


def _report(fit: HeadFit) -> CategoryRepair:
    return CategoryRepair(
        category=fit.category,
        kept=fit.kept,
        why=fit.why,
        known_present=fit.known_present,
        known_absent=fit.known_absent,
        penalty=fit.penalty,
        log_loss_before=fit.log_loss_before,
        log_loss_after=fit.log_loss_after,
    )
