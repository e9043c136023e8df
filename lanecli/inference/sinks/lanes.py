"""Lane lines as ``lanes.jsonl``."""

from __future__ import annotations

from lanecli import atomic
from lanecli.inference.prediction import Prediction
from lanecli.inference.sinks import Sink, SinkJob
from lanecli.lanes.files import lanes_line


class LaneFile(Sink):
    """``STEM.lanes.jsonl``: a line of JSON for each frame."""

    needs = frozenset({"lanes"})

    def __init__(self, job: SinkJob) -> None:
        """Begin the file under a hidden name."""
        self.path = atomic.prepare_target(job.path, overwrite=job.settings.overwrite)
        self._still = job.reader is None
        self._pending = atomic.Pending(job.path)
        self._file = self._pending.path.open("w", encoding="utf-8", newline="\n")

    def write(self, prediction: Prediction) -> None:
        """Write the frame's line."""
        frame = prediction.frame
        time = 0.0 if self._still else frame.time
        self._file.write(lanes_line(frame.index, time, frame.size, prediction.lanes or ()) + "\n")

    def close(self, interrupted: bool = False) -> None:
        """Give the file its name, with the frames done so far."""
        written = self._file.tell()
        self._file.close()
        if written:
            self._pending.commit()
        else:
            self._pending.discard()
