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
from goldseam.dashboard.site.runs import GATE_WORDS, STATUS_WORDS, Run, gate_events, runs_of
from goldseam.dashboard.site.versions import Version, short, versions_of
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
    shared = _shared(config, history, runs, datasets, site)

    def page(file: str, template: str, **values: Any) -> str:
        root = "../" * file.count("/")
        return render(TEMPLATES, template, **shared, root=root, current=file, **values)

    names = sorted({event.dataset for event in events if event.dataset})
    strips = {name: gate_strips([one for one in events if one.dataset == name]) for name in names}
    cards = [card(name, versions, events) for name, versions in datasets.items()]
    urgent = attention(datasets, events, runs)
    pages = {
        PAGE: page(PAGE, "overview.html.j2", cards=cards, attention=urgent),
        "runs.html": page("runs.html", "runs.html.j2", runs=runs[: config.runs_shown]),
        "models.html": page("models.html", "models.html.j2"),
        "gates.html": page(
            "gates.html",
            "gates.html.j2",
            events=events[:EVENTS_SHOWN],
            number_of_events=len(events),
            strips=strips,
        ),
    }
    for name, versions in datasets.items():
        file = dataset_page(name)
        values = dataset_values(name, versions, events, runs, site)
        pages[file] = page(file, "dataset.html.j2", **values)
    return pages


def _shared(
    config: SiteConfig,
    history: History,
    runs: tuple[Run, ...],
    datasets: dict[str, tuple[Version, ...]],
    site: Path,
) -> dict[str, Any]:
    """What every template may name."""
    by_digest = {one.digest: (name, one) for name, versions in datasets.items() for one in versions}

    def link(page: str) -> str | None:
        return page if (site / page).is_file() else None

    return {
        "config": config,
        "menu": MENU,
        "when": when,
        "short": short,
        "charts": charts,
        "number": number,
        "span": span,
        "decimals": decimals,
        "dataset_page": dataset_page,
        "audit_link": lambda digest: link(f"{AUDITS}/{audit_folder(digest)}/{PAGE}"),
        "run_link": lambda key: link(f"{RUNS}/{run_folder(key)}/{PAGE}"),
        "run_anchor": run_folder,
        "dataset_of": by_digest.get,
        "datasets": datasets,
        "gate_words": GATE_WORDS,
        "status_words": STATUS_WORDS,
        "lineage_words": LINEAGE,
        "pipeline": PIPELINE,
        "history": history,
        "latest_seen": _latest(history),
        "all_runs": runs,
        "models": model_versions(history, runs),
    }


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
    # where a table is narrow, the line breaks between the two
    return Markup('<time datetime="{}"><span>{}</span> <span>{}</span></time>').format(
        time.strftime("%Y-%m-%dT%H:%M:%SZ"), time.strftime("%Y-%m-%d"), time.strftime("%H:%M UTC")
    )
