"""The record of a prediction job: what it was asked, and which sources are done, so that a killed one goes on.

It lies in the output folder as lines of JSON, each written when its source is begun or done; a line that a kill or a
full disk cut short is as if it had not been written.
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
    """What is known of a job in its folder.

    Attributes:
        resumed: whether there was a record of the same job before.
    """

    def __init__(self, folder: Path, job: Mapping[str, Any], part: str | None = None, *, anew: bool = False) -> None:
        """Read the record in `folder`, and begin a new one where it belongs to another job.

        Args:
            folder: of the outputs; its owner (`lanecli.ownership`) alone may do this.
            job: what decides how outputs come out: models, options. JSON values.
            part: of a job that is shared out; each part keeps its own record.
            anew: pass over nothing.
        """
        self._path = folder / (RECORD if part is None else f".lanecli.predict.{part.replace('/', '-of-')}.jsonl")
        self._begun: dict[str, Any] = {}
        self._done: dict[str, dict[str, Any]] = {}
        self._head = json.loads(json.dumps({"job": job}))
        lines = list(_lines(self._path))
        self.resumed = not anew and bool(lines) and lines[0] == self._head
        if self.resumed:
            for line in lines[1:]:
                self._take(line)
        else:
            self.close()

    @property
    def begun(self) -> bool:
        """Whether there is anything to go on from."""
        return bool(self._begun)

    def earlier(self, source: Source) -> dict[str, Any] | None:
        """The report of `source` where it was done before, has not changed, and its outputs are there; else None."""
        report = self._done.get(source.path)
        if report is None or self._begun.get(source.path) != _state(source):
            return None
        return report if all(os.path.exists(path) for path in report["outputs"]) else None

    def began(self, source: Source) -> bool:
        """Whether this job began `source` as it is now: outputs of it that are there are the job's own."""
        return source.path in self._begun and self._begun[source.path] == _state(source)

    def begin(self, source: Source) -> None:
        """Note that outputs of `source` are being written."""
        if (state := _state(source)) is not None:
            if not self._begun and not self.resumed:
                self._append(self._head)
            self._append({"begun": source.path, "state": state})
            self._begun[source.path] = state

    def done(self, source: Source, report: Mapping[str, Any]) -> None:
        """Note that `source` came to its end."""
        if source.path in self._begun:
            self._append({"done": source.path, "report": report})

    def close(self) -> None:
        """Take the record away: every source is done."""
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
        # a full disk costs the outputs, and says so: the record is no reason to end
        with contextlib.suppress(OSError), self._path.open("ab") as file:
            # the break first: after a line that was cut short, this one still stands alone
            file.write(b"\n" + json.dumps(line).encode())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a record; nothing where there is none or it is not readable."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, RecursionError):
                found = json.loads(line)
                if isinstance(found, dict):
                    yield found


def _state(source: Source) -> list[int] | None:
    """Size and time of change of a file; None for what is no file, or is gone."""
    if source.kind not in ("image", "video"):
        return None
    try:
        found = os.stat(source.path)
    except (OSError, ValueError):
        return None
    return [found.st_size, found.st_mtime_ns]


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
