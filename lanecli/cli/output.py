"""What commands print: one JSON document on stdout with ``--json``, else lines; progress always goes to stderr."""

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
    typer.Option("--json", help="Print one JSON document on stdout and nothing else there.", rich_help_panel=OUTPUT),
]


def emit(document: Any, lines: Iterable[str], as_json: bool) -> None:
    """Print `document` as JSON, or `lines` as text, on stdout.

    Names that are not UTF-8 stand in the JSON as ``\\udcXX`` (Python's surrogateescape), so that they can be told back;
    numbers that are none stand there as null.
    """
    if as_json:
        utf8 = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
        text = json.dumps(_finite(document), ensure_ascii=not utf8, indent=2, default=str, allow_nan=False)
        sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
    else:
        width = terminal_width()
        sys.stdout.writelines(_broken(printable(line), width) + "\n" for line in lines)
    sys.stdout.flush()


def _finite(value: Any) -> Any:
    """`value` with None for every number JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value


def note(line: str) -> None:
    """Print a line on stderr, escaped; nothing happens where stderr is gone, as that of a closed terminal.

    A terminal gets it broken between words where it opens with a label.
    """
    text = _broken(one_line(line), _stderr_width())
    with suppress(OSError, ValueError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _broken(text: str, width: int | None) -> str:
    """`text` broken between words, set under what its label, such as ``data:``, names; without one as it is.

    Lines without a label mostly hold paths, which are to be copied whole.
    """
    label = re.match(r"[\w ]{1,12}: +", text)
    if width is None or len(text) <= width or label is None:
        return text
    indent = " " * len(label[0])
    return "\n".join(textwrap.wrap(text, max(width, 40), subsequent_indent=indent, break_on_hyphens=False))


def _stderr_width() -> int | None:
    """Columns of the terminal stderr is, None where it is none."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else None
    except (OSError, ValueError, AttributeError):
        return None


NARROW = 100
"""Columns below which a bar says less: it must not fill its line, or the terminal's own ``^C`` breaks it in two."""
_COUNT, _LEFT, _FREE = 14, 8, 4  # columns for the count, the time left, and none at all


@contextmanager
def progress_bar(*columns: Any) -> Iterator[Progress]:
    """A rich progress bar on stderr, silent when stderr is not a terminal.

    Args:
        columns: extra rich columns behind description, bar, count and time left; in a narrow terminal they take the
            bar's place.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    console = Console(stderr=True, markup=False, emoji=False)  # names out of files are no markup
    narrow = console.width < NARROW
    bar = 20 if narrow else 40
    longest = max(8, console.width - bar - _COUNT - _LEFT - _FREE)
    with Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(max_width=longest, no_wrap=True)),
        *([] if narrow and columns else [BarColumn(bar)]),
        MofNCompleteColumn(),
        *columns,
        TimeRemainingColumn(compact=narrow),
        console=console,
        disable=not console.is_terminal,
        transient=True,  # a bar that has stopped says nothing
    ) as progress:
        yield progress


def say_above(progress: Progress, line: str) -> None:
    """Print a line above a bar, broken between words where a terminal is narrower; a log file gets it whole."""
    console = progress.console
    console.print(printable(line), highlight=False, markup=False, soft_wrap=not console.is_terminal)
