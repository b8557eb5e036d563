"""The site over many runs in a real browser: by mouse, by keyboard, on a phone, over HTTP."""

import threading

import pytest

from goldseam.dashboard.site.build import build_site
from goldseam.dashboard.site.config import SiteConfig
from goldseam.dashboard.site.serving import address, make_server
from tests.browser.conftest import PHONE
from tests.unit.dashboard.site.sample import make_team

PAGES = ("index.html", "datasets/coast.html", "runs.html", "models.html", "gates.html")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("dashboard")
    build_site(SiteConfig(), make_team(root / "runs").folders, root / "site")
    return root / "site"


def name_of(file):
    return "dashboard_" + file.rpartition("/")[2].removesuffix(".html")


@pytest.mark.parametrize("file", PAGES)
def test_pages_are_legible_and_fit(open_page, site, screenshot, contrast_faults, overflow, file):
    for scheme in ("light", "dark"):
        page = open_page(site / file, scheme=scheme)
        assert contrast_faults(page) == []
        assert overflow(page) == []
        screenshot(page, f"{name_of(file)}_{scheme}", full_page=True)
    page = open_page(site / file, viewport=PHONE)
    assert overflow(page) == []
    assert contrast_faults(page) == []
    screenshot(page, f"{name_of(file)}_phone", full_page=True)


def test_from_the_overview_to_an_audit(open_page, site):
    page = open_page(site / "index.html")
    assert "objects is known on 24.9 %" in page.locator(".attention").inner_text()
    page.locator(".card h2 a").click()
    assert page.title() == "coast"
    assert page.locator("#coverage ~ .chart svg[role=img]").count() == 1
    page.locator("#versions + .scroll a").first.click()
    assert page.title() == "Label audit of coast 1.3"


def test_what_nobody_looked_for_is_hatched_and_says_so(open_page, site):
    page = open_page(site / "index.html")
    row = page.locator(".card tbody tr", has_text="cover_map")
    assert row.locator("td.unknown").inner_text() == "unknown"
    page = open_page(site / "datasets/coast.html")
    step = page.locator("#changes ~ .scroll table").first
    masks = step.locator("tr", has_text="wrong mask").locator("td.number").all_inner_texts()
    assert masks == ["0", "0", "0", "0", "28"]


def test_runs_are_filtered(open_page, site):
    page = open_page(site / "runs.html")
    assert page.locator("#shown").inner_text() == "4 of 4 runs"
    page.locator("#status").select_option("stopped")
    assert page.locator("details.run:visible").count() == 1
    assert page.locator("#shown").inner_text() == "1 of 4 runs"
    page.locator("#status").select_option("")
    page.locator("#words").fill("TRAINING distance.mae")
    assert page.locator("details.run:visible").count() == 1
    page.locator("#words").fill("no run is called like this")
    assert page.locator("details.run:visible").count() == 0


def test_by_keyboard(open_page, site):
    page = open_page(site / "runs.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    second = page.locator("details.run").nth(1)
    assert not second.evaluate("run => run.open")
    second.locator("summary").focus()
    page.keyboard.press("Enter")
    assert second.evaluate("run => run.open")
    outline = second.locator("summary").evaluate("one => getComputedStyle(one).outlineStyle")
    assert outline == "solid"
    # every part that scrolls sideways can be reached and scrolled
    page = open_page(site / "datasets/coast.html", viewport=PHONE)
    unreachable = page.evaluate(
        """() => [...document.querySelectorAll(".scroll")]
             .filter((box) => box.scrollWidth > box.clientWidth && box.tabIndex !== 0).length"""
    )
    assert unreachable == 0


def test_a_link_to_a_run_opens_it(open_page, site):
    page = open_page(site / "index.html")
    page.locator("#runs ~ .scroll a", has_text="audit-2").click()
    run = page.locator("details.run:target")
    assert run.evaluate("run => run.open")
    assert "2 groups of alike images cross splits" in run.inner_text()


def test_without_javascript_everything_is_there(open_page, site):
    page = open_page(site / "runs.html", script=False)
    assert page.locator("#filter").is_hidden()
    assert page.locator("details.run").count() == 4
    page = open_page(site / "datasets/coast.html", script=False)
    assert page.locator(".chart path").count() >= 5


def test_the_same_over_http(open_page, site):
    with make_server(site, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            page = open_page(address(server), allowed=(address(server),))
            assert page.title() == "Label dashboards"
            for word in ("Runs", "Models", "Gates", "Overview"):
                page.locator("nav a", has_text=word).click()
                assert page.locator("nav a[aria-current]").inner_text() == word
            page.locator("footer a", has_text="metrics.txt").click()
            assert page.locator("body").inner_text().startswith("# TYPE goldseam_")
        finally:
            server.shutdown()
            thread.join()
