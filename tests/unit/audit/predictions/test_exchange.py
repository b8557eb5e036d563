"""Predictions go out and come back as they were; whatever is wrong with them is named."""

import numpy as np
import pytest

from goldseam.audit.errors.boxes import PredictedBoxes
from goldseam.audit.predictions.faults import InvalidPredictions
from goldseam.audit.predictions.layout import PredictionNotes
from goldseam.audit.predictions.opening import open_predictions
from goldseam.audit.predictions.pairing import labeled_predictions
from goldseam.audit.predictions.writing import write_predictions
from tests.unit.audit.predictions.kinds import (
    HEIGHT,
    WIDTH,
    write_parquet,
)


def probabilities(random, *shape):
    raw = random.random(shape).astype(np.float32)
    return raw / raw.sum(axis=0)


def one_of_each(seed: int) -> dict:
    random = np.random.default_rng(seed)
    normal_3HW = random.normal(size=(3, HEIGHT, WIDTH)).astype(np.float32)
    return {
        "cover": probabilities(random, 3, HEIGHT, WIDTH),
        "edge": random.random((HEIGHT, WIDTH), np.float32),
        "front": random.random((HEIGHT, WIDTH), np.float32),
        "relief": random.normal(100, 5, (HEIGHT, WIDTH)).astype(np.float32),
        "normal": normal_3HW / np.linalg.norm(normal_3HW, axis=0),
        "objects": PredictedBoxes(
            np.array([[0, 1, 3, 4], [2, 2, 8, 6]], np.float32)[: seed % 3],
            np.array([1, 0], np.int32)[: seed % 3],
            np.array([0.9, 0.25], np.float32)[: seed % 3],
        ),
        "tags": random.random(2).astype(np.float32),
    }


@pytest.fixture
def written(data, tmp_path):
    """Predictions of images 4, 1 and 0, in this order; image 1 has no tags and no map."""
    made = {number: one_of_each(number) for number in (4, 1, 0)}
    made[1]["tags"] = made[1]["cover"] = None
    notes = PredictionNotes(out_of_fold=True, made_by="a test")
    with write_predictions(tmp_path / "p", data.info, list(made[0]), notes) as writer:
        for number, predictions in made.items():
            writer.add(f"i{number}", predictions)
    return made, open_predictions(tmp_path / "p", data.info)


def test_tags_come_back_in_the_order_of_the_dataset(written, labels):
    made, predictions = written
    found_NC = predictions.probabilities(labels, "tags")
    assert found_NC.dtype == np.float32
    np.testing.assert_array_equal(found_NC[[0, 4]], [made[0]["tags"], made[4]["tags"]])
    assert np.isnan(found_NC[[1, 2, 3]]).all()


@pytest.mark.parametrize(
    ("task", "tolerance"),
    [("cover", 1 / 500), ("edge", 1 / 500), ("front", 1 / 500), ("relief", 0.06), ("normal", 2e-3)],
)
def test_maps_come_back_within_their_rounding(written, labels, task, tolerance):
    made, predictions = written
    found = dict(predictions.dense(labels, task))
    assert list(found) == ([4, 0] if task == "cover" else [4, 1, 0])
    for position, predicted in found.items():
        assert predicted.dtype == np.float32
        np.testing.assert_allclose(predicted, made[position][task], atol=tolerance)


def test_boxes_come_back(written, labels):
    made, predictions = written
    found = dict(predictions.boxes(labels, "objects"))
    assert [(position, len(boxes)) for position, boxes in found.items()] == [(4, 1), (1, 1), (0, 0)]
    for position, boxes in found.items():
        for name in ("corners_M4", "category_M", "score_M"):
            expected = getattr(made[position]["objects"], name)
            np.testing.assert_array_equal(getattr(boxes, name), expected)


def test_what_is_said_about_predictions_comes_back(written, labels):
    _, predictions = written
    assert predictions.out_of_fold
    assert predictions.notes.made_by == "a test"
    assert "words" not in predictions.tasks
    matched = predictions.match(labels)
    assert (matched.predicted, matched.missing, matched.foreign) == (3, 2, 0)


def test_labels_stand_beside_their_predictions(written, labels, data):
    made, predictions = written
    pairs = list(labeled_predictions(data, labels, predictions, "edge"))
    # image 4 carries no label
    assert [position for position, _, _ in pairs] == [0, 1]
    for position, label_HW, predicted_HW in pairs:
        assert label_HW.shape == (HEIGHT, WIDTH)
        np.testing.assert_allclose(predicted_HW, made[position]["edge"], atol=1 / 500)


def test_predictions_are_not_out_of_fold_unless_somebody_says_so(tmp_path, data):
    write_parquet(tmp_path, tags=[[0.5, 0.5]])
    assert not open_predictions(tmp_path, data.info).out_of_fold


def test_a_failing_writer_leaves_nothing(tmp_path, data):
    with (
        pytest.raises(InvalidPredictions, match="image 'i0', task 'tags'"),
        write_predictions(tmp_path / "p", data.info, ["tags"]) as writer,
    ):
        writer.add("i0", {"tags": np.array([0.5, 2.0])})
    assert not list(tmp_path.iterdir())


def test_a_writer_takes_no_other_task(tmp_path, data):
    with (
        pytest.raises(InvalidPredictions, match="task 'edge'") as caught,
        write_predictions(tmp_path / "p", data.info, ["tags"]) as writer,
    ):
        writer.add("i0", {"edge": np.zeros((HEIGHT, WIDTH))})
    assert "'tags'" in caught.value.remedy
    with (
        pytest.raises(InvalidPredictions, match="caption"),
        write_predictions(tmp_path / "q", data.info, ["words"]),
    ):
        pass
