"""What commands print: lines on stdout, or one JSON document with ``--json``; progress goes to stderr."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lanecli.cli.help import OUTPUT
from lanecli.cli.table import terminal_width
from lanecli.errors import one_line, printable

if TYPE_CHECKING:
    from rich.progress import Progress

JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on stdout, nothing else.", rich_help_panel=OUTPUT),
]


def emit(document: Any, lines: Iterable[str], as_json: bool) -> None:
    """Print `document` as JSON, or `lines` as text, on stdout.

    In JSON, bytes of a name that are not UTF-8 are written as ``\\udcXX`` (Python's surrogateescape), from which the
    name can be restored, and numbers that are not finite as null.
    """
    if as_json:
        utf8 = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
        text = json.dumps(_finite(document), ensure_ascii=not utf8, indent=2, default=str, allow_nan=False)
        sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
    else:
        width = terminal_width()
        sys.stdout.writelines(_wrap_labelled(printable(line), width) + "\n" for line in lines)
    sys.stdout.flush()


def _finite(value: Any) -> Any:
    """Return `value` with None in place of every number that JSON cannot express."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value


def note(line: str) -> None:
    """Print a line on stderr with unprintable characters escaped; do nothing if stderr cannot be written.

    On a terminal, a line that starts with a label is wrapped.
    """
    text = _wrap_labelled(one_line(line), _stderr_width())
    with suppress(OSError, ValueError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _wrap_labelled(text: str, width: int | None) -> str:
    """Wrap a line that starts with a label, such as ``data:``, and indent it under the label's text.

    A line without a label stays whole: it is usually a path, which a user copies.

    Args:
        text: one line.
        width: columns of the terminal; None does not wrap.
    """
    label = re.match(r"[\w ]{1,12}: +", text)
    if width is None or len(text) <= width or label is None:
        return text
    indent = " " * len(label[0])
    return "\n".join(textwrap.wrap(text, max(width, 40), subsequent_indent=indent, break_on_hyphens=False))


def _stderr_width() -> int | None:
    """Return the columns of the terminal that stderr is, or None if it is not a terminal."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else None
    except (OSError, ValueError, AttributeError):
        return None


NARROW = 100
"""Columns below which a bar shows less: if it fills its line, the ``^C`` that a terminal adds breaks it in two."""
_COUNT, _TIME, _MARGIN = 14, 8, 4  # columns for the count and the remaining time, and columns left empty


@contextmanager
def progress_bar(*columns: Any) -> Iterator[Progress]:
    """Show a rich progress bar on stderr, if that is a terminal.

    Args:
        columns: further rich columns, after description, bar and count and before the remaining time; in a narrow
            terminal they replace the bar.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    console = Console(stderr=True, markup=False, emoji=False)  # names of files must not be read as markup
    narrow = console.width < NARROW
    bar = 20 if narrow else 40
    longest = max(8, console.width - bar - _COUNT - _TIME - _MARGIN)
    with Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(max_width=longest, no_wrap=True)),
        *([] if narrow and columns else [BarColumn(bar)]),
        MofNCompleteColumn(),
        *columns,
        TimeRemainingColumn(compact=narrow),
        console=console,
        disable=not console.is_terminal,
        transient=True,  # a stopped bar tells nothing
    ) as progress:
        yield progress


def say_above(progress: Progress, line: str) -> None:
    """Print a line above a bar, wrapped to the width of a terminal; a log file gets it whole."""
    console = progress.console
    console.print(printable(line), highlight=False, markup=False, soft_wrap=not console.is_terminal)
