"""Writes outputs completely or not at all: under a hidden temporary name in the same folder, renamed when complete.

    with atomic.file("model.onnx") as path:     # a hidden name with the same suffix in the same folder
        onnx.save(model, path)                  # an exception here leaves nothing behind

    with atomic.folder("clip.masks") as path:   # replaces an older folder of that name as a whole
        write_mask(path / "000000.png", mask)

A process that is killed cannot clean up. Its temporary names say which process they belong to, and the next process
that writes in the same folder removes them (`remove_leftovers`).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import os
import platform
import re
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from lanecli.errors import InputError, LaneError

_LONGEST_STEM = 100  # bytes of the final name that a temporary name keeps; file systems allow 255 bytes for a name
_LONGEST_SUFFIX = 16
_ABANDONED = 24 * 3600  # seconds without a change after which a temporary file is abandoned, whoever made it
# .STEM.MACHINE-PID-RUNxNUMBER.partial.SUFFIX; version 0.1.0 wrote .STEM.PID.partial.SUFFIX
_TEMPORARY = re.compile(
    r"\.(?P<name>.*)\.(?:(?P<machine>[0-9a-f]{8})-)?(?P<pid>\d+)(?:-(?P<run>[0-9a-f]{6})x\d+)?"
    r"\.(?P<state>partial|replaced)(?:\.[^.]*)?",
    re.DOTALL,
)
_run = os.urandom(3).hex()  # distinguishes this process from an earlier one with its number, often 1 in containers
_number = itertools.count()
_cleaned: set[str] = set()


class Pending:
    """An unfinished output: write to `path`, then `commit` or `discard` it. A `with` block does one or the other.

    Attributes:
        target: the final path.
        path: the temporary path to write to: same folder, same suffix, and a name that no other process uses.
    """

    def __init__(self, target: str | Path, *, folder: bool = False) -> None:
        """Create the temporary file (empty) or folder.

        Args:
            target: the final path; its folder must exist.
            folder: whether the output is a folder, which replaces an older one as a whole.

        Raises:
            LaneError: its folder does not exist, is full or is not writable.
        """
        self.target = Path(target)
        self.path = temporary_name(self.target)
        self._folder = folder
        self._open = True
        with self._with_explained_errors():
            if folder:
                self.path.mkdir()
            else:
                self.path.touch(exist_ok=False)
                self._mode = stat.S_IMODE(self.path.stat().st_mode)

    def commit(self) -> None:
        """Rename the output to its final name, replacing an older file or folder of that name.

        Raises:
            LaneError: it cannot be renamed; it is then discarded.
        """
        try:
            with self._with_explained_errors():
                if self._folder:
                    _replace_folder(self.path, self.target)
                else:
                    # Some libraries replace the file by one that only its owner may read.
                    if stat.S_IMODE(self.path.stat().st_mode) != self._mode:
                        self.path.chmod(self._mode)
                    self.path.replace(self.target)
            self._open = False
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was written, unless it has its final name already. Raises nothing."""
        if self._open:
            self._open = False
            _remove(self.path)

    @contextlib.contextmanager
    def _with_explained_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LaneError(f"{self.target}: cannot be written ({error.strerror or error})") from error

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.commit()
            return
        self.discard()
        if isinstance(error, OSError):
            raise LaneError(f"{self.target}: cannot be written ({error.strerror or error})") from error


def file(target: str | Path) -> Pending:
    """Return a context whose block gets a path to write to; when it ends without an error, the file gets its name."""
    return Pending(target)


def folder(target: str | Path) -> Pending:
    """Return the same for a folder, which then replaces an older one of that name."""
    return Pending(target, folder=True)


def write(target: str | Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to the file `target`, completely or not at all.

    Raises:
        LaneError: the disk is full, or the folder does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as work:
        ...     write(f"{work}/notes.txt", "done")
        ...     Path(work, "notes.txt").read_text()
        'done'
    """
    with file(target) as path:
        path.write_bytes(data.encode() if isinstance(data, str) else data)


def prepare_target(path: str | Path, *, overwrite: bool = True, folder: bool = False) -> Path:
    """Check that `path` can be written before any work is done; create its folder and remove leftovers from it.

    Args:
        path: the file to write.
        overwrite: whether an existing file may be replaced.
        folder: whether a folder of that name is to be written instead.

    Returns:
        The path.

    Raises:
        InputError: it exists and may not be replaced, is a folder or has a name that is too long; or its folder cannot
            be created or is not writable.
    """
    target = Path(path)
    try:
        if target.is_dir() and not folder:
            raise InputError(f"{target}: is a folder, not a file to write")
        if target.exists() and not overwrite:
            raise InputError(f"{target}: exists already; add --overwrite to replace it")
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror})") from error
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{target.parent}: the folder cannot be created ({error.strerror})") from error
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(f"{target.parent}: the folder is not writable (permission denied)")
    parent = os.path.abspath(target.parent)
    if parent not in _cleaned:
        _cleaned.add(parent)
        remove_leftovers(target.parent)
    return target


def temporary_name(target: Path) -> Path:
    """Return a hidden name beside `target` with its suffix, unused elsewhere and of at most 150 bytes."""
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _LONGEST_SUFFIX else ""
    stem = _shorten(target.name.removesuffix(suffix), _LONGEST_STEM)
    return target.with_name(f".{stem}.{_owner_name()}.partial{suffix}")


def is_temporary(name: str) -> bool:
    """Whether a file name is one that `temporary_name` gives."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_leftovers(parent: str | Path) -> list[Path]:
    """Remove the unfinished outputs that ended processes left directly in a folder.

    An output is left over if its process ran on this machine and has ended, or if it has not changed for a day
    (another machine may share the folder).

    Returns:
        The paths that were removed.
    """
    removed = []
    try:
        entries = [entry.path for entry in os.scandir(parent) if entry.name[0] == "." and is_temporary(entry.name)]
    except OSError:
        return []
    for entry in map(Path, entries):
        parts = _TEMPORARY.fullmatch(entry.name)
        if parts is None or not _is_abandoned(entry, parts):
            continue
        target = entry.with_name(parts["name"])
        if parts["state"] == "replaced" and not os.path.lexists(target):
            with contextlib.suppress(OSError):  # killed between the two renames: only the older folder exists
                entry.rename(target)
        else:
            _remove(entry)
            removed.append(entry)
    return removed


def _is_abandoned(path: Path, parts: re.Match[str]) -> bool:
    if parts["machine"] == _machine():
        pid = int(parts["pid"])
        if not _is_running(pid) or (pid == os.getpid() and parts["run"] != _run):
            return True
    try:
        return time.time() - path.stat().st_mtime > _ABANDONED
    except OSError:
        return False


def _is_running(pid: int) -> bool:
    if os.name == "nt":  # os.kill would end the process
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is another user's
        return True
    return True


def _owner_name() -> str:
    return f"{_machine()}-{os.getpid()}-{_run}x{next(_number)}"


@functools.cache
def _machine() -> str:
    """Return eight hex digits for the host and container, within which process numbers are unique."""
    space = ""
    with contextlib.suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]


def _shorten(text: str, limit: int) -> str:
    """Return the beginning of `text` that takes at most `limit` bytes as a file name."""
    while len(os.fsencode(text)) > limit:
        text = text[: limit // 4] if len(text) > 2 * limit else text[:-1]
    return text


def _replace_folder(fresh: Path, target: Path) -> None:
    try:
        fresh.rename(target)  # works if there is nothing or an empty folder
    except OSError:
        if not target.is_dir() or target.is_symlink():
            raise
        # The name in full: `remove_leftovers` restores it if the process is killed between the two renames.
        old = target.with_name(f".{target.name}.{_owner_name()}.replaced")
        if len(os.fsencode(old.name)) > 255:
            old = fresh.with_name(fresh.name + ".old")
        target.rename(old)
        fresh.rename(target)
        _remove(old)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
