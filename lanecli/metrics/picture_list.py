"""Lists of pictures, and the files an entry leads to: plain joining of text, as the official programs do it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lanecli.errors import InputError


@dataclass(frozen=True)
class PictureList:
    """A list's name (its file's without the ending) and its entries, one a line, blank ones too."""

    name: str
    entries: tuple[str, ...]


def read_lists(paths: list[Path]) -> list[PictureList]:
    """Lists from files, and from folders all ``*.txt`` of theirs by name.

    Raises:
        InputError: one is not there, cannot be read, or a folder holds none.
    """
    found = []
    for path in paths:
        files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        if not files:
            raise InputError(f"{path}: holds no list (*.txt)")
        for file in files:
            try:
                text = os.fsdecode(file.read_bytes())
            except OSError as error:
                raise InputError(f"{file}: no list of pictures can be read ({error.strerror})") from error
            lines = text.split("\n")
            found.append(PictureList(file.stem, tuple(lines if lines[-1] else lines[:-1])))
    names = [found_list.name for found_list in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"two lists are named {twice}")
    return found


def below(folder: str, ending: str) -> PictureList:
    """All files below a folder as a list, for those who have none; entries begin with ``/``."""
    root = Path(folder)
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob(f"*{ending}"))
    if not names:
        raise InputError(f"{folder}: holds no *{ending}; name the pictures with --list")
    return PictureList(f"all of {root.name}", tuple(f"/{name.removesuffix(ending)}.jpg" for name in names))


def file_of(folder: str, entry: str, ending: str) -> str:
    """The file of an entry: the folder and the entry, cut at its last dot, put together as they are."""
    return folder + (entry.rpartition(".")[0] if "." in entry else entry) + ending


def check_folder(folder: str) -> None:
    """Raises InputError where there is no such folder; the official programs say nothing and count nothing."""
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: is no folder")


def shown(entry: str) -> str:
    """An entry as it can be printed whatever bytes it holds."""
    text = entry.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if text.isprintable() and text.strip() else repr(text)
