"""The shipped recipes of category-wise fine-tuning say what was published."""

from pathlib import Path

import pytest

from goldseam.dataset.formats.tag_sets.chexpert import FINDINGS
from goldseam.finetuning.ranking.options import PublishedBP
from goldseam.recipe import TagsRecipe, load_recipe
from goldseam.trainer.tag_strategies import Asymmetric
from pipelines.tags_to_model import RECIPES

FOLDER = RECIPES / "cft"
SETS = ("chexpert", "coco", "openimages")
# images of training and categories, as far as the number of steps follows from them
COCO_IMAGES, COCO_CATEGORIES = round(0.95 * 82_081), 80


def read(name: str) -> TagsRecipe:
    recipe = load_recipe(FOLDER / f"{name}.yaml")
    assert isinstance(recipe, TagsRecipe)
    return recipe


def test_there_is_one_for_each_set() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(SETS)


@pytest.mark.parametrize("name", SETS)
def test_commands_in_a_recipe_name_what_it_reads(name: str) -> None:
    text, recipe = (FOLDER / f"{name}.yaml").read_text(), read(name)
    assert f"--out {recipe.dataset.uri}\n" in text
    assert f"goldseam run cft/{name} --out runs/{recipe.name}\n" in text
    assert recipe.name == recipe.promote.model_name == f"cft_{name}"
    assert Path(recipe.dataset.uri or "").parent == Path("data")


@pytest.mark.parametrize("name", SETS)
def test_heads_are_fine_tuned_with_the_published_constants(name: str) -> None:
    recipe = read(name)
    score = "auc" if name == "chexpert" else "ap"
    published = PublishedBP(score=score, learning_rate=1e-4, epochs=5000, patience=300, loss="bce")
    assert recipe.finetune.ranking == published
    assert not recipe.finetune.calibrate
    assert recipe.finetune.held_out == "validation"
    assert (recipe.finetune.task,) == recipe.train.tasks
    assert recipe.evaluate.split == "test", "what is reported chooses nothing"


def test_training_on_coco_is_the_published_one() -> None:
    train = read("coco").train
    optimizer = train.optimizer
    assert (optimizer.name, optimizer.learning_rate, optimizer.weight_decay) == ("adam", 2e-4, 1e-4)
    assert (optimizer.batch_size, optimizer.average, optimizer.warmup) == (128, 0.999, 0.2)
    assert optimizer.steps * optimizer.batch_size / COCO_IMAGES == pytest.approx(60, abs=0.1)
    asl = Asymmetric(gamma_positive=0, gamma_negative=4, margin=0.05, unknown="absent")
    assert train.loss.tags == asl
    # a mean over all entries of a batch becomes their sum
    assert train.loss.weights == {"tags": optimizer.batch_size * COCO_CATEGORIES}


def test_open_images_is_trained_like_coco() -> None:
    coco, other = read("coco").train, read("openimages").train
    same = {"steps": coco.optimizer.steps}
    assert other.optimizer.model_copy(update=same) == coco.optimizer
    assert other.loss.tags == coco.loss.tags


def test_the_five_findings_of_the_competition_choose_the_weights_of_chexpert() -> None:
    recipe = read("chexpert")
    chosen = [metric.removeprefix("findings.auc.") for metric in recipe.train.loop.select]
    assert len(chosen) == 5
    assert set(chosen) <= set(FINDINGS)
    assert recipe.train.loop.augment.symmetry == "none"


@pytest.mark.parametrize("name", SETS)
def test_the_baseline_takes_unknown_for_unknown(name: str) -> None:
    recipe = read(name)
    assert recipe.scratch.loss.tags.name == "ignore"
    assert recipe.scratch.optimizer == recipe.train.optimizer
    assert recipe.scratch.network == recipe.train.network
