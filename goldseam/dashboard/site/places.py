"""Where everything stands in a site; all links are relative, so any server or folder will do."""

import hashlib
import re

PAGE = "index.html"
AUDITS, DATASETS, RUNS = "audits", "datasets", "runs"
SAFE = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
# top-level pages: file → its name in the menu
MENU = {
    PAGE: "Overview",
    "runs.html": "Runs",
    "models.html": "Models",
    "gates.html": "Gates",
}


def slug(name: str) -> str:
    """A file name for any text; different texts get different names, also where case is ignored."""
    if SAFE.fullmatch(name) and not name.endswith("."):
        return name
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:60]
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")


def audit_folder(digest: str) -> str:
    """Folder of an audit below `audits/`."""
    return slug(digest.removeprefix("sha256:")[:16])


def run_folder(key: str) -> str:
    """Folder of a run below `runs/`."""
    return slug(key)


def dataset_page(name: str) -> str:
    """The page of a dataset."""
    return f"{DATASETS}/{slug(name)}.html"
