"""`goldseam dashboard build | serve` as users call it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from goldseam.cli.app import app
from goldseam.dashboard.site.history import read_history
from tests.unit.dashboard.site.sample import make_team


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["dashboard", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_build_says_what_is_new(tmp_path: Path) -> None:
    team = make_team(tmp_path / "runs")
    site = tmp_path / "site"
    code, output = call("build", *team.folders, "--out", site, "--title", "Coast")
    assert code == 0
    assert "3 new audits, 4 new runs" in output
    assert f"page {site / 'index.html'}" in output
    assert "<h1>Coast</h1>" in (site / "index.html").read_text()
    assert "nothing new" in call("build", tmp_path / "runs", "--out", site)[1]


def test_serve_builds_first_where_runs_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from goldseam.dashboard.site import serving

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serving.http.server.ThreadingHTTPServer, "serve_forever", interrupted)
    team = make_team(tmp_path / "runs")
    code, output = call("serve", tmp_path / "site", *team.folders, "--port", 0)
    assert code == 0
    assert "http://127.0.0.1:" in output
    assert output.endswith("stopped\n")
    assert len(read_history(tmp_path / "site").runs) == 4
