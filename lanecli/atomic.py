"""Whole or not at all: outputs are written under a hidden name beside their place and renamed when they are complete.

    with atomic.file("model.onnx") as path:     # the same suffix, hidden, in the same folder
        onnx.save(model, path)                  # an exception here leaves nothing behind

    with atomic.folder("clip.masks") as path:   # replaces a folder of that name as a whole
        write_mask(path / "000000.png", mask)

A process that is killed cannot clean up. Its hidden names say which process they belong to, and the next one that
writes in the same folder removes them (`clean`).
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

_LONGEST_STEM = 100  # bytes of a temporary name that tell people what it will be; file systems allow 255 in all
_LONGEST_SUFFIX = 16
_ABANDONED = 24 * 3600  # seconds without a change, after which a name is a left-over whoever made it
# .STEM.MACHINE-PID-RUNxNUMBER.partial.SUFFIX; version 0.1.0 wrote .STEM.PID.partial.SUFFIX
_TEMPORARY = re.compile(
    r"\.(?P<name>.*)\.(?:(?P<machine>[0-9a-f]{8})-)?(?P<pid>\d+)(?:-(?P<run>[0-9a-f]{6})x\d+)?"
    r"\.(?P<state>partial|replaced)(?:\.[^.]*)?",
    re.DOTALL,
)
_run = os.urandom(3).hex()  # tells this process from one that had its number before: in containers it is often 1
_number = itertools.count()
_cleaned: set[str] = set()


class Pending:
    """An output under way: write to `path`, then `commit`, or `discard` it. As a context manager it does so itself.

    Attributes:
        target: The name it gets in the end.
        path: Where to write it until then: a name of the same suffix in the same folder that no other process uses.
    """

    def __init__(self, target: str | Path, *, folder: bool = False) -> None:
        """Make the temporary file (empty) or folder.

        Args:
            target: The name in the end; its folder must be there.
            folder: A folder is written, and replaces one of that name as a whole.

        Raises:
            LaneError: Its folder is gone, full or may not be written in.
        """
        self.target = Path(target)
        self.path = temporary_name(self.target)
        self._folder = folder
        self._open = True
        with self._explained():
            if folder:
                self.path.mkdir()
            else:
                self.path.touch(exist_ok=False)
                self._mode = stat.S_IMODE(self.path.stat().st_mode)

    def commit(self) -> None:
        """Give it its name. An older file or folder of that name is replaced.

        Raises:
            LaneError: It cannot be renamed; it is then discarded.
        """
        try:
            with self._explained():
                if self._folder:
                    _replace_folder(self.path, self.target)
                else:
                    # Some libraries make files of their own that only their owner may read.
                    if stat.S_IMODE(self.path.stat().st_mode) != self._mode:
                        self.path.chmod(self._mode)
                    self.path.replace(self.target)
            self._open = False
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was written, unless it has its name already. Raises nothing."""
        if self._open:
            self._open = False
            _remove(self.path)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
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
    """A file that gets its name when the `with` block ends well; the block is given the path to write to."""
    return Pending(target)


def folder(target: str | Path) -> Pending:
    """A folder that gets its name when the `with` block ends well, in place of an older one of that name."""
    return Pending(target, folder=True)


def write(target: str | Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to the file `target`, whole or not at all.

    Raises:
        LaneError: The disk is full, or the folder went away.
    """
    with file(target) as path:
        path.write_bytes(data.encode() if isinstance(data, str) else data)


def prepare_target(path: str | Path, *, overwrite: bool = True) -> Path:
    """Check that `path` can be written, before any work is done; make its folder and clean it of left-overs.

    Raises:
        InputError: It exists and `overwrite` is False, is a folder, has a name that is too long, or its folder cannot
            be made or written in.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise InputError(f"{target}: is a folder, not a file to write")
        if target.exists() and not overwrite:
            raise InputError(f"{target}: exists already; add --overwrite to replace it")
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror})") from error
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{target.parent}: cannot be made a folder ({error.strerror})") from error
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(f"{target.parent}: may not be written in (permission denied)")
    place = os.path.abspath(target.parent)
    if place not in _cleaned:
        _cleaned.add(place)
        clean(target.parent)
    return target


def temporary_name(target: Path) -> Path:
    """A hidden name beside `target`, of the same suffix, that no other process or thread uses: 150 bytes at most."""
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _LONGEST_SUFFIX else ""
    stem = _cut(target.name.removesuffix(suffix), _LONGEST_STEM)
    return target.with_name(f".{stem}.{_owner()}.partial{suffix}")


def is_temporary(name: str) -> bool:
    """True for a file name that `temporary_name` gives."""
    return _TEMPORARY.fullmatch(name) is not None


def clean(place: str | Path) -> list[Path]:
    """Remove what processes that are gone left half-written directly in the folder `place`.

    A name is a left-over when its process ran on this machine and is no more, or when nothing has changed it for a day
    (another machine may share the folder).

    Returns:
        The paths removed.
    """
    removed = []
    try:
        entries = [entry.path for entry in os.scandir(place) if entry.name[0] == "." and is_temporary(entry.name)]
    except OSError:
        return []
    for entry in map(Path, entries):
        found = _TEMPORARY.fullmatch(entry.name)
        if found is None or not _is_left_over(entry, found):
            continue
        target = entry.with_name(found["name"])
        if found["state"] == "replaced" and not os.path.lexists(target):
            with contextlib.suppress(OSError):  # killed between the two renames: the older folder is all there is
                entry.rename(target)
        else:
            _remove(entry)
            removed.append(entry)
    return removed


def _is_left_over(path: Path, found: re.Match[str]) -> bool:
    if found["machine"] == _machine():
        pid = int(found["pid"])
        if not _runs(pid) or (pid == os.getpid() and found["run"] != _run):
            return True
    try:
        return time.time() - path.stat().st_mtime > _ABANDONED
    except OSError:
        return False


def _runs(pid: int) -> bool:
    if os.name == "nt":  # there os.kill ends the process
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True


def _owner() -> str:
    return f"{_machine()}-{os.getpid()}-{_run}x{next(_number)}"


@functools.cache
def _machine() -> str:
    """Eight hex digits for where process numbers mean something: this host, and its container."""
    space = ""
    with contextlib.suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]


def _cut(text: str, limit: int) -> str:
    """The beginning of `text` that fills at most `limit` bytes as a file name."""
    while len(os.fsencode(text)) > limit:
        text = text[: limit // 4] if len(text) > 2 * limit else text[:-1]
    return text


def _replace_folder(fresh: Path, target: Path) -> None:
    try:
        fresh.rename(target)  # over nothing, or over an empty folder
    except OSError:
        if not target.is_dir() or target.is_symlink():
            raise
        # The whole name: `clean` gives it back where the process is killed between the two renames.
        old = target.with_name(f".{target.name}.{_owner()}.replaced")
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
