"""Every error says what happened and what to do about it."""

import inspect
from pathlib import Path

import pytest

from goldseam import errors
from goldseam.errors import GateClosed, GoldseamError, closest

MADE = [
    errors.MissingInput(Path("data/dataset.yaml"), "is not there"),
    errors.MissingInput("data", "cannot be read", "Ask its owner."),
    errors.InvalidDataset("train.parquet, row 3: mask is 4x4, expected 8x8.", remedy="Resize it."),
    errors.InvalidRecipe("recipe.yaml, line 2: no key 'stepz'.", remedy="Closest: steps."),
    errors.InvalidConfig("batch_size is 0.", remedy="Choose at least 1."),
    errors.DigestMismatch("train.parquet", "sha256:aa", "sha256:bb", "Restore the file."),
    errors.StorageFull("runs/coast"),
    errors.OutputExists("runs/coast", "it was made from other inputs"),
    errors.MissingExtra("kfp", "kubeflow", "Compiling a pipeline"),
    errors.StageFailed("train", "the loss is not finite", "Lower the learning rate."),
    errors.InvalidArray("probabilities, row 3", "1.2, expected 0 to 1", "Apply a sigmoid."),
    errors.GateClosed("promotion", ["cover.miou is 0.61", "tags.map is unknown"], "Train longer."),
    errors.Interrupted("train", 300, 1500),
]


def identify(error: GoldseamError) -> str:
    return type(error).__name__


def test_every_error_of_the_module_is_tried_here() -> None:
    classes = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, GoldseamError) and kind is not GoldseamError
    }
    assert classes == {type(error) for error in MADE}


@pytest.mark.parametrize("error", MADE, ids=identify)
def test_text_has_message_then_remedy(error: GoldseamError) -> None:
    assert error.message
    assert error.remedy
    assert str(error) == f"{error.message}\n  remedy: {error.remedy}"


@pytest.mark.parametrize("error", MADE, ids=identify)
def test_command_line_ends_with_code_2_or_like_a_process_that_sigterm_ended(
    error: GoldseamError,
) -> None:
    assert error.exit_code == (143 if isinstance(error, errors.Interrupted) else 2)


def test_an_error_without_a_remedy_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="remedy"):
        GoldseamError("something broke")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MADE[0], ["data/dataset.yaml", "is not there"]),
        (MADE[5], ["train.parquet", "sha256:aa", "sha256:bb", "Restore the file."]),
        (MADE[6], ["runs/coast", "no space left", "it was not written"]),
        (MADE[8], ["kfp", "pip install 'goldseam[kubeflow]'"]),
        (MADE[9], ["train", "the loss is not finite"]),
        (MADE[10], ["row 3", "1.2"]),
        (MADE[11], ["promotion", "cover.miou is 0.61", "tags.map is unknown"]),
        (MADE[12], ["train", "300", "1500"]),
    ],
    ids=lambda value: identify(value) if isinstance(value, GoldseamError) else "",
)
def test_text_names_what_the_error_was_given(error: GoldseamError, words: list[str]) -> None:
    assert [word for word in words if word not in str(error)] == []


def test_parts_stay_readable_by_programs() -> None:
    assert errors.StageFailed("train", "diverged", "…").stage == "train"
    assert errors.GateClosed("promotion", ["a", "b"], "…").reasons == ("a", "b")


@pytest.mark.parametrize(
    ("value", "known", "expected"),
    [
        ("stepz", ["seed", "steps", "tasks"], "steps"),
        ("lakes", {"lake": 0, "island": 1}, "lake"),
        (7, [1, 70, 23], "70"),
        ("xyzzy", ["water", "land"], "water, land"),
        ("anything", [], "none"),
    ],
)
def test_closest_names_the_nearest_word_or_all(value: object, known: object, expected: str) -> None:
    assert closest(value, known) == expected  # type: ignore[arg-type]


def test_an_error_of_a_worker_process_arrives_whole():
    import copy

    error = errors.DigestMismatch("a/b", "sha256:1", "sha256:2", "Fetch it again.")
    again = copy.copy(error)  # by the same protocol as between processes
    assert type(again) is errors.DigestMismatch
    assert str(again) == str(error)
    assert again.remedy == "Fetch it again."


def test_reasons_of_a_closed_gate_are_one_sentence() -> None:
    said = str(GateClosed("labels", ("a is low.", "b leaks."), "Mend them.").message)
    assert said == "gate 'labels' is closed: a is low; b leaks."


def test_a_word_that_is_known_twice_is_named_once() -> None:
    assert closest("zzz", ["tags", "tags", "cover"]) == "tags, cover"
