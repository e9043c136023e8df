"""Finds files by the paths that annotations give, with the separators, drives and folders of another machine.

Files are looked for in the dataset only, so that no path in a file can make anything outside be read.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lanecli.errors import InputError


def portable(text: object, where: str) -> PurePosixPath:
    r"""Return a path as a relative one with forward slashes, without drive, leading slashes and leading ``..``.

    Args:
        text: the path in the file.
        where: the file, for the error message.

    Raises:
        InputError: `text` is not a string, is empty, or holds a null byte.

    Example:
        >>> portable(r"..\media\a.jpg", "x.json").as_posix()
        'media/a.jpg'
    """
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise InputError(f"{where}: '{text!s:.60}' is not a file name")
    path = text.strip().replace("\\", "/")
    if len(path) > 1 and path[1] == ":":
        path = path[2:]
    parts = [part for part in posixpath.normpath(path).split("/") if part not in ("", ".", "..")]
    if not parts:
        raise InputError(f"{where}: '{text:.60}' is not a file name")
    return PurePosixPath(*parts)


class FileReference(NamedTuple):
    """The path of another file as a file gives it.

    Attributes:
        text: the path.
        where: the file that gives it, for error messages.
        start: the folder, below the root, that the path is relative to.
    """

    text: object
    where: str
    start: str = ""


class Finder:
    """Finds the pictures of a dataset by the paths that annotations give."""

    def __init__(self, root: Path, folders: Iterable[str] = ()) -> None:
        """Take the folders to look in.

        Args:
            root: the dataset's folder; nothing outside is looked at.
            folders: folders below `root` to look in, the preferred ones first.
        """
        self.root = root
        self._folders = ["", *dict.fromkeys(f.strip("/") for f in folders if f.strip("/."))]
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, text: object, where: str, start: str = "") -> Path | None:
        r"""Return the file with exactly this path, or None.

        Args:
            text: the path, such as ``"..\imgs\a.jpg"``.
            where: the file that gives it, for error messages.
            start: the folder, below the root, to start from; the finder's folders follow.

        Raises:
            InputError: the path is not valid.
        """
        name = portable(text, where)
        beside = posixpath.normpath(posixpath.join(start, str(text).strip().replace("\\", "/")))
        if not beside.startswith(("..", "/")) and (path := _file(self.root / beside)):
            return path
        for folder in (start, *self._folders) if start else self._folders:
            if path := _file(self.root / folder / name):
                return path
        return None

    def find_all(self, references: Sequence[FileReference]) -> list[Path | None]:
        """Return the file that each reference means, or None.

        Exact matches come first. A path that does not exist is then looked for with more and more of its leading
        folders left out, and finally by its file name alone, ignoring case, if only one file has that name. A file
        that matches one reference exactly is never given to another.

        Raises:
            InputError: a path is not valid.
        """
        exact = [self.find(*reference) for reference in references]
        taken = {path for path in exact if path is not None}
        return [path or self._find_similar(each, taken) for path, each in zip(exact, references, strict=True)]

    def _find_similar(self, reference: FileReference, taken: set[Path]) -> Path | None:
        name = portable(reference.text, reference.where)
        for skipped in range(1, len(name.parts)):
            tail = PurePosixPath(*name.parts[skipped:])
            for folder in (reference.start, *self._folders):
                path = _file(self.root / folder / tail)
                if path and path not in taken:
                    return path
        same_name = [path for path in self._files_named(name.name) if path not in taken]
        beside = [path for path in same_name if path.parent == self.root / reference.start]
        candidates = beside or same_name
        return candidates[0] if len(candidates) == 1 else None

    def _files_named(self, name: str) -> list[Path]:
        from lanecli.data.layout import files_below

        if self._by_name is None:
            self._by_name = {}
            for path in files_below(self.root):
                self._by_name.setdefault(path.name.lower(), []).append(path)
        return self._by_name.get(name.lower(), [])


def _file(path: Path) -> Path | None:
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):  # a name that is too long for the file system
        return None


def relative_to_root(path: Path, root: Path) -> str:
    """Return the folder of `path` relative to `root`, with forward slashes; empty for the root itself."""
    relative = os.path.relpath(path.parent, root).replace(os.sep, "/")
    return "" if relative in (".", "") or relative.startswith("..") else relative


def is_zip(path: Path) -> bool:
    """Whether `path` is a file with the suffix ``.zip``."""
    return path.suffix.lower() == ".zip" and path.is_file()
