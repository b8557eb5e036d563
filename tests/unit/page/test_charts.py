"""Charts: axes, gaps, and that nothing unknown is drawn as zero."""

import re

import pytest

from goldseam.page import amount, between, charts, duration
from goldseam.page.charts import Line
from goldseam.results import Estimate


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (0, 0.34, (0.0, 0.1, 0.2, 0.3, 0.4)),
        (-3, 7, (-4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0)),
        (1204, 2960, (1000.0, 1500.0, 2000.0, 2500.0, 3000.0)),
        (0, 0, (-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6)),
    ],
)
def test_ticks_are_round_and_span_the_values(low, high, ticks):
    found = charts.axis_ticks(low, high)
    assert found == ticks
    assert found[0] <= low <= high <= found[-1]


def test_one_axis_holds_all_intervals_and_zero():
    estimates = [Estimate(0.1, 0.05, 0.17), Estimate(None), Estimate(0.02)]
    low, high = charts.span_of(estimates)
    assert low == 0
    assert 0.17 <= high < 0.3
    assert charts.span_of([Estimate(None)]) == (0.0, 1.0)


def test_an_interval_is_drawn_where_it_is():
    html = charts.interval(Estimate(0.2, 0.1, 0.4), (0, 0.5))
    assert "--at:40.00%" in html
    assert '<i style="left:20.00%;width:60.00%"></i>' in html
    assert "<u" not in html
    assert '<u style="left:50.00%"></u>' in charts.interval(Estimate(0.2), (-1, 1))


def test_what_is_unknown_is_hatched_and_has_no_mark():
    for html in (charts.interval(Estimate(None), (0, 1)), charts.bar(None, 1)):
        assert "unknown" in html
        assert "style" not in html
    assert charts.heat(None) == 'class="number unknown"'
    assert "unknown" not in charts.heat(0.0)
    assert "--share:0.0000" in charts.heat(0.0)


def test_bars_and_heat_stay_within_their_cell():
    assert "width:100.00%" in charts.bar(3, 2)
    assert "--share:1.0000" in charts.heat(9, 2)
    assert "width:0.00%" in charts.bar(0, 0)


def chart(*lines, **options):
    return charts.line_chart(
        lines, x_name="labels", y_name="score", words="What it says.", **options
    )


def test_a_gap_breaks_the_line_and_is_not_drawn():
    whole = chart(Line("a", ((0, 1, None), (1, 2, None), (2, 3, None))))
    broken = chart(Line("a", ((0, 1, None), (1, None, None), (2, 3, None))))
    path = re.compile(r'<path d="([^"]+)" stroke-dasharray')
    assert [path.search(html).group(1).count("M") for html in (whole, broken)] == [1, 2]
    assert whole.count("<circle") == broken.count("<circle") + 1


def test_a_chart_says_what_it_shows_without_being_seen():
    html = chart(Line("<b>", ((0, 0.5, 0.1), (1, 0.7, 0.1))))
    assert 'aria-label="What it says."' in html
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert '<polygon class="band"' in html
    assert ">labels</text>" in html


def test_lines_differ_by_more_than_color():
    html = chart(*(Line(str(number), ((0, number, None), (1, 1, None))) for number in range(6)))
    dashes = re.findall(r'stroke-dasharray="([^"]*)"', html)
    assert len(set(dashes)) == 6


@pytest.mark.parametrize(
    "lines",
    [(), (Line("a", ()),), (Line("a", ((5, None, None),)),), (Line("a", ((5, 2, 0.1),)),)],
)
def test_few_or_no_points_make_a_chart_all_the_same(lines):
    html = chart(*lines)
    assert "nan" not in html
    assert "inf" not in html


def test_names_may_stand_on_the_axis():
    html = chart(Line("a", ((0, 0.2, None), (1, 0.4, None))), x_labels=("v1", "v2"), percent=True)
    assert ">v1</text>" in html
    assert "40 %</text>" in html


def test_ticks_are_written_as_they_are():
    """Steps of 0.25 need two digits, 2.5 % needs one."""
    html = chart(Line("a", ((0, 0.0, None), (1, 1.2, None))))
    assert ">0.25</text>" in html
    html = chart(Line("a", ((0, 0.0, None), (1, 0.12, None))), percent=True)
    assert ">2.5 %</text>" in html


def test_a_sparkline_breaks_at_gaps():
    html = charts.sparkline([0.1, None, 0.3, 0.4], "Coverage rose to 40 %.")
    assert html.count("M") == 2
    assert "Coverage rose to 40 %." in html
    assert "<circle" not in charts.sparkline([None], "Nothing is known.")


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (None, "px", "unknown"),
        (0.045, "", "4.5 %"),
        (1.4, "px", "1.4 px"),
        (1204.0, "labels", "1,204 labels"),
        (-0.3, "px", "-0.3 px"),
    ],
)
def test_amounts_carry_their_unit(value, unit, shown):
    assert amount(value, unit) == shown


def test_intervals_in_words():
    assert between(Estimate(0.1, 0.05, 0.2)) == "5.0 to 20.0 %"
    assert between(Estimate(1.4, 0.8, 2.0, "px")) == "0.8 to 2 px"
    assert between(Estimate(None, 0.1, 0.2)) == between(Estimate(0.1)) == ""


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(40, "40 s"), (720, "12 min"), (12_600, "3.5 h"), (3_600_000, "1,000 h")],
)
def test_durations_as_people_say_them(seconds, shown):
    assert duration(seconds) == shown
