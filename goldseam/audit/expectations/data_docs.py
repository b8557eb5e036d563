"""Data Docs that open without a network.

Great Expectations' pages take style, icons and the rows of their index from public servers. A page
about somebody's labels must not call a server: so scripts and foreign styles are taken out of those
pages, a style sheet of ours is put in, and the index is written by us.
"""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from goldseam.page import render
from goldseam.storage.atomic import write_text

if TYPE_CHECKING:
    from goldseam.audit.expectations.suite_run import Check

TEMPLATES = Path(__file__).parent / "templates"
# elements with their content: what drives or styles the page from elsewhere, and the advertisement
_WHOLE = re.compile(r"<(script|style|footer|iframe)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_SINGLE = re.compile(r"<link\b[^>]*>|<(?:img|source)\b[^>]*//[^>]*>", re.IGNORECASE)
# the bar on the left opens and filters by script
_SIDEBAR = re.compile(r'<div class="card mb-3">.*?(?=<div class="sticky">)', re.DOTALL)


def take_offline(folder: Path) -> None:
    """Rewrite every page below `folder` so that it loads nothing from a network."""
    style = (TEMPLATES / "data_docs.css").read_text()
    for page in sorted(folder.rglob("*.html")):
        html = page.read_text()
        for pattern in (_WHOLE, _SINGLE, _SIDEBAR):
            html = pattern.sub("", html)
        write_text(page, html.replace("</head>", f"<style>\n{style}</style>\n</head>", 1))
    shutil.rmtree(folder / "static", ignore_errors=True)


def write_index(folder: Path, name: str, checks: Sequence["Check"], reasons: Sequence[str]) -> None:
    """Write `index.html`: the verdict, every check, and the way to the pages of each table.

    Args:
        folder: of the docs.
        name: of the dataset.
        checks: in the order in which they are shown.
        reasons: why the suite failed; empty when it passed.
    """
    tables = list(dict.fromkeys(check.table for check in checks))
    pages = {table: _page_of(folder, f"validations/{table}/**/*.html") for table in tables}
    html = render(
        TEMPLATES,
        "validation.html.j2",
        name=name,
        checks=checks,
        reasons=reasons,
        pages=pages,
    )
    write_text(folder / "index.html", html)


def _page_of(folder: Path, pattern: str) -> str | None:
    found = sorted(folder.glob(pattern))
    return found[0].relative_to(folder).as_posix() if found else None
