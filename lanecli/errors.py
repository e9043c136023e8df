"""The errors a user sees: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_LONGEST = 1200
"""Characters of a message: more than any of ours has with a path of the usual length."""
_LONGEST_NAME = 80
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""What moves the cursor, recolours a terminal, turns the direction of writing around, or is no character at all."""


class LaneError(Exception):
    """Something failed while the work was done. The message is one line; the command ends with exit code 1."""

    exit_code = 1


class InputError(LaneError):
    """What the user gave is wrong: a path, a file, an option, a label id. The command ends with exit code 2."""

    exit_code = 2


@contextmanager
def reading(place: object, what: str = "") -> Iterator[None]:
    """Read foreign data: whatever fails inside is the data's fault, and is said so.

        with reading(path, "as JSON"):
            count = json.loads(path.read_text())["count"]

    Args:
        place: the file, with the line or entry where that is known.
        what: what it was read as, for the message.

    Raises:
        InputError: ``PLACE: not readable as JSON: …``; errors of ours pass as they are.
    """
    try:
        yield
    except LaneError:
        raise
    except Exception as error:
        raise InputError(f"{place}: not readable{f' {what}' if what else ''}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """What an exception says, in one line and in a user's words."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.object[error.start]:#04x} at {error.start} is no UTF-8 text"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    text = " ".join(str(error).split())
    if isinstance(error, KeyError):
        return f"{text} is missing"
    return named(text, 300) if text else type(error).__name__


def mistake(error: BaseException) -> str:
    """What to say of an exception nobody foresaw."""
    return (
        f"{type(error).__name__}: {error}: this is a mistake in lanecli; please report it with the command and what it "
        "prints as 'lanecli --debug …'"
    )


def one_line(text: str, longest: int = _LONGEST) -> str:
    """`text` as it may be shown on a terminal: control characters are escaped, what is too long is cut in the middle.

    one_line("a\\n\\x1b[31mb")  # 'a\\\\n\\\\x1b[31mb'
    """
    text = printable(text)
    if len(text) > longest:
        text = f"{text[: longest * 2 // 3]} … {text[-(longest // 3) :]}"
    return text


def named(name: object, longest: int = _LONGEST_NAME) -> str:
    """A name out of a file, for a message: see :func:`one_line`."""
    return one_line(str(name), longest)


def printable(text: str) -> str:
    """`text` with everything that is not to be printed on a terminal escaped as Python would."""
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return found[0].encode("unicode_escape").decode()


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known name closest to `word`, or an empty string."""
    import difflib

    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{match[0]}'?)" if match else ""
