"""The command line as a user types it: one message, a remedy, exit code 2."""

import json

import pytest


def test_help_names_every_command(goldseam):
    code, out, _ = goldseam("--help")
    assert code == 0
    for command in ("run", "compile", "dataset", "recipe", "validate", "audit", "pretrain",
                    "train", "finetune", "evaluate", "promote", "distil", "affinity", "predict",
                    "export"):  # fmt: skip
        assert command in out


def test_version(goldseam):
    from goldseam import __version__

    assert goldseam("--version") == (0, f"goldseam {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message", "remedy"),
    [
        (("dataset", "check", "nowhere"), "nowhere", "dataset build"),
        (("audit", "nowhere", "--out", "o"), "dataset.yaml", "dataset build"),
        (("run", "cost"), "is no recipe", "coast"),
        (
            ("recipe", "check", "coast", "--set", "trian=1"),
            "no such key 'trian'",
            "goldseam recipe",
        ),
        (("dataset", "build", "coats", "--out", "o"), "no example dataset", "coast"),
        (("evaluate", "DIR", "--model", "x", "--out", "o"), "has no '='", "NAME=DIR"),
    ],
)
def test_bad_input_is_one_message_a_remedy_and_exit_code_2(
    goldseam, tmp_path, monkeypatch, arguments, message, remedy
):
    monkeypatch.chdir(tmp_path)
    code, _, err = goldseam(*arguments)
    assert code == 2
    assert message in err
    assert remedy in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback(goldseam):
    from goldseam.errors import MissingInput

    with pytest.raises(MissingInput):
        goldseam("dataset", "check", "nowhere", "--debug")


def test_check_and_show(goldseam, disc_folder, tmp_path):
    code, out, _ = goldseam("dataset", "check", disc_folder)
    assert (code, out) == (0, f"{disc_folder}: no problem found\n")
    code, out, _ = goldseam("dataset", "show", disc_folder, "--sheet", tmp_path / "sheet.png")
    assert code == 0
    assert "unknown" in out
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_a_damaged_shard_is_named(goldseam, disc_folder, tmp_path):
    import shutil

    shutil.copytree(disc_folder, tmp_path / "d")
    shard = next((tmp_path / "d").glob("train*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-10])
    for command in (("dataset", "check", tmp_path / "d"), ("audit", tmp_path / "d", "--out", "o")):
        code, out, err = goldseam(*command)
        assert code == 2
        assert shard.name in out + err


def test_recipes_are_shown_checked_and_drafted(goldseam, disc_folder, tmp_path):
    code, out, _ = goldseam("recipe", "show", "coast")
    assert code == 0
    assert "learning_rate" in out
    file = tmp_path / "recipe.yaml"
    assert goldseam("recipe", "init", disc_folder, "--out", file)[0] == 0
    code, out, _ = goldseam("recipe", "check", file)
    assert code == 0
    assert "in order" in out
    code, _, err = goldseam("recipe", "init", disc_folder, "--out", file)
    assert code == 2
    assert "not overwritten" in err


def test_finetune_and_evaluate_alone(goldseam, disc_folder, disc_models, tmp_path):
    pipeline = disc_models["pipeline"]
    code, out, err = goldseam(
        "finetune", disc_folder, "--model", pipeline, "--out", tmp_path / "f",
        "--set", "finetune.minimum_known=3", "--set", "finetune.folds=2",
    )  # fmt: skip
    assert code == 0, err
    assert "kept" in out
    code, out, err = goldseam(
        "evaluate", disc_folder, "--model", f"pipeline={tmp_path / 'f'}",
        "--model", f"noisy_direct={disc_models['noisy_direct']}", "--out", tmp_path / "e",
        "--set", "evaluate.intervals.resamples=10",
    )  # fmt: skip
    assert code == 0, err
    assert "cover.miou" in out
    body = json.loads((tmp_path / "e" / "result.json").read_text())
    assert set(body["models"]) == {"pipeline", "noisy_direct"}


def test_compile_writes_a_pipeline_for_a_cluster(goldseam, tmp_path):
    file = tmp_path / "pipeline.yaml"
    code, out, err = goldseam("compile", "label_to_model", "--out", file)
    assert code == 0, err
    assert str(file) in out
    assert "label-to-model" in file.read_text()
    code, _, err = goldseam("compile", "--out", file, "--image", "some/image:latest")
    assert code == 2
    assert "sha256" in err


def test_a_dataset_without_a_noisy_task_can_be_audited_and_validated(goldseam, tmp_path):
    from goldseam.dataset.schema import DatasetInfo, Kind, Task
    from goldseam.dataset.writing import Sample, write_dataset
    from tests.conftest import discs

    info = DatasetInfo(
        name="plain", tasks={"tags": Task(kind=Kind.TAGS, categories=("a", "b", "c"))}
    )
    samples = [
        Sample(
            image_id=s.image_id,
            image=s.image,
            group=s.group,
            labels={"tags": s.labels["tags"]},
            sources={"tags": "human"},
        )
        for s in discs(4, 6, partial=False)
    ]
    write_dataset(tmp_path / "d", info, {"train": samples})
    code, out, err = goldseam(
        "audit", tmp_path / "d", "--out", tmp_path / "a", "--set", "audit.measure.noise.band=3"
    )
    assert code == 0, err
    assert "All 6 training images carry a label of tags." in out
    code, _, err = goldseam(
        "validate", tmp_path / "d", "--out", tmp_path / "v", "--set", "validate.minimum_known=100"
    )
    assert code == 2
    assert "gate 'data' is closed" in err
    code, _, err = goldseam(
        "audit", tmp_path / "d", "--out", tmp_path / "b", "--set", "audit.plann.simulate=false"
    )
    assert code == 2
    assert "closest: plan" in err
    code, _, err = goldseam("recipe", "init", tmp_path / "d", "--out", tmp_path / "r.yaml")
    assert code == 0, err
    code, out, err = goldseam("recipe", "check", tmp_path / "r.yaml")
    assert code == 0, err
    assert "pipeline: tags_to_model" in (tmp_path / "r.yaml").read_text()
    # it has no split to be scored on, which is said before an hour of training
    code, _, err = goldseam("run", tmp_path / "r.yaml", "--out", tmp_path / "run")
    assert code == 2
    assert "evaluate.split: the dataset 'plain' has no split 'test'" in err
    assert not (tmp_path / "run").exists()
