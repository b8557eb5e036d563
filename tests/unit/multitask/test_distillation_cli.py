"""`goldseam distil` and `goldseam affinity` as a user types them."""

import json
from pathlib import Path

import pytest

STEPS = "distil.optimizer={steps: 3, batch_size: 4}"


def test_a_student_by_command(goldseam, disc_folder, disc_models, tmp_path):
    teacher, out = disc_models["pipeline"].parent, tmp_path / "student"
    command = ("distil", disc_folder, "--teacher", teacher, "--out", out, "--device", "cpu")
    code, text, err = goldseam(*command, "--set", STEPS, "--set", "distil.temperature=4")
    assert code == 0, err
    assert f"model {out / 'checkpoint'}" in text
    assert (
        json.loads((out / "checkpoint" / "config.json").read_text())["model"]["diffusion"] is None
    )
    code, _, err = goldseam(*command)
    assert code == 2
    assert "other inputs or options" in err


def test_affinity_by_command(goldseam, disc_folder, disc_models, tmp_path):
    model, out = disc_models["pipeline"].parent, tmp_path / "affinity"
    command = ("affinity", disc_folder, "--model", model, "--out", out, "--device", "cpu")
    code, text, err = goldseam(*command, "--set", "affinity.resamples=20")
    assert code == 0, err
    assert f"page {out / 'index.html'}" in text
    assert (out / "index.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message", "remedy"),
    [
        (("distil", "--set", "distil.temprature=2"), "no such key 'distil.temprature'", "--set"),
        (("distil", "--set", "distil.temperature=0"), "greater than 0", "--set"),
        (("affinity", "--set", "affinity.split=training"), "no split 'training'", "It has train"),
        (("affinity", "--single", "relief"), "has no '='", "TASK=DIR"),
    ],
)
def test_bad_options_are_one_message(
    goldseam, disc_folder, disc_models, tmp_path, *, arguments, message, remedy
):
    name, *rest = arguments
    model = ("--teacher" if name == "distil" else "--model", disc_models["pipeline"])
    code, _, err = goldseam(name, disc_folder, *model, "--out", tmp_path / "o", *rest)
    assert code == 2
    assert message in err
    assert remedy in err
    assert not (tmp_path / "o").exists()


def test_no_option_that_can_only_fail(goldseam, disc_folder, disc_models, tmp_path):
    # no pipeline has these stages, so that no recipe has their sections
    for name, option in (("distil", "--teacher"), ("affinity", "--model")):
        model = (option, disc_models["pipeline"])
        given = (name, disc_folder, *model, "--out", tmp_path / "o", "--recipe", "rooms")
        code, _, err = goldseam(*given)
        assert code == 2
        assert "No such option" in err
        assert "--recipe" in err


def test_a_recipe_without_the_section_names_those_that_have_it(goldseam, disc_folder, tmp_path):
    given = ("pretrain", disc_folder, "--out", tmp_path / "o", "--recipe", "rooms")
    code, _, err = goldseam(*given)
    assert code == 2
    assert "for partial_to_model, which has no section 'pretrain'" in err
    assert "Name a recipe for label_to_model, or leave --recipe out." in " ".join(err.split())


def test_a_folder_without_a_model(goldseam, disc_folder, tmp_path):
    for name, option in (("distil", "--teacher"), ("affinity", "--model")):
        code, _, err = goldseam(name, disc_folder, option, tmp_path, "--out", tmp_path / "o")
        assert code == 2
        assert Path(tmp_path).name in err
