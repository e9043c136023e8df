"""Lane lines as a TuSimple submission: one file for the whole run."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np

from lanecli import atomic
from lanecli.inference.prediction import Prediction
from lanecli.inference.sinks import Sink, SinkJob
from lanecli.lanes.files import nearest_lanes, tusimple_entry
from lanecli.media import Source

_MOST = 5  # lanes a picture, as the benchmark annotates


class TuSimpleFile(Sink):
    """``tusimple.json``: a JSON object for each picture, named by its path below the source that was given.

    The time of each is the run's median from picture to picture: the benchmark counts a picture of more than 200 ms
    as lost, and one may wait for the disk. Frames of a video are named ``STEM/000000``.
    """

    needs = frozenset({"lanes"})

    def __init__(self, job: SinkJob) -> None:
        """Check the place."""
        self.path = atomic.prepare_target(job.path, overwrite=job.settings.overwrite)
        self._entries: list[dict[str, Any]] = []
        self._times: list[float] = []
        self._last: float | None = None
        self._source: Source | None = None

    def begin(self, source: Source) -> None:
        """The next pictures are this source's."""
        self._source = source

    def write(self, prediction: Prediction) -> None:
        """Keep the picture's entry."""
        now = time.perf_counter()
        if self._last is not None:
            self._times.append(1000 * (now - self._last))
        self._last = now
        size = prediction.frame.size
        lanes = nearest_lanes(prediction.lanes or (), size, _MOST)
        self._entries.append(tusimple_entry(self._name(prediction), lanes, size, 0.0))

    def _name(self, prediction: Prediction) -> str:
        source = self._source
        if source is None:
            return f"{prediction.frame.index:06d}"
        if source.kind == "image":
            return (source.relative / source.path.replace("\\", "/").rsplit("/", 1)[-1]).as_posix()
        return (source.relative / source.stem / f"{prediction.frame.index:06d}").as_posix()

    def close(self, interrupted: bool = False) -> None:
        """Write the file, with the pictures done so far."""
        if not self._entries:
            return
        usual = float(np.median(self._times)) if self._times else 0.0
        lines = [json.dumps({**entry, "run_time": round(usual, 3)}, ensure_ascii=False) for entry in self._entries]
        atomic.write(self.path, "".join(line + "\n" for line in lines))
