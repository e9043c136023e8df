"""Tables and figures of reports, each written completely or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lanecli import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def csv_bytes(head: Sequence[str], lines: Sequence[Sequence[Any]]) -> bytes:
    """Return a table as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows(lines)
    return text.getvalue().encode()


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure of matplotlib as PNG."""
    packed = io.BytesIO()
    figure.savefig(packed, format="png", dpi=130)
    atomic.write(path, packed.getvalue())
