"""The record of scenes that are written already, so that a killed `lanecli synth` goes on behind the last of them.

It lies in the dataset's folder as lines of JSON: what the scenes are made with, then one line a scene, in order. From a
line that a kill or a full disk cut short on, it is as if nothing had been written.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lanecli
from lanecli import atomic

RECORD = ".lanecli.synth.jsonl"

Written = tuple[str, list[int]]
"""Of one scene: its line of lanes.jsonl, and its pixels of background and of lane marking."""


class SceneRecord:
    """What is known of the scenes in a folder.

    Attributes:
        theirs: whether the folder holds a record of other settings.
        ours: whether it holds one of the same settings.
        written: of each scene that is on disk, in order from the first.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Read the record in `folder`; its owner (`lanecli.ownership`) alone may do this.

        Args:
            folder: the dataset's.
            settings: what decides how scenes come out. JSON values.
        """
        self._folder, self._path = folder, folder / RECORD
        self._head = json.loads(json.dumps({"lanecli": lanecli.__version__, **settings}))
        self.written: list[Written] = []
        lines = _lines(self._path)
        self.ours = bool(lines) and lines[0] == self._head
        self.theirs = not self.ours and self._path.is_file()
        for line in lines[1:] if self.ours else []:
            if (found := self._written(line)) is None:
                break
            self.written.append(found)

    def begin(self) -> None:
        """Write the record anew, of what is on disk."""
        atomic.write(self._path, "".join(f"{json.dumps(line)}\n" for line in (self._head, *self.written)))

    def add(self, scene: Written) -> None:
        """Note that the next scene is on disk."""
        self.written.append(scene)
        # a full disk costs the scenes, and says so: the record is no reason to end
        with contextlib.suppress(OSError), self._path.open("a") as file:
            file.write(json.dumps(scene) + "\n")

    def close(self) -> None:
        """Take the record away: all is written, or nothing."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _written(self, line: object) -> Written | None:
        """The next scene, where `line` is one and its files are there."""
        if not (isinstance(line, list) and len(line) == 2 and isinstance(line[0], str) and _are_counts(line[1])):
            return None
        files = scene_files(self._folder, len(self.written))
        return (line[0], line[1]) if all(map(os.path.isfile, files)) else None


def scene_files(folder: Path, number: int) -> tuple[Path, Path]:
    """Where a scene's picture and its mask are."""
    return folder / "images" / f"{number:06d}.jpg", folder / "masks" / f"{number:06d}.png"


def _are_counts(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(n) is int and 0 <= n < 1 << 32 for n in value)


def _lines(path: Path) -> list[object]:
    """The lines of a record up to the first that is none; none where there is no record or it is not readable."""
    found: list[object] = []
    with contextlib.suppress(OSError, ValueError, RecursionError), path.open("rb") as file:
        found.extend(map(json.loads, file))
    return found
