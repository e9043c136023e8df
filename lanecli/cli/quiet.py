"""Only our own lines on stderr."""

from __future__ import annotations

import os
import sys

from lanecli import interruption


def silence_libraries() -> None:
    """Send what C libraries print on stderr by themselves nowhere; Python's `sys.stderr` goes on as before.

    libpng, libtiff and others print a line for each damaged picture, past every handler Python could set. What is
    wrong comes back as an error too, and is said once, in our own line. `--debug` keeps their lines.
    """
    try:
        old = sys.__stderr__
        if old is None or sys.stderr is not old or old.fileno() != 2:
            return  # captured by somebody, who decides
        ours = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except (AttributeError, OSError, ValueError):
        return
    interruption.stderr = ours
    old.flush()
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = open(  # noqa: SIM115 - open as long as the process runs
        ours, "w", buffering=1, encoding=old.encoding, errors=old.errors, closefd=False
    )
