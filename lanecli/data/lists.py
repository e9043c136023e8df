"""Lists that say which pictures belong to which split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from lanecli.data.layout import Pair
from lanecli.data.paths import portable
from lanecli.errors import InputError
from lanecli.media.pictures import PICTURE_SUFFIXES
from lanecli.textfiles import numbered_lines


@dataclass
class SplitLists:
    """The official split of a dataset, from its lists.

    Attributes:
        splits: split of each picture, by its name without suffix.
        files: names of the lists.
    """

    splits: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)

    def add(self, path: Path, split: str | None) -> None:
        """Read a list with one picture per line and add its pictures to a split.

        Args:
            path: the list.
            split: the split, or None to skip the list.

        Raises:
            InputError: the list cannot be read, or a picture is in another split already.
        """
        if split is None:
            return
        for number, line in numbered_lines(path):
            name = name_in_list(line, f"{path} line {number}")
            if self.splits.setdefault(name, split) != split:
                raise InputError(f"{path} line {number}: '{name}' is in '{self.splits[name]}' already")
        self.files.append(path.name)

    def apply(self, pairs: Iterable[Pair]) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
        """Return the pairs with their official splits, and a note if the lists name none of them.

        A pair that is in no list has the split None. A list may give a picture's path with more leading folders than
        the dataset has, or with fewer if only one picture has that name.
        """
        pairs = tuple(pairs)
        ends: dict[str, set[str]] = {}
        for name, split in self.splits.items():
            parts = PurePosixPath(name).parts
            for skipped in range(1, len(parts)):
                ends.setdefault("/".join(parts[skipped:]), set()).add(split)
        alike = Counter(PurePosixPath(pair.name).name for pair in pairs)

        def split_of_pair(name: str) -> str | None:
            if name in self.splits:
                return self.splits[name]
            if len(found := ends.get(name, ())) == 1:
                return next(iter(found))
            last = PurePosixPath(name).name
            return self.splits.get(last) if alike[last] == 1 else None

        listed = tuple(replace(pair, split=split_of_pair(pair.name)) for pair in pairs)
        if not self.splits or any(pair.split for pair in listed):
            return listed, ()
        first = next(iter(self.splits))
        return listed, (f"{', '.join(self.files)}: name no picture of this dataset (the first is '{first}')",)


def name_in_list(line: str, where: str) -> str:
    """Return the picture's name in a line of a list, with forward slashes, without quotes, leading slash and suffix.

    Raises:
        InputError: the line does not name a file.
    """
    text = line
    if text[0] in "\"'" and (end := text.find(text[0], 1)) > 0:
        text = text[1:end]
    path = portable(text, where)
    return (path.with_suffix("") if path.suffix.lower() in PICTURE_SUFFIXES else path).as_posix()
