"""Charts as plain HTML and inline SVG: they need no script and follow the page's color scheme.

Each comes with its numbers as text, in the same row of the table or below the chart. A number that
is unknown leaves a gap or a hatched field; it is never drawn as 0.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup

from goldseam.results import Estimate

# the plot area of a line chart inside its frame, in the units of the drawing
WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 44
SERIES = 6
# lines are told apart by dashes and marks as well as by color
DASHES = ("", "7 4", "2 3", "9 3 2 3", "4 2", "1 4")


Point = tuple[float, float | None, float | None]
Place = Callable[[float, float], tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: in the legend.
        points: x, y and half the height of the band around y; y None leaves a gap, a band of None
            draws none.
    """

    name: str
    points: tuple[Point, ...]


def axis_ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """Round numbers that span `low` to `high`: steps of 1, 2, 2.5 or 5 times a power of ten.

    Args:
        low: smallest value shown.
        high: largest; an empty range is widened.
        count: about how many steps.
    """
    if not high > low:
        pad = abs(low) / 2 or 0.5
        low, high = low - pad, high + pad
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(number * step, 12) for number in range(first, last + 1))


def span_of(estimates: Iterable[Estimate], *, zero: bool = True) -> tuple[float, float]:
    """The axis on which estimates can be drawn one under the other.

    Args:
        estimates: those without a value count for nothing.
        zero: whether the axis holds 0.
    """
    ends = [
        end
        for one in estimates
        if one.value is not None
        for end in (one.value, one.low, one.high)
        if end is not None
    ]
    if zero:
        ends.append(0.0)
    if not ends:
        return 0.0, 1.0
    ticks = axis_ticks(min(ends), max(ends), 4) if max(ends) > min(ends) else (0.0, 1.0)
    return ticks[0], ticks[-1]


def axis_end(value: float, unit: str = "") -> str:
    """The end of an axis, which is a round number: `15 %`, `2.5 px`."""
    return f"{value:,g} {unit}" if unit else f"{100 * value:,g} %"


def interval(estimate: Estimate, span: tuple[float, float]) -> Markup:
    """A dot with its interval on an axis, as wide as its table cell; its text stands beside it.

    Args:
        estimate: without a value it is a hatched field.
        span: ends of the axis (`span_of`).
    """
    if estimate.value is None:
        return Markup('<span class="interval unknown" aria-hidden="true"></span>')
    place = f"--at:{_share(estimate.value, span):.2f}%"
    whisker = Markup("")
    if estimate.low is not None and estimate.high is not None:
        low, high = _share(estimate.low, span), _share(estimate.high, span)
        whisker = Markup('<i style="left:{:.2f}%;width:{:.2f}%"></i>').format(low, high - low)
    zero = Markup("")
    if span[0] < 0 < span[1]:
        zero = Markup('<u style="left:{:.2f}%"></u>').format(_share(0, span))
    return Markup('<span class="interval" aria-hidden="true" style="{}">{}{}<b></b></span>').format(
        place, zero, whisker
    )


def bar(value: float | None, largest: float) -> Markup:
    """A bar from 0 to `value`, as wide as its table cell; its number stands beside it."""
    if value is None:
        return Markup('<span class="bar-field unknown" aria-hidden="true"></span>')
    share = 100 * min(max(value / largest, 0), 1) if largest > 0 else 0
    return Markup(
        '<span class="bar-field" aria-hidden="true"><i style="width:{:.2f}%"></i></span>'
    ).format(share)


def heat(value: float | None, largest: float = 1.0) -> Markup:
    """Attributes of a table cell that is as golden as `value` is large; hatched where unknown."""
    if value is None:
        return Markup('class="number unknown"')
    share = min(max(value / largest, 0), 1) if largest > 0 else 0
    return Markup('class="number heat" style="--share:{:.4f}"').format(share)


def sparkline(values: Sequence[float | None], words: str) -> Markup:
    """A trend without axes, about as high as a line of text.

    Args:
        values: in the order of time; None leaves a gap.
        words: what it says, for those who do not see it.
    """
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    pad = (high - low) / 8 or 0.5
    low, high = low - pad, high + pad
    step = 100 / max(len(values) - 1, 1)
    points = tuple((number * step, value, None) for number, value in enumerate(values))

    def place(x: float, y: float) -> tuple[float, float]:
        return x, 24 * (high - y) / (high - low)

    body = _path(points, place)
    last = next(((x, y) for x, y, _ in reversed(points) if y is not None), None)
    dot = Markup("")
    if last is not None:
        x, y = place(*last)
        dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.6"/>').format(x, y)
    return Markup(
        '<svg class="sparkline" viewBox="-4 -3 108 30" role="img" aria-label="{}">'
        '<path d="{}"/>{}</svg>'
    ).format(words, body, dot)


def line_chart(
    lines: Sequence[Line],
    *,
    x_name: str,
    y_name: str,
    words: str,
    x_labels: Sequence[str] = (),
    percent: bool = False,
) -> Markup:
    """Lines over a common axis, each with its own color, dashes and mark, and a legend.

    Args:
        lines: in the order of the legend; from the seventh on the colors repeat.
        x_name: what stands on the axis below, with its unit.
        y_name: what stands on the axis at the side.
        words: what the chart says, for those who do not see it.
        x_labels: names of x = 0, 1, 2 … instead of numbers.
        percent: whether y is written as a percentage.
    """
    points = [point for line in lines for point in line.points if point[1] is not None]
    x_ticks, y_ticks = _axes(points, x_labels)
    x_span = (
        (min(p[0] for p in points), max(p[0] for p in points))
        if points and not x_labels
        else (x_ticks[0], x_ticks[-1])
    )
    x_ticks = tuple(tick for tick in x_ticks if x_span[0] <= tick <= x_span[1])
    if x_span[0] == x_span[1]:
        x_span = (x_span[0] - 1, x_span[1] + 1)

    def place(x: float, y: float) -> tuple[float, float]:
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        across = (x - x_span[0]) / (x_span[1] - x_span[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return LEFT + across * (right - LEFT), bottom - up * (bottom - TOP)

    body = [_y_axis(y_ticks, HEIGHT - BOTTOM, percent)]
    body += [_x_tick(place(tick, y_ticks[0])[0], _x_text(tick, x_labels)) for tick in x_ticks]
    body.append(_axis_names(x_name, y_name))
    body += [_drawn(line, number, place) for number, line in enumerate(lines)]
    legend = Markup("").join(
        Markup('<li><svg viewBox="0 0 34 12" aria-hidden="true">{}</svg>{}</li>').format(
            _swatch(number), line.name
        )
        for number, line in enumerate(lines)
    )
    return Markup(
        '<figure class="chart"><div class="scroll" tabindex="0" role="group" aria-label="{}">'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg></div>'
        '<ul class="chart-legend">{}</ul></figure>'
    ).format(f"Chart: {y_name}", WIDTH, HEIGHT, words, Markup("").join(body), legend)


def _axes(
    points: Sequence[Point], x_labels: Sequence[str]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    ends = [
        y + sign * (band or 0) for _, y, band in points if y is not None for sign in (-1, 1)
    ] or [0.0, 1.0]
    y_ticks = axis_ticks(min(ends), max(ends))
    if x_labels:
        return tuple(float(number) for number in range(len(x_labels))), y_ticks
    across = [x for x, _, _ in points] or [0.0, 1.0]
    return axis_ticks(min(across), max(across)), y_ticks


def _share(value: float, span: tuple[float, float]) -> float:
    return 100 * min(max((value - span[0]) / (span[1] - span[0]), 0), 1)


def _y_axis(ticks: Sequence[float], bottom: float, percent: bool) -> Markup:
    low, high = ticks[0], ticks[-1]
    factor, unit = (100, " %") if percent else (1, "")
    digits = _digits(factor * (ticks[1] - low))
    parts = []
    for tick in ticks:
        y = bottom - (tick - low) / (high - low) * (bottom - TOP)
        parts.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
                '<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>'
            ).format(
                LEFT, WIDTH - RIGHT, y, y, LEFT - 7, y + 4, f"{factor * tick:,.{digits}f}{unit}"
            )
        )
    return Markup("").join(parts)


def _digits(step: float) -> int:
    """Digits behind the point that write a round step exactly."""
    return next((n for n in range(9) if abs(round(step, n) - step) < step * 1e-6), 9)


def _x_text(tick: float, labels: Sequence[str]) -> str:
    return labels[round(tick)] if labels else f"{tick:,g}" if abs(tick) < 1e4 else f"{tick:,.0f}"


def _x_tick(x: float, text: str) -> Markup:
    return Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
        x, HEIGHT - BOTTOM + 17, text
    )


def _axis_names(x_name: str, y_name: str) -> Markup:
    return Markup(
        '<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>'
        '<text class="axis" transform="translate(13 {}) rotate(-90)" text-anchor="middle">{}</text>'
    ).format((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 7, x_name, (TOP + HEIGHT - BOTTOM) / 2, y_name)


def _drawn(line: Line, number: int, place: Place) -> Markup:
    """Band, line and marks of one line."""
    parts = []
    banded = [(x, y, band) for x, y, band in line.points if y is not None and band is not None]
    if len(banded) > 1:
        upper = [place(x, y + band) for x, y, band in banded]
        lower = [place(x, y - band) for x, y, band in reversed(banded)]
        outline = " ".join(f"{x:.1f},{y:.1f}" for x, y in upper + lower)
        parts.append(Markup('<polygon class="band" points="{}"/>').format(outline))
    parts.append(
        Markup('<path d="{}" stroke-dasharray="{}"/>').format(
            _path(line.points, place), DASHES[number % SERIES]
        )
    )
    parts += [_mark(number, *place(x, y)) for x, y, _ in line.points if y is not None]
    return Markup('<g class="series s{}">{}</g>').format(number % SERIES, Markup("").join(parts))


def _path(points: Sequence[Point], place: Place) -> str:
    """Path data that begins anew after each gap."""
    parts, pen = [], "M"
    for x, y, _ in points:
        if y is None:
            pen = "M"
            continue
        across, down = place(x, y)
        parts.append(f"{pen}{across:.1f} {down:.1f}")
        pen = "L"
    return " ".join(parts)


def _mark(number: int, x: float, y: float) -> Markup:
    """A mark that tells lines apart without color."""
    shapes = (
        '<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6"/>',
        '<rect x="{a:.1f}" y="{b:.1f}" width="6.6" height="6.6"/>',
        '<path class="mark" d="M{x:.1f} {c:.1f} l4.3 7.4 h-8.6 z"/>',
        '<path class="mark" d="M{x:.1f} {c:.1f} l4.6 4.6 l-4.6 4.6 l-4.6 -4.6 z"/>',
        '<circle class="open" cx="{x:.1f}" cy="{y:.1f}" r="3.6"/>',
        '<rect class="open" x="{a:.1f}" y="{b:.1f}" width="6.6" height="6.6"/>',
    )
    shape = Markup(shapes[number % SERIES])  # noqa: S704 (our own text)
    return shape.format(x=x, y=y, a=x - 3.3, b=y - 3.3, c=y - 4.6)


def _swatch(number: int) -> Markup:
    return Markup('<g class="series s{}"><path d="M1 6 H33" stroke-dasharray="{}"/>{}</g>').format(
        number % SERIES, DASHES[number % SERIES], _mark(number, 17, 6)
    )
