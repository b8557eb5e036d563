import pytest
import torch

from goldseam.dataset.reading import open_dataset
from goldseam.dataset.writing import write_dataset
from goldseam.errors import InvalidConfig
from goldseam.finetuning.config import FinetuneConfig
from goldseam.finetuning.stage import finetune
from goldseam.models.checkpoint import load_checkpoint
from tests.conftest import disc_info, discs

CONFIG = FinetuneConfig(minimum_known=3, folds=2)


def test_only_the_tag_heads_change(disc_data, disc_models, tmp_path):
    result = finetune(CONFIG, disc_data, disc_models["pipeline"], tmp_path / "out")
    before = load_checkpoint(disc_models["pipeline"]).state_dict()
    after = load_checkpoint(tmp_path / "out" / "checkpoint").state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    # something was repaired, and nothing but heads
    assert changed == {"tags.tags.weight", "tags.tags.bias"}
    assert [row.category for row in result.categories] == ["disk", "bar", "big"]


def test_a_category_without_known_negatives_keeps_its_head(disc_data, disc_models, tmp_path):
    result = finetune(CONFIG, disc_data, disc_models["pipeline"], tmp_path / "out")
    disk = result.categories[0]  # every image has a disk
    assert disk.known_absent == 0
    assert disk.kept
    before = load_checkpoint(disc_models["pipeline"]).tags["tags"]
    after = load_checkpoint(tmp_path / "out" / "checkpoint").tags["tags"]
    assert torch.equal(before.weight[0], after.weight[0])
    assert before.bias[0] == after.bias[0]


def test_repair_lowers_the_cross_validated_log_loss(disc_data, disc_models, tmp_path):
    result = finetune(CONFIG, disc_data, disc_models["pipeline"], tmp_path / "out")
    repaired = [row for row in result.categories if not row.kept]
    assert repaired
    for row in repaired:
        assert row.log_loss_after < row.log_loss_before


def test_wrong_tasks_and_empty_splits_are_named(disc_data, disc_models, tmp_path):
    with pytest.raises(InvalidConfig, match="'cover' is no tags task"):
        finetune(FinetuneConfig(task="cover"), disc_data, disc_models["pipeline"], tmp_path / "out")
    bare = [s for s in discs(5, 6, partial=True) if "tags" not in s.labels]
    write_dataset(tmp_path / "bare", disc_info(), {"train": bare})
    with pytest.raises(InvalidConfig, match="has a known 'tags' label"):
        finetune(CONFIG, open_dataset(tmp_path / "bare"), disc_models["pipeline"], tmp_path / "out")
