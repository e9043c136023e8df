"""The command line: its subcommands, of which only the one that is run is imported."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, NamedTuple

import typer

from lanecli import __version__
from lanecli.cli.help import WIDTH, Command
from lanecli.cli.usage import Root


class _Entry(NamedTuple):
    """A subcommand in the list of commands.

    Attributes:
        target: ``module:attribute`` below ``lanecli.cli``.
        summary: its line in the list.
        group: whether it has subcommands of its own.
        takes_keys: whether it takes KEY=VALUE, so that it answers an unknown option itself, with the key that is meant.
    """

    target: str
    summary: str
    group: bool = False
    takes_keys: bool = False


COMMANDS = {
    "predict": _Entry("predict:predict", "Draw lanes on pictures and video; write masks."),
    "overlay": _Entry("overlay:overlay", "Draw saved masks again, without a model."),
    "train": _Entry("train:train", "Train a model.", takes_keys=True),
    "evaluate": _Entry("evaluate:evaluate", "Score a model on a dataset."),
    "score": _Entry("score:app", "Score files as the benchmarks' own programs do.", group=True),
    "export": _Entry("export:app", "Export a model to one file.", group=True),
    "calibrate": _Entry("calibrate:calibrate", "Fit the temperature that calibrates probabilities."),
    "uncertainty": _Entry("uncertainty:app", "Fit feature statistics; compare measures.", group=True),
    "ensemble": _Entry("ensemble:app", "Learn how to combine models, or average their weights.", group=True),
    "select": _Entry("select:select", "Choose the frames most worth labelling next."),
    "prepare": _Entry("prepare:prepare", "Convert a public dataset, or a labelling tool's files."),
    "synth": _Entry("synth:synth", "Render procedural road scenes."),
    "sweep": _Entry("sweep:sweep", "Train variants alike and compare them.", takes_keys=True),
    "bench": _Entry("bench:bench", "Measure speed on this machine."),
    "show": _Entry("show:show", "Describe a model file, or print a configuration."),
    "list": _Entry("listing:listing", "List models, losses, formats, …"),
}


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lanecli {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    if debug:
        os.environ["LANECLI_DEBUG"] = "1"


def _not_imported() -> None:
    """Stand for a subcommand that is only listed."""


def build(words: Sequence[str] | None = None) -> typer.Typer:
    """Return the command line, with those subcommands imported that are needed; the others are only listed.

    Args:
        words: the arguments that were typed, of which the first without a dash names the subcommand to import. None
            imports every subcommand, for completion.
    """
    typed = None if words is None else next((word for word in words if not word.startswith("-")), "")
    before = words[: words.index(typed)] if words and typed else []
    for_root = typed not in COMMANDS or bool({"-h", "--help"} & set(before))
    app = typer.Typer(
        name="lanecli",
        cls=Root,
        no_args_is_help=True,
        # typer imports pydantic to parse these options, a third of a second that a subcommand need not wait for
        add_completion=for_root,
        add_help_option=for_root,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # rich's help renderer alone costs a quarter of a second at start
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
    )
    app.callback(help="Lane segmentation: pictures and dash-cam video in; overlays, masks and deployable models out.")(
        _root
    )
    for name, command in COMMANDS.items():
        if typed is not None and name != typed:
            app.command(name, short_help=command.summary)(_not_imported)
            continue
        module_name, attribute = command.target.split(":")
        module = import_module(f"lanecli.cli.{module_name}")
        target = getattr(module, attribute)
        if command.group:
            app.add_typer(target, name=name, short_help=command.summary)
        else:
            settings = {"ignore_unknown_options": True} if command.takes_keys else None
            app.command(
                name, cls=Command, epilog=module.EXAMPLES, short_help=command.summary, context_settings=settings
            )(target)
    return app
