"""The page of an audit: what it says, what it embeds, what it refuses to invent."""

import dataclasses
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from goldseam.audit.findings import SCHEMA, Action, Issue, make_findings, no_findings
from goldseam.audit.label_side import read_label_side
from goldseam.audit.report.config import ReportConfig
from goldseam.audit.report.page import write_report
from goldseam.audit.report.tables import error_tables
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import Kind, Task
from goldseam.dataset.writing import write_dataset
from goldseam.errors import InvalidDataset
from goldseam.results import AuditResult, Estimate, LabelErrors
from tests.conftest import disc_info, discs
from tests.unit.audit import bays
from tests.unit.audit.report import sample

LOADS = re.compile(r"(?:src|href)\s*=\s*[\"'](?!data:|#)|url\(|@import|fetch\(|XMLHttpRequest")


def embedded(html):
    text = re.search(r'id="explorer-data">(.*?)</script>', html, re.DOTALL).group(1)
    return json.loads(text)


def bare(info, **more):
    """An audit that found nothing."""
    return AuditResult(
        key="k", digest="d", dataset=info.name, version="1", dataset_digest="x", rows={}, **more
    )


def test_every_section_is_on_the_page_and_every_link_leads_somewhere(page, disc_labels):
    html = page(ranking=sample.ranking(disc_labels))
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(ids)
    wanted = {"inspected", "coverage", "missingness", "errors", "noise", "pseudo-labels"}
    assert wanted | {"duplicates", "plan", "drift", "gallery", "findings"} <= set(ids)
    assert "Few bars are known, and this may be one." in html


def test_the_page_is_one_file_that_loads_nothing(page):
    html = page()
    assert not LOADS.search(html.replace('href="data:', ""))
    assert "plotly.js" not in html
    assert len(html) < 1_000_000


def test_the_verdict_comes_first_with_its_reasons(page, disc_audit):
    html = page()
    verdict, sentences = html.index("✗ fail"), html.index('id="summary"')
    assert verdict < html.index(disc_audit.reasons[1]) < sentences < html.index('id="inspected"')
    passed = page(result=dataclasses.replace(disc_audit, verdict="pass", reasons=()))
    assert "✓ pass" in passed
    assert "The gate stays closed" not in passed


def test_sentences_of_the_result_are_shown_with_links_to_their_section(page, disc_audit):
    drift = disc_audit.drift[0].sentence
    html = page(result=dataclasses.replace(disc_audit, sentences=("Of our own.", drift)))
    items = re.search(r'id="summary">(.*?)</ol>', html, re.DOTALL).group(1)
    assert re.findall(r'href="#([^"]+)"', items) == ["drift"]
    assert items.index("Of our own.") < items.index("down from 62.0")


def test_an_estimate_that_cannot_be_made_is_hatched_and_never_zero(page, disc_audit):
    errors = (dataclasses.replace(disc_audit.errors[0], error_rate=Estimate(None)),)
    html = page(result=dataclasses.replace(disc_audit, errors=errors))
    section = html[html.index('id="errors"') : html.index('id="noise"')]
    assert '<span class="interval unknown" aria-hidden="true"></span>' in section
    assert '<td class="number unknown">unknown</td>' in section
    rows = section[section.index("<tbody>") : section.index("</tbody>")]
    assert "0.0 %" not in rows


def test_a_known_rate_of_zero_is_not_hatched(page, disc_audit):
    errors = (dataclasses.replace(disc_audit.errors[0], error_rate=Estimate(0.0, 0.0, 0.02)),)
    html = page(result=dataclasses.replace(disc_audit, errors=errors))
    section = html[html.index('id="errors"') : html.index('id="noise"')]
    assert '<td class="number">0.0 %<span class="soft">0.0 to 2.0 %</span></td>' in section
    assert "unknown</td>" not in section


def test_tasks_that_never_meet_are_said_to(page, disc_data):
    html = page()
    section = html[html.index('id="meetings"') : html.index("Validation split")]
    # cover, edge and relief are each on other training images
    assert section.count('<td class="number never">never</td>') == 6
    assert disc_data.info.rows("train") == 48


def test_the_same_inputs_give_the_same_bytes(page):
    assert page() == page()


def test_the_explorer_holds_the_most_suspicious_of_every_kind(page, disc_findings):
    html = page(config=ReportConfig(findings_embedded=40, pictures=10))
    data = embedded(html)
    scores = data["score"]
    assert len(scores) == 40
    assert scores == sorted(scores, reverse=True)
    kinds = {
        (data["coded"]["task"]["names"][task], data["coded"]["issue"]["names"][issue])
        for task, issue in zip(
            data["coded"]["task"]["codes"], data["coded"]["issue"]["codes"], strict=True
        )
    }
    rows = disc_findings.select(["task", "issue"]).to_pylist()
    assert kinds == {(row["task"], row["issue"]) for row in rows}
    assert f"carries the 40 most suspicious of {disc_findings.num_rows} labels" in html


def test_embedded_findings_equal_the_table(page, disc_findings):
    data = embedded(page())
    for name in ("finding", "image_id", "evidence", "given"):
        assert data["columns"][name] == disc_findings.column(name).to_pylist()
    coded = data["coded"]["category"]
    shown = [None if code < 0 else coded["names"][code] for code in coded["codes"]]
    assert shown == disc_findings.column("category").to_pylist()
    first = data["region"].index(next(r for r in data["region"] if r))
    assert data["region"][first][0] == disc_findings.column("xmin")[first].as_py()


def test_pictures_stay_within_their_number_and_their_room(page):
    few = embedded(page(config=ReportConfig(pictures=12)))["pictures"]
    assert 0 < len(few) <= 12
    none = page(config=ReportConfig(pictures=0))
    assert embedded(none)["pictures"] == {}
    assert "<image " not in none
    tight = page(config=ReportConfig(picture_mib=0.002))
    assert "left out, so that the page stays small" in tight
    drawn = re.findall(r'href="(data:image/png[^"]+)"', tight)
    assert 0 < sum(len(one) for one in drawn) <= 0.002 * 2**20


def test_names_from_a_dataset_are_escaped(page, disc_audit, disc_labels):
    evil = "</script><script>alert(1)</script>"
    findings = make_findings(
        **disc_labels.where(np.array([0])),
        task="cover",
        issue=Issue.WRONG_MASK,
        action=Action.REDRAW,
        score=[0.9],
        evidence=[evil],
        category=evil,
    )
    html = page(findings=findings, result=dataclasses.replace(disc_audit, reasons=(evil,)))
    assert "<script>alert" not in html
    assert embedded(html)["columns"]["evidence"] == [evil]


def test_an_audit_without_findings_says_so(page, disc_data):
    html = page(findings=no_findings(), result=bare(disc_data.info))
    assert "No label was found to be suspicious." in html
    assert 'id="explorer"' not in html
    assert 'id="noise"' not in html
    assert html.count("<h2") == 2  # coverage and findings


def test_pictures_that_are_not_stored_leave_a_tile(tmp_path):
    """Images without pixels are named as such; labels without an image are not drawn over black."""
    data = bays.build(tmp_path / "bays")

    def forget(rows):
        for row in rows:
            row["image"] = None

    data = bays.rewrite(data, "train", forget)
    labels = read_label_side(data)
    findings = make_findings(
        **labels.where(np.array([0, 12])),
        task="cover",
        issue=Issue.WRONG_MASK,
        action=Action.REDRAW,
        score=[0.9, 0.8],
        evidence=["Looks wrong."] * 2,
    )
    write_report(tmp_path, data, labels, bare(data.info), findings, ReportConfig())
    html = (tmp_path / "index.html").read_text()
    assert html.count("<span>picture not stored</span>") == 1
    assert len(re.findall(r'<image id="p\d+"', html)) == 1
    assert embedded(html)["pictures"]["train-0"]["why"] == "picture not stored"


def test_boxes_are_drawn_where_they_are_and_ignored_ones_apart(tmp_path):
    data = bays.build(tmp_path / "bays")
    labels = read_label_side(data)
    row = labels.image_ids.to_pylist().index("train-3")
    findings = make_findings(
        **labels.where(np.array([row])),
        task="objects",
        issue=Issue.MISSING_BOX,
        action=Action.ADD,
        score=[0.9],
        evidence=["An island without a box."],
    )
    write_report(tmp_path, data, labels, bare(data.info), findings, ReportConfig())
    html = (tmp_path / "index.html").read_text()
    boxes = re.findall(
        r'<rect class="(box[^"]*)"[^>]*x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', html
    )
    assert boxes == [("box", "1.0", "1.0", "3.0"), ("box ignored", "0.0", "0.0", "16.0")]


def test_large_images_become_small_ones(tmp_path):
    info = disc_info().model_copy(update={"tasks": {"cover": disc_info().tasks["cover"]}})
    large = [
        dataclasses.replace(
            one,
            image=np.kron(one.image, np.ones((40, 40, 1), np.uint8)),
            labels={"cover": np.kron(one.labels["cover"], np.ones((40, 40), np.uint8))},
            sources={"cover": "human"},
        )
        for one in discs(1, 3, partial=False)
    ]
    write_dataset(tmp_path / "data", info, {"train": iter(large)})
    data = open_dataset(tmp_path / "data")
    labels = read_label_side(data)
    findings = make_findings(
        **labels.where(np.arange(3)),
        task="cover",
        issue=Issue.WRONG_MASK,
        action=Action.REDRAW,
        score=[0.9, 0.8, 0.7],
        evidence=["Looks wrong."] * 3,
    )
    write_report(tmp_path, data, labels, bare(info), findings, ReportConfig(picture_px=64))
    html = (tmp_path / "index.html").read_text()
    assert len(html) < 150_000
    assert 'viewBox="0 0 640 640"' in html
    assert not re.search(r'<image id="p0" class="pixels"', html)


def test_only_the_row_groups_of_shown_images_are_read(tmp_path, monkeypatch):
    data = bays.build(tmp_path / "bays", training=9, rows_per_shard=3)
    labels = read_label_side(data)
    findings = make_findings(
        **labels.where(np.array([4])),
        task="cover",
        issue=Issue.WRONG_MASK,
        action=Action.REDRAW,
        score=[0.9],
        evidence=["Looks wrong."],
    )
    opened = []
    read = pq.ParquetFile.read_row_group

    def counted(self, number, columns=None):
        opened.append(tuple(columns))
        return read(self, number, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    write_report(tmp_path, data, labels, bare(data.info), findings, ReportConfig())
    assert opened == [("image", "cover")]


def test_a_damaged_shard_is_one_error(tmp_path):
    data = bays.build(tmp_path / "bays")
    labels = read_label_side(data)
    findings = make_findings(
        **labels.where(np.array([0])),
        task="cover",
        issue=Issue.WRONG_MASK,
        action=Action.REDRAW,
        score=[0.9],
        evidence=["Looks wrong."],
    )
    shard = data.path / data.info.shards[0].file
    shard.write_bytes(shard.read_bytes()[:-200])
    with pytest.raises(InvalidDataset, match="damaged"):
        write_report(tmp_path, data, labels, bare(data.info), findings, ReportConfig())
    assert not (tmp_path / "index.html").exists()


class Answers:
    """Predictions of cover: all disk."""

    tasks = ("cover", "tags")

    def dense(self, labels, task):
        assert task == "cover"
        for position in range(len(labels)):
            chances_CHW = np.zeros((3, 16, 16), np.float32)
            chances_CHW[1] = 1
            yield position, chances_CHW

    def boxes(self, *_):
        raise AssertionError("no boxes are predicted")


def test_what_the_model_says_stands_beside_the_label(page):
    html = page(predictions=Answers())
    pictures = embedded(html)["pictures"]
    said = [one["predicted"] for one in pictures.values() if "cover" in one["labels"]]
    assert said
    assert all(one["cover"]["legend"] == [["disk", "#eea01e"]] for one in said)
    assert all("tags" not in one["predicted"] for one in pictures.values())
    assert re.search(r'<image id="p\d+-cover-predicted"', html)


def test_a_task_of_many_categories_shows_the_least_known(tmp_path):
    names = tuple(f"c{number}" for number in range(230))
    task = Task(kind=Kind.TAGS, categories=names)
    info = bays.INFO.model_copy(update={"tasks": {"tags": task}})
    known = np.full(230, -1, np.int8)
    known[:30] = 1
    samples = [
        dataclasses.replace(one, labels={"tags": known}, sources={"tags": "human"})
        for one in bays.samples("train", 2)
    ]
    write_dataset(tmp_path / "data", info, {"train": iter(samples)})
    data = open_dataset(tmp_path / "data")
    labels = read_label_side(data)
    result = bare(info, coverage=tuple(sample.coverage(data)))
    write_report(tmp_path, data, labels, result, no_findings(), ReportConfig())
    html = (tmp_path / "index.html").read_text()
    assert "the 200 least known categories, the other 30 stand in audit.json" in html
    assert '<th scope="row">c229</th>' in html
    assert '<th scope="row">c0</th>' not in html


def test_findings_of_images_that_are_gone_do_no_harm(page, disc_findings):
    lost = pa.Table.from_pylist(
        [{**disc_findings.slice(0, 1).to_pylist()[0], "image_id": "gone"}], schema=SCHEMA
    )
    html = page(findings=lost)
    assert "picture not on this page" in html


def test_the_size_of_an_image_may_be_unknown(tmp_path):
    """A table of tags alone knows no sizes; its findings are shown all the same."""
    from goldseam.dataset.formats import open_source

    (tmp_path / "tags.csv").write_text("image,boat,pier\na.jpg,1,0\nb.jpg,,1\n")
    data = open_source(tmp_path / "tags.csv", into=tmp_path / "data")
    labels = read_label_side(data)
    findings = make_findings(
        **labels.where(np.array([0])),
        task="tags",
        category="boat",
        issue=Issue.WRONG_TAG,
        action=Action.RELABEL,
        score=[0.9],
        evidence=["Looks wrong."],
    )
    write_report(tmp_path, data, labels, bare(data.info), findings, ReportConfig())
    html = (tmp_path / "index.html").read_text()
    assert html.count("<span>picture not stored</span>") == 1
    assert "nan" not in embedded(html)["pictures"]["a.jpg"].values()


def test_what_sections_note_is_on_the_page_unless_it_was_said(page, disc_audit):
    said = "Half of the bars are wrong."
    result = dataclasses.replace(disc_audit, sentences=(said,), notes=(said, "Bo errs most."))
    html = page(result=result)
    assert html.count(said) == 1
    assert "<li>Bo errs most.</li>" in html


def test_contradictions_stand_apart_from_estimated_errors():
    rate = Estimate(0.1, 0.0, 0.2)
    part = LabelErrors("tags", "boat", None, None, 9, 1, rate, "curve")
    other = dataclasses.replace(part, method="consistency with 'cover': absent, but shown")
    (view,) = error_tables([other, part])
    assert view.whole is None
    assert view.parts["category"].rows == (part,)
    assert view.parts["comparison"].rows == (other,)


def test_a_test_within_a_split_names_it(page, disc_audit):
    (first, *_) = disc_audit.missingness
    within = dataclasses.replace(first, split="validation")
    html = page(result=dataclasses.replace(disc_audit, missingness=(within,)))
    assert ", validation images</span>" in html
