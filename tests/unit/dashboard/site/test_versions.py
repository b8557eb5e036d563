"""Findings and numbers over versions: silence of an audit is not a clean bill."""

import dataclasses
from pathlib import Path

import pyarrow as pa
import pytest

from goldseam.dashboard.site.entries import audit_entry
from goldseam.dashboard.site.findings import (
    FindingChange,
    compare_findings,
    open_findings,
    was_examined,
)
from goldseam.dashboard.site.history import AuditEntry, History
from goldseam.dashboard.site.versions import (
    changes,
    coverage_of,
    error_series,
    findings_of,
    main_noise,
    noise_series,
    versions_of,
)
from goldseam.results import CoverageRow, Inspected, LabelErrors
from tests.unit.dashboard.site.sample import (
    BEGUN,
    FINDINGS,
    audit_result,
    errors,
    estimate,
    sha,
)


def entry(version: int, made: float | None = None, **changed: object) -> AuditEntry:
    result = dataclasses.replace(audit_result(version), **changed)
    return audit_entry(result, {"made": BEGUN + version if made is None else made})


def table(version: int) -> pa.Table:
    ids, tasks, issues = zip(*FINDINGS[version - 1], strict=True)
    return pa.table({"finding": ids, "task": tasks, "issue": issues})


def change(before: int, after: int, **changed: object) -> dict[tuple[str, str], FindingChange]:
    rows = compare_findings(entry(before), table(before), entry(after, **changed), table(after))
    return {(row.task, row.issue): row for row in rows}


def test_findings_open_close_and_stay() -> None:
    rows = change(1, 2)
    tags = rows["tags", "wrong_tag"]
    assert (tags.closed, tags.still, tags.opened) == (12, 30, 7)
    assert rows["image", "leak"].opened == 4
    total = rows["", ""]
    assert total.closed + total.still + total.unseen == len(FINDINGS[0])
    assert total.opened + total.still + total.first_seen == len(FINDINGS[1])


def test_what_nobody_looked_for_again_is_not_closed() -> None:
    rows = change(2, 3)
    masks = rows["cover_map", "wrong_mask"]
    assert (masks.closed, masks.unseen) == (0, 28)
    assert rows["image", "leak"].closed == 4
    # without pictures nobody can say that the leaks are gone
    rows = change(2, 3, duplicates=None)
    assert (rows["image", "leak"].closed, rows["image", "leak"].unseen) == (0, 4)


def test_what_nobody_looked_for_before_is_not_new() -> None:
    rows = compare_findings(entry(1, errors=()), table(1).slice(0, 0), entry(2), table(2))
    masks = next(row for row in rows if row.issue == "wrong_mask")
    assert (masks.opened, masks.first_seen) == (0, 28)


def test_contradictions_are_looked_for_apart_from_predictions() -> None:
    consistent = LabelErrors(
        "cover", None, None, None, 9, 0, estimate(0.1, 0.1), "consistency with 'tags': inside"
    )
    looked = Inspected("contradictions between labels", True, "pair by pair")
    one = entry(1, errors=(consistent,), inspected=(looked,))
    assert was_examined(one, "cover", "contradiction")
    assert not was_examined(one, "cover", "wrong_mask")
    unlooked = entry(1, inspected=(dataclasses.replace(looked, done=False),))
    assert not was_examined(unlooked, "cover", "contradiction")


def test_open_findings_are_zero_only_where_somebody_looked() -> None:
    numbers = open_findings(entry(3), [entry(1), entry(2)])
    assert numbers == {("image", "leak"): 0, ("tags", "wrong_tag"): 22}
    assert findings_of(entry(3), "cover_map") is None
    assert findings_of(entry(3), "tags") == 22
    assert findings_of(entry(3, findings=()), "tags") == 0
    assert findings_of(entry(3, findings=(), errors=(), duplicates=None)) is None


def test_versions_are_in_the_order_of_their_first_audit() -> None:
    audits = {sha(f"audit {n}"): entry(n) for n in (3, 1, 2)}
    # the first version is audited again, by other options, after all the others
    again = entry(1, made=BEGUN + 99, verdict="fail")
    audits[sha("again")] = again
    (versions,) = versions_of(History(audits=audits)).values()
    assert [version.label for version in versions] == ["1.1", "1.2", "1.3"]
    assert versions[0].entry == again
    assert versions[0].audits == 2
    assert versions[0].first == BEGUN + 1


def test_versions_with_one_number_are_told_apart_by_digest() -> None:
    audits = {sha(f"audit {n}"): dataclasses.replace(entry(n), version="1") for n in (1, 2)}
    (versions,) = versions_of(History(audits=audits)).values()
    assert len({version.label for version in versions}) == 2


def test_coverage_counts_what_was_looked_at_whatever_was_seen() -> None:
    rows = (CoverageRow("tags", "lake", "train", None, 3, 5, 12),)
    known = entry(1, coverage=rows)
    assert coverage_of(known, "tags", "lake", "train") == 0.4
    # other contents of the same known labels change nothing
    flipped = entry(1, coverage=(dataclasses.replace(rows[0], present=5, absent=3),))
    assert coverage_of(flipped, "tags", "lake", "train") == 0.4
    empty = entry(1, coverage=(dataclasses.replace(rows[0], present=0, absent=0, unknown=0),))
    assert coverage_of(empty, "tags", "lake", "train") is None
    assert coverage_of(known, "tags", "sea", "train") is None


def test_sources_and_annotators_are_not_counted_twice() -> None:
    assert all(row.source is None for row in entry(1).coverage)
    assert len(entry(1).errors) == len(errors(1)) - 1
    assert coverage_of(entry(1), "cover", None, "train") == pytest.approx(20 / 706)


def test_noise_of_different_methods_is_not_one_line() -> None:
    first, second = entry(1), entry(2)
    other = tuple(
        dataclasses.replace(rate, clean_task=None, method="confident learning")
        for rate in second.noise
        if rate.kind == "flip" and rate.task == "cover_map"
    )
    series = noise_series([first, dataclasses.replace(second, noise=other)])
    flips = [one for one in series if one.task == "cover_map" and one.name == "wrong labels"]
    assert [[one is not None for one in flip.estimates] for flip in flips] == [
        [True, False],
        [False, True],
    ]


def test_the_noise_of_an_overview_is_known_before_measured() -> None:
    assert main_noise([entry(1)], "cover") is None
    measured = main_noise([entry(1)], "cover_map")
    assert measured is not None
    assert measured.method.startswith("against cover")
    # the flip rate of tags is unknown; their error rate is not
    tags = main_noise([entry(1)], "tags")
    assert tags is not None
    assert tags.estimates[0] is not None
    assert tags.estimates[0].value == pytest.approx(0.082)


def test_contradictions_are_no_wrong_labels() -> None:
    # labels that agree with each other may both be wrong
    assert main_noise([entry(1)], "shoreline") is None
    assert findings_of(entry(1), "shoreline") is None
    names = {one.name for one in error_series([entry(1)]) if one.task == "shoreline"}
    assert names == {"contradicting another label"}


def test_changes_say_what_moved_and_nothing_else() -> None:
    sentences = changes(entry(2), entry(3))
    assert "The test split has 430 images, 12 more than before." in sentences
    assert "objects is known on 24.9 % of the training images, down from 26.9 %." in sentences
    assert not any("cover_map" in sentence for sentence in sentences)
    assert changes(entry(1), entry(1)) == ()


def test_a_damaged_findings_file_is_unknown(tmp_path: Path) -> None:
    from goldseam.dashboard.site.findings import read_findings

    assert read_findings(tmp_path) is None
    (tmp_path / "findings.parquet").write_bytes(b"PAR1 but not really")
    assert read_findings(tmp_path) is None
