"""What commands print: one JSON document on stdout with ``--json``, else lines; progress always goes to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]


def emit(document: Any, lines: Iterable[str], as_json: bool) -> None:
    """Print `document` as JSON, or `lines` as text, on stdout."""
    if as_json:
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2, default=str, allow_nan=False) + "\n")
    else:
        sys.stdout.writelines(line + "\n" for line in lines)


def note(line: str) -> None:
    """Print a line on stderr."""
    sys.stderr.write(line + "\n")


@contextmanager
def progress_bar(*columns: Any) -> Iterator[Progress]:
    """A rich progress bar on stderr, silent when stderr is not a terminal.

    Args:
        columns: extra rich columns behind description, bar, count and time left.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *columns,
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        yield progress
