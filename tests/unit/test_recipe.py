from pathlib import Path

import pytest
import yaml

from goldseam.dataset.reading import open_dataset
from goldseam.dataset.writing import write_dataset
from goldseam.errors import GoldseamError, InvalidRecipe, MissingInput
from goldseam.recipe import (
    Recipe,
    as_struct,
    from_struct,
    load_recipe,
    parse_recipe,
    resolve_section,
    task_sections,
)
from goldseam.recipe.sections import PartialRecipe, TagsRecipe
from goldseam.recipe_draft import draft_recipe, draft_sections
from pipelines import label_audit, partial_to_model, tags_to_model
from pipelines.label_to_model import RECIPES
from tests.unit.dataset.scenes import scene_info, scene_samples

FOLDERS = [RECIPES]
ALL_FOLDERS = [
    RECIPES, label_audit.RECIPES, partial_to_model.RECIPES, tags_to_model.RECIPES
]  # fmt: skip


@pytest.fixture
def coast() -> Recipe:
    return load_recipe("coast", folders=FOLDERS)


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_recipe_that_ships_is_in_order(file):
    recipe = load_recipe(file)
    body = recipe.model_dump(mode="json", exclude_none=True)
    assert Recipe.model_validate(body) == recipe


def test_baselines_get_the_steps_of_pretrain_and_train_together(coast):
    total = coast.pretrain.optimizer.steps + coast.train.optimizer.steps
    assert coast.baselines.scratch.optimizer.steps == total
    assert coast.baselines.noisy_direct.optimizer.steps == total
    changed = load_recipe("coast", ["pretrain.optimizer.steps=7"], folders=FOLDERS)
    assert changed.baselines.scratch.optimizer.steps == 7 + coast.train.optimizer.steps


def test_the_scratch_baseline_sees_no_noisy_label_and_no_diffusion(coast):
    assert coast.pretrain.task not in coast.baselines.scratch.tasks
    assert coast.baselines.scratch.diffusion is None


def test_what_stands_at_the_top_reaches_every_section_that_learns():
    recipe = load_recipe(
        "coast", ["seed=5", "device=cpu", "network.decoder_width=8"], folders=FOLDERS
    )
    sections = (
        recipe.pretrain, recipe.train, recipe.baselines.scratch, recipe.baselines.noisy_direct
    )  # fmt: skip
    assert {section.loop.seed for section in sections} == {5}
    assert {section.loop.device for section in sections} == {"cpu"}
    assert {section.network.decoder_width for section in sections} == {8}
    assert recipe.finetune.device == recipe.evaluate.device == "cpu"
    assert recipe.finetune.seed == 5


def test_a_section_may_differ_from_the_top():
    recipe = load_recipe("coast", ["seed=5", "train.loop.seed=6"], folders=FOLDERS)
    assert recipe.train.loop.seed == 6
    assert recipe.pretrain.loop.seed == 5


def test_tiny_is_the_same_recipe_made_small(coast):
    tiny = load_recipe("coast", tiny=True, folders=FOLDERS)
    assert tiny.pretrain.optimizer.steps < coast.pretrain.optimizer.steps
    assert tiny.dataset.options["tiny"] is True
    assert tiny.train.tasks == coast.train.tasks


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trian.transfer=heads", "no such key 'trian'; closest: train"),
        (
            "train.optimizer.lerning_rate=1",
            "'train.optimizer.lerning_rate'; closest: learning_rate",
        ),
        ("train.diffusion.step=3", "closest: steps"),
        ("pretrain.optimizer.steps=many", "valid integer"),
        ("pretrain.optimizer.steps=0", "greater than or equal to 1"),
        ("train.transfer=hed", "'encoder', 'decoder' or 'heads'"),
        ("dataset.uri=here", "either 'build'"),
        ("promote.gates=[{metric: a}]", "exactly one of"),
        ("promote.gates=[{metrik: a}]", "'promote.gates.0.metrik'; closest: metric"),
        ("seed", "has no '='"),
        ("train.tasks.x=1", "is no section"),
        ("validate.suite=nowhere.json", "no expectation suite"),
    ],
)
def test_every_wrong_key_is_named_with_the_nearest_right_one(override, message):
    with pytest.raises(GoldseamError) as caught:
        load_recipe("coast", [override], folders=FOLDERS)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        # a key of another form is no answer, however near
        ("train.loss.tags={name: splc, rate: 1}", "'train.loss.tags.rate'; closest: name."),
        ("train.loss.tags={name: large_loss, rat: 1}", "'train.loss.tags.rat'; closest: rate"),
        ("finetune.objective={kind: cost, mis: 4}", "'finetune.objective.mis'; closest: miss"),
        (
            "finetune.ranking={method: published_ga, generatons: 3}",
            "'finetune.ranking.generatons'; closest: method, score, population, crossover",
        ),
        (
            "finetune.ranking={method: search, generatons: 3}",
            "'finetune.ranking.generatons'; closest: generations",
        ),
        (
            "train.loss.tags={name: ignore, uncertain: {polcy: ones}}",
            "'train.loss.tags.uncertain.polcy'; closest: policy",
        ),
        (
            "train.loss.tags={name: larg_loss}",
            "'train.loss.tags.name': there is no 'larg_loss'; cl",
        ),
        (
            "finetune.objective={beta: 1}",
            "'finetune.objective.kind': this key is needed: one of f_",
        ),
        (
            "finetune.ranking={method: search, elite: 0}",
            "'finetune.ranking.elite': Input should be",
        ),
    ],
)
def test_a_wrong_key_of_an_option_with_forms_is_answered_for_its_form(override, message):
    with pytest.raises(InvalidRecipe) as caught:
        load_recipe("coast", [override], folders=FOLDERS)
    assert message in caught.value.message


def test_the_line_of_a_key_of_an_option_with_forms_is_named(tmp_path):
    body = ["pipeline: tags_to_model", "dataset: {uri: d}", "train:", "  loss:", "    tags:"]
    path = tmp_path / "r.yaml"
    path.write_text("\n".join([*body, "      name: large_loss", "      rat: 0.1"]))
    with pytest.raises(InvalidRecipe, match=r"line 7: no such key 'train\.loss\.tags\.rat'; "):
        load_recipe(path)
    path.write_text("\n".join([*body, "      name: large_los"]))
    with pytest.raises(InvalidRecipe, match=r"line 6: key 'train\.loss\.tags\.name'"):
        load_recipe(path)


def test_the_line_in_the_file_is_named(tmp_path):
    path = tmp_path / "r.yaml"
    text = (RECIPES / "coast.yaml").read_text().replace("transfer: heads", "transfre: heads")
    path.write_text(text)
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "transfre" in row)
    with pytest.raises(InvalidRecipe, match=rf"line {line}: no such key 'train\.transfre'"):
        load_recipe(path)


def test_files_that_are_no_recipe_are_named(tmp_path):
    with pytest.raises(MissingInput, match="coast"):
        load_recipe("cost", folders=FOLDERS)
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(InvalidRecipe, match="no YAML"):
        load_recipe(tmp_path / "broken.yaml")
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(InvalidRecipe, match="no sections"):
        load_recipe(tmp_path / "list.yaml")


def test_a_suite_is_taken_in_so_that_a_cluster_needs_no_file(tmp_path):
    (tmp_path / "suite.json").write_text('{"name": "mine", "expectations": []}')
    path = tmp_path / "r.yaml"
    body = yaml.safe_load((RECIPES / "coast.yaml").read_text())
    body["validate"] = {"suite": "suite.json"}
    path.write_text(yaml.safe_dump(body))
    assert load_recipe(path).validation.suite == {"name": "mine", "expectations": []}


def test_numbers_survive_the_way_through_a_struct(coast):
    """Kubeflow Pipelines hands every number on as a float."""

    def floats(value):
        if isinstance(value, dict):
            return {key: floats(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [floats(inner) for inner in value]
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    body = floats(coast.model_dump(mode="json", exclude_none=True))
    assert parse_recipe(body).digest == coast.digest


PARTIAL = {
    "pipeline": "partial_to_model",
    "dataset": {"uri": "here"},
    "train": {
        "tasks": ["cover"],
        "diffusion": {"steps": 2},
        "network": {"encoder": {"name": "auto", "backbone": "somewhere"}, "decoder_width": 8},
        "optimizer": {"steps": 9, "learning_rate": 0.003, "average": 0.99},
        "loop": {"augment": {"symmetry": "flip", "brightness": 0.2}},
    },
}


def test_the_plain_baseline_has_what_it_does_not_say_from_train():
    scratch = {
        "optimizer": {"steps": 7},
        "loop": {"augment": {"brightness": 0.1}},
        "network": {"encoder": {"name": "small"}},
    }
    recipe = parse_recipe(PARTIAL | {"scratch": scratch})
    own = recipe.scratch
    assert own.optimizer == recipe.train.optimizer.model_copy(update={"steps": 7})
    assert own.loop.augment.brightness == 0.1
    assert own.loop.augment.symmetry == "flip"
    assert own.diffusion is None
    # half of one network and half of another is neither
    assert own.network.encoder.backbone is None
    assert own.network.decoder_width == 16
    assert from_struct(as_struct(recipe)) == recipe


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scratch": 5}, "key 'scratch'"),
        ({"pipeline": ["label_audit"]}, "no pipeline ['label_audit']"),
        ({"pipeline": None}, "no pipeline None"),
        ({"train": 5}, "key 'train'"),
    ],
)
def test_a_stray_value_in_place_of_a_section_is_named(changed, message):
    with pytest.raises(InvalidRecipe) as caught:
        parse_recipe(PARTIAL | changed)
    assert message in caught.value.message


@pytest.mark.parametrize("tiny", [5, ["a"], {5: 1}])
def test_a_small_form_that_is_no_set_of_keys_is_named(tmp_path, tiny):
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(PARTIAL | {"tiny": tiny}))
    with pytest.raises(InvalidRecipe, match=r"5|tiny"):
        load_recipe(path, tiny=True)


@pytest.mark.parametrize("name", ["coast", "rooms", "closet", "coast_audit"])
def test_tasks_get_their_sections(tmp_path, monkeypatch, name):
    recipe = load_recipe(name, folders=ALL_FOLDERS)
    body = as_struct(recipe)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sections = task_sections(body, tmp_path)
    assert sections["resolved"] == body
    assert sections["audit"] == body["audit"]
    if name == "coast_audit":
        assert "promote" not in sections
        return
    assert sections["scratch"] == as_struct(recipe).get("baselines", body)["scratch"]
    own = f"sqlite:///{tmp_path}/mlflow.db"
    assert sections["promote"] == body["promote"] | {"tracking_uri": own}
    # a password in the environment stays there; an address of the recipe's own comes first
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://u:pa55word@host")
    assert "pa55word" not in str(task_sections(body, tmp_path))
    body["promote"]["tracking_uri"] = "https://mine"
    assert task_sections(body, tmp_path)["promote"]["tracking_uri"] == "https://mine"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert task_sections(body, tmp_path)["promote"]["tracking_uri"] == "https://mine"


def test_a_drafted_recipe_fits_the_dataset(disc_folder: Path, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(draft_recipe(disc_folder))
    recipe = load_recipe(path)
    assert recipe.pretrain.task == "cover_map"
    assert set(recipe.train.tasks) == {"cover", "cover_map", "edge", "relief", "tags"}
    assert set(recipe.baselines.scratch.tasks) == {"cover", "edge", "relief", "tags"}
    assert recipe.dataset.uri == str(disc_folder)
    # nobody measured on this dataset what the denoiser brings, and it costs a pass a step
    assert recipe.train.diffusion is None


def test_annotators_that_a_dataset_names_are_compared(tmp_path):
    from goldseam.dataset.formats import open_source

    for name, header in (("named", "image,annotator,boat"), ("bare", "image,split,boat")):
        (tmp_path / f"{name}.csv").write_text(f"{header}\na,train,1\nb,train,0\n")
        data = open_source(tmp_path / f"{name}.csv", into=tmp_path / name)
        options = resolve_section("audit", draft_sections(data), [])
        assert options.errors.annotator == ("meta_annotator" if name == "named" else "")


def test_a_partial_draft_chooses_by_its_own_tasks(tmp_path):
    splits = {"train": scene_samples(8, 16), "validation": scene_samples(2, 16, first=50)}
    write_dataset(tmp_path / "d", scene_info(), splits)
    (tmp_path / "r.yaml").write_text(draft_recipe(tmp_path / "d"))
    # with fewer tasks, no metric is left behind that nobody has
    drafted = draft_sections(open_dataset(tmp_path / "d"))
    assert resolve_section("train", drafted, ["train.tasks=[depth]"]).loop.select == ()
    assert load_recipe(tmp_path / "r.yaml").train.tasks == ("regions", "depth", "normals", "edges")


@pytest.mark.parametrize(
    ("student", "own", "steps"), [(None, None, 50), (70, None, 120), (70, 30, 30)]
)
def test_the_plain_baseline_trains_as_long_as_model_and_student(student, own, steps):
    train: dict = {"tasks": ["depth"], "optimizer": {"steps": 50, "learning_rate": 0.5}}
    if student:
        train["student"] = {"steps": student}
    body: dict = {"pipeline": "partial_to_model", "dataset": {"uri": "d"}, "train": train}
    if own:
        body["scratch"] = {"optimizer": {"steps": own}}
    scratch = PartialRecipe.model_validate(body).scratch
    assert scratch.optimizer.steps == steps
    assert scratch.optimizer.learning_rate == 0.5
    assert scratch.student.steps == 0


TAGS = {"pipeline": "tags_to_model", "dataset": {"uri": "here"}}


def test_a_recipe_of_tags_needs_its_data_alone():
    recipe = parse_recipe(TAGS)
    assert isinstance(recipe, TagsRecipe)
    assert recipe.train.tasks == recipe.scratch.tasks == ("tags",)
    assert recipe.finetune.task == "tags"
    assert recipe.evaluate.baselines == ("trained", "scratch")
    assert from_struct(as_struct(recipe)) == recipe


def test_what_stands_at_the_top_of_a_recipe_of_tags_reaches_its_sections():
    top = {"seed": 5, "device": "cpu", "network": {"decoder_width": 8}}
    recipe = parse_recipe(TAGS | top)
    assert recipe.train.loop.seed == recipe.scratch.loop.seed == recipe.finetune.seed == 5
    assert recipe.train.network.decoder_width == recipe.scratch.network.decoder_width == 8
    sections = (recipe.train.loop, recipe.scratch.loop, recipe.finetune, recipe.evaluate)
    assert {section.device for section in sections} == {"cpu"}


def test_only_known_tags_teach_the_baseline_of_tags():
    strategy = {"name": "large_loss", "mode": "permanent", "rate": 0.01}
    train = {
        "tasks": ["findings"],
        "optimizer": {"steps": 9, "learning_rate": 0.003},
        "loss": {"tags": strategy, "weights": {"findings": 3}},
    }
    recipe = parse_recipe(TAGS | {"train": train})
    assert recipe.finetune.task == "findings"
    assert recipe.scratch.loss.tags.name == "ignore"
    # what else was chosen holds for both
    plain = recipe.scratch.loss.model_copy(update={"tags": recipe.train.loss.tags})
    assert plain == recipe.train.loss
    assert recipe.scratch.optimizer == recipe.train.optimizer
    # a strategy of the baseline's own is not mixed with that of the model
    own = parse_recipe(TAGS | {"train": train, "scratch": {"loss": {"tags": {"name": "splc"}}}})
    assert own.scratch.loss.tags.name == "splc"
    assert own.scratch.loss.weights == {"findings": 3}


def test_what_is_repaired_is_trained():
    with pytest.raises(InvalidRecipe) as caught:
        parse_recipe(TAGS | {"finetune": {"task": "labels"}})
    assert "recipe: finetune.task is 'labels', which train.tasks does not name: tags" in str(
        caught.value
    )
    both = TAGS | {"train": {"tasks": ["cover", "tags"]}}
    assert parse_recipe(both).finetune.task == "tags"


def test_numbers_of_an_option_survive_at_any_depth():
    def options(one, two):
        return {"build": "closet", "options": {"size": 64.0, "tag_scheme": {"a": one, "b": [two]}}}

    recipes = [parse_recipe(TAGS | {"dataset": options(*pair)}) for pair in ((1, 2), (1.0, 2.0))]
    assert recipes[0].digest == recipes[1].digest
    assert type(recipes[1].dataset.options["tag_scheme"]["b"][0]) is int
