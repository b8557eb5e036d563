"""A dataset with enough known tags to repair a small model, and options that are quick."""

from pathlib import Path

import pytest

from goldseam.dataset.reading import Dataset, open_dataset
from goldseam.dataset.writing import write_dataset
from tests.conftest import disc_info, discs

OPTIONS = {"minimum_known": 3, "folds": 2, "resamples": 20, "held_out": ""}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Enough known tags on every split to fit, calibrate and compare."""
    out = tmp_path_factory.mktemp("many") / "d"
    splits = {
        "train": discs(11, 90, partial=False),
        "validation": discs(12, 60, partial=False),
        "test": discs(13, 40, partial=False),
    }
    write_dataset(out, disc_info(), splits)
    return open_dataset(out)


@pytest.fixture(scope="module")
def model(disc_models: dict[str, Path]) -> Path:
    return disc_models["pipeline"]
