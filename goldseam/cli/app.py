"""The root command, and the one place where an error becomes a message and an exit code."""

import sys
from typing import Annotated

import typer

from goldseam import __version__
from goldseam.cli import dashboard, datasets, findings, predictions, recipes, runs, stages
from goldseam.errors import GoldseamError

app = typer.Typer(
    name="goldseam",
    help="Train vision models on broken labels, and learn what those labels are worth.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="--debug anywhere shows the traceback of an error.",
)
app.command("run", rich_help_panel="Pipeline")(runs.run)
app.command("compile", rich_help_panel="Pipeline")(runs.compile_pipeline)
app.add_typer(datasets.app, name="dataset", rich_help_panel="Data")
app.add_typer(recipes.app, name="recipe", rich_help_panel="Data")
app.add_typer(dashboard.app, name="dashboard", rich_help_panel="Pipeline")
app.command("findings", rich_help_panel="Data")(findings.findings)
for name, command in stages.COMMANDS.items():
    app.command(name, rich_help_panel="One stage alone")(command)
app.command("predict", rich_help_panel="A trained model")(predictions.predict)
app.command("export", rich_help_panel="A trained model")(predictions.export)


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"goldseam {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=lambda value: _version(wanted=value), is_eager=True),
    ] = False,
) -> None:
    """Train vision models on broken labels, and learn what those labels are worth."""


def main() -> None:
    """Run the command line: bad input gives one message on standard error and exit code 2."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    try:
        app(args=[argument for argument in arguments if argument != "--debug"])
    except GoldseamError as error:
        if debug:
            raise
        _explain(error)
        raise SystemExit(error.exit_code) from None


def _explain(error: GoldseamError) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True)
    console.print(Text("error: ", style="bold red") + Text(error.message))
    console.print(Text("  fix: ", style="bold green") + Text(error.remedy))
