"""Where a file is that another program names: with the separators, the drive and the folders of its own machine.

A name is looked for in the dataset only. Nothing that was written in a file makes anything outside of it be read.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lanecli.errors import InputError


def portable(text: object, where: str) -> PurePosixPath:
    r"""A name as a relative path with forward slashes; drive, leading slashes and leading ``..`` are taken off.

    ``"sub\a.jpg"`` and ``"/sub/a.jpg"`` are ``sub/a.jpg``, ``"..\..\media\a.jpg"`` is ``media/a.jpg``.

    Args:
        text: what the file says.
        where: the file, for the error.

    Raises:
        InputError: it is no text, empty, or holds a null byte.
    """
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise InputError(f"{where}: '{text!s:.60}' is no name of a file")
    path = text.strip().replace("\\", "/")
    if len(path) > 1 and path[1] == ":":
        path = path[2:]
    parts = [part for part in posixpath.normpath(path).split("/") if part not in ("", ".", "..")]
    if not parts:
        raise InputError(f"{where}: '{text:.60}' is no name of a file")
    return PurePosixPath(*parts)


class Named(NamedTuple):
    """A name as a file gives it, where it stands (for errors), and the folder below the root it starts from."""

    text: object
    where: str
    start: str = ""


class Finder:
    """Finds the pictures of a dataset by the names annotations give them."""

    def __init__(self, root: Path, places: Iterable[str] = ()) -> None:
        """Args: root: the folder nothing is looked for outside of; places: folders below it to look in, best first."""
        self.root = root
        self._places = ["", *dict.fromkeys(p.strip("/") for p in places if p.strip("/."))]
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, text: object, where: str, start: str = "") -> Path | None:
        r"""The file of exactly this name, from `start` (``"..\imgs\a.jpg"`` beside a JSON) or in a place, or None.

        Raises:
            InputError: the name is none.
        """
        name = portable(text, where)
        beside = posixpath.normpath(posixpath.join(start, str(text).strip().replace("\\", "/")))
        if not beside.startswith(("..", "/")) and (found := _file(self.root / beside)):
            return found
        for place in (start, *self._places) if start else self._places:
            if found := _file(self.root / place / name):
                return found
        return None

    def find_all(self, names: Sequence[Named]) -> list[Path | None]:
        """The file each name means, or None.

        Those of exactly that name come first. A name whose folders are not there is then looked for with ever more of
        its leading folders left out, and last by its last part alone, whatever its case, where one file only has it;
        but never is it a file another name stands for.

        Raises:
            InputError: a name is none.
        """
        found = [self.find(*named) for named in names]
        taken = {path for path in found if path is not None}
        return [path or self._loosely(named, taken) for path, named in zip(found, names, strict=True)]

    def _loosely(self, named: Named, taken: set[Path]) -> Path | None:
        name = portable(named.text, named.where)
        for skipped in range(1, len(name.parts)):
            tail = PurePosixPath(*name.parts[skipped:])
            for place in (named.start, *self._places):
                found = _file(self.root / place / tail)
                if found and found not in taken:
                    return found
        alike = [path for path in self._called(name.name) if path not in taken]
        beside = [path for path in alike if path.parent == self.root / named.start]
        chosen = beside or alike
        return chosen[0] if len(chosen) == 1 else None

    def _called(self, name: str) -> list[Path]:
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
    """The folder of `path` below `root`, with forward slashes; empty for the root itself."""
    relative = os.path.relpath(path.parent, root).replace(os.sep, "/")
    return "" if relative in (".", "") or relative.startswith("..") else relative


def is_zip(path: Path) -> bool:
    """Whether `path` is a file called ``.zip``."""
    return path.suffix.lower() == ".zip" and path.is_file()
