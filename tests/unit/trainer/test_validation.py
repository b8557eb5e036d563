"""How one number is made of many metrics, and that normals are scored like every other task."""

import numpy as np
import pytest
import torch

from goldseam.dataset.loading import evaluation_batches
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import InvalidConfig
from goldseam.metrics import NormalsMetric, RegressionMetric, SaliencyMetric
from goldseam.models.outputs import Preprocessing
from goldseam.trainer.validation import score, selection_score

KNOWN = np.array([True])
FACING = Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer")


def turned(degrees):
    """A metric of normals that are off by so many degrees everywhere."""
    angle = np.radians(degrees)
    metric = NormalsMetric()
    prediction = np.array([np.sin(angle), 0.0, np.cos(angle)])[None, :, None, None]
    metric.update(prediction, np.array([0.0, 0.0, 1.0])[None, :, None, None], KNOWN, ["a"])
    return metric


def off_by(error, unit="m"):
    metric = RegressionMetric(unit, relative=True)
    metric.update([[[2.0 + error]]], [[[2.0]]], KNOWN, ["a"])
    return metric


@pytest.mark.parametrize(("degrees", "expected"), [(0, 1.0), (22.5, 0.75), (90, 0.0), (180, -1.0)])
def test_an_angle_counts_against_the_mean_of_random_directions(degrees, expected):
    assert selection_score({"facing": turned(degrees)}, (), {}) == pytest.approx(expected)
    chosen = selection_score({"facing": turned(degrees)}, ("facing.median",), {})
    assert chosen == pytest.approx(expected, abs=1e-3)


def test_random_directions_are_ninety_degrees_off_on_average():
    random = np.random.default_rng(0)
    metric = NormalsMetric()
    metric.update(*random.normal(size=(2, 1, 3, 200, 200)), KNOWN, ["a"])
    assert selection_score({"facing": metric}, (), {}) == pytest.approx(0.0, abs=0.01)


def test_shares_and_values_keep_their_own_scales():
    metrics = {"facing": turned(10), "depth": off_by(0.5), "tilt": off_by(0.5, "degree")}
    spreads = {"depth": (2.0, 2.0), "tilt": (0.0, 5.0)}

    def alone(name):
        return selection_score(metrics, (name,), spreads)

    assert alone("facing.within_11_25") == 1.0
    assert alone("depth.mae") == pytest.approx(1 - 0.5 / 2)
    assert alone("depth.abs_rel") == pytest.approx(1 - 0.25)
    # an angle that is a value and not a normal has the spread of its labels
    assert alone("tilt.mae") == pytest.approx(1 - 0.5 / 5)
    every = selection_score(metrics, (), spreads)
    assert every == pytest.approx((1 - 10 / 90 + 0.75 + 0.9) / 3)


def test_what_no_label_tells_has_no_part():
    metrics = {"facing": turned(9), "salient": SaliencyMetric()}
    assert selection_score(metrics, (), {}) == pytest.approx(0.9)
    assert selection_score({"salient": SaliencyMetric()}, (), {}) is None


def test_a_metric_that_is_not_there_is_named():
    with pytest.raises(InvalidConfig, match=r"facing\.meen") as error:
        selection_score({"facing": turned(9)}, ("facing.meen",), {})
    assert "facing.mean" in error.value.remedy


class Upright(torch.nn.Module):
    """Predicts that everything faces the viewer."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.tasks = {"facing": FACING}
        self.preprocessing = Preprocessing()

    def predict(self, images_B3HW, *, initial=False):  # noqa: ARG002 (as the model's)
        facing_B3HW = torch.zeros_like(images_B3HW)
        facing_B3HW[:, 2] = 1.0
        return {"facing": facing_B3HW}


def test_predicted_unit_vectors_are_scored_where_normals_are_known(tmp_path):
    facing_3HW = np.zeros((3, 8, 8), np.float32)
    facing_3HW[2, :4] = facing_3HW[0, 4:6] = 1.0
    # nobody could measure the last two rows
    facing_3HW[:, 6:] = np.nan
    samples = [
        Sample(
            image_id=f"image-{number}",
            image=np.zeros((8, 8, 3), np.uint8),
            group=f"group-{number}",
            labels={"facing": facing_3HW} if number else {},
            sources={"facing": "human"} if number else {},
        )
        for number in range(3)
    ]
    info = DatasetInfo(name="walls", tasks={"facing": FACING})
    write_dataset(tmp_path / "walls", info, {"validation": samples})
    dataset = open_dataset(tmp_path / "walls")
    batches = evaluation_batches(dataset, "validation", ["facing"], 2)
    metric = score(Upright(), batches, info.tasks)["facing"]
    assert metric.groups == ["group-1", "group-2"]
    scores = metric.compute()
    assert scores["mean"] == pytest.approx((4 * 0 + 2 * 90) / 6, abs=0.01)
    assert scores["within_30"] == pytest.approx(4 / 6)
