"""The subcommands, put together."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from lanecli import __version__
from lanecli.cli import ensemble, export, score, uncertainty
from lanecli.cli.bench import bench
from lanecli.cli.calibrate import calibrate
from lanecli.cli.evaluate import evaluate
from lanecli.cli.listing import listing
from lanecli.cli.overlay import overlay
from lanecli.cli.predict import predict
from lanecli.cli.prepare import prepare
from lanecli.cli.select import select
from lanecli.cli.show import show
from lanecli.cli.sweep import sweep
from lanecli.cli.synth import synth
from lanecli.cli.train import train

app = typer.Typer(
    name="lanecli",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich's help renderer alone costs a quarter of a second at start
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lanecli {__version__}")
        raise typer.Exit


@app.callback(help="Lane segmentation: pictures and dash-cam video in; overlays, masks and deployable models out.")
def root(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options before the subcommand."""
    if debug:
        os.environ["LANECLI_DEBUG"] = "1"


app.command(short_help="Draw lanes on pictures and video; write masks.")(predict)
app.command(short_help="Draw saved masks again, without a model.")(overlay)
_OWN_ANSWER = {"ignore_unknown_options": True}  # an option that is none is answered with the key that is meant
app.command(short_help="Train a model.", context_settings=_OWN_ANSWER)(train)
app.command(short_help="Score a model on a dataset.")(evaluate)
app.add_typer(score.app, name="score", short_help="Score files as the benchmarks' own programs do.")
app.add_typer(export.app, name="export", short_help="Write a model as one deployable file.")
app.command(short_help="Make probabilities honest: one temperature.")(calibrate)
app.add_typer(uncertainty.app, name="uncertainty", short_help="Statistics of features; a study of the measures.")
app.add_typer(ensemble.app, name="ensemble", short_help="Fit how models are combined; average weights.")
app.command(short_help="Choose the frames most worth labelling next.")(select)
app.command(short_help="Turn a public layout into one dataset.")(prepare)
app.command(short_help="Render procedural road scenes.")(synth)
app.command(short_help="Train variants alike and compare them.", context_settings=_OWN_ANSWER)(sweep)
app.command(short_help="Measure speed on this machine.")(bench)
app.command(short_help="Say what a model file holds.")(show)
app.command("list", short_help="List models, losses, formats, …")(listing)
