"""Writes class probabilities as NumPy files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from lanecli import atomic
from lanecli.inference.prediction import Prediction
from lanecli.inference.sinks.frames import FrameFiles


class ProbabilityFiles(FrameFiles):
    """Writes ``STEM.probabilities.npz``, or ``STEM.probabilities/000000.npz`` … for a video.

    Each file holds ``probabilities``, (C, H, W) float16, and ``classes``, their names.
    """

    needs = frozenset({"planes"})
    suffix = ".npz"

    def write_file(self, prediction: Prediction, target: Path) -> None:
        """Write the frame's probabilities."""
        probabilities = prediction.probabilities
        assert probabilities is not None
        packed = io.BytesIO()
        names = np.array(prediction.label_map.names)
        np.savez_compressed(packed, probabilities=probabilities.astype(np.float16), classes=names)
        atomic.write(target, packed.getvalue())
