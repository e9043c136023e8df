"""Keeps lines that libraries print out of stderr."""

from __future__ import annotations

import os
import sys

from lanecli import interruption


def silence_libraries() -> None:
    """Discard what C libraries print on stderr; Python's `sys.stderr` works as before.

    libpng, libtiff and others print a line for each damaged picture, and no handler in Python can stop them. They
    report the same damage as an error, which lanecli prints once. `--debug` keeps their lines.
    """
    try:
        old = sys.__stderr__
        if old is None or sys.stderr is not old or old.fileno() != 2:
            return  # whoever has replaced stderr decides what to do with it
        ours = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except (AttributeError, OSError, ValueError):
        return
    interruption.stderr = ours
    old.flush()
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = open(  # noqa: SIM115 - stays open until the process ends
        ours, "w", buffering=1, encoding=old.encoding, errors=old.errors, closefd=False
    )
