from pathlib import Path

import numpy as np
import pytest

from goldseam.audit.errors.normal_slips import axis_changes
from goldseam.audit.errors.value_section import audit_values
from goldseam.audit.errors.value_slips import unit_factors
from goldseam.audit.errors.values import ValueErrors, ValuesConfig, value_errors
from goldseam.audit.findings import SCHEMA
from goldseam.audit.label_side import read_label_side
from goldseam.dataset.codecs import Array
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.errors import InvalidArray

SIZE = 24


def depths(seed: int, images: int = 40) -> tuple[list[Array], list[Array]]:
    """Rooms of 1.5 to 8 m, and predictions that are some 8 % off."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    labels, predictions = [], []
    for _ in range(images):
        shape = 1 + y * random.uniform(0.3, 1) + 0.3 * np.sin(6 * x + random.uniform(0, 6))
        label = random.uniform(1.5, 4) * shape
        labels.append(label.astype(np.float32))
        noise = random.normal(0, 0.08, shape.shape) + random.normal(0, 0.05)
        predictions.append((label * np.exp(noise)).astype(np.float32))
    return labels, predictions


def normals(seed: int, images: int = 40) -> tuple[list[Array], list[Array]]:
    """Facets that face the viewer (positive z), and predictions some degrees off."""
    random = np.random.default_rng(seed)
    labels, predictions = [], []
    for _ in range(images):
        facet = random.normal(0, 1, (3, 4, 4))
        facet[2] = np.abs(facet[2]) + 0.5
        label = np.kron(facet, np.ones((6, 6)))
        label /= np.linalg.norm(label, axis=0)
        seen = label + random.normal(0, 0.12, label.shape)
        labels.append(label)
        predictions.append(seen / np.linalg.norm(seen, axis=0))
    return labels, predictions


def slips(errors: ValueErrors) -> dict[int, str]:
    return {int(image): slip.name for slip in errors.slips for image in slip.image_M}


def suggestion(errors: ValueErrors, image: int) -> str | None:
    frame = errors.to_frame()
    value = frame.suggested[frame.image == image].item()
    return value if isinstance(value, str) else None


def test_clean_values_raise_no_alarm():
    labels, predictions = depths(0, 200)
    errors = value_errors(labels, predictions, unit="m")
    assert slips(errors) == {}
    assert errors.error_rate.value == 0
    assert 0 < errors.error_rate.high < 0.05


@pytest.mark.parametrize(
    ("unit", "factor"), [("mm", 1000), ("cm", 100), ("ft", 1 / 0.3048), ("km", 0.001)]
)
def test_another_unit_is_named(unit, factor):
    labels, predictions = depths(1)
    labels[7] = labels[7] * np.float32(factor)
    errors = value_errors(labels, predictions, unit="m")
    assert slips(errors) == {7: "unit"}
    assert f"look like {unit} instead of m" in errors.slips[0].evidence[0]
    assert suggestion(errors, 7) == f"value / {factor:.6g}"
    assert str(errors.slips[0].issue) == "wrong_unit"


def test_a_unit_that_is_no_length_knows_powers_of_ten_only():
    assert unit_factors("K", 1.5).keys() == {
        f"{factor:g} K" for factor in (0.001, 0.01, 0.1, 10, 100, 1000)
    }
    assert "yd" not in unit_factors("m", 1.5)  # too near to a meter to tell
    labels, predictions = depths(1)
    labels[7] = labels[7] * 100
    assert slips(value_errors(labels, predictions, unit="K")) == {7: "unit"}


def test_a_constant_factor_is_a_scale_slip():
    labels, predictions = depths(2)
    labels[4] = labels[4] * np.float32(1.8)
    errors = value_errors(labels, predictions, unit="m")
    assert slips(errors) == {4: "scale"}


def test_predictions_of_another_scale_throughout_are_no_slip():
    labels, predictions = depths(3)
    errors = value_errors(labels, [seen * 1000 for seen in predictions], unit="m")
    assert slips(errors) == {}


@pytest.mark.parametrize(
    ("turn", "mend"),
    [
        (lambda value: 1 / value, "1 / value"),
        (lambda value: value.max() + value.min() - value, " - value"),
        (lambda value: -value, "-value"),
    ],
)
def test_reversed_values_are_told_apart(turn, mend):
    labels, predictions = depths(4)
    labels[3] = turn(labels[3])
    errors = value_errors(labels, predictions, unit="m")
    assert slips(errors) == {3: "reversed"}
    assert suggestion(errors, 3).endswith(mend)
    assert str(errors.slips[0].issue) == "inverted_values"


def test_outliers_constants_and_gaps():
    labels, predictions = depths(5)
    labels[0] = np.full((SIZE, SIZE), 2.0, np.float32)
    labels[1] = np.random.default_rng(0).permutation(labels[1].ravel()).reshape(SIZE, SIZE)
    labels[2] = np.roll(labels[2], SIZE // 2, axis=0) + 4
    labels[3] = labels[3].copy()
    labels[3][:, : SIZE - 3] = np.nan
    labels[4] = np.full((SIZE, SIZE), np.nan, np.float32)
    errors = value_errors(labels, predictions, unit="m")
    assert slips(errors) == {0: "constant", 1: "outlier", 2: "outlier", 3: "invalid", 4: "empty"}
    assert errors.error_rate.value == pytest.approx(5 / 40)
    assert all(0 <= score <= 1 for slip in errors.slips for score in slip.score_M)


def test_saturation_is_told_from_a_range_that_all_images_fill():
    labels, _ = depths(6)
    flat = [np.clip(label, 0, 9).astype(np.float32) for label in labels]
    flat[2] = np.where(np.arange(SIZE) < 20, np.float32(9), flat[2])
    errors = value_errors(flat, unit="m")
    assert slips(errors) == {2: "saturated"}
    every = [np.where(np.arange(SIZE) < 20, np.float32(9), label) for label in flat]
    assert slips(value_errors(every, unit="m")) == {}


def test_what_most_labels_do_is_no_error():
    labels, _ = depths(7)
    labels[::3] = [np.full_like(label, label[0, 0]) for label in labels[::3]]
    assert slips(value_errors(labels, unit="m")) == {}


def test_units_show_without_predictions():
    labels, _ = depths(8)
    labels[5], labels[6], labels[7] = labels[5] * 1000, labels[6] * 1000, labels[7] * 0.001
    errors = value_errors(labels, unit="m")
    assert slips(errors) == {5: "unit", 6: "unit", 7: "unit"}
    assert suggestion(errors, 5) == "value / 1000"
    # wide variety is no gap
    random = np.random.default_rng(0)
    wide = [label * np.exp(random.normal(0, 2)) for label in labels[8:]]
    assert slips(value_errors(wide, unit="m")) == {}


def test_values_where_nobody_looked_change_nothing():
    labels, predictions = depths(9)
    labels[3] = labels[3] * 1000
    plain = value_errors(labels, predictions, unit="m")
    wild = np.full((SIZE, SIZE), 1e6, np.float32)
    errors = value_errors([*labels, None], [*predictions, wild], unit="m")
    assert slips(errors) == slips(plain)
    assert errors.error_rate == plain.error_rate
    # a pixel without a value is not read in the prediction either
    holes = [label.copy() for label in labels]
    for label in holes:
        label[:2] = np.nan
    poisoned = [seen.copy() for seen in predictions]
    for seen in poisoned:
        seen[:2] = -1e9
    for name, values in value_errors(holes, predictions, unit="m").statistics.items():
        other = value_errors(holes, poisoned, unit="m").statistics[name]
        np.testing.assert_array_equal(values, other)


def test_images_without_a_prediction_are_still_looked_at():
    labels, predictions = depths(10)
    labels[3] = np.full((SIZE, SIZE), 2.0, np.float32)
    some = [None if number % 2 else seen for number, seen in enumerate(predictions)]
    assert slips(value_errors(labels, some, unit="m")) == {3: "constant"}


def test_few_images_are_not_compared():
    labels, predictions = depths(11, 5)
    labels[0] = labels[0] * 1000
    assert slips(value_errors(labels, predictions, unit="m")) == {}


def test_large_images_are_sampled_the_same_way_each_time():
    labels, predictions = depths(12, 10)
    large = [np.kron(label, np.ones((8, 8), np.float32)) for label in labels]
    seen = [np.kron(array, np.ones((8, 8), np.float32)) for array in predictions]
    config = ValuesConfig(sample_pixels=500)
    first = value_errors(large, seen, config=config).statistics
    backwards = value_errors(large[::-1], seen[::-1], config=config).statistics
    for name, values in first.items():
        np.testing.assert_array_equal(values, backwards[name][::-1])


def test_clean_normals_raise_no_alarm():
    labels, predictions = normals(0, 100)
    assert slips(value_errors(labels, predictions, kind="normals")) == {}
    assert slips(value_errors(labels, kind="normals")) == {}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda n: n * np.array([-1, 1, 1])[:, None, None], "x flipped"),
        (lambda n: n * np.array([1, 1, -1])[:, None, None], "z flipped"),
        (lambda n: n[[1, 0, 2]], "x and y swapped"),
        (
            lambda n: n[[1, 0, 2]] * np.array([1, 1, -1])[:, None, None],
            "x and y swapped, z flipped",
        ),
    ],
)
@pytest.mark.parametrize("convention", [(1, 1, 1), (1, -1, -1)])
def test_changed_axes_are_named_whatever_the_convention(change, name, convention):
    labels, predictions = normals(1)
    labels[6] = change(labels[6])
    predictions = [seen * np.array(convention)[:, None, None] for seen in predictions]
    errors = value_errors(labels, predictions, kind="normals")
    assert slips(errors) == {6: "axes"}
    assert suggestion(errors, 6) == name


def test_random_normals_are_outliers_and_z_needs_no_prediction():
    labels, predictions = normals(2)
    labels[3] = np.random.default_rng(0).normal(0, 1, labels[3].shape)
    assert slips(value_errors(labels, predictions, kind="normals")) == {3: "outlier"}
    labels[3] = labels[4] * np.array([1, 1, -1])[:, None, None]
    alone = value_errors(labels, kind="normals")
    assert slips(alone) == {3: "facing"}
    assert suggestion(alone, 3) == "z flipped"


def test_angles_are_exact_near_zero():
    labels, _ = normals(3, 10)
    errors = value_errors(labels, [label.copy() for label in labels], kind="normals")
    # the arc cosine of rounded products would be some 1e-6 degrees off
    assert errors.statistics["angle"].max() < 1e-12


def test_axis_changes_are_all_forty_eight():
    matrices, names = axis_changes()
    assert len({matrix.tobytes() for matrix in matrices}) == len(set(names)) == 48
    np.testing.assert_array_equal(matrices[0], np.eye(3))
    assert names[0] == ""


@pytest.mark.parametrize(
    ("labels", "predictions", "kind", "message"),
    [
        ([np.ones((3, 4, 4))], None, "regression", r"shape \(3, 4, 4\)"),
        ([np.ones((4, 4))], None, "normals", r"shape \(4, 4\)"),
        ([np.ones((4, 4))], [np.ones((5, 4))], "regression", "the label has"),
        ([np.ones((4, 4))], [], "regression", "differ in number from image 0"),
        ([np.ones((4, 4))], [None, None], "regression", "differ in number from image 1"),
        ([np.full((4, 4), np.inf)], None, "regression", "labels, image 0: an infinite value"),
        ([np.ones((4, 4))], [np.full((4, 4), -np.inf)], "regression", "predictions, image 0"),
        ([None, None], None, "regression", "no image that somebody looked at"),
    ],
)
def test_bad_arrays_are_named(labels, predictions, kind, message):
    with pytest.raises(InvalidArray, match=message) as caught:
        value_errors(labels, predictions, kind=kind)
    assert caught.value.remedy


def test_groups_widen_the_interval():
    labels, predictions = depths(13)
    for number in range(8):
        labels[number] = labels[number] * 1000
    alone = value_errors(labels, predictions, unit="m").error_rate
    grouped = value_errors(
        labels, predictions, unit="m", groups=[number // 8 for number in range(40)]
    ).error_rate
    assert grouped.value == alone.value == pytest.approx(0.2)
    assert grouped.high - grouped.low > alone.high - alone.low


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels, _ = depths(14)
    labels[6] = labels[6] * 1000
    info = DatasetInfo(
        name="depths",
        tasks={"depth": Task(kind=Kind.REGRESSION, unit="m", encoding="tiff32", invalid=-1)},
    )
    out = tmp_path_factory.mktemp("depths") / "depths"

    def samples():
        for number, label in enumerate(labels):
            known = number % 5 > 0
            yield Sample(
                image_id=f"room-{number}",
                image=np.zeros((SIZE, SIZE, 3), np.uint8),
                group=f"house-{number // 4}",
                labels={"depth": label} if known else {},
                sources={"depth": "lidar" if number % 2 else "stereo"} if known else {},
            )

    write_dataset(out, info, {"train": samples()})
    return out


def test_the_section_names_image_source_and_mend(rooms):
    dataset = open_dataset(rooms)
    labels = read_label_side(dataset)
    images = [
        (row, record.labels["depth"], None)
        for row, record in enumerate(dataset.records("train"))
        if record.labels["depth"] is not None
    ]
    wild = (0, np.full((SIZE, SIZE), 1e9, np.float32), None)
    section = audit_values(labels, "depth", [wild, *images], ValuesConfig())
    assert section.findings.schema == SCHEMA
    (row,) = section.findings.to_pylist()
    assert (row["image_id"], row["source"], row["group"]) == ("room-6", "stereo", "house-1")
    assert (row["issue"], row["action"]) == ("wrong_unit", "convert")
    assert row["suggested"] == "value / 1000"
    assert [(e.source, e.labels, e.flagged) for e in section.errors] == [
        (None, 32, 1),
        ("lidar", 16, 0),
        ("stereo", 16, 1),
    ]
    assert section.errors[0].method == "robust statistics of the labels"
    assert section.errors[0].error_rate.value == pytest.approx(1 / 32)


def test_a_section_without_images_says_nothing(rooms):
    labels = read_label_side(open_dataset(rooms))
    section = audit_values(labels, "depth", [], ValuesConfig())
    assert section.findings.num_rows == 0
    assert section.errors[0].error_rate.value is None
