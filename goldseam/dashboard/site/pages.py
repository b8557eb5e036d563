"""Every page of a site as HTML."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from goldseam.dashboard.comparison import decimals
from goldseam.dashboard.page import number, span
from goldseam.dashboard.site.config import SiteConfig
from goldseam.dashboard.site.dataset_view import dataset_values
from goldseam.dashboard.site.history import History
from goldseam.dashboard.site.models import LINEAGE, PIPELINE, model_versions
from goldseam.dashboard.site.overview import attention, card, gate_strips
from goldseam.dashboard.site.places import (
    AUDITS,
    MENU,
    PAGE,
    RUNS,
    audit_folder,
    dataset_page,
    run_folder,
)
from goldseam.dashboard.site.runs import GATE_WORDS, STATUS_WORDS, gate_events, runs_of
from goldseam.dashboard.site.versions import short, versions_of
from goldseam.page import charts, render

TEMPLATES = Path(__file__).parent / "templates"
EVENTS_SHOWN = 500


def site_pages(config: SiteConfig, history: History, site: Path) -> dict[str, str]:
    """File → HTML of every page that the site makes itself; equal histories give equal pages.

    Args:
        config: the options.
        history: everything the site has seen.
        site: where copies of other pages stand, to which a page links when they are there.
    """
    runs = runs_of(history)
    events = gate_events(history, runs)
    datasets = versions_of(history)
    models = model_versions(history, runs)
    versions_by_digest = {
        version.digest: (name, version) for name, all_ in datasets.items() for version in all_
    }
    shared: dict[str, Any] = {
        "config": config,
        "menu": MENU,
        "when": when,
        "day": day,
        "short": short,
        "charts": charts,
        "number": number,
        "span": span,
        "decimals": decimals,
        "dataset_page": dataset_page,
        "audit_link": lambda digest: _there(site, f"{AUDITS}/{audit_folder(digest)}/{PAGE}"),
        "run_link": lambda key: _there(site, f"{RUNS}/{run_folder(key)}/{PAGE}"),
        "run_anchor": run_folder,
        "dataset_of": versions_by_digest.get,
        "datasets": datasets,
        "gate_words": GATE_WORDS,
        "status_words": STATUS_WORDS,
        "lineage_words": LINEAGE,
        "pipeline": PIPELINE,
        "history": history,
        "latest_seen": _latest(history),
        "all_runs": runs,
        "models": models,
    }

    def page(file: str, template: str, **values: Any) -> str:
        root = "../" * file.count("/")
        return render(TEMPLATES, template, **shared, root=root, current=file, **values)

    pages = {
        PAGE: page(
            PAGE,
            "overview.html.j2",
            cards=[card(name, versions, events) for name, versions in datasets.items()],
            attention=attention(datasets, events, runs),
        ),
        "runs.html": page("runs.html", "runs.html.j2", runs=runs[: config.runs_shown]),
        "models.html": page("models.html", "models.html.j2"),
        "gates.html": page(
            "gates.html",
            "gates.html.j2",
            events=events[:EVENTS_SHOWN],
            number_of_events=len(events),
            strips={
                name: gate_strips([event for event in events if event.dataset == name])
                for name in sorted({event.dataset or "" for event in events}) if name
            },
        ),
    }  # fmt: skip
    for name, versions in datasets.items():
        file = dataset_page(name)
        values = dataset_values(name, versions, events, runs, site)
        pages[file] = page(file, "dataset.html.j2", **values)
    return pages


def _there(site: Path, link: str) -> str | None:
    return link if (site / link).is_file() else None


def _latest(history: History) -> float | None:
    """The newest time in the history: pages say what they know, not when they were made."""
    times = [audit.made for audit in history.audits.values()]
    times += [run.ended or run.begun for run in history.runs.values()]
    times += [version.created for version in history.versions.values()]
    return max(times, default=None)


def when(seconds: float | None) -> Markup:
    """A time in UTC, to the minute; `unknown` for None and for 0, which nobody recorded."""
    if not seconds:
        return Markup("unknown")
    time = datetime.fromtimestamp(seconds, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        time.strftime("%Y-%m-%dT%H:%M:%SZ"), time.strftime("%Y-%m-%d %H:%M UTC")
    )


def day(seconds: float | None) -> Markup:
    """A date in UTC."""
    if not seconds:
        return Markup("unknown")
    time = datetime.fromtimestamp(seconds, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        time.strftime("%Y-%m-%dT%H:%M:%SZ"), time.strftime("%Y-%m-%d")
    )
