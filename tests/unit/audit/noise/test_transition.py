"""Transition matrices for losses, and rates where there is no clean label."""

import json

import numpy as np
import pytest

from goldseam.audit.noise.estimated import rates_from_matrices
from goldseam.audit.noise.matrices import measured_matrix
from goldseam.audit.noise.transition import read_transition, transition_matrix
from goldseam.errors import InvalidConfig, MissingInput
from goldseam.results import AuditResult, Estimate, LabelErrors, NoiseMatrix

COUNTS_33 = np.array([[80, 20, 0], [5, 45, 0], [0, 0, 0]])
COVER = ("sea", "land", "lake")
MEASURED = measured_matrix("cover_map", COVER, COUNTS_33, category=None, part="all")
TAGS = NoiseMatrix(
    task="tags",
    category="lake",
    part="all",
    method="estimated",
    labels=1000,
    categories=("absent", "present"),
    joint=((0.68, 0.02), (0.06, 0.24)),
    transition=((0.68 / 0.7, 0.02 / 0.7), (0.2, 0.8)),
)
BOXES = NoiseMatrix(
    task="objects",
    category=None,
    part="all",
    method="estimated",
    labels=200,
    categories=("island", "ship", "nothing"),
    joint=((0.5, 0.05, 0.1), (0.0, 0.3, 0.0), (0.05, 0.0, None)),
    transition=((0.77, 0.08, 0.15), (0.0, 1.0, 0.0), (None, None, None)),
)


def audit_result(*matrices):
    return AuditResult(
        key="k",
        digest="d",
        dataset="bays",
        version="1",
        dataset_digest="e",
        rows={"train": 1},
        matrices=matrices,
    )


def test_rows_are_posterior_means():
    found_33 = transition_matrix([MEASURED], "cover_map", prior_strength=10)
    assert found_33.dtype == np.float64
    assert np.allclose(found_33[0], [90 / 110, 20 / 110, 0])
    assert np.allclose(found_33[1], [5 / 60, 55 / 60, 0])
    assert found_33[2].tolist() == [0, 0, 1]  # no evidence
    assert np.allclose(found_33.sum(axis=1), 1)


def test_without_a_prior_rows_are_the_rates():
    found_33 = transition_matrix([MEASURED], "cover_map", prior_strength=0)
    assert np.allclose(found_33[:2], [[0.8, 0.2, 0], [0.1, 0.9, 0]])
    assert found_33[2].tolist() == [0, 0, 1]


def test_tags_have_a_matrix_for_each_category():
    found_22 = transition_matrix([TAGS, MEASURED], "tags", category="lake", prior_strength=0)
    assert np.allclose(found_22, [[0.68 / 0.7, 0.02 / 0.7], [0.2, 0.8]])


def test_nothing_is_no_category_of_a_classifier():
    found_22 = transition_matrix([BOXES], "objects", prior_strength=0)
    assert np.allclose(found_22, [[10 / 11, 1 / 11], [0, 1]])


def test_measured_is_taken_before_estimated():
    estimated = NoiseMatrix(
        **{**MEASURED.__dict__, "method": "estimated", "joint": TAGS.joint, "labels": 4}
    )
    first = transition_matrix([estimated, MEASURED], "cover_map")
    assert (first == transition_matrix([MEASURED], "cover_map")).all()


def test_forward_correction_recovers_the_clean_posterior():
    """The loss of Patrini et al. is lowest at the clean posterior where T is the true one."""
    noise_33 = transition_matrix([MEASURED], "cover_map", prior_strength=0)
    clean_3 = np.array([0.6, 0.3, 0.1])
    given_3 = clean_3 @ noise_33

    def loss(p_3):
        return -(given_3 * np.log(p_3 @ noise_33)).sum()

    random = np.random.default_rng(0)
    for _ in range(50):
        assert loss(clean_3) <= loss(random.dirichlet(np.ones(3))) + 1e-12
    # plain cross-entropy would rather have the noisy posterior
    assert -(given_3 * np.log(given_3)).sum() < -(given_3 * np.log(clean_3)).sum()


def test_round_trip_through_the_result_and_through_audit_json(tmp_path):
    result = audit_result(MEASURED, TAGS, BOXES)
    expected = transition_matrix(result.matrices, "cover_map")
    assert (read_transition(result, "cover_map") == expected).all()
    written = result.write(tmp_path)
    assert (read_transition(AuditResult.read(written.folder), "cover_map") == expected).all()
    (tmp_path / "audit.json").write_text((tmp_path / "result.json").read_text())
    for place in (tmp_path, tmp_path / "audit.json", str(tmp_path)):
        assert (read_transition(place, "cover_map") == expected).all()
        assert read_transition(place, "tags", category="lake").shape == (2, 2)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("coverage", {}, "no noise matrix of task 'coverage'.*cover_map"),
        ("tags", {}, "one noise matrix a category.*category='lake'"),
        ("tags", {"category": "laek"}, "for category 'laek'.*Closest: lake"),
        ("cover_map", {"part": "boundary"}, "for the part 'boundary'.*Parts: all"),
        ("cover_map", {"prior_strength": -1}, "prior_strength is -1"),
    ],
)
def test_what_is_not_there_is_named(task, options, message):
    with pytest.raises(InvalidConfig, match=f"(?s){message}"):
        transition_matrix([MEASURED, TAGS], task, **options)


@pytest.mark.parametrize("content", [None, "no json", json.dumps({"verdict": "pass"}), "[1]"])
def test_what_is_no_audit_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "audit.json").write_text(content)
    with pytest.raises(MissingInput, match=r"audit\.json"):
        read_transition(tmp_path, "cover_map")


def errors(task, category, labels, value, low, high, **more):
    rate = Estimate(value, low, high, better="lower")
    of = {"source": None, "annotator": None, "method": "estimated", **more}
    return LabelErrors(task, category, labels=labels, flagged=1, error_rate=rate, **of)


def rates_by_key(matrices, rows):
    found = rates_from_matrices(matrices, rows)
    return {(rate.task, rate.category, rate.kind): rate for rate in found}


def test_rates_of_tags_and_boxes_without_a_clean_label():
    rows = [
        errors("tags", None, 1000, 0.08, 0.07, 0.09),
        errors("tags", "lake", 1000, 0.08, 0.063, 0.097),
        errors("tags", None, 500, 0.5, None, None, source="map"),
        errors("objects", "island", 120, 0.2, 0.1, 0.3),
        errors("tags", None, 900, 0.9, None, None, method="contradicts objects"),
        errors("cover_map", None, 900, 0.9, None, None, method="contradicts objects"),
    ]
    rates = rates_by_key([TAGS, BOXES, MEASURED], rows)
    assert rates["tags", None, "flip"].rate.value == 0.08
    assert rates["tags", None, "flip"].clean_task is None
    omission = rates["tags", "lake", "omission"]
    assert omission.rate.value == pytest.approx(0.2)
    assert omission.rate.low < 0.2 < omission.rate.high
    # Wilson at 300 truly present ones
    assert omission.rate.high - omission.rate.low == pytest.approx(0.0902, abs=0.002)
    assert rates["tags", "lake", "invention"].rate.value == pytest.approx(0.02 / 0.7)
    assert rates["objects", "island", "omission"].rate.value == pytest.approx(0.1 / 0.65)
    assert rates["objects", "island", "invention"].rate.value == pytest.approx(0.05 / 0.55)
    assert rates["objects", "ship", "omission"].rate.value == 0
    assert rates["objects", "ship", "omission"].rate.high is None
    assert rates["objects", "island", "omission"].rate.high > 0.1 / 0.65
    assert not any(task == "cover_map" for task, _, _ in rates)


def test_dependent_labels_make_wider_intervals():
    widths = []
    for spread in (0.017, 0.034):
        row = errors("tags", "lake", 1000, 0.08, 0.08 - spread, 0.08 + spread)
        rate = rates_by_key([TAGS], [row])["tags", "lake", "omission"].rate
        widths.append(rate.high - rate.low)
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.1)


def test_without_an_interval_of_the_error_rate_there_is_none():
    rate = rates_by_key([TAGS], [])["tags", "lake", "omission"].rate
    assert (rate.value, rate.low) == (pytest.approx(0.2), None)


def test_an_undefined_matrix_gives_no_rate():
    nothing = NoiseMatrix(
        **{**TAGS.__dict__, "joint": ((None,) * 2,) * 2, "transition": ((None,) * 2,) * 2}
    )
    row = errors("tags", "lake", 10, None, None, None)
    rates = rates_by_key([nothing], [row])
    assert set(rates) == {("tags", "lake", "flip")}
    assert "unknown" in rates["tags", "lake", "flip"].sentence
