"""One owner of an output folder: two commands that write into the same one would mix their files.

The owner holds a lock of the operating system on a hidden file in the folder. The system takes it back when the process
ends, however it ends: no stale lock is ever left to be removed by hand.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from lanecli.errors import InputError, LaneError

try:
    import fcntl
except ImportError:  # Windows has none: folders go without an owner there
    fcntl = None  # type: ignore[assignment]

LOCK = ".lanecli.lock"
_BUSY = (errno.EWOULDBLOCK, errno.EACCES)
_held: set[int] = set()


class FolderInUseError(InputError):
    """Another process owns the folder."""


@contextlib.contextmanager
def owned(folder: Path, part: str | None = None) -> Iterator[None]:
    """Own `folder` while inside; it is made where it is not there.

        with owned(Path("runs/predict")):
            ...  # no other lanecli writes there

    Args:
        folder: an output folder.
        part: of commands that share out their work, such as ``"2/4"``: owners of different parts go together, and none
            of them with an owner of the whole.

    Raises:
        FolderInUseError: another process owns it, which is named.
        InputError: it cannot be made or written in.
        LaneError: on leaving: the folder was removed while the work was done, and its files with it.
    """
    made = _make(folder)
    with contextlib.ExitStack() as stack:
        stack.callback(_leave, made)
        if fcntl is None:
            yield
            return
        whole = stack.enter_context(_locked(folder / LOCK, shared=part is not None))
        if part is not None:
            stack.enter_context(_locked(folder / f".lanecli.{part.replace('/', '-of-')}.lock"))
        yield
        if not _same_file(whole, folder / LOCK):
            raise LaneError(f"{folder}: was removed or replaced during the work; the files written there are gone")


def is_lock(path: Path) -> bool:
    """Whether `path` is a lock's file: a folder that holds nothing else counts as empty."""
    return path.name.startswith(".lanecli.") and path.suffix == ".lock"


def _make(folder: Path) -> list[Path]:
    """Make `folder` and those above it; the new ones, deepest first."""
    try:
        new = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        raise InputError(f"{folder}: cannot be written in ({getattr(error, 'strerror', error)})") from error
    return new


def _leave(made: list[Path]) -> None:
    """Take away the folders that were made for nothing."""
    with contextlib.suppress(OSError):  # one holds something, or is gone
        for folder in made:
            folder.rmdir()


@contextlib.contextmanager
def _locked(path: Path, shared: bool = False) -> Iterator[int]:
    descriptor = _open(path, shared)
    _held.add(descriptor)
    try:
        yield descriptor
    finally:
        # whoever opened the file before it went finds out in `_open` that it is no longer there
        if not shared or _lock(descriptor, fcntl.LOCK_EX):
            with contextlib.suppress(OSError):
                if _same_file(descriptor, path):
                    path.unlink()
        _held.discard(descriptor)
        os.close(descriptor)


def _open(path: Path, shared: bool) -> int:
    """A descriptor of the locked file at `path`. Raises FolderInUseError where another process holds the lock."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        except FileNotFoundError:  # the owner before took its empty folder away
            _make(path.parent)
            continue
        except OSError as error:
            raise InputError(f"{path.parent}: cannot be written in ({error.strerror})") from error
        try:
            if not _lock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
                raise FolderInUseError(
                    f"{path.parent}: {_owner(descriptor)} is writing there; wait until it is done, or name another "
                    "folder"
                )
            if _same_file(descriptor, path):
                _sign(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its owner took the file away as it left


def _lock(descriptor: int, kind: int) -> bool:
    """Take the lock without waiting; False where another process holds it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _BUSY  # a file system without locks cannot keep two owners apart
    return True


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except OSError:
        return False


def _sign(descriptor: int) -> None:
    """Write who owns the folder, for the message to others; on a full disk it goes without a name."""
    command = shlex.join([Path(sys.argv[0]).name or "lanecli", *sys.argv[1:]])
    if command.startswith(("__main__.py", "-m")):
        command = "lanecli" + command.removeprefix("__main__.py").removeprefix("-m")
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "command": command[:200]}).encode(), 0)


def _owner(descriptor: int) -> str:
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {int(found['pid'])} ({str(found['command'])[:200]})"
    except (OSError, ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return "another lanecli"


def _close_in_child() -> None:
    """A forked worker that outlives its owner must not keep the lock."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
