"""What commands print: one JSON document on stdout with ``--json``, else lines; progress always goes to stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lanecli.cli.help import OUTPUT
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
        sys.stdout.writelines(printable(line) + "\n" for line in lines)
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
    """Print a line on stderr, escaped; nothing happens where stderr is gone, as that of a closed terminal."""
    with suppress(OSError, ValueError):
        sys.stderr.write(one_line(line) + "\n")
        sys.stderr.flush()


@contextmanager
def progress_bar(*columns: Any) -> Iterator[Progress]:
    """A rich progress bar on stderr, silent when stderr is not a terminal.

    Args:
        columns: extra rich columns behind description, bar, count and time left.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, markup=False, emoji=False)  # names out of files are no markup
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        *columns,
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        try:
            yield progress
        except BaseException:
            for task in progress.task_ids:  # a bar that has stopped says nothing
                progress.remove_task(task)
            raise
