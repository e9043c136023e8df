"""Writes masks of train ids or source ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lanecli.inference.prediction import Prediction
from lanecli.inference.sinks import SinkJob
from lanecli.inference.sinks.frames import FrameFiles
from lanecli.media import write_mask, write_picture


class Masks(FrameFiles):
    """Writes ``STEM.mask.png``, or ``STEM.masks/000000.png`` … for a video: train ids, or decoded source ids."""

    suffix = ".png"

    def __init__(self, job: SinkJob) -> None:
        """Check that the output can be written."""
        super().__init__(job)
        self._decode = job.settings.decode

    def write_file(self, prediction: Prediction, target: Path) -> None:
        """Write the frame's mask."""
        mask: np.ndarray = prediction.class_map if prediction.labels is None else prediction.labels
        if self._decode:
            mask = prediction.label_map.decode(mask)
        (write_picture if mask.ndim == 3 else write_mask)(target, mask, output=True)
