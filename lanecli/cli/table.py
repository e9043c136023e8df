"""Tables of plain text, as wide as the terminal; without a limit where the output is no terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A title (or none) and a cell for each row; numbers are set to the right."""

    title: str
    cells: Sequence[str]
    right: bool = False

    @property
    def width(self) -> int:
        """Characters of the longest cell."""
        return max(len(cell) for cell in (self.title, *self.cells))


def terminal_width() -> int | None:
    """Columns of the terminal, None where standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(columns: Sequence[Column], width: int | None = None) -> list[str]:
    """The columns side by side, two spaces between them.

    Args:
        columns: of equal length; those without a title at all make a table without a head.
        width: characters there are; the last column is wrapped to them, a narrower table is not. None is no limit.

    Returns:
        Lines without trailing spaces.
    """
    *_, last = columns
    left = sum(column.width + 2 for column in columns[:-1])
    room = None if width is None or last.right else max(20, width - left)
    rows = list(zip(*(column.cells for column in columns), strict=True))
    if any(column.title for column in columns):
        rows.insert(0, tuple(column.title for column in columns))
    lines = []
    for row in rows:
        cells = [c.rjust(k.width) if k.right else c.ljust(k.width) for c, k in zip(row, columns, strict=True)]
        start = "".join(f"{cell}  " for cell in cells[:-1])
        whole = textwrap.wrap(row[-1], room, break_on_hyphens=False) if room else [cells[-1]]
        lines.append((start + (whole[0] if whole else "")).rstrip())
        lines += [" " * left + more for more in whole[1:]]
    return lines


def fitting(layouts: Sequence[Sequence[Column]], width: int | None) -> list[str]:
    """The first layout no line of which is wider than `width`, else the last one."""
    for columns in layouts:
        lines = table(columns)
        if width is None or max(map(len, lines)) <= width:
            break
    return lines


def wrapped(text: str, width: int | None) -> list[str]:
    """A paragraph as lines of at most `width` characters."""
    return [text] if width is None else textwrap.wrap(text, max(20, width), break_on_hyphens=False)
