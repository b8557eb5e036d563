import json

import pytest
import torch

from goldseam.errors import InvalidConfig, MissingInput
from goldseam.models.checkpoint import load_checkpoint, save_checkpoint, transfer
from goldseam.models.config import DiffusionConfig, EncoderConfig, ModelConfig, NetworkConfig
from goldseam.models.multitask import MultitaskModel, Preprocessing
from tests.conftest import disc_info
from tests.unit.models.conftest import TASKS, awaken, build

DIFFUSION = DiffusionConfig(token_width=16, token_stride=4)


def save(model, folder):
    return save_checkpoint(folder, model, dataset_digest="sha256:d", stage_key="sha256:k")


def test_a_model_comes_back_as_it_was(tmp_path, images_B3HW):
    model = awaken(build(DIFFUSION))
    digest = save(model, tmp_path / "a")
    again = load_checkpoint(tmp_path / "a")
    for task, prediction in model.predict(images_B3HW).items():
        assert torch.equal(prediction, again.predict(images_B3HW)[task])
    assert save(again, tmp_path / "b") == digest
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        "config.json",
        "model.safetensors",
    }


def test_thresholds_of_tags_come_back_and_old_checkpoints_have_none(tmp_path):
    model = build(None)
    first, second, *rest = TASKS["tags"].categories
    cut = {first: 0.3, second: None}
    model.preprocessing = model.preprocessing.model_copy(update={"tag_thresholds": {"tags": cut}})
    save(model, tmp_path)
    found = load_checkpoint(tmp_path).preprocessing
    assert found.tag_thresholds == {"tags": cut}
    # what nobody chose is one half; what cannot be told stays so
    assert found.thresholds_of(TASKS) == {"tags": cut | dict.fromkeys(rest, 0.5)}
    path = tmp_path / "config.json"
    body = json.loads(path.read_text())
    del body["preprocessing"]["tag_thresholds"]
    path.write_text(json.dumps(body))
    old = load_checkpoint(tmp_path).preprocessing
    assert old.tag_thresholds == {}
    assert old.thresholds_of(TASKS) == {"tags": dict.fromkeys(TASKS["tags"].categories, 0.5)}
    for wrong in (-0.1, "NaN"):
        body["preprocessing"]["tag_thresholds"] = {"tags": {first: wrong}}
        path.write_text(json.dumps(body))
        with pytest.raises(MissingInput, match="no goldseam checkpoint"):
            load_checkpoint(tmp_path)


def test_a_folder_without_a_checkpoint_is_named(tmp_path):
    with pytest.raises(MissingInput, match="no checkpoint is here"):
        load_checkpoint(tmp_path)


def test_damaged_files_are_named(tmp_path):
    save(build(None), tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(MissingInput, match="weights cannot be read"):
        load_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for other in ({"model": {"width": 3}}, {"format": 2}):
        (tmp_path / "config.json").write_text(json.dumps({**config, **other}))
        with pytest.raises(MissingInput, match="no goldseam checkpoint of format 1"):
            load_checkpoint(tmp_path)
    (tmp_path / "config.json").write_bytes(weights.read_bytes() + b"\xff")
    with pytest.raises(MissingInput, match="no goldseam checkpoint"):
        load_checkpoint(tmp_path)


def test_weights_of_another_model_are_named(tmp_path):
    save(build(None), tmp_path / "plain")
    save(build(DIFFUSION), tmp_path / "refining")
    config = (tmp_path / "refining" / "config.json").read_bytes()
    (tmp_path / "plain" / "config.json").write_bytes(config)
    with pytest.raises(MissingInput, match=r"model\.safetensors: the weights do not fit config"):
        load_checkpoint(tmp_path / "plain")


@pytest.fixture
def pretrained(tmp_path):
    noisy = {"cover_map": disc_info().tasks["cover_map"]}
    model = build(None, noisy, seed=5)
    save(model, tmp_path / "pretrained")
    return model, tmp_path / "pretrained"


@pytest.mark.parametrize(
    ("depth", "parts"),
    [
        ("encoder", {"encoder"}),
        ("decoder", {"encoder", "decoder"}),
        ("heads", {"encoder", "decoder", "heads"}),
    ],
)
def test_transfer_copies_what_its_depth_says(pretrained, depth, parts):
    source, folder = pretrained
    model = build(DIFFUSION)
    copied = transfer(model, folder, depth)
    assert {name.partition(".")[0] for name in copied} == parts
    theirs = source.state_dict()
    for name in copied:
        old = name.replace("heads.cover.", "heads.cover_map.")
        assert torch.equal(model.state_dict()[name], theirs[old])


def test_a_clean_task_starts_as_its_noisy_versions_model(pretrained, images_B3HW):
    source, folder = pretrained
    model = build(DIFFUSION)
    transfer(model, folder, "heads")
    found = model.predict(images_B3HW)["cover"]
    assert torch.allclose(found, source.predict(images_B3HW)["cover_map"], atol=1e-6)


def test_a_clean_task_takes_its_own_heads_where_both_were_learned(tmp_path):
    tasks = {name: disc_info().tasks[name] for name in ("cover", "cover_map")}
    source = build(None, tasks, seed=5)
    save(source, tmp_path)
    model = build(None)
    transfer(model, tmp_path, "heads")
    for name, value in source.heads["cover"].state_dict().items():
        assert torch.equal(model.heads["cover"].state_dict()[name], value)


def test_heads_of_tags_are_heads_too(tmp_path):
    source = build(None, seed=5)
    save(source, tmp_path / "source")
    for depth, copies in (("heads", True), ("decoder", False)):
        model = build(None)
        transfer(model, tmp_path / "source", depth)
        assert torch.equal(model.tags["tags"].weight, source.tags["tags"].weight) == copies


def test_transfer_between_different_networks_is_refused(pretrained):
    _, folder = pretrained
    other = NetworkConfig(encoder=EncoderConfig(width=16, levels=3), decoder_width=8)
    model = MultitaskModel(ModelConfig(network=other), TASKS, Preprocessing())
    with pytest.raises(InvalidConfig, match="has shape"):
        transfer(model, folder, "encoder")


@pytest.mark.parametrize(
    "diffusion",
    [DIFFUSION, DIFFUSION.model_copy(update={"variant": "prediction", "known_labels": 0.3})],
)
def test_a_denoiser_can_be_taken_over(tmp_path, images_B3HW, diffusion):
    source = awaken(build(diffusion, seed=5))
    with torch.no_grad():
        for head in getattr(source, "final_heads", {}).values():
            head.bias += 1
    save(source, tmp_path / "source")
    model = build(diffusion)
    copied = transfer(model, tmp_path / "source", "denoiser")
    assert set(copied) == set(model.state_dict())
    for task in model.tasks:
        assert torch.equal(model.predict(images_B3HW)[task], source.predict(images_B3HW)[task])


def test_a_denoiser_of_other_tasks_is_refused(tmp_path):
    save(build(DIFFUSION), tmp_path / "source")
    fewer = {"edge": TASKS["edge"], "cover": TASKS["cover"]}
    with pytest.raises(InvalidConfig, match="its denoiser is for the dense tasks cover, edge"):
        transfer(build(DIFFUSION, fewer), tmp_path / "source", "denoiser")
    with pytest.raises(InvalidConfig, match="has no denoiser"):
        transfer(build(None), tmp_path / "source", "denoiser")


def test_a_new_models_final_heads_begin_as_the_copied_initial_ones(tmp_path):
    save(build(DIFFUSION, seed=5), tmp_path / "source")
    model = build(DIFFUSION)
    transfer(model, tmp_path / "source", "heads")
    for task, head in model.final_heads.items():
        assert torch.equal(head.weight, model.heads[task].head.weight)


def test_a_backbone_of_transformers_from_a_local_folder(tmp_path, images_B3HW):
    from transformers import ResNetBackbone, ResNetConfig

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ResNetBackbone(config).save_pretrained(tmp_path / "backbone")
    encoder = EncoderConfig(name="auto", backbone=str(tmp_path / "backbone"))
    network = NetworkConfig(encoder=encoder, decoder_width=8)
    config = ModelConfig(network=network, diffusion=DIFFUSION)
    model = MultitaskModel(config, TASKS, Preprocessing()).eval()
    found = model.predict(images_B3HW)
    assert found["cover"].shape[-2:] == (16, 16)
    save(model, tmp_path / "checkpoint")
    again = load_checkpoint(tmp_path / "checkpoint").predict(images_B3HW)
    assert torch.equal(found["cover"], again["cover"])


def test_a_backbone_that_is_not_there_is_named(tmp_path):
    encoder = EncoderConfig(name="auto", backbone=str(tmp_path / "nothing"))
    with pytest.raises(MissingInput, match="no backbone can be loaded"):
        MultitaskModel(ModelConfig(network=NetworkConfig(encoder=encoder)), TASKS, Preprocessing())
