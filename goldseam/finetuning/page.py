"""The page of a repair: each category before and after, what it says and how sure that is."""

from pathlib import Path

from markupsafe import Markup

from goldseam.finetuning.probabilities.objectives import ExpectedCost, FBeta
from goldseam.finetuning.probabilities.reliability import ReliabilityBin
from goldseam.finetuning.repair import Repair, Repairs
from goldseam.page import amount, between, render
from goldseam.page.charts import Line, Point, line_chart
from goldseam.results import FinetuneResult, ScoreChange
from goldseam.storage.atomic import write_text

TEMPLATES = Path(__file__).parent / "templates"
# in the order of the table's columns
SHOWN = {
    "ap": "Average precision",
    "auc": "Area under ROC",
    "ece": "Calibration error",
    "brier": "Brier score",
}
MARKS = {"better": "▲ better", "worse": "▼ worse", "unclear": "– unclear"}
FORMS = {
    "identity": "as they were",
    "temperature": "temperature",
    "platt": "slope and intercept",
    "isotonic": "step curve",
    "": "not asked",
}
# diagrams of more categories than these are many pages of curves that nobody looks at
DIAGRAMS = 24


def write_page(
    result: FinetuneResult,
    found: Repairs,
    *,
    objective: FBeta | ExpectedCost,
    dataset: str,
    split: str,
    published: bool,
    folder: Path,
) -> None:
    """Write `index.html` into `folder`.

    Args:
        result: what was found.
        found: the repairs, for the diagrams.
        objective: what thresholds were chosen for.
        dataset: its name.
        split: whose labels decided.
        published: whether a published method chose each head by the labels that it is scored on.
        folder: where the page stands.
    """
    html = render(
        TEMPLATES,
        "finetune.html.j2",
        result=result,
        dataset=dataset,
        split=split,
        published=published,
        shown=SHOWN | {objective.score: objective.title},
        decided=objective.title,
        forms=FORMS,
        cells={
            one.category: {name: _cell(change) for name, change in one.scores.items()}
            for one in result.categories
        },
        diagrams=[(repair.report.category, _diagram(repair)) for repair in _most_moved(found)],
        memorization=found.memorization,
    )
    write_text(folder / result.page, html)


def _cell(change: ScoreChange) -> dict[str, str]:
    """What a table cell says: after, before, and whether the difference is clear."""
    if change.after.value is None:
        return {"verdict": "unknown", "mark": "unknown", "after": "", "before": "", "change": ""}
    verdict = change.change.verdict if change.change.value is not None else "unclear"
    same = change.change.value == 0
    return {
        "verdict": "" if same else verdict,
        "mark": "as before" if same else MARKS[verdict],
        "after": amount(change.after.value),
        "before": amount(change.before.value),
        "change": "" if same else between(change.change),
    }


def _most_moved(found: Repairs) -> list[Repair]:
    """Categories whose probabilities moved most, in their order."""

    def moved(repair: Repair) -> float:
        if repair.calibration is None or repair.calibration.change.brier.value is None:
            return 0.0
        return abs(repair.calibration.change.brier.value)

    chosen = sorted(found.categories, key=moved, reverse=True)[:DIAGRAMS]
    return [repair for repair in found.categories if repair in chosen]


def _diagram(repair: Repair) -> Markup:
    lines = [
        Line("as promised", ((0.0, 0.0, None), (1.0, 1.0, None))),
        Line("before", _points(repair.before)),
        Line("after", _points(repair.after)),
    ]
    return line_chart(
        lines,
        x_name="predicted probability",
        y_name="share present",
        words=f"{repair.report.category}: predicted probability against the share of known labels "
        "that are present, before and after.",
    )


def _points(bins: tuple[ReliabilityBin, ...]) -> tuple[Point, ...]:
    return tuple(
        (one.confidence, one.frequency.value, None) for one in bins if one.confidence is not None
    )
