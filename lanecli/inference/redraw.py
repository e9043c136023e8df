"""Saved masks drawn on their pictures or video again, without a model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lanecli import atomic
from lanecli.draw import OverlayStyle
from lanecli.errors import InputError
from lanecli.inference.prediction import Prediction
from lanecli.inference.sinks import SinkJob, SinkSettings
from lanecli.inference.sinks.overlay import Overlay
from lanecli.interruption import Deferred
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.media import BackgroundSink, Frame, Source, open_video, prefetch, read_mask, read_picture

_AHEAD = 4


@dataclass(frozen=True)
class Redraw:
    """What is to be drawn on what.

    Attributes:
        masks: a folder of masks of train ids: ``000000.png`` … for a video, ``STEM.mask.png`` or ``STEM.png`` for a
            picture; or the mask of a single picture.
        label_map: what the ids mean, for the colours.
        style: of the overlay.
        every: the masks belong to each N-th frame, as ``predict --every N`` wrote them.
        overwrite: replace existing outputs.
        progress: told how many frames are done, of how many where that is known.
    """

    masks: Path
    label_map: LabelMap
    style: OverlayStyle
    every: int = 1
    overwrite: bool = False
    progress: Callable[[int, int | None], None] = lambda _done, _total: None

    def picture(self, source: Source, target: Path) -> None:
        """Draw the mask of one picture. Raises InputError where there is none, or it has another size."""
        names = [f"{source.stem}.mask.png", f"{source.stem}.png", f"{Path(source.path).stem}.mask.png"]
        places = [self.masks / source.relative / name for name in names] + [self.masks / name for name in names]
        found = self.masks if self.masks.is_file() else next((place for place in places if place.is_file()), None)
        if found is None:
            raise InputError(f"{self.masks}: holds no {names[0]} and no {names[1]} for {source.path}")
        sink = Overlay(self._job(source, target, None))
        sink.write(self._prediction(Frame.from_rgb(read_picture(source.path)), found))

    def video(self, source: Source, target: Path) -> tuple[int, list[str]]:
        """Draw a mask on each frame; frames without one are left as they are.

        Returns:
            How many frames there were, and warnings.

        Raises:
            InputError: no frame has a mask, or one has another size than its frame.
        """
        if not self.masks.is_dir():
            raise InputError(f"{self.masks}: masks of a video are a folder of 000000.png, 000001.png …")
        frames = without = 0
        with open_video(source, every=self.every) as reader:
            total = None if reader.info.frames is None else -(-reader.info.frames // self.every)
            sink = Overlay(self._job(source, target, reader))
            interrupted = True
            try:
                with (
                    BackgroundSink(sink.write, _AHEAD) as queue,
                    contextlib.closing(prefetch(reader, _AHEAD)) as ahead,
                ):
                    for frame in ahead:
                        mask = self.masks / f"{frame.index:06d}.png"
                        without += not mask.is_file()
                        queue.put(self._prediction(frame, mask if mask.is_file() else None))
                        frames += 1
                        self.progress(frames, total)
                interrupted = False
            finally:
                with Deferred():
                    sink.close(interrupted)
        if without == frames:
            target.unlink(missing_ok=True)
            raise InputError(f"{self.masks}: holds no mask such as 000000.png for any frame of {source.path}")
        missing = [f"{without} of {frames} frames have no mask and are left as they are"] if without else []
        return frames, [*missing, *sink.warnings]

    def _job(self, source: Source, target: Path, reader: object) -> SinkJob:
        atomic.prepare_target(target, overwrite=self.overwrite)
        settings = SinkSettings(self.style, overwrite=self.overwrite)
        return SinkJob(target, self.label_map, settings, source, reader)

    def _prediction(self, frame: Frame, mask: Path | None) -> Prediction:
        if mask is None:
            ids = np.full(frame.size[::-1], IGNORE_ID, np.uint8)
        else:
            ids = read_mask(mask)
            if ids.shape != frame.size[::-1]:
                raise InputError(f"{mask}: is {ids.shape[1]}x{ids.shape[0]}, its frame {frame.size[0]}x{frame.size[1]}")
        return Prediction(frame, self.label_map, ids)
