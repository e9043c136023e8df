"""The record of a prediction job: its options and which sources are finished, so that a killed job can be resumed.

It is a file of JSON lines in the output folder, one line for each source that is begun or finished. A line that was cut
short by a kill or a full disk is ignored.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lanecli.media import Source

RECORD = ".lanecli.predict.jsonl"


class JobRecord:
    """What the output folder records about a job.

    Attributes:
        resumed: whether the folder held a record of the same job.
    """

    def __init__(
        self, folder: Path, job: Mapping[str, Any], shard: str | None = None, *, restart: bool = False
    ) -> None:
        """Read the record in `folder`, or start a new one if the record belongs to another job.

        Args:
            folder: the output folder; only its owner (`lanecli.ownership`) may do this.
            job: what determines the outputs: models, options. JSON values.
            shard: shard of the job; each shard has a record of its own.
            restart: whether to ignore what is finished.
        """
        self._path = folder / (RECORD if shard is None else f".lanecli.predict.{shard.replace('/', '-of-')}.jsonl")
        self._begun: dict[str, Any] = {}
        self._done: dict[str, dict[str, Any]] = {}
        self._head = json.loads(json.dumps({"job": job}))
        lines = list(_lines(self._path))
        self.resumed = not restart and bool(lines) and lines[0] == self._head
        if self.resumed:
            for line in lines[1:]:
                self._take(line)
        else:
            self.close()

    @property
    def has_begun(self) -> bool:
        """Whether work on any source has begun."""
        return bool(self._begun)

    def earlier_report(self, source: Source) -> dict[str, Any] | None:
        """Return the report of `source` if it was finished, has not changed, and its outputs exist; else None."""
        report = self._done.get(source.path)
        if report is None or self._begun.get(source.path) != _state(source):
            return None
        return report if all(os.path.exists(path) for path in report["outputs"]) else None

    def was_begun(self, source: Source) -> bool:
        """Return whether this job began `source` as it is now, so that existing outputs of it are the job's own."""
        return source.path in self._begun and self._begun[source.path] == _state(source)

    def begin(self, source: Source) -> None:
        """Record that the outputs of `source` are being written."""
        if (state := _state(source)) is not None:
            if not self._begun and not self.resumed:
                self._append(self._head)
            self._append({"begun": source.path, "state": state})
            self._begun[source.path] = state

    def done(self, source: Source, report: Mapping[str, Any]) -> None:
        """Record that `source` is finished."""
        if source.path in self._begun:
            self._append({"done": source.path, "report": report})

    def close(self) -> None:
        """Remove the record: every source is finished."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _take(self, line: dict[str, Any]) -> None:
        if isinstance(line.get("begun"), str):
            self._begun[line["begun"]] = line.get("state")
            self._done.pop(line["begun"], None)
        report = line.get("report")
        if isinstance(line.get("done"), str) and isinstance(report, dict) and _is_list_of_text(report.get("outputs")):
            self._done[line["done"]] = report

    def _append(self, line: Mapping[str, Any]) -> None:
        # a full disk fails the outputs, which report it; the record must not end the job
        with contextlib.suppress(OSError), self._path.open("ab") as file:
            # the line break comes first: after a line that was cut short, this one still starts a line
            file.write(b"\n" + json.dumps(line).encode())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the complete lines of a record; none if there is no record or it cannot be read."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, RecursionError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    yield entry


def _state(source: Source) -> list[int] | None:
    """Return size and modification time of a file; None if it is not a file or does not exist."""
    if source.kind not in ("image", "video"):
        return None
    try:
        status = os.stat(source.path)
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns]


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
