"""Wrong usage is answered in one line: what is wrong with what was typed, and what to type instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from lanecli.cli.help import parameter_name
from lanecli.errors import InputError, did_you_mean

_UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # typer does not export the base class of its errors


class Root(TyperGroup):
    """The whole command line. Wrong usage, of a subcommand too, raises InputError in place of typer's three lines."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse what stands before the subcommand."""
        with _usage_as_input_error():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Parse the subcommand's arguments and run it."""
        with _usage_as_input_error():
            return super().invoke(ctx)


@contextmanager
def _usage_as_input_error() -> Iterator[None]:
    try:
        yield
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # it prints the help of a group
            raise
        raise InputError(usage_message(error)) from error


def usage_message(error: Any) -> str:
    """Return one line for a usage error of typer's: the nearest name for an unknown one, else what to type."""
    kind, context = type(error).__name__, error.ctx
    message = str(error.format_message()).rstrip(".")
    message = message[:1].lower() + message[1:]
    if context is None:
        return message
    command, help_page = context.command_path, f"'{context.command_path} --help'"
    if kind == "NoSuchOption":
        known = [word for parameter in context.command.get_params(context) for word in parameter.opts]
        near = did_you_mean(error.option_name, [word for word in known if word.startswith("--")])
        return f"no such option: {error.option_name}{near or f'; {help_page} lists the options'}"
    if kind == "MissingParameter" and error.param is not None:
        needed = [parameter_name(p) for p in context.command.get_params(context) if p.required]
        return f"{command} needs {parameter_name(error.param)}; type: {' '.join([command, *needed])}"
    if kind == "BadParameter" and error.param is not None:
        option = parameter_name(error.param).split()[0]
        what = error.message.partition(",")[0].rstrip(".")
        return f"{option} {what.removeprefix('Input ')}" if what.startswith("Input ") else f"{option}: {what}"
    if unknown := re.match(r"no such command '(.*?)'", message):
        names = list(context.command.commands)
        return f"no such command: {unknown[1]}{did_you_mean(unknown[1], names) or '; there are: ' + ', '.join(names)}"
    return f"{message}; {help_page} shows how it is used"
