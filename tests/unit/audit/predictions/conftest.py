"""Five images of a dataset with a task of every kind."""

import numpy as np
import pytest

from goldseam.audit.label_side import read_label_side
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from tests.unit.audit.predictions.kinds import COVER, HEIGHT, IMAGES, OBJECTS, TAGS, WIDTH


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Five images with a label of every kind on the first two."""
    info = DatasetInfo(
        name="kinds",
        tasks={
            "cover": Task(kind=Kind.SEGMENTATION, categories=COVER),
            "edge": Task(kind=Kind.BOUNDARY),
            "front": Task(kind=Kind.SALIENCY),
            "relief": Task(kind=Kind.REGRESSION, unit="m", scale=1 / 256),
            "normal": Task(kind=Kind.NORMALS, axes="x right, y up, z towards the viewer"),
            "objects": Task(kind=Kind.DETECTION, categories=OBJECTS),
            "tags": Task(kind=Kind.TAGS, categories=TAGS),
            "words": Task(kind=Kind.CAPTION),
        },
    )
    up_3HW = np.zeros((3, HEIGHT, WIDTH), np.float32)
    up_3HW[2] = 1
    every = {
        "cover": np.ones((HEIGHT, WIDTH), np.uint8),
        "edge": np.zeros((HEIGHT, WIDTH), np.uint8),
        "front": np.zeros((HEIGHT, WIDTH), np.uint8),
        "relief": np.full((HEIGHT, WIDTH), 2.0, np.float32),
        "normal": up_3HW,
        "objects": Boxes.empty(),
        "tags": np.array([1, -1], np.int8),
        "words": "a disk",
    }
    samples = [
        Sample(
            image_id=f"i{number}",
            image=np.zeros((HEIGHT, WIDTH, 3), np.uint8),
            group=f"g{number}",
            labels=every if number < 2 else {},
            sources=dict.fromkeys(every, "human") if number < 2 else {},
        )
        for number in range(IMAGES)
    ]
    out = tmp_path_factory.mktemp("data") / "kinds"
    write_dataset(out, info, {"train": samples[:3], "test": samples[3:]})
    return open_dataset(out)


@pytest.fixture(scope="module")
def labels(data):
    return read_label_side(data)
