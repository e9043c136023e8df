"""The subcommands, put together: of those that are not run, only the line in the list is loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, NamedTuple

import typer

from lanecli import __version__
from lanecli.cli.help import WIDTH, Command


class _Command(NamedTuple):
    """Where a subcommand is written, and its line in the list; `group` for one with subcommands of its own."""

    target: str
    summary: str
    group: bool = False
    own_answer: bool = False
    """An option that is none is answered by the command, with the key that is meant."""


COMMANDS = {
    "predict": _Command("predict:predict", "Draw lanes on pictures and video; write masks."),
    "overlay": _Command("overlay:overlay", "Draw saved masks again, without a model."),
    "train": _Command("train:train", "Train a model.", own_answer=True),
    "evaluate": _Command("evaluate:evaluate", "Score a model on a dataset."),
    "score": _Command("score:app", "Score files as the benchmarks' own programs do.", group=True),
    "export": _Command("export:app", "Write a model as one deployable file.", group=True),
    "calibrate": _Command("calibrate:calibrate", "Make probabilities honest: one temperature."),
    "uncertainty": _Command("uncertainty:app", "Statistics of features; a study of the measures.", group=True),
    "ensemble": _Command("ensemble:app", "Fit how models are combined; average weights.", group=True),
    "select": _Command("select:select", "Choose the frames most worth labelling next."),
    "prepare": _Command("prepare:prepare", "Turn a public layout into one dataset."),
    "synth": _Command("synth:synth", "Render procedural road scenes."),
    "sweep": _Command("sweep:sweep", "Train variants alike and compare them.", own_answer=True),
    "bench": _Command("bench:bench", "Measure speed on this machine."),
    "show": _Command("show:show", "Say what a model file holds."),
    "list": _Command("listing:listing", "List models, losses, formats, …"),
}


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lanecli {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options before the subcommand."""
    if debug:
        os.environ["LANECLI_DEBUG"] = "1"


def _unloaded() -> None:
    """Stands for a subcommand that is only listed."""


def build(words: Sequence[str] | None = None) -> typer.Typer:
    """The command line for the arguments `words`: with the subcommand they name, the others only listed.

    None loads every subcommand, as completion needs them.
    """
    named = None if words is None else next((word for word in words if not word.startswith("-")), "")
    before = words[: words.index(named)] if words and named else []
    own = named not in COMMANDS or bool({"-h", "--help"} & set(before))
    app = typer.Typer(
        name="lanecli",
        no_args_is_help=True,
        # reading options that no subcommand needs costs each a third of a second: typer loads pydantic for it
        add_completion=own,
        add_help_option=own,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # rich's help renderer alone costs a quarter of a second at start
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
    )
    app.callback(help="Lane segmentation: pictures and dash-cam video in; overlays, masks and deployable models out.")(
        _root
    )
    for name, command in COMMANDS.items():
        if named is not None and name != named:
            app.command(name, short_help=command.summary)(_unloaded)
            continue
        module, attribute = command.target.split(":")
        where = import_module(f"lanecli.cli.{module}")
        loaded = getattr(where, attribute)
        if command.group:
            app.add_typer(loaded, name=name, short_help=command.summary)
        else:
            settings = {"ignore_unknown_options": True} if command.own_answer else None
            examples = getattr(where, "EXAMPLES", None)
            app.command(name, cls=Command, epilog=examples, short_help=command.summary, context_settings=settings)(
                loaded
            )
    return app
