"""The shell of every page: escaping, numbers, figures, no network."""

import re

import jinja2
import plotly.graph_objects as go
import pytest

from goldseam.page import count, figure_html, percent, plotly_script, render, split_name

PAGE = """{% extends "base.html.j2" %}{% import "parts.html.j2" as parts %}
{% block title %}{{ title }}{% endblock %}
{% block content %}<table><tr>{{ parts.rate(rate) }}</tr></table>{{ parts.verdict(false) }}
{{ parts.states(1, 0, 2) }}{% endblock %}"""


def page(folder, **values):
    (folder / "page.html.j2").write_text(PAGE)
    return render(folder, "page.html.j2", **{"title": "A page", "rate": 0.5, **values})


def test_values_are_escaped(tmp_path):
    html = page(tmp_path, title="<script>x</script>")
    assert "<script>x" not in html
    assert html.count("&lt;script&gt;x") == 2  # the title and the first heading


def test_a_missing_value_is_an_error(tmp_path):
    (tmp_path / "page.html.j2").write_text("{{ nothing }}")
    with pytest.raises(jinja2.UndefinedError):
        render(tmp_path, "page.html.j2")


def test_an_unknown_rate_is_hatched_and_never_zero(tmp_path):
    assert '<td class="number">50.0 %</td>' in page(tmp_path)
    html = page(tmp_path, rate=None)
    assert '<td class="number unknown">unknown</td>' in html
    assert "0.0 %" not in html


def test_states_leave_out_what_there_is_none_of(tmp_path):
    html = page(tmp_path)
    assert 'class="present" style="flex-grow:1"' in html
    assert 'class="unknown" style="flex-grow:2"' in html
    assert '<i class="absent"' not in html


def test_the_shell_loads_nothing(tmp_path):
    html = page(tmp_path)
    assert not re.search(
        r"(?:src|href)\s*=\s*[\"'](?:https?:)?//|url\(\s*[\"']?(?:https?:)?//", html
    )


def test_figures_are_deterministic_and_carry_no_script_of_their_own_library():
    figure = go.Figure(go.Scatter(y=[1, 2, 3]))
    html = figure_html(figure, "curve")
    assert html == figure_html(figure, "curve")
    assert 'id="curve"' in html
    assert len(html) < 20_000
    assert figure.layout.paper_bgcolor is None  # the caller's figure is as it was


def test_the_plotly_script_is_one_element():
    script = plotly_script()
    assert script.startswith("<script>")
    assert script.endswith("</script>")
    assert script.count("</script>") == 1
    assert len(script) > 1_000_000


@pytest.mark.parametrize(
    ("share", "digits", "shown"),
    [
        (None, 1, "unknown"),
        (0.0, 1, "0.0 %"),
        (0.0449, 1, "4.5 %"),
        (0.00001, 1, "< 0.1 %"),
        (0.99999, 1, "> 99.9 %"),
        (1.0, 1, "100.0 %"),
        (0.614, 0, "61 %"),
    ],
)
def test_percentages_do_not_round_to_nothing_or_all(share, digits, shown):
    assert percent(share, digits) == shown


def test_numbers_and_splits_in_words():
    assert count(1242) == "1,242"
    assert (split_name("train"), split_name("test")) == ("training", "test")
