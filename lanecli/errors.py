"""The errors a user sees: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LaneError(Exception):
    """Something failed while the work was done. The message is one line; the command ends with exit code 1."""

    exit_code = 1


class InputError(LaneError):
    """What the user gave is wrong: a path, a file, an option, a label id. The command ends with exit code 2."""

    exit_code = 2


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known name closest to `word`, or an empty string."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{match[0]}'?)" if match else ""
