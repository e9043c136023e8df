"""The record of the scenes that `lanecli synth` has written, with which a killed run is resumed.

The record is a file of JSON lines in the dataset's folder: the settings, and then one line for each scene in order. If
a kill or a full disk has cut a line short, the scenes from that line on count as not written.
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

SceneEntry = tuple[str, list[int]]
"""A scene's line of lanes.jsonl, and its pixel counts of background and lane marking."""


class SceneRecord:
    """The record of the scenes in a folder.

    Attributes:
        has_other_settings: whether the folder has a record with other settings.
        has_same_settings: whether the folder has a record with the same settings.
        scenes: the scenes on disk, in order from the first.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Read the record in a folder, which this process must own (`lanecli.ownership`).

        Args:
            folder: the dataset's folder.
            settings: everything that scenes depend on, as JSON values.
        """
        self._folder, self._path = folder, folder / RECORD
        self._head = json.loads(json.dumps({"lanecli": lanecli.__version__, **settings}))
        self.scenes: list[SceneEntry] = []
        lines = _lines(self._path)
        self.has_same_settings = bool(lines) and lines[0] == self._head
        self.has_other_settings = not self.has_same_settings and self._path.is_file()
        for line in lines[1:] if self.has_same_settings else []:
            if (scene := self._next_scene(line)) is None:
                break
            self.scenes.append(scene)

    def begin(self) -> None:
        """Rewrite the record of the scenes on disk."""
        atomic.write(self._path, "".join(f"{json.dumps(line)}\n" for line in (self._head, *self.scenes)))

    def add(self, scene: SceneEntry) -> None:
        """Record that the next scene is on disk."""
        self.scenes.append(scene)
        # if the disk is full, writing the next scene says so; the record alone is no reason to stop
        with contextlib.suppress(OSError), self._path.open("a") as file:
            file.write(json.dumps(scene) + "\n")

    def close(self) -> None:
        """Remove the record, when all scenes or none are written."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _next_scene(self, line: object) -> SceneEntry | None:
        """Return the next scene if `line` is valid and its files exist, else None."""
        if not (isinstance(line, list) and len(line) == 2 and isinstance(line[0], str) and _are_counts(line[1])):
            return None
        files = scene_files(self._folder, len(self.scenes))
        return (line[0], line[1]) if all(map(os.path.isfile, files)) else None


def scene_files(folder: Path, number: int) -> tuple[Path, Path]:
    """Return the paths of a scene's picture and mask."""
    return folder / "images" / f"{number:06d}.jpg", folder / "masks" / f"{number:06d}.png"


def _are_counts(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(n) is int and 0 <= n < 1 << 32 for n in value)


def _lines(path: Path) -> list[object]:
    """Return the values of a record's lines up to the first one that is not JSON; none if it cannot be read."""
    values: list[object] = []
    with contextlib.suppress(OSError, ValueError, RecursionError), path.open("rb") as file:
        values.extend(map(json.loads, file))
    return values
