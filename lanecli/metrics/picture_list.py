"""Lists of pictures, and the files their entries name: text is joined as the official programs join it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lanecli.errors import InputError


@dataclass(frozen=True)
class PictureList:
    """A list's name (its file's name without the suffix) and its entries, one per line, blank lines included."""

    name: str
    entries: tuple[str, ...]


def read_lists(paths: list[Path]) -> list[PictureList]:
    """Read lists from files; a folder stands for all of its ``*.txt`` files in the order of their names.

    Raises:
        InputError: a file does not exist or cannot be read, a folder has no list, or two lists have the same name.
    """
    picture_lists = []
    for path in paths:
        files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        if not files:
            raise InputError(f"{path}: holds no list (*.txt)")
        for file in files:
            try:
                text = os.fsdecode(file.read_bytes())
            except OSError as error:
                raise InputError(f"{file}: this list of pictures cannot be read ({error.strerror})") from error
            lines = text.split("\n")
            picture_lists.append(PictureList(file.stem, tuple(lines if lines[-1] else lines[:-1])))
    names = [picture_list.name for picture_list in picture_lists]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"two lists have the name {twice}")
    return picture_lists


def list_of_files(folder: str, ending: str) -> PictureList:
    """Return all files below a folder as a list, for users who have none; its entries begin with ``/``."""
    root = Path(folder)
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob(f"*{ending}"))
    if not names:
        raise InputError(f"{folder}: holds no *{ending}; give the pictures with --list")
    return PictureList(f"all of {root.name}", tuple(f"/{name.removesuffix(ending)}.jpg" for name in names))


def file_of(folder: str, entry: str, ending: str) -> str:
    """Return an entry's file: the folder and the entry, cut at its last dot, are joined without a separator."""
    return folder + (entry.rpartition(".")[0] if "." in entry else entry) + ending


def check_folder(folder: str) -> None:
    """Raise InputError if the folder does not exist; the official programs would silently count nothing."""
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: is not a folder")


def printable_entry(entry: str) -> str:
    """Return an entry in a form that can be printed whatever bytes it has."""
    text = entry.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if text.isprintable() and text.strip() else repr(text)
