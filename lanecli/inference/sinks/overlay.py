"""Writes the overlay: classes drawn on the picture or the video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lanecli import atomic
from lanecli.draw import OverlayPainter
from lanecli.inference.prediction import Prediction
from lanecli.inference.sinks import Sink, SinkJob
from lanecli.media import VideoWriter, write_picture
from lanecli.uncertainty.maps import DOUBTFUL

if TYPE_CHECKING:
    from lanecli.draw.lanes import LanePainter


class Overlay(Sink):
    """Writes ``STEM.overlay.png``, or ``STEM.overlay.mp4``: H.264 with the source's timestamps and sound."""

    needs = frozenset({"shown_map"})

    def __init__(self, job: SinkJob) -> None:
        """Open the encoder; for a picture, check that the output can be written."""
        label_map, overwrite = job.label_map, job.settings.overwrite
        self.path = job.path
        self._painter = OverlayPainter(
            label_map.palette, names=label_map.names, background=label_map.background, style=job.settings.style
        )
        self._lanes: LanePainter | None = None
        if job.settings.lanes:
            from lanecli.draw.lanes import (
                LanePainter,
            )  # the import takes some hundredths of a second and few overlays need it

            self._lanes = LanePainter(
                label_map.palette, names=label_map.names, background=label_map.background, style=job.settings.style
            )
        self._writer: VideoWriter | None = None
        if job.reader is None:
            atomic.prepare_target(job.path, overwrite=overwrite)
        else:
            has_sound = job.source is not None and job.source.kind == "video" and job.reader.info.has_audio
            sound = job.source.path if has_sound and job.source else None
            self._writer = VideoWriter.like(job.reader, job.path, audio_from=sound, overwrite=overwrite)

    def write(self, prediction: Prediction) -> None:
        """Draw on the encoder's own buffer and encode; draw a picture on a copy, which is cheap beside its PNG."""
        writer = self._writer
        canvas = prediction.frame.copy() if writer is None else writer.canvas(prediction.frame)
        if self._lanes is not None:
            self._lanes.draw(canvas, prediction.shown_map, prediction.lanes or ())
        else:
            self._painter.paint(canvas, prediction.shown_map)
        if DOUBTFUL in prediction.maps:
            from lanecli.draw.heatmap import hatch

            hatch(canvas, prediction.maps[DOUBTFUL] > 0)
        if writer is None:
            write_picture(self.path, canvas.rgb(), output=True)
        else:
            writer.write(canvas)

    def close(self, interrupted: bool = False) -> None:
        """Write the index, copy the sound (up to the last frame, if interrupted), and rename the file."""
        if self._writer is not None:
            self._writer.close(interrupted=interrupted)

    @property
    def warnings(self) -> list[str]:
        """What could not be carried over, a line each."""
        return [] if self._writer is None else self._writer.warnings
