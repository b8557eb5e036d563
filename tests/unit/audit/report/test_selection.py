"""Which findings and images a page carries."""

import numpy as np
import pyarrow as pa
import pytest

from goldseam.audit.findings import Action, Issue, join_findings, make_findings, no_findings
from goldseam.audit.report.selection import (
    gallery_rows,
    most_suspicious,
    rank_in_kind,
    shown_groups,
)
from goldseam.results import DuplicateGroup, DuplicateImage


def some(task, scores, *, issue=Issue.WRONG_TAG, image="i"):
    return make_findings(
        image_id=[f"{image}{number}" for number in range(len(scores))],
        split="train",
        group=["g"] * len(scores),
        task=task,
        issue=issue,
        action=Action.REVIEW,
        score=scores,
        evidence=["Why."] * len(scores),
    )


def test_no_kind_is_crowded_out():
    loud, quiet = some("tags", np.linspace(0.9, 1, 500)), some("cover", [0.05, 0.02])
    chosen = most_suspicious(pa.concat_tables([quiet, loud]), 20)
    assert chosen.num_rows == 20
    assert chosen.column("task").to_pylist().count("cover") == 2
    scores = chosen.column("score").to_pylist()
    assert scores == sorted(scores, reverse=True)
    # of the loud kind those with the highest scores
    assert min(scores[:18]) == pytest.approx(np.linspace(0.9, 1, 500)[-18])


def test_more_kinds_than_room_keep_the_first_of_the_most_suspicious():
    tables = [some(f"t{number}", [0.1 * number, 0.01]) for number in range(1, 10)]
    chosen = most_suspicious(join_findings(tables), 4)
    assert chosen.column("task").to_pylist() == ["t9", "t8", "t7", "t6"]


def test_everything_is_kept_where_there_is_room_and_nothing_is_no_error():
    assert most_suspicious(some("tags", [0.2, 0.8]), 2).column("score")[0].as_py() > 0.5
    assert most_suspicious(no_findings(), 5).num_rows == 0
    assert gallery_rows(no_findings(), 5) == []


def test_the_choice_does_not_depend_on_the_order_of_the_table():
    table = join_findings([some("tags", [0.5] * 60), some("cover", [0.5] * 60)])
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(120)))
    assert most_suspicious(table, 30).equals(most_suspicious(shuffled, 30))


def test_ranks_are_counted_within_a_kind():
    table = pa.concat_tables([some("a", [0.9]), some("b", [0.8, 0.7]), some("a", [0.6])])
    assert rank_in_kind(table).tolist() == [0, 0, 1, 1]


def test_the_gallery_takes_kinds_in_turn_and_leaves_pairs_out():
    table = most_suspicious(
        pa.concat_tables(
            [
                some("tags", [0.9, 0.8, 0.7]),
                some("cover", [0.3, 0.2], image="c"),
                some("tags", [1.0], issue=Issue.LEAK, image="l"),
            ]
        ),
        100,
    )
    tasks = [table.column("task")[row].as_py() for row in gallery_rows(table, 4)]
    assert tasks == ["tags", "cover", "tags", "cover"]
    issues = {table.column("issue")[row].as_py() for row in gallery_rows(table, 100)}
    assert issues == {"wrong_tag"}


def test_groups_are_shown_while_there_is_room():
    def group(size):
        images = tuple(DuplicateImage(f"i{number}", "train", "g") for number in range(size))
        return DuplicateGroup("exact", 0, images, ("train",), 1, ())

    groups = (group(2), group(9), group(2))
    assert shown_groups(groups, 8) == groups
    assert shown_groups(groups, 7) == groups[:2]
    assert shown_groups(groups, 1) == ()
