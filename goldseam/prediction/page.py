"""The contact sheet of a prediction run: every picture beside what the model says about it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from goldseam.dataset.schema import Kind, Task
from goldseam.page import amount, count, percent, render
from goldseam.prediction.writing import Prediction
from goldseam.storage.atomic import write_text

PAGE_FILE = "index.html"
TEMPLATES = Path(__file__).parent / "templates"
SHOWN_IMAGES = 200
SHOWN_TAGS = 8
STATES = {True: "present:", None: "no threshold, not decided:", False: "absent:"}


def write_page(
    folder: Path,
    images: Sequence[Prediction],
    tasks: Mapping[str, Task],
    skipped: Sequence[str],
) -> None:
    """Write `index.html`; it names the drawings beside it, and shows the first 200 pictures.

    Args:
        folder: output folder.
        images: what was predicted.
        tasks: what it means.
        skipped: why pictures were left out, a sentence each.
    """
    dense = [name for name, task in tasks.items() if task.kind is not Kind.TAGS]
    html = render(
        TEMPLATES,
        "predictions.html.j2",
        images=[(image, _sentences(image, tasks)) for image in images[:SHOWN_IMAGES]],
        total=len(images),
        dense=dense,
        skipped=skipped,
    )
    write_text(folder / PAGE_FILE, html)


def _sentences(image: Prediction, tasks: Mapping[str, Task]) -> dict[str, str]:
    """Task → what its drawing cannot say."""
    said: dict[str, str] = {}
    for task, shares in image.shares.items():
        largest = sorted(shares.items(), key=lambda pair: -pair[1])
        shown = [f"{name} {percent(share)}" for name, share in largest if share]
        said[task] = ", ".join(shown) or "nothing found"
    for task, (low, mean, high) in image.ranges.items():
        unit = tasks[task].unit or ""
        said[task] = f"{amount(low, unit)} to {amount(high, unit)}, on average {amount(mean, unit)}"
    for task, tags in image.tags.items():
        said[task] = _tags_sentence(tags, image.present[task])
    return said


def _tags_sentence(tags: Mapping[str, float], present: Mapping[str, bool | None]) -> str:
    """What is called present, what is not decided, and what is absent; the likeliest of each."""
    parts = []
    for state, title in STATES.items():
        names = [name for name, said in present.items() if said is state]
        if not names and state is not True:
            continue
        likely = sorted(names, key=lambda name: -tags[name])
        shown = ", ".join(f"{name} {percent(tags[name], 0)}" for name in likely[:SHOWN_TAGS])
        more = len(names) - SHOWN_TAGS
        tail = f" and {count(more)} more" if more > 0 else ""
        parts.append(f"{title} {shown or 'nothing'}{tail}")
    return "; ".join(parts)
