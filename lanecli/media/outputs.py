"""Where results go: a temporary name first, renamed when whole."""

from __future__ import annotations

import os
from pathlib import Path

from lanecli.errors import InputError, LaneError


def prepare_target(path: str | Path, *, overwrite: bool = True) -> Path:
    """Check that `path` can be written, before any work is done; make its folder.

    Raises:
        InputError: It exists and `overwrite` is False, is a folder, or its folder cannot be made or written in.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{target}: is a folder, not a file to write")
    if target.exists() and not overwrite:
        raise InputError(f"{target}: exists already; add --overwrite to replace it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{target.parent}: cannot be made a folder ({error.strerror})") from error
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(f"{target.parent}: may not be written in (permission denied)")
    return target


def temporary_name(target: Path) -> Path:
    """A hidden name beside `target`, of the same suffix, no other process uses."""
    return target.with_name(f".{target.stem[:80]}.{os.getpid()}.partial{target.suffix}")


def write_atomically(target: Path, data: bytes) -> None:
    """Write `data` under a temporary name in the same folder, then rename it to `target`.

    Raises:
        LaneError: The disk is full, or the folder went away.
    """
    temporary = temporary_name(target)
    try:
        temporary.write_bytes(data)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise LaneError(f"{target}: cannot be written ({error.strerror})") from error
