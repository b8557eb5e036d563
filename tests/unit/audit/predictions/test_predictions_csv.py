"""Probabilities of tags in one CSV file."""

import numpy as np
import pytest

from goldseam.audit.predictions.faults import InvalidPredictions
from goldseam.audit.predictions.opening import open_predictions
from goldseam.errors import GoldseamError
from tests.unit.audit.predictions.kinds import read_all


def write_csv(path, text: str):
    path.write_text(text)
    return path


def test_a_csv_is_matched_by_the_names_of_its_columns(tmp_path, data, labels):
    path = write_csv(tmp_path / "p.csv", "image_id,bar,disk\ni4,0.25,1\ni0,,\ni1,0,0.5\n")
    predictions = open_predictions(path, data.info)
    assert predictions.tasks == ("tags",)
    assert not predictions.out_of_fold
    found_NC = predictions.probabilities(labels, "tags")
    np.testing.assert_array_equal(found_NC[[4, 1]], [[1, 0.25], [0.5, 0]])
    assert np.isnan(found_NC[[0, 2, 3]]).all()
    assert predictions.match(labels).predicted == 3


CSV_FAULTS = {
    "above one": (
        "image_id,disk,bar\ni0,0.5,0.5\ni1,0.5,1.5\n",
        ["line 3", "'i1'", "1.5", "'bar'"],
    ),
    "nan": ("image_id,disk,bar\ni0,nan,0.5\n", ["line 2", "nan"]),
    "text": ("image_id,disk,bar\ni0,0.5,0.5\ni1,yes,0.5\n", ["line 3", "'disk'", "'yes'"]),
    "one empty cell": ("image_id,disk,bar\ni0,0.5,\n", ["line 2", "'bar'", "empty"]),
    "other column": ("image_id,disc,bar\ni0,0.5,0.5\n", ["'disc'", "'disk'", "task 'tags'"]),
    "missing column": ("image_id,disk\ni0,0.5\n", ["'bar' are missing"]),
    "no id": ("image,disk,bar\ni0,0.5,0.5\n", ["expected one 'image_id'"]),
    "ragged": ("image_id,disk,bar\ni0,0.5\n", ["line 2"]),
}


@pytest.mark.parametrize("name", CSV_FAULTS)
def test_a_fault_of_a_csv_says_where_it_is(name, tmp_path, data, labels):
    text, words = CSV_FAULTS[name]
    path = write_csv(tmp_path / "p.csv", text)
    with pytest.raises(InvalidPredictions) as caught:
        read_all(path, data.info, labels)
    assert str(path) in caught.value.message
    for word in words:
        assert word in caught.value.message, caught.value.message
    assert caught.value.remedy


def test_a_csv_for_two_tasks_needs_a_name(tmp_path, data):
    tags = data.info.tasks["tags"]
    twins = data.info.model_copy(update={"tasks": {"tags": tags, "machine": tags}})
    path = write_csv(tmp_path / "p.csv", "image_id,bar,disk\ni4,0.25,1\n")
    with pytest.raises(InvalidPredictions, match="several tasks"):
        open_predictions(path, twins)
    assert open_predictions(path, twins, task="machine").tasks == ("machine",)
    with pytest.raises(InvalidPredictions, match="no tags task 'machines'") as caught:
        open_predictions(path, twins, task="machines")
    assert "machine" in caught.value.remedy
    with pytest.raises(GoldseamError, match="cannot be read"):
        open_predictions(tmp_path / "none.csv", data.info)
