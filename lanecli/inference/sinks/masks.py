"""Masks of train ids, or of source ids."""

from __future__ import annotations

import numpy as np

from lanecli.inference.prediction import Prediction
from lanecli.inference.sinks import Sink, SinkJob
from lanecli.media import prepare_target, write_mask, write_picture


class Masks(Sink):
    """``STEM.mask.png`` for a picture, ``STEM.masks/000000.png`` … for a video; train ids, or decoded source ids."""

    def __init__(self, job: SinkJob) -> None:
        """Check the place."""
        self.path, self._single, self._decode = job.path, job.reader is None, job.settings.decode
        prepare_target(self.path if self._single else self.path / "000000.png", overwrite=job.settings.overwrite)

    def write(self, prediction: Prediction) -> None:
        """Write the frame's mask."""
        mask: np.ndarray = prediction.class_map if prediction.labels is None else prediction.labels
        if self._decode:
            mask = prediction.label_map.decode(mask)
        target = self.path if self._single else self.path / f"{prediction.frame.index:06d}.png"
        if mask.ndim == 3:
            write_picture(target, mask)
        else:
            write_mask(target, mask)
