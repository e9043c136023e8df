"""Sinks: where Predictions go. Each writes one kind of output for one source and finalises it whatever happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lanecli.draw import OverlayPainter
from lanecli.inference.predictor import Prediction
from lanecli.labels import LabelMap
from lanecli.media import CameraReader, Source, VideoReader, VideoWriter, prepare_target, write_mask, write_picture

KINDS = ("overlay", "masks")


class Sink(Protocol):
    """One output of one source."""

    path: Path

    def write(self, prediction: Prediction) -> None:
        """Take the next Prediction."""

    def close(self) -> None:
        """Finalise what has been written."""


class OverlayVideo:
    """``STEM.overlay.mp4``: H.264 with the source's timestamps and sound."""

    def __init__(self, path: Path, reader: Any, painter: OverlayPainter, source: Source, overwrite: bool) -> None:
        audio = source.path if source.kind == "video" and reader.info.has_audio else None
        self.path, self._painter = path, painter
        self._writer = VideoWriter.like(reader, path, audio_from=audio, overwrite=overwrite)

    def write(self, prediction: Prediction) -> None:
        """Draw on the encoder's own buffer and encode."""
        canvas = self._writer.canvas(prediction.frame)
        self._painter.paint(canvas, prediction.class_map)
        self._writer.write(canvas)

    def close(self) -> None:
        """Write the index, copy the sound, rename."""
        self._writer.close()

    @property
    def warnings(self) -> list[str]:
        """What could not be carried over."""
        return self._writer.warnings


class OverlayPicture:
    """``STEM.overlay.png``."""

    def __init__(self, path: Path, painter: OverlayPainter, overwrite: bool) -> None:
        self.path, self._painter = prepare_target(path, overwrite=overwrite), painter

    def write(self, prediction: Prediction) -> None:
        """Draw on the picture itself: it is the last to use it."""
        frame = prediction.frame if prediction.frame.writable else prediction.frame.copy()
        self._painter.paint(frame, prediction.class_map)
        write_picture(self.path, frame.rgb())

    def close(self) -> None:
        """Nothing is open."""


class Masks:
    """``STEM.mask.png`` for a picture, ``STEM.masks/000000.png`` … for a video; train ids, or decoded source ids."""

    def __init__(self, path: Path, label_map: LabelMap, decode: bool, overwrite: bool, single: bool) -> None:
        self.path, self._label_map, self._decode, self._single = path, label_map, decode, single
        prepare_target(path if single else path / "000000.png", overwrite=overwrite)

    def write(self, prediction: Prediction) -> None:
        """Write the frame's mask."""
        mask: np.ndarray = prediction.class_map if prediction.labels is None else prediction.labels
        if self._decode:
            mask = self._label_map.decode(mask)
        target = self.path if self._single else self.path / f"{prediction.frame.index:06d}.png"
        if mask.ndim == 3:
            write_picture(target, mask)
        else:
            write_mask(target, mask)

    def close(self) -> None:
        """Nothing is open."""


def output_path(kind: str, source: Source, out: Path) -> Path:
    """Where output `kind` of `source` goes below `out`: a file, or for a video's masks a folder."""
    endings = {"overlay": ".overlay.png", "masks": ".mask.png"}
    if source.kind != "image":
        endings = {"overlay": ".overlay.mp4", "masks": ".masks"}
    return out / source.relative / f"{source.stem}{endings[kind]}"


def free_folder(base: Path, kinds: tuple[str, ...], sources: list[Source]) -> Path:
    """`base`, or ``base-2``, ``base-3`` …: the first in which no output of `sources` exists yet."""
    number, folder = 1, base
    while any(output_path(kind, source, folder).exists() for source in sources for kind in kinds):
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def open_sinks(
    kinds: tuple[str, ...],
    source: Source,
    reader: VideoReader | CameraReader | None,
    out: Path,
    painter: OverlayPainter,
    label_map: LabelMap,
    *,
    decode: bool,
    overwrite: bool,
) -> list[Sink]:
    """The sinks for one source; `reader` is None for a picture. Raises InputError where a place cannot be written."""
    sinks: list[Sink] = []
    try:
        # masks first: the overlay is drawn on the frame itself
        if "masks" in kinds:
            path = output_path("masks", source, out)
            sinks.append(Masks(path, label_map, decode, overwrite, single=reader is None))
        if "overlay" in kinds:
            path = output_path("overlay", source, out)
            if reader is None:
                sinks.append(OverlayPicture(path, painter, overwrite))
            else:
                sinks.append(OverlayVideo(path, reader, painter, source, overwrite))
    except BaseException:
        for sink in sinks:
            sink.close()
        raise
    return sinks
