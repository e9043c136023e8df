"""Tables of plain text, no wider than the terminal; output that is not a terminal has no limit."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: may be empty.
        cells: text of each row.
        right: whether cells are aligned right, as numbers are.
    """

    title: str
    cells: Sequence[str]
    right: bool = False

    @property
    def width(self) -> int:
        """Number of characters of the longest cell or the title."""
        return max(len(cell) for cell in (self.title, *self.cells))


def terminal_width() -> int | None:
    """Return the columns of the terminal, or None if standard output is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(columns: Sequence[Column], width: int | None = None) -> list[str]:
    """Return the lines of a table, with two spaces between columns and none at the end of a line.

    Args:
        columns: of equal length; if none has a title, the table has no head.
        width: number of characters to which the last column is wrapped; None for no limit.

    Example:
        >>> print("\\n".join(table([Column("model", ["unet", "erfnet"]), Column("M", ["14.3", "2.1"], right=True)])))
        model      M
        unet    14.3
        erfnet   2.1
    """
    *_, last = columns
    indent = sum(column.width + 2 for column in columns[:-1])
    room = None if width is None or last.right else max(20, width - indent)
    rows = list(zip(*(column.cells for column in columns), strict=True))
    if any(column.title for column in columns):
        rows.insert(0, tuple(column.title for column in columns))
    lines = []
    for row in rows:
        cells = [c.rjust(k.width) if k.right else c.ljust(k.width) for c, k in zip(row, columns, strict=True)]
        start = "".join(f"{cell}  " for cell in cells[:-1])
        wrapped_cell = textwrap.wrap(row[-1], room, break_on_hyphens=False) if room else [cells[-1]]
        lines.append((start + (wrapped_cell[0] if wrapped_cell else "")).rstrip())
        lines += [" " * indent + more for more in wrapped_cell[1:]]
    return lines


def first_fitting_table(choices: Sequence[Sequence[Column]], width: int | None) -> list[str]:
    """Return the first of several tables of which no line is wider than `width`, or else the last table."""
    for columns in choices:
        lines = table(columns)
        if width is None or max(map(len, lines)) <= width:
            break
    return lines


def wrapped(text: str, width: int | None) -> list[str]:
    """Return a paragraph as lines of at most `width` characters, or as one line if `width` is None.

    Example:
        >>> wrapped("Milliseconds on your machine", 20)
        ['Milliseconds on your', 'machine']
    """
    return [text] if width is None else textwrap.wrap(text, max(20, width), break_on_hyphens=False)
