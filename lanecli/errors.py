"""The errors a user sees: one line that says what is wrong, where, and what to do about it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_LONGEST = 1200
"""Longest message in characters: longer than any message of lanecli with a path of the usual length."""
_LONGEST_NAME = 80
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Characters that move the cursor, recolour a terminal, reverse the direction of writing, or are not valid at all."""


class LaneError(Exception):
    """The work failed. The message is one line, and the command ends with exit code 1."""

    exit_code = 1


class InputError(LaneError):
    """The user's input is wrong: a path, a file, an option or a label id. The command ends with exit code 2."""

    exit_code = 2


@contextmanager
def reading(source: object, what: str = "") -> Iterator[None]:
    """Turn every failure while foreign data is read into an InputError that blames the data.

        with reading(path, "as JSON"):
            count = json.loads(path.read_text())["count"]

    Args:
        source: the file, with the line or entry where it is known.
        what: what it was read as, for the message.

    Raises:
        InputError: ``SOURCE: not readable as JSON: …``. Errors of lanecli itself pass unchanged.

    Example:
        >>> with reading("notes.json", "as JSON"):
        ...     {}["count"]
        Traceback (most recent call last):
        lanecli.errors.InputError: notes.json: not readable as JSON: 'count' is missing
    """
    try:
        yield
    except LaneError:
        raise
    except Exception as error:
        raise InputError(f"{source}: not readable{f' {what}' if what else ''}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Return what an exception says, in one line and in a user's words."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.object[error.start]:#04x} at {error.start} is not UTF-8 text"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    text = " ".join(str(error).split())
    if isinstance(error, KeyError):
        return f"{text} is missing"
    return printable_name(text, 300) if text else type(error).__name__


def bug_report_message(error: BaseException) -> str:
    """Return the message for an exception that nobody foresaw."""
    return (
        f"{type(error).__name__}: {error}: this is a bug in lanecli; please report it with the command and what it "
        "prints as 'lanecli --debug …'"
    )


def one_line(text: str, longest: int = _LONGEST) -> str:
    """Return `text` in a form safe for a terminal: control characters escaped, too long a text cut in the middle.

    Example:
        >>> one_line("a\\n\\x1b[31mb")
        'a\\\\n\\\\x1b[31mb'
    """
    text = printable(text)
    if len(text) > longest:
        text = f"{text[: longest * 2 // 3]} … {text[-(longest // 3) :]}"
    return text


def printable_name(name: object, longest: int = _LONGEST_NAME) -> str:
    """Return a name from a file for use in a message, escaped and shortened as :func:`one_line` does it."""
    return one_line(str(name), longest)


def printable(text: str) -> str:
    """Return `text` with every character that must not reach a terminal escaped as Python would escape it."""
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return match[0].encode("unicode_escape").decode()


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known name closest to `word`, or an empty string if none is close.

    Example:
        >>> did_you_mean("lan", ["lane", "binary"])
        " (did you mean 'lane'?)"
    """
    import difflib

    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{match[0]}'?)" if match else ""
