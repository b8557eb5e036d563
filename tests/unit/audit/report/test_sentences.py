"""The sentences that the owner of the labels reads."""

import dataclasses

import pytest

from goldseam.audit.report.sentences import (
    MOST,
    audit_sentences,
    boundary_share,
    key_sentences,
)
from goldseam.dataset.schema import Kind, Task
from goldseam.results import (
    AuditResult,
    CoverageRow,
    Disagreement,
    DuplicateSummary,
    Estimate,
    Inspected,
    LabelErrors,
)


def sections(info, result):
    return [one.section for one in key_sentences(info, result)]


def test_what_nobody_looked_at_comes_first_and_caveats_last(disc_data, disc_audit):
    texts = audit_sentences(disc_data.info, disc_audit)
    assert texts[0] == (
        "Of 48 training images 16 carry a label of cover (33.3 %), 16 of edge (33.3 %), 16 of "
        "relief (33.3 %) and 24 of tags (50.0 %)."
    )
    assert texts[-1] == (
        "Not looked at: boxes and embeddings. That nothing is said about it is no clean bill."
    )
    assert texts[-2] == disc_audit.plan.sentence
    assert len(texts) == MOST


def test_every_part_has_its_say_before_any_has_a_second(disc_data, disc_audit):
    found = sections(disc_data.info, disc_audit)
    parts = ["coverage", "duplicates", "missingness", "errors", "noise", "pseudo-labels", "drift"]
    assert set(parts) <= set(found)
    order = [*parts, "plan", "inspected"]
    assert found == sorted(found, key=order.index)


def test_the_sentences_that_are_there_already_are_not_read(disc_data, disc_audit):
    other = dataclasses.replace(disc_audit, sentences=("x",), reasons=("y",))
    assert audit_sentences(disc_data.info, other) == audit_sentences(disc_data.info, disc_audit)


def test_an_empty_audit_says_nothing(disc_data):
    assert audit_sentences(disc_data.info, NOTHING) == ()


NOTHING = AuditResult(key="", digest="", dataset="", version="", dataset_digest="", rows={})


def only(**parts):
    """An audit of nothing but these parts."""
    return dataclasses.replace(NOTHING, **parts)


def test_absent_and_unknown_are_told_apart(disc_data):
    """Three images where nobody looked are unknown; were they absent, it would be known."""

    def said(absent, unknown):
        rows = (
            CoverageRow("tags", "disk", "train", None, 4, 4, 0),
            CoverageRow("tags", "bar", "train", None, 1, absent, unknown),
        )
        return audit_sentences(disc_data.info, only(coverage=rows))

    (sentence,) = said(4, 3)
    assert sentence == (
        "Least is known about bar (tags): somebody looked on 5 of 8 training images (62.5 %); on "
        "the others it is unknown, not absent."
    )
    assert said(7, 0) == ()


def test_what_was_never_seen_is_named_with_its_task(disc_data):
    rows = tuple(CoverageRow("tags", f"c{number}", "train", None, 0, 8, 0) for number in range(7))
    (sentence,) = audit_sentences(disc_data.info, only(coverage=rows))
    assert sentence == (
        "No training image is known to show c0 (tags), c1 (tags), c2 (tags), c3 (tags), c4 (tags) "
        "and 2 more: a model cannot learn that from these labels."
    )


def test_a_noise_that_nobody_could_measure_is_unknown(disc_data):
    blank = Disagreement("cover", "cover_map", "test", 0, 2, None, None, None, ("a",), ((None,),))
    assert audit_sentences(disc_data.info, only(disagreements=(blank,))) == (
        "How far cover_map is off is unknown: no image carries both it and cover.",
    )


def test_a_noisy_task_of_another_kind_is_not_passed_over_in_silence(disc_data):
    tags = disc_data.info.tasks["tags"]
    mined = Task(kind=Kind.TAGS, categories=tags.categories, noisy_version_of="tags")
    info = disc_data.info.model_copy(update={"tasks": {"tags": tags, "mined": mined}})
    assert audit_sentences(info, only()) == (
        "mined is a noisy version of tags; how far labels of kind tags are off is not measured.",
    )


def rated(task, annotator, rate, low, high, **more):
    given = {"category": None, "source": None, "labels": 50, "flagged": 8, "method": "m", **more}
    return LabelErrors(
        task=task, annotator=annotator, error_rate=Estimate(rate, low, high), **given
    )


def test_an_annotator_is_named_only_where_the_intervals_part(disc_data):
    def said(*annotators):
        whole = rated("tags", None, 0.08, 0.06, 0.1)
        return audit_sentences(disc_data.info, only(errors=(whole, *annotators)))[1:]

    better = rated("tags", "A", 0.04, 0.01, 0.07)
    # above every other, though not above all together, of whom B is a part
    assert said(better, rated("tags", "B", 0.19, 0.09, 0.24)) == (
        (
            "Labels of tags by B seem wrong more often than those of every other annotator: an "
            "estimated 19.0 % against at most 4.0 %."
        ),
    )
    assert said(better, rated("tags", "B", 0.19, 0.06, 0.24)) == ()
    assert said(better, rated("tags", "B", 0.19, 0.09, 0.24), rated("tags", "C", None, None, None))
    assert said(rated("tags", "B", 0.19, 0.14, 0.24)) == ()


def test_the_rate_of_masks_is_one_of_pixels(disc_data):
    (text,) = audit_sentences(
        disc_data.info, only(errors=(rated("cover", None, 0.03, 0.01, 0.05, flagged=1),))
    )
    assert text == (
        "An estimated 3.0 % of the pixels of the 50 known labels of cover are wrong (1.0 to "
        "5.0 %); 1 mask is listed for review."
    )


def test_contradictions_are_no_rate_of_wrong_labels(disc_data):
    one = rated("edge", None, 0.4, 0.3, 0.5, method="consistency with 'cover': outlines")
    assert audit_sentences(disc_data.info, only(errors=(one,))) == ()


def test_one_task_is_not_compared_with_others(disc_data):
    def said(known, unknown):
        row = CoverageRow("tags", None, "train", None, known, 0, unknown)
        return audit_sentences(disc_data.info, only(coverage=(row,)))

    assert said(6, 2) == ("Of 8 training images 6 carry a label of tags (75.0 %).",)
    assert said(8, 0) == ("All 8 training images carry a label of tags.",)


def test_a_rate_that_cannot_be_estimated_is_not_said(disc_data):
    one = LabelErrors("tags", None, None, None, 100, 0, Estimate(None), "m")
    assert audit_sentences(disc_data.info, only(errors=(one,))) == ()


@pytest.mark.parametrize(
    ("leaks", "text"),
    [
        (1, "1 group of equal or alike images stands in more than one split: "),
        (3, "3 groups of equal or alike images stand in more than one split: "),
    ],
)
def test_leaks_are_counted(disc_data, leaks, text):
    found = DuplicateSummary(48, leaks, 0, leaks, 0, (), ())
    (sentence,) = audit_sentences(disc_data.info, only(duplicates=found))
    assert sentence.startswith(text)


def test_sections_that_did_not_run_are_named(disc_data):
    parts = (Inspected("label_errors", False, "no pictures"), Inspected("coverage", True, "all"))
    assert audit_sentences(disc_data.info, only(inspected=parts)) == (
        "Not looked at: label errors. That nothing is said about it is no clean bill.",
    )


@pytest.mark.parametrize(
    ("overall", "boundary", "interior", "share"),
    [
        (0.0625, 0.25, 0.0, 1.0),
        (0.062, 0.141, 0.008, 0.923357),
        (0.1, 0.1, 0.1, None),
        (0.0, 0.0, 0.0, None),
        (None, None, None, None),
        (0.2, None, 0.2, 0.0),
        (0.2, 0.2, None, 1.0),
    ],
)
def test_the_share_at_boundaries_follows_from_the_rates(overall, boundary, interior, share):
    one = Disagreement("a", "b", "train", 1, 2, overall, boundary, interior, (), ())
    found = boundary_share(one)
    assert found == share if share is None else found == pytest.approx(share, abs=1e-6)


def test_the_share_at_boundaries_equals_the_counts():
    """30 of 200 boundary pixels and 5 of 800 interior ones differ."""
    one = Disagreement("a", "b", "train", 1, 2, 35 / 1000, 30 / 200, 5 / 800, (), ())
    assert boundary_share(one) == pytest.approx(30 / 35, abs=1e-8)
