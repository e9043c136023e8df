"""Draws saved masks on their pictures or video again, without a model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lanecli import atomic
from lanecli.draw import OverlayStyle
from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.inference.prediction import Prediction
from lanecli.inference.sinks import SinkJob, SinkSettings
from lanecli.inference.sinks.overlay import Overlay
from lanecli.interruption import Deferred
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.media import BackgroundWriter, Frame, Source, open_video, prefetch, read_mask, read_picture

if TYPE_CHECKING:
    from lanecli.lanes import Lane

_AHEAD = 4
Lines = dict[int, tuple[Size, tuple["Lane", ...]]]


@dataclass(frozen=True)
class Redraw:
    """What to draw, and how.

    Attributes:
        masks: a folder of masks of train ids: ``000000.png`` … for a video, ``STEM.mask.png`` or ``STEM.png`` for a
            picture; or the mask of a single picture.
        label_map: the classes, for the colours.
        style: style of the overlay.
        every: the masks belong to each N-th frame, as ``predict --every N`` wrote them.
        overwrite: whether existing outputs are replaced.
        lanes: whether to draw lane lines too, from ``STEM.lanes.jsonl`` beside the masks (``predict --save lanes``).
        progress: called with the number of finished frames and their total, if it is known.
    """

    masks: Path
    label_map: LabelMap
    style: OverlayStyle
    every: int = 1
    overwrite: bool = False
    lanes: bool = True
    progress: Callable[[int, int | None], None] = lambda _done, _total: None

    def picture(self, source: Source, target: Path) -> None:
        """Draw the mask of one picture. Raises InputError if there is none, or if it has another size."""
        names = [f"{source.stem}.mask.png", f"{source.stem}.png", f"{Path(source.path).stem}.mask.png"]
        paths = [self.masks / source.relative / name for name in names] + [self.masks / name for name in names]
        mask = self.masks if self.masks.is_file() else next((path for path in paths if path.is_file()), None)
        if mask is None:
            raise InputError(f"{self.masks}: has neither {names[0]} nor {names[1]} for {source.path}")
        stems = {mask.name.removesuffix(".mask.png"), mask.stem, source.stem}
        lines = self._lane_lines(mask.parent / f"{stem}.lanes.jsonl" for stem in sorted(stems))
        sink = Overlay(self._job(source, target, None, lines))
        sink.write(self._prediction(Frame.from_rgb(read_picture(source.path)), mask, lines))

    def video(self, source: Source, target: Path) -> tuple[int, list[str]]:
        """Draw a mask on each frame; frames without a mask are left as they are.

        Returns:
            The number of frames, and warnings.

        Raises:
            InputError: no frame has a mask, or a mask has another size than its frame.
        """
        if not self.masks.is_dir():
            raise InputError(f"{self.masks}: the masks of a video must be a folder of 000000.png, 000001.png …")
        frames = without = 0
        stems = {self.masks.name.removesuffix(".masks"), source.stem}
        lines = self._lane_lines(self.masks.parent / f"{stem}.lanes.jsonl" for stem in sorted(stems))
        with open_video(source, every=self.every) as reader:
            total = None if reader.info.frames is None else -(-reader.info.frames // self.every)
            sink = Overlay(self._job(source, target, reader, lines))
            interrupted = True
            try:
                with (
                    BackgroundWriter(sink.write, _AHEAD) as queue,
                    contextlib.closing(prefetch(reader, _AHEAD)) as ahead,
                ):
                    for frame in ahead:
                        mask = self.masks / f"{frame.index:06d}.png"
                        without += not mask.is_file()
                        queue.put(self._prediction(frame, mask if mask.is_file() else None, lines))
                        frames += 1
                        self.progress(frames, total)
                interrupted = False
            finally:
                with Deferred():
                    sink.close(interrupted)
        if without == frames:
            target.unlink(missing_ok=True)
            raise InputError(f"{self.masks}: has no mask, such as 000000.png, for any frame of {source.path}")
        missing = [f"{without} of {frames} frames have no mask and are left as they are"] if without else []
        return frames, [*missing, *sink.warnings]

    def _lane_lines(self, paths: Iterable[Path]) -> Lines:
        """Return the frame size and the lane lines of each frame, from the first of `paths` that exists.

        Raises:
            InputError: the file is invalid.
        """
        lane_file = next((path for path in paths if path.is_file()), None) if self.lanes else None
        if lane_file is None:
            return {}
        from lanecli.lanes.files import read_lanes

        return {frame: (size, lanes) for frame, size, lanes in read_lanes(lane_file)}

    def _job(self, source: Source, target: Path, reader: object, lines: Lines) -> SinkJob:
        atomic.prepare_target(target, overwrite=self.overwrite)
        settings = SinkSettings(self.style, overwrite=self.overwrite, lanes=bool(lines))
        return SinkJob(target, self.label_map, settings, source, reader)

    def _prediction(self, frame: Frame, mask: Path | None, lines: Lines) -> Prediction:
        if mask is None:
            ids = np.full(frame.size[::-1], IGNORE_ID, np.uint8)
        else:
            ids = read_mask(mask)
            if ids.shape != frame.size[::-1]:
                raise InputError(
                    f"{mask}: is {ids.shape[1]}x{ids.shape[0]}, but its frame is {frame.size[0]}x{frame.size[1]}"
                )
        size, lanes = lines.get(frame.index, (frame.size, ()))
        if size != frame.size:
            raise InputError(
                f"the lane lines of frame {frame.index} are for {size[0]}x{size[1]}, but the frame is "
                f"{frame.size[0]}x{frame.size[1]}"
            )
        return Prediction(frame, self.label_map, ids, lanes=lanes)
