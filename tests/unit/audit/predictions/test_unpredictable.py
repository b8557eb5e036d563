"""What cannot be predicted is left out and said; the rest is predicted."""

import numpy as np
import pytest

from goldseam.audit.label_side import read_label_side
from goldseam.audit.predictions.embeddings import embeddings_of
from goldseam.audit.predictions.job import base_rates, prepare
from goldseam.audit.predictions.opening import open_predictions
from goldseam.audit.predictions.stage import crossfit
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import InvalidConfig, InvalidDataset, MissingInput
from tests.unit.audit.predictions.options import config


def blank(number: int, group: str, labels: dict, size: int = 16, image=True) -> Sample:
    random = np.random.default_rng(number)
    return Sample(
        image_id=f"b{number}",
        image=random.integers(0, 255, (size, size, 3), np.uint8) if image else None,
        group=group,
        labels=labels,
        sources=dict.fromkeys(labels, "human"),
        size=(size, size),
    )


def tagged(tmp_path, states: list[tuple[int, ...]], **more):
    """One image a row, each in a group of its own, with these tags."""
    names = tuple(f"c{number}" for number in range(len(states[0])))
    info = DatasetInfo(
        name="blanks",
        tasks={
            "tags": Task(kind=Kind.TAGS, categories=names),
            "words": Task(kind=Kind.CAPTION),
            "cover": Task(kind=Kind.SEGMENTATION, categories=("a", "b")),
        },
    )
    cover = more.pop("cover", {})
    rows = [
        blank(
            number,
            more.get("group", f"g{number}"),
            {"tags": np.array(state, np.int8)} | cover.get(number, {}),
            size=more.get("sizes", {}).get(number, 16),
            image=number not in more.get("without", ()),
        )
        for number, state in enumerate(states)
    ]
    write_dataset(tmp_path / "data", info, {"train": rows})
    return open_dataset(tmp_path / "data")


def test_tasks_that_cannot_be_predicted_say_why(tmp_path):
    mask = {"cover": np.zeros((16, 16), np.uint8)}
    dataset = tagged(tmp_path, [(1,), (0,), (1,), (0,)], cover={2: mask})
    job = prepare(config(), dataset, read_label_side(dataset))
    assert job.tasks == ("tags",)
    assert "caption" in job.skipped["words"]
    assert "one group" in job.skipped["cover"]


def test_a_category_of_one_state_is_predicted_by_its_base_rate(tmp_path):
    """c0 is only ever present, c1 is unknown everywhere, c2 is known both ways."""
    states = [(1, -1, number % 2) for number in range(9)]
    dataset = tagged(tmp_path, states)
    result = crossfit(config(steps=2), dataset, tmp_path / "out")
    side = read_label_side(dataset)
    job = prepare(config(), dataset, side)
    probability_NC = open_predictions(result.folder, dataset.info).probabilities(side, "tags")
    assert set(result.skipped) == {"words", "cover", "tags.c0", "tags.c1"}
    for fold in range(3):
        known = int(job.others(fold).sum())
        assert base_rates(job, "tags", fold) == {0: (known + 0.5) / (known + 1), 1: 0.5}
        inside_MC = probability_NC[job.fold_N == fold]
        np.testing.assert_allclose(inside_MC[:, 0], (known + 0.5) / (known + 1))
        np.testing.assert_allclose(inside_MC[:, 1], 0.5)
    assert result.scores["tags.map"] is not None
    # nothing is known of c1, so it has no part in any score
    assert result.scores["tags.log_loss"] < 1


def test_nothing_to_predict_is_one_error(tmp_path):
    alone = tagged(tmp_path, [(1,), (0,)], group="one")
    with pytest.raises(InvalidConfig, match="no task of dataset 'blanks'") as caught:
        crossfit(config(), alone, tmp_path / "out")
    assert "tags: all of its labels stand in one group" in caught.value.message
    assert "--predictions" in caught.value.remedy
    assert not (tmp_path / "out.partial").exists()


def test_images_without_a_stored_picture_are_left_out(tmp_path):
    dataset = tagged(tmp_path, [(number % 2,) for number in range(8)], without={2, 5})
    result = crossfit(config(steps=2), dataset, tmp_path / "out")
    side = read_label_side(dataset)
    assert result.images == 6
    missing = np.isnan(open_predictions(result.folder, dataset.info).probabilities(side, "tags"))
    assert np.flatnonzero(missing[:, 0]).tolist() == [2, 5]
    assert np.isnan(embeddings_of(side, result.folder)).any(axis=1).nonzero()[0].tolist() == [2, 5]


def test_images_of_different_sizes_are_stretched(tmp_path):
    sizes = {0: 16, 1: 24, 2: 40, 3: 16, 4: 20, 5: 64}
    masks = {
        number: {"cover": np.arange(size * size).reshape(size, size).astype(np.uint8) % 2}
        for number, size in sizes.items()
    }
    dataset = tagged(tmp_path, [(n % 2,) for n in range(6)], sizes=sizes, cover=masks)
    result = crossfit(config(steps=2, image_px=32), dataset, tmp_path / "out")
    side = read_label_side(dataset)
    found = dict(open_predictions(result.folder, dataset.info).dense(side, "cover"))
    assert {number: values.shape for number, values in found.items()} == {
        number: (2, size, size) for number, size in sizes.items()
    }
    assert result.scores["cover.log_loss"] is not None


def test_a_wrong_request_is_refused(tmp_path, disc_data):
    with pytest.raises(InvalidConfig, match="no checkpoint"):
        crossfit(config(features="checkpoint"), disc_data, tmp_path / "out")
    with pytest.raises(InvalidDataset, match="no task 'covr'") as caught:
        crossfit(config(tasks=("covr",)), disc_data, tmp_path / "out")
    assert "cover" in caught.value.remedy
    with pytest.raises(MissingInput):
        crossfit(config(), disc_data, tmp_path / "out", checkpoint=tmp_path / "none")
    with pytest.raises(ValueError, match="features"):
        config(features="resnet")
    with pytest.raises(ValueError, match="penalties"):
        config(penalties=())
    assert not list(tmp_path.iterdir())
