"""Gives an output folder one owner, since two commands that write into the same folder would mix their files.

The owner locks a hidden file in the folder. The operating system releases the lock when the process ends, however it
ends, so a stale lock never has to be removed by hand.
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
except ImportError:  # Windows does not have it: folders have no owner there
    fcntl = None  # type: ignore[assignment]

LOCK = ".lanecli.lock"
_BUSY = (errno.EWOULDBLOCK, errno.EACCES)
_held: set[int] = set()


class FolderInUseError(InputError):
    """Another process owns the folder."""


@contextlib.contextmanager
def owned(folder: Path, part: str | None = None) -> Iterator[None]:
    """Own `folder` during a `with` block; it is created if it does not exist, and removed again if it stays empty.

    Args:
        folder: an output folder.
        part: the part of the work that this command does, such as ``"2/4"``, or None for all of it. Commands with
            different parts may own the folder together, but not with a command that does all the work.

    Raises:
        FolderInUseError: another process owns it; the message names the process.
        InputError: it cannot be created or is not writable.
        LaneError: at the end of the block: the folder was removed in the meantime, and its files with it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as work, owned(Path(work, "predict")):
        ...     [path.name for path in Path(work, "predict").iterdir()]
        ['.lanecli.lock']
    """
    created = _make_folder(folder)
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, created)
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
    """Whether `path` is a lock file. A folder that holds nothing else counts as empty."""
    return path.name.startswith(".lanecli.") and path.suffix == ".lock"


def _make_folder(folder: Path) -> list[Path]:
    """Create `folder` and the missing folders above it; return the new ones, deepest first."""
    try:
        new = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        raise InputError(f"{folder}: cannot be written in ({getattr(error, 'strerror', error)})") from error
    return new


def _remove_empty(folders: list[Path]) -> None:
    """Remove the folders that were created, as far as they are still empty."""
    with contextlib.suppress(OSError):  # one is not empty, or was removed
        for folder in folders:
            folder.rmdir()


@contextlib.contextmanager
def _locked(path: Path, shared: bool = False) -> Iterator[int]:
    descriptor = _open(path, shared)
    _held.add(descriptor)
    try:
        yield descriptor
    finally:
        # a process that opened the file before it was removed notices that in `_open`
        if not shared or _lock(descriptor, fcntl.LOCK_EX):
            with contextlib.suppress(OSError):
                if _same_file(descriptor, path):
                    path.unlink()
        _held.discard(descriptor)
        os.close(descriptor)


def _open(path: Path, shared: bool) -> int:
    """Return a descriptor of the locked file at `path`. Raises FolderInUseError if another process holds the lock."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        except FileNotFoundError:  # the previous owner removed its empty folder
            _make_folder(path.parent)
            continue
        except OSError as error:
            raise InputError(f"{path.parent}: cannot be written in ({error.strerror})") from error
        try:
            if not _lock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
                raise FolderInUseError(
                    f"{path.parent}: {_describe_owner(descriptor)} is writing there; wait until it is done, or name "
                    "another folder"
                )
            if _same_file(descriptor, path):
                _write_owner(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the previous owner removed the file at its end


def _lock(descriptor: int, kind: int) -> bool:
    """Take the lock without waiting. Return False if another process holds it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _BUSY  # a file system without locks lets two owners in
    return True


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except OSError:
        return False


def _write_owner(descriptor: int) -> None:
    """Write who owns the folder, for the message that others get; on a full disk, nothing."""
    command = shlex.join([Path(sys.argv[0]).name or "lanecli", *sys.argv[1:]])
    if command.startswith(("__main__.py", "-m")):
        command = "lanecli" + command.removeprefix("__main__.py").removeprefix("-m")
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "command": command[:200]}).encode(), 0)


def _describe_owner(descriptor: int) -> str:
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {int(owner['pid'])} ({str(owner['command'])[:200]})"
    except (OSError, ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return "another lanecli"


def _close_in_child() -> None:
    """Close the lock files in a forked worker, which may outlive the owner and must not keep the lock."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
