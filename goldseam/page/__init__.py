"""The shell that every page of goldseam shares: one self-contained HTML file that needs no network.

A page's own template extends `base.html.j2` and fills its blocks (`title`, `lede`, `nav`, `facts`,
`content`); `parts.html.j2` holds what several pages draw. Without JavaScript all text and tables
are still there.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import markupsafe

from goldseam.page.numbers import amount, between, count, duration, percent, split_name

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = [
    "amount",
    "between",
    "count",
    "duration",
    "figure_html",
    "percent",
    "plotly_script",
    "render",
    "split_name",
]

SHELL = Path(__file__).parent / "templates"
# what the two color schemes share; the page's script sets the text colors from the style sheet
FIGURE_COLORS = ("#b5822b", "#4f7f8f", "#a0543f", "#7a7f52", "#7b6a92", "#8c8c8c")


def render(template_folder: Path, template: str, **values: Any) -> str:
    """Fill a template of a page; every value is escaped unless it is `markupsafe.Markup`.

    Args:
        template_folder: where the page's own templates stand; those of the shell are found too.
        template: file name of the page's template.
        values: what the template names; a name that is missing is an error.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template_folder, SHELL]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        amount=amount,
        between=between,
        count=count,
        duration=duration,
        percent=percent,
        split_name=split_name,
    )
    return environment.get_template(template).render(values)


def plotly_script() -> markupsafe.Markup:
    """Plotly's own script as one `<script>` element (4 MB): put it once into the block `head`."""
    from plotly.offline import get_plotlyjs

    script = markupsafe.Markup(get_plotlyjs())  # noqa: S704 (a package's own file)
    return markupsafe.Markup("<script>{}</script>").format(script)


def figure_html(figure: "go.Figure", name: str) -> markupsafe.Markup:
    """A figure as a `<div>`; it follows the page's color scheme and text font.

    Args:
        figure: is not changed.
        name: the id of the element, unique in the page; equal figures give equal HTML.
    """
    import plotly.graph_objects as go

    shown = go.Figure(figure)
    shown.update_layout(
        template="none",
        colorway=FIGURE_COLORS,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        # reads on both schemes where the page's script does not run
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#777"},
        margin={"l": 56, "r": 16, "t": 40 if figure.layout.title.text else 16, "b": 48},
    )
    shown.update_xaxes(gridcolor="rgba(128,128,128,.22)", zerolinecolor="rgba(128,128,128,.45)")
    shown.update_yaxes(gridcolor="rgba(128,128,128,.22)", zerolinecolor="rgba(128,128,128,.45)")
    html = shown.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        config={"displayModeBar": False, "responsive": True},
    )
    return markupsafe.Markup(html)  # noqa: S704 (plotly escapes what it writes)
