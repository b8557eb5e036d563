"""The page of an audit in a real browser: by mouse, by keyboard, on a phone, without JavaScript."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from goldseam.audit.findings import Action, Issue, make_findings
from goldseam.audit.label_side import read_label_side
from goldseam.audit.report.config import ReportConfig
from goldseam.audit.report.page import write_report
from goldseam.dataset.codecs import Boxes
from goldseam.dataset.reading import open_dataset
from goldseam.dataset.schema import DatasetInfo, Kind, Task
from goldseam.dataset.writing import Sample, write_dataset
from goldseam.results import AuditResult
from tests.browser.conftest import PHONE
from tests.unit.audit.report import sample

ROLES = "button|textbox|searchbox|combobox|slider|link|img"
UNNAMED = re.compile(rf"- (?:{ROLES})(?: \[|:?$)", re.MULTILINE)


@pytest.fixture(scope="session")
def findings(disc_data):
    return sample.audit_findings(read_label_side(disc_data))


@pytest.fixture(scope="session")
def audit_page(disc_data, findings, tmp_path_factory):
    """A page on which every section is filled."""
    folder = tmp_path_factory.mktemp("audit")
    labels = read_label_side(disc_data)
    result = sample.audit_result(disc_data, labels, findings)
    ranking = sample.ranking(labels)
    write_report(folder, disc_data, labels, result, findings, ReportConfig(), ranking=ranking)
    return folder / "index.html"


def shown(page):
    return page.locator("#shown").inner_text()


def first_image(page):
    return page.locator("#list .soft").first.inner_text().split(" · ")[0]


def test_the_first_screen_says_what_matters(open_page, audit_page, screenshot):
    page = open_page(audit_page)
    assert page.title() == "Label audit of discs"
    assert page.locator(".outcome").inner_text().startswith("✗ fail")
    links = page.locator("#summary a")
    assert links.count() >= 5
    # the verdict and the first sentences are there without scrolling
    assert page.locator("#summary li").nth(4).bounding_box()["y"] < 900
    page.locator("#summary a[href='#drift']").click()
    assert page.locator("#drift").bounding_box()["y"] < 100
    screenshot(page, "audit_drift")
    page.evaluate("scrollTo(0, 0)")
    screenshot(page, "audit_first_screen")
    screenshot(page, "audit_whole", full_page=True)


def test_all_findings_are_listed_a_hundred_at_a_time(open_page, audit_page, findings):
    page = open_page(audit_page)
    total = findings.num_rows
    assert shown(page) == f"{total} of {total} findings"
    assert page.locator("#plain-findings").is_hidden()
    assert page.locator("#list button").count() == 100
    page.locator("#more").click()
    assert page.locator("#list button").count() == 200
    assert page.evaluate("document.activeElement.dataset.row") == "100"


def test_search_finds_words_in_any_order(open_page, audit_page, findings):
    page = open_page(audit_page)
    page.keyboard.press("/")
    page.keyboard.type("BAR wrong_tag")
    rows = findings.select(["issue", "category"]).to_pylist()
    expected = sum(row["issue"] == "wrong_tag" and row["category"] == "bar" for row in rows)
    assert 0 < expected < findings.num_rows
    assert shown(page).startswith(f"{expected} of ")
    page.locator("#search").fill("nothing is called like this")
    assert shown(page).startswith("0 of ")
    assert page.locator("#list button").count() == 0
    page.locator("#filters button[type=reset]").click()
    page.wait_for_function("document.querySelectorAll('#list button').length === 100")


def test_filters_add_up_and_sorting_orders(open_page, audit_page, findings):
    page = open_page(audit_page)
    page.locator("[data-filter=task]").select_option(label="cover (" + str(
        findings.column("task").to_pylist().count("cover")) + ")")  # fmt: skip
    page.locator("[data-filter=split]").select_option(index=1)
    chosen = page.locator("[data-filter=split] option:checked").inner_text().split(" ")[0]
    rows = findings.select(["task", "split", "image_id", "score"]).to_pylist()
    wanted = [row for row in rows if row["task"] == "cover" and row["split"] == chosen]
    assert shown(page).startswith(f"{len(wanted)} of ")
    assert first_image(page) == max(wanted, key=lambda row: row["score"])["image_id"]
    page.locator("#sort").select_option("image")
    assert first_image(page) == min(row["image_id"] for row in wanted)


def test_a_finding_opens_by_mouse_and_closes(open_page, audit_page, findings, screenshot):
    page = open_page(audit_page)
    row = next(
        number
        for number, one in enumerate(findings.to_pylist())
        if one["issue"] == "wrong_mask" and number < 90
    )
    page.locator(f"[data-row='{row}']").click()
    one = findings.slice(row, 1).to_pylist()[0]
    detail = page.locator("#detail")
    text = detail.inner_text()
    for part in (one["evidence"], one["image_id"], one["finding"], f"{one['score']:.2f} of 1"):
        assert part in text
    assert page.url.endswith(f"#finding={one['finding']}")
    # the picture, the label over it and the region twice (its outline and its dashes)
    assert detail.locator("use").count() == 2
    assert detail.locator("rect.region").count() == 2
    box = detail.locator("rect.region").last
    assert float(box.get_attribute("x")) == pytest.approx(one["xmin"], abs=0.06)
    slider = detail.locator("input[type=range]")
    slider.fill("100")
    assert detail.locator("svg").evaluate("(one) => one.style.getPropertyValue('--over')") == "1"
    screenshot(page, "audit_finding")
    detail.get_by_role("button", name="Close").click()
    assert detail.is_hidden()
    assert page.evaluate("document.activeElement.dataset.row") == str(row)


def test_findings_open_by_keyboard_alone(open_page, audit_page):
    page = open_page(audit_page)
    page.locator("#search").focus()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('row')"):
            break
    assert page.evaluate("document.activeElement.dataset.row") == "0"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.row") == "2"
    page.keyboard.press("Enter")
    assert page.locator("#detail").is_visible()
    assert page.evaluate("document.activeElement.id") == "detail"
    title = page.locator("#detail-title").inner_text()
    page.get_by_role("button", name="Next").press("Enter")
    assert page.locator(".row[aria-current]").get_attribute("data-row") == "3"
    assert page.evaluate("document.activeElement.textContent") == "Next"
    assert title
    page.keyboard.press("Escape")
    assert page.locator("#detail").is_hidden()
    page.keyboard.press("End")
    last = str(page.locator("#list button").count() - 1)
    assert page.evaluate("document.activeElement.dataset.row") == last
    # one stop of Tab for the whole list
    assert page.locator("#list button[tabindex='0']").count() == 1


def test_a_finding_that_is_filtered_away_closes(open_page, audit_page):
    page = open_page(audit_page)
    page.locator("[data-row='0']").click()
    page.locator("#search").fill("no such word")
    assert page.locator("#detail").is_hidden()
    assert page.evaluate("document.activeElement.id") == "search"


def test_a_deep_link_opens_its_finding(open_page, audit_page, findings):
    last = findings.slice(findings.num_rows - 1, 1).to_pylist()[0]
    page = open_page(audit_page, anchor=f"finding={last['finding']}")
    assert last["evidence"] in page.locator("#detail").inner_text()
    assert page.locator("#explorer").bounding_box()["y"] < 200
    # another one, by the address alone
    first = findings.slice(0, 1).to_pylist()[0]
    page.evaluate(f"location.hash = 'finding={first['finding']}'")
    page.wait_for_function(
        f"document.querySelector('#detail').textContent.includes('{first['finding']}')"
    )


def test_a_deep_link_to_a_finding_elsewhere_says_so(open_page, audit_page):
    page = open_page(audit_page, anchor="finding=0123456789ab")
    assert "0123456789ab is not on this page" in shown(page)
    assert page.locator("#detail").is_hidden()


def test_the_gallery_leads_to_its_finding_and_back(open_page, audit_page):
    page = open_page(audit_page)
    card = page.locator(".card").first
    finding = card.get_attribute("id").removeprefix("finding=")
    card.click()
    assert finding in page.locator("#detail").inner_text()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == f"finding={finding}"


def test_pictures_are_drawn(open_page, audit_page):
    """Every reference has its picture, and every picture can be decoded."""
    page = open_page(audit_page)
    lost = page.evaluate(
        """() => [...document.querySelectorAll("svg.drawing use")]
          .filter((one) => !document.querySelector(one.getAttribute("href")))
          .map((one) => one.getAttribute("href"))"""
    )
    assert lost == []
    broken = page.evaluate(
        """async () => {
          const found = [];
          for (const one of document.querySelectorAll(".store image")) {
            const picture = new Image();
            picture.src = one.getAttribute("href");
            await picture.decode().catch(() => found.push(one.id));
          }
          return found;
        }"""
    )
    assert broken == []


def test_a_box_is_an_outline_that_does_not_hide_its_object(open_page, tmp_path):
    """A style that holds where the box is stored, and not where it is drawn, would fill it."""
    info = DatasetInfo(
        name="ships", tasks={"ships": Task(kind=Kind.DETECTION, categories=("ship",))}
    )
    corners_14 = np.array([[2, 2, 30, 30]], np.float32)
    sample_ = Sample(
        image_id="a",
        image=np.full((32, 32, 3), 255, np.uint8),
        group="a",
        labels={"ships": Boxes(np.zeros(1, np.int32), corners_14, np.zeros(1, bool))},
        sources={"ships": "human"},
    )
    write_dataset(tmp_path / "ships", info, {"train": [sample_]})
    data = open_dataset(tmp_path / "ships")
    labels = read_label_side(data)
    findings = make_findings(
        **labels.where(np.array([0])),
        task="ships",
        issue=Issue.SPURIOUS_BOX,
        action=Action.REMOVE,
        score=[0.9],
        evidence=["Looks wrong."],
    )
    bare = AuditResult(key="", digest="", dataset="", version="", dataset_digest="", rows={})
    write_report(tmp_path, data, labels, bare, findings, ReportConfig())
    drawing = open_page(tmp_path / "index.html").locator(".gallery svg.drawing")
    assert drawing.locator("use.outlines").count() == 1
    light_HW = np.asarray(Image.open(io.BytesIO(drawing.screenshot())).convert("L"))
    height, width = light_HW.shape
    assert light_HW[height // 2, width // 2] > 250
    assert light_HW.min() < 250  # the outline itself


def test_the_table_of_missingness_can_be_filtered(open_page, audit_page):
    page = open_page(audit_page)
    form = page.locator(".table-filter")
    assert form.locator("output").inner_text() == "6 of 6 shown"
    form.locator("input[type=checkbox]").check()
    assert form.locator("output").inner_text() == "3 of 6 shown"
    form.locator("input[type=search]").fill("bright")
    assert form.locator("output").inner_text() == "1 of 6 shown"
    assert page.locator("#missingness-table tbody tr:visible").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_legible(open_page, audit_page, screenshot, contrast_faults, scheme):
    page = open_page(audit_page, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.locator("[data-row='1']").click()
    assert contrast_faults(page) == []
    screenshot(page, f"audit_{scheme}", full_page=True)


def test_the_test_of_legibility_can_fail(open_page, audit_page, contrast_faults):
    page = open_page(audit_page)
    page.add_style_tag(content=".lede { color: #a0a0a0; } td.unknown { color: #888; }")
    faults = contrast_faults(page)
    assert any("What is labeled" in one for one in faults)
    assert any("unknown" in one for one in faults)


def test_a_phone_shows_all_without_scrolling_sideways(open_page, audit_page, screenshot, overflow):
    page = open_page(audit_page, viewport=PHONE)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert overflow(page) == []
    screenshot(page, "audit_phone", full_page=True)
    page.locator("[data-row='2']").click()
    box = page.locator("#detail").bounding_box()
    assert (box["x"], box["y"], box["width"]) == (0, 0, PHONE["width"])
    screenshot(page, "audit_phone_finding")
    # the panel covers the page, so Tab stays inside it
    for _ in range(8):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('#detail') !== null")
    page.keyboard.press("Escape")
    assert page.locator("#detail").is_hidden()
    assert overflow(page) == []


def test_without_javascript_tables_charts_and_pictures_remain(open_page, audit_page, screenshot):
    page = open_page(audit_page, script=False)
    assert page.locator("#explorer").is_hidden()
    assert page.locator(".table-filter").is_hidden()
    assert page.locator("#plain-findings tbody tr").count() == 50
    assert page.locator("#plain-findings").is_visible()
    assert page.locator(".chart svg").first.is_visible()
    assert page.locator(".card svg").first.is_visible()
    link = page.locator("#plain-findings a").first
    target = link.get_attribute("href").removeprefix("#")
    assert page.locator(f"[id='{target}']").count() == 1
    screenshot(page, "audit_without_script", full_page=True)


def test_what_scrolls_in_its_box_can_be_reached_by_keyboard(open_page, audit_page):
    page = open_page(audit_page, viewport=PHONE)
    stuck = page.evaluate(
        """() => [...document.querySelectorAll(".scroll")]
          .filter((one) => one.scrollWidth > one.clientWidth && one.tabIndex !== 0).length"""
    )
    assert stuck == 0


def test_every_control_and_picture_has_a_name(open_page, audit_page):
    page = open_page(audit_page)
    page.locator("[data-row='1']").click()
    tree = page.locator("body").aria_snapshot()
    assert 'searchbox "Search"' in tree
    assert not UNNAMED.findall(tree)
