"""Withholding a guess: what it costs, for whom, and when the images cannot tell."""

from pathlib import Path

import pytest
import torch

from goldseam.dataset.loading import evaluation_batches
from goldseam.dataset.reading import Dataset
from goldseam.errors import InvalidConfig, OutputExists
from goldseam.metrics import paired_difference
from goldseam.models.checkpoint import save_checkpoint
from goldseam.models.config import DiffusionConfig, EncoderConfig, ModelConfig, NetworkConfig
from goldseam.models.multitask import MultitaskModel, Preprocessing
from goldseam.multitask.affinity import AffinityConfig, affinity
from goldseam.multitask.affinity.ablation import NOTHING, ablate
from goldseam.multitask.affinity.sentences import (
    between,
    effect_sentence,
    span,
    transfer_sentence,
)
from goldseam.results import AffinityResult, Estimate
from goldseam.trainer.validation import score

DENSE = ("cover", "edge", "relief")
CONFIG = AffinityConfig(split="test", resamples=60)


def make_model(disc_data, tasks=DENSE, diffusion=None, seed=0) -> MultitaskModel:
    """Random weights, also where training would begin with zeros."""
    network = NetworkConfig(encoder=EncoderConfig(width=8, levels=2), decoder_width=8)
    torch.manual_seed(seed)
    specs = {name: disc_data.info.tasks[name] for name in tasks}
    model = MultitaskModel(
        ModelConfig(network=network, diffusion=diffusion),
        specs,
        Preprocessing(values={"relief": (1.0, 2.0)}),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def network(disc_data) -> MultitaskModel:
    diffusion = DiffusionConfig(token_width=16, token_stride=4)
    return make_model(disc_data, (*DENSE, "tags"), diffusion)


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory) -> Path:
    return saved(network, tmp_path_factory.mktemp("models") / "multitask")


def saved(model: MultitaskModel, out: Path) -> Path:
    save_checkpoint(out, model, dataset_digest="sha256:0", stage_key="sha256:0")
    return out


def test_every_guess_is_withheld_from_every_task(network, folder, disc_data, tmp_path):
    result = affinity(CONFIG, disc_data, folder, tmp_path / "out")
    assert result.tasks == result.conditions == DENSE
    assert [(e.task, e.condition) for e in result.effects] == [(t, c) for t in DENSE for c in DENSE]
    assert AffinityResult.read(tmp_path / "out") == result

    tasks = {name: disc_data.info.tasks[name] for name in DENSE}

    def batches():
        return evaluation_batches(disc_data, "test", list(DENSE), 8)

    whole = score(network, batches(), tasks)
    metrics = ablate(network, batches(), tasks)
    for name in DENSE:
        assert metrics[NOTHING][name].compute() == whole[name].compute()

    class Blind:
        """The same model without its guess of relief, told by hand."""

        tasks, parameters = network.tasks, network.parameters
        preprocessing = network.preprocessing

        def predict(self, images, *, initial):
            assert not initial
            return network.predict(images, without=("relief",))

    blind = score(Blind(), batches(), tasks)
    effect = next(e for e in result.effects if (e.task, e.condition) == ("cover", "relief"))
    assert effect.difference == paired_difference(whole["cover"], blind["cover"], 60, 0)["miou"]
    assert effect.difference.value not in (0, None)
    assert effect.difference.low <= effect.difference.value <= effect.difference.high


def test_the_page_says_what_the_result_says(folder, disc_data, tmp_path):
    single = saved(make_model(disc_data, ("relief",)), tmp_path / "relief")
    result = affinity(CONFIG, disc_data, folder, tmp_path / "out", single={"relief": single})
    html = (tmp_path / "out" / "index.html").read_text()
    for sentence in result.sentences:
        assert sentence.replace("'", "&#39;") in html
    assert "sees relief" in html
    assert "http" not in html.replace("http://www.w3.org", "")
    assert "Together against alone" in html


def test_a_model_of_one_task_that_is_better_gives_a_warning(folder, disc_data, tmp_path):
    # a model that has seen the mean of the labels, against one with random weights
    good = make_model(disc_data, ("relief",))
    with torch.no_grad():
        for parameter in good.heads["relief"].head.parameters():
            parameter.zero_()
    single = saved(good, tmp_path / "relief")
    result = affinity(CONFIG, disc_data, folder, tmp_path / "out", single={"relief": single})
    [transfer] = result.transfers
    assert transfer.difference.value > 0  # an error, which is better when lower
    assert transfer.negative
    assert result.sentences[0] == transfer.sentence
    assert transfer.sentence.startswith("Warning: the other tasks harm relief.")


def test_the_same_call_again_computes_nothing_and_another_is_refused(
    folder, disc_data, tmp_path, monkeypatch
):
    first = affinity(CONFIG, disc_data, folder, tmp_path / "out")
    monkeypatch.setattr("goldseam.multitask.affinity.stage.ablate", None)
    assert affinity(CONFIG, disc_data, folder, tmp_path / "out") == first
    with pytest.raises(OutputExists, match="other inputs or options"):
        affinity(AffinityConfig(split="test"), disc_data, folder, tmp_path / "out")


def test_the_batch_size_changes_nothing_that_matters(network, disc_data):
    tasks = {"relief": disc_data.info.tasks["relief"]}
    found = [
        ablate(network, evaluation_batches(disc_data, "test", ["relief"], size), tasks)
        for size in (3, 16)
    ]
    for withheld in found[0]:
        one, other = (metrics[withheld]["relief"].compute()["mae"] for metrics in found)
        assert one == pytest.approx(other, rel=1e-5)


def test_models_that_condition_nothing_are_refused(disc_data, tmp_path):
    plain = saved(make_model(disc_data), tmp_path / "plain")
    alone = saved(
        make_model(
            disc_data,
            diffusion=DiffusionConfig(token_width=16, token_stride=4, condition="none"),
        ),
        tmp_path / "alone",
    )
    for model in (plain, alone):
        with pytest.raises(InvalidConfig, match="conditions no task"):
            affinity(CONFIG, disc_data, model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_single_task_model_must_fit(folder, disc_data, tmp_path):
    relief = saved(make_model(disc_data, ("relief",)), tmp_path / "relief")
    with pytest.raises(InvalidConfig, match=r"alone predicts relief"):
        affinity(CONFIG, disc_data, folder, tmp_path / "a", single={"edge": relief})
    with pytest.raises(InvalidConfig, match="does not predict"):
        affinity(CONFIG, disc_data, folder, tmp_path / "b", single={"relieff": relief})


def test_a_model_that_means_something_else_by_a_name_is_refused(folder, disc_data, tmp_path):
    cover = disc_data.info.tasks["cover"]
    turned = cover.model_copy(update={"categories": cover.categories[::-1]})
    tasks = {"cover": turned, "relief": disc_data.info.tasks["relief"]}
    info = disc_data.info.model_copy(update={"tasks": tasks})
    with pytest.raises(InvalidConfig, match="'cover' has categories"):
        affinity(CONFIG, Dataset(disc_data.path, info), folder, tmp_path / "out")
    tasks["cover"] = cover
    tasks["relief"] = tasks["relief"].model_copy(update={"unit": "px"})
    single = saved(make_model(Dataset(disc_data.path, info), ("relief",)), tmp_path / "relief")
    with pytest.raises(InvalidConfig, match="'relief' has unit px"):
        affinity(CONFIG, disc_data, folder, tmp_path / "out", single={"relief": single})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (Estimate(0.021, 0.013, 0.03), "helps cover: when it is withheld, the overlap with the "),
        (Estimate(-0.021, -0.03, -0.013), "is 2.1 points better (1.3 to 3.0 points)."),
        (Estimate(0.01, -0.01, 0.03), "It is not clear that"),
        (Estimate(0.01), "all images belong to one group"),
        (Estimate(None), "no cover label could be scored"),
    ],
)
def test_effects_in_words(difference, words):
    assert words in effect_sentence("cover", "relief", "miou", difference)


def test_a_clear_difference_may_be_too_small_to_matter(folder, disc_data, tmp_path):
    some = affinity(AffinityConfig(split="test", smallest=0), disc_data, folder, tmp_path / "a")
    none = affinity(AffinityConfig(split="test", smallest=99), disc_data, folder, tmp_path / "b")
    clear = [effect for effect in some.effects if effect.difference.verdict != "unclear"]
    assert clear
    assert [effect for effect in some.effects if effect.matters] == clear
    assert not any(effect.matters for effect in none.effects)
    assert none.sentences == ("No first guess changes any task clearly and by enough to matter.",)
    assert "– too small" in (tmp_path / "b" / "index.html").read_text()
    assert "too little to matter" in effect_sentence(
        "cover", "relief", "miou", Estimate(0.001, 0.0005, 0.002), matters=False
    )


def test_lower_errors_are_gains():
    helped = Estimate(-0.05, -0.08, -0.02, unit="m", better="lower")
    sentence = effect_sentence("relief", "relief", "mae", helped)
    assert sentence == (
        "Its own first guess helps relief: when it is withheld, the mean error is 0.05 m worse "
        "(0.02 to 0.08 m)."
    )
    assert span(helped) == "(+0.02 to +0.08 m)"
    assert "pays" in transfer_sentence("relief", "mae", helped)
    harmed = Estimate(0.05, 0.02, 0.08, unit="m", better="lower")
    assert "0.05 m worse than learned alone (0.02 to 0.08 m)" in transfer_sentence(
        "relief", "mae", harmed
    )
    assert "unknown" in transfer_sentence("relief", "mae", Estimate(None))
    unsure = Estimate(0.05, -0.02, 0.08, unit="m", better="lower")
    assert "(−0.08 to +0.02 m)" in transfer_sentence("relief", "mae", unsure)


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (Estimate(0.0034, -0.00449, 0.123), "(−0.4 to +12.3 points)"),
        (Estimate(1.0, 0.0, 1.0), "(+0.0 to +100.0 points)"),
        (Estimate(30.0, -2.345, 104.4, unit="degree", better="lower"), "(−104 to +2.35 degrees)"),
        (Estimate(0.3), ""),
    ],
)
def test_numbers_are_written_in_one_way(difference, said):
    assert span(difference) == said


def test_an_interval_without_signs_has_the_digits_of_the_one_with_signs():
    worse = Estimate(0.3, 0.0123, 104.4, unit="m", better="lower")
    assert span(worse) == "(−104 to −0.0123 m)"
    assert between(worse) == "(0.0123 to 104 m)"


def test_effects_by_chance_are_not_none(folder, disc_data, tmp_path):
    affinity(CONFIG, disc_data, folder, tmp_path / "out")
    html = (tmp_path / "out" / "index.html").read_text()
    assert "Of 9 effects fewer than one would look clear by chance alone" in html
