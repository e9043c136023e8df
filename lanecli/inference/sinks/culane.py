"""Lane lines as CULane's predictions: a text file for each picture."""

from __future__ import annotations

from pathlib import Path

from lanecli import atomic
from lanecli.inference.prediction import Prediction
from lanecli.inference.sinks.frames import FrameFiles
from lanecli.lanes.files import culane_text, nearest_lanes

_MOST = 4  # lanes a picture, as the benchmark annotates


class CuLaneFiles(FrameFiles):
    """``STEM.lines.txt``, or ``STEM.lines/000000.lines.txt`` … for a video; an empty file where there is no lane."""

    needs = frozenset({"lanes"})
    suffix = ".lines.txt"

    def write_file(self, prediction: Prediction, target: Path) -> None:
        """Write the frame's lanes."""
        lanes = nearest_lanes(prediction.lanes or (), prediction.frame.size, _MOST)
        atomic.write(target, culane_text(lanes))
