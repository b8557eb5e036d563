"""The findings that a page carries, in the form that its script and its plain table read."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from goldseam.audit.report.pictures import DrawnLabel, Picture

# few values, many rows: written once and named by number
CODED = ("split", "task", "category", "issue", "action", "source")
PLAIN = ("finding", "image_id", "group", "evidence", "given", "suggested")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
PLAIN_TABLE_ROWS = 50


def explorer_data(findings: pa.Table, pictures: Mapping[str, Picture]) -> Markup:
    """JSON of findings and of what is known about their pictures, safe inside `<script>`.

    Args:
        findings: those that the page carries.
        pictures: by image id; their pixels stand in the page already, under their number.
    """
    body = {
        "columns": {name: findings.column(name).to_pylist() for name in PLAIN},
        "coded": {name: _coded(findings.column(name)) for name in CODED},
        "score": [round(score, 4) for score in findings.column("score").to_pylist()],
        "region": regions(findings),
        "pictures": {name: _described(one) for name, one in pictures.items()},
    }
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        # nothing that a label is called may end the element
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 (escaped above)


def _coded(column: pa.ChunkedArray) -> dict[str, Any]:
    """Names and, for each row, the number of one; -1 for null."""
    names = sorted(pc.unique(column).drop_null().to_pylist())
    codes = pc.fill_null(pc.index_in(column, pa.array(names, pa.string())), -1)
    return {"names": names, "codes": codes.to_pylist()}


def regions(findings: pa.Table) -> list[list[float] | None]:
    """Corners of each finding, px; None where it is about the image as a whole."""
    corners = zip(*(findings.column(name).to_pylist() for name in CORNERS), strict=True)
    return [
        [round(px, 1) for px in one] if all(px is not None for px in one) else None
        for one in corners
    ]


def _described(picture: Picture) -> dict[str, Any]:
    return {
        "number": picture.number,
        "width": picture.width,
        "height": picture.height,
        "why": picture.why,
        "labels": {task: _words(one) for task, one in picture.labels.items()},
        "predicted": {task: _words(one) for task, one in picture.predicted.items()},
    }


def _words(label: DrawnLabel) -> dict[str, Any]:
    return {
        "drawn": label.source is not None or bool(label.boxes),
        "outlines": bool(label.boxes),
        "words": label.words,
        "legend": label.legend,
    }
