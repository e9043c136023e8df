"""Writes the heat map of an uncertainty, and its values."""

from __future__ import annotations

import io

import numpy as np

from lanecli import atomic
from lanecli.draw.heatmap import HeatmapPainter
from lanecli.inference.prediction import Prediction
from lanecli.inference.sinks import Sink, SinkJob
from lanecli.media import VideoWriter, write_picture
from lanecli.uncertainty.maps import doubt, map_kind, uncertainty_maps


class Uncertainty(Sink):
    """Writes ``STEM.uncertainty.png`` and ``STEM.uncertainty.npz``; for a video ``STEM.uncertainty.mp4``.

    The heat map shows the measure's first map. Its scale is fixed: the range the model file gives, or else the largest
    value the map can have; if neither is known, the range of the first frame.
    """

    needs = frozenset({"uncertainty"})

    def __init__(self, job: SinkJob) -> None:
        """Open the encoder; for a picture, check that both of its files can be written."""
        self.path = job.path
        self._arrays = job.path.with_suffix(".npz")
        self._overwrite = job.settings.overwrite
        [self._name, *_] = uncertainty_maps(job.map_names)
        self._range = job.ranges.get(self._name)
        self._painter: HeatmapPainter | None = None
        self._writer: VideoWriter | None = None
        if job.reader is None:
            for path in (job.path, self._arrays):
                atomic.prepare_target(path, overwrite=job.settings.overwrite)
        else:
            has_sound = job.source is not None and job.source.kind == "video" and job.reader.info.has_audio
            sound = job.source.path if has_sound and job.source else None
            self._writer = VideoWriter.like(job.reader, job.path, audio_from=sound, overwrite=job.settings.overwrite)

    def write(self, prediction: Prediction) -> None:
        """Draw on the encoder's own buffer and encode; for a picture write the maps too."""
        values = prediction.maps[self._name]
        if self._painter is None:
            certain, doubtful = self._range or scale_of(self._name, values)
            self._painter = HeatmapPainter(map_kind(self._name).title, certain, doubtful)
        writer = self._writer
        canvas = prediction.frame.copy() if writer is None else writer.canvas(prediction.frame)
        self._painter.paint(canvas, values)
        if writer is not None:
            writer.write(canvas)
            return
        packed = io.BytesIO()
        maps = {name: plane.astype(np.float32) for name, plane in prediction.maps.items()}
        np.savez_compressed(packed, **maps)  # type: ignore[arg-type]
        atomic.write(self._arrays, packed.getvalue())
        write_picture(self.path, canvas.rgb(), output=True)

    def close(self, interrupted: bool = False) -> None:
        """Write the index, copy the sound, and rename the file."""
        if self._writer is not None:
            self._writer.close(interrupted=interrupted)

    @property
    def warnings(self) -> list[str]:
        """What could not be carried over, a line each."""
        return [] if self._writer is None else self._writer.warnings


def scale_of(name: str, values: np.ndarray) -> tuple[float, float]:
    """Return the certain and the doubtful end of a map's scale from one frame: the 1st and the 99th percentile.

    Args:
        name: name of the map.
        values: (H, W) float32.
    """
    low, high = (float(v) for v in np.percentile(doubt(name, values), (1, 99)))
    high = high if high > low else low + 1
    sign = map_kind(name).sign
    return sign * low, sign * high
