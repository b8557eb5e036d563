"""`goldseam dashboard build | serve`: the site over many runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from goldseam.dashboard.site.build import SiteReport

app = typer.Typer(
    help="A static site over many runs: what labels were worth, version by version.",
    no_args_is_help=True,
)
Runs = Annotated[
    list[Path],
    typer.Argument(metavar="RUNS…", help="Folders with runs, workspaces or outputs of stages."),
]
Mlflow = Annotated[
    str | None,
    typer.Option(help="MLflow registry whose model versions are shown: sqlite:///mlflow.db."),
]
Title = Annotated[str | None, typer.Option(help="Heading of the overview.")]
SHOWN = ("audits", "runs", "validations", "evaluations", "promotions", "versions")


@app.command()
def build(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="The site; built again, it grows.")],
    mlflow: Mlflow = None,
    title: Title = None,
) -> None:
    """Build a static site from what runs left, or add to it.

    SITE/history.json keeps what earlier builds saw, so the folders of old runs may be removed.
    """
    _tell(_build(runs, out, mlflow, title))


@app.command()
def serve(
    site: Annotated[Path, typer.Argument(metavar="SITE", help="Folder that 'build' wrote.")],
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUNS…]", help="Add these first, as 'build' does."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8000,
    host: Annotated[
        str, typer.Option(help="127.0.0.1 answers this machine only; 0.0.0.0 answers everybody.")
    ] = "127.0.0.1",
    mlflow: Mlflow = None,
    title: Title = None,
) -> None:
    """Serve a site on this machine until Ctrl-C."""
    from goldseam.dashboard.site.serving import address, make_server

    if runs or mlflow:
        _tell(_build(runs or [], site, mlflow, title))
    try:
        with make_server(site, host, port) as server:
            typer.echo(f"serving {site} at {address(server)} (Ctrl-C ends it)")
            server.serve_forever()
    except KeyboardInterrupt:
        typer.echo("stopped")


def _build(runs: list[Path], out: Path, mlflow: str | None, title: str | None) -> "SiteReport":
    from goldseam.dashboard.site.build import build_site
    from goldseam.dashboard.site.config import SiteConfig

    config = SiteConfig() if title is None else SiteConfig(title=title)
    return build_site(config, runs, out, mlflow=mlflow)


def _tell(report: "SiteReport") -> None:
    new = [
        f"{number} new {kind.removesuffix('s') if number == 1 else kind}"
        for kind in SHOWN
        if (number := report.added[kind])
    ]
    typer.echo(f"{', '.join(new) or 'nothing new'}; page {report.site / 'index.html'}")
    if report.unreadable:
        typer.echo(
            f"left out {len(report.unreadable)} results of another version of goldseam, such as "
            f"{report.unreadable[0]}",
            err=True,
        )
