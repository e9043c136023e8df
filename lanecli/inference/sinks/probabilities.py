"""Class probabilities as NumPy files."""

from __future__ import annotations

import io

import numpy as np

from lanecli.inference.prediction import Prediction
from lanecli.inference.sinks import Sink, SinkJob
from lanecli.media import prepare_target
from lanecli.media.outputs import write_atomically


class ProbabilityFiles(Sink):
    """``STEM.probabilities.npz``, or ``STEM.probabilities/000000.npz`` … for a video.

    Each holds ``probabilities``, (C, H, W) float16, and ``classes``, their names.
    """

    needs = frozenset({"planes"})

    def __init__(self, job: SinkJob) -> None:
        """Check the place."""
        self.path, self._single = job.path, job.reader is None
        self._names = np.array(job.label_map.names)
        prepare_target(self.path if self._single else self.path / "000000.npz", overwrite=job.settings.overwrite)

    def write(self, prediction: Prediction) -> None:
        """Write the frame's probabilities."""
        probabilities = prediction.probabilities
        assert probabilities is not None
        packed = io.BytesIO()
        np.savez_compressed(packed, probabilities=probabilities.astype(np.float16), classes=self._names)
        target = self.path if self._single else self.path / f"{prediction.frame.index:06d}.npz"
        write_atomically(target, packed.getvalue())
