"""The page of an affinity: one table of effects, one of transfers, and what they say."""

from pathlib import Path

from goldseam.multitask.affinity.sentences import METRICS, gain, plural, span
from goldseam.page import amount, render
from goldseam.results import AffinityResult, Estimate
from goldseam.storage.atomic import write_text

TEMPLATES = Path(__file__).parent / "templates"
COVERAGE = 0.95  # of the intervals
SMALL = "– too small"
MARKS = {"better": "▲ helps", "worse": "▼ harms", "unclear": "– unclear"}


def write_page(result: AffinityResult, dataset: str, smallest: float, folder: Path) -> None:
    """Write `index.html` into `folder`.

    Args:
        result: what was found.
        dataset: its name.
        smallest: share of a score below which a difference does not matter.
        folder: where the page stands.
    """
    cells = {(e.task, e.condition): _cell(e.difference, matters=e.matters) for e in result.effects}
    by_chance = (1 - COVERAGE) * len(result.effects)
    html = render(
        TEMPLATES,
        "affinity.html.j2",
        result=result,
        dataset=dataset,
        cells=cells,
        scores={t: amount(e.value, plural(e.unit)) for t, e in result.scores.items()},
        metrics={one.task: METRICS.get(one.metric, one.metric) for one in result.effects},
        transfers=[(t, _cell(t.difference, matters=t.matters)) for t in result.transfers],
        smallest=smallest,
        by_chance="fewer than one" if by_chance < 1 else f"about {by_chance:.0f}",
    )
    write_text(folder / result.page, html)


def _cell(difference: Estimate, *, matters: bool = True) -> dict[str, str]:
    """What a table cell says: a mark, the size of the gain, and its interval."""
    if difference.value is None:
        return {"verdict": "unknown", "mark": "unknown", "gain": "", "span": ""}
    small = difference.verdict != "unclear" and not matters
    return {
        "verdict": "small" if small else difference.verdict,
        "mark": SMALL if small else MARKS[difference.verdict],
        "gain": gain(difference),
        "span": span(difference),
    }
