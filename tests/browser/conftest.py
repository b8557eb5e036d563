"""A real browser for tests of our pages: one for each module, nothing but files may be loaded.

`open_page(path)` gives a Playwright page; when the test ends, an error in the console, an exception
of a script or an attempt to reach any network fails it. `screenshot(page, name)` keeps a picture
under `build/screenshots/`, which CI stores.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}
ALLOWED = ("file:", "data:", "blob:", "about:")


def without_browser(why: str) -> None:
    """Skip, unless CI asks for a browser (`CI_REQUIRES_BROWSER`): then it is a failure."""
    if os.environ.get("CI_REQUIRES_BROWSER"):
        pytest.fail(f"CI_REQUIRES_BROWSER is set, but {why}")
    pytest.skip(why)


# Playwright keeps an event loop running while it is open, which other tests must not meet
@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium; `GOLDSEAM_CHROMIUM` names another than the one on the path."""
    program = os.environ.get("GOLDSEAM_CHROMIUM") or shutil.which("chromium")
    if program is None:
        without_browser("there is no 'chromium' on the path (apt-get install chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        without_browser("Playwright is not installed (pip install playwright)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens a file (or a URL of an allowed server) in a context of its own.

    Options: `viewport` (`DESKTOP` by default), `scheme` ("light" or "dark"), `script` (False turns
    JavaScript off), `anchor` (without #), `allowed` (more beginnings of URLs that may be loaded).
    """
    contexts: list[Any] = []
    faults: list[str] = []

    def opened(
        where: Path | str,
        *,
        viewport: dict[str, int] = DESKTOP,
        scheme: str = "light",
        script: bool = True,
        anchor: str = "",
        allowed: tuple[str, ...] = (),
    ) -> Any:
        context = chromium.new_context(
            viewport=viewport, color_scheme=scheme, java_script_enabled=script
        )
        contexts.append(context)

        def guard(route: Any) -> None:
            if route.request.url.startswith((*ALLOWED, *allowed)):
                route.continue_()
            else:
                faults.append(f"a request to {route.request.url}")
                route.abort()

        context.route("**/*", guard)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on(
            "console",
            lambda message: message.type in ("error", "warning") and faults.append(message.text),
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        url = where.resolve().as_uri() if isinstance(where, Path) else where
        page.goto(f"{url}#{anchor}" if anchor else url, wait_until="load")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults, faults


@pytest.fixture(scope="session")
def screenshot() -> Callable[..., Path]:
    """Keeps a picture of a page, or of one element of it."""

    def keep(shown: Any, name: str, **options: Any) -> Path:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        shown.screenshot(path=path, **options)
        return path

    return keep


@pytest.fixture(scope="session")
def contrast_faults() -> Callable[..., list[str]]:
    """Texts of a page that are not legible by WCAG 2.1 AA (criterion 1.4.3)."""
    source = (Path(__file__).parent / "contrast.js").read_text()

    def faults(page: Any) -> list[str]:
        found: list[str] = page.evaluate(source)
        return found

    return faults


@pytest.fixture(scope="session")
def overflow() -> Callable[..., list[str]]:
    """Elements that make a page scroll sideways; those that scroll inside their own box may."""

    def wide(page: Any) -> list[str]:
        found: list[str] = page.evaluate(
            """() => {
              const width = document.documentElement.clientWidth;
              if (document.documentElement.scrollWidth <= width) return [];
              return [...document.querySelectorAll("body *")]
                .filter((one) => one.getBoundingClientRect().right > width + 1)
                .slice(0, 8)
                .map((one) => `${one.tagName}.${one.getAttribute("class")} ` +
                  one.textContent.trim().slice(0, 40));
            }"""
        )
        return found

    return wide
