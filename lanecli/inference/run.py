"""From sources to outputs: decode, predict, and draw + encode, each in its own thread over bounded queues."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.draw import OverlayPainter, OverlayStyle
from lanecli.errors import InputError, LaneError, nearest
from lanecli.inference.predictor import Prediction, Predictor
from lanecli.inference.sinks import KINDS, Sink, open_sinks
from lanecli.media import BackgroundSink, Frame, Source, open_video, prefetch, read_picture

QUEUE = 4  # frames between two stages: enough to ride out jitter, few enough to stay small


@dataclass
class Report:
    """What happened with one source."""

    source: str
    outputs: list[str] = field(default_factory=list)
    frames: int = 0
    skipped_frames: int = 0
    fps: float = 0.0
    seconds: float = 0.0
    lane_fraction: float | None = None
    warnings: list[str] = field(default_factory=list)
    interrupted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {**self.__dict__, "fps": round(self.fps, 2), "seconds": round(self.seconds, 3), "uncertainty": None}


@dataclass(frozen=True)
class Options:
    """What to write, and how.

    Attributes:
        out: folder for outputs.
        save: of `KINDS`.
        every: take each N-th frame of a video.
        decode: masks hold source ids instead of train ids.
        overwrite: replace existing outputs.
        style: of the overlay.
    """

    out: Path
    save: tuple[str, ...] = ("overlay",)
    every: int = 1
    decode: bool = False
    overwrite: bool = False
    style: OverlayStyle = field(default_factory=OverlayStyle)


def parse_save(text: str) -> tuple[str, ...]:
    """``"overlay,masks"`` as names. Raises InputError for one that is not written yet or unknown."""
    kinds = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"--save takes {', '.join(KINDS)}, not '{kind}'{nearest(kind, KINDS)}")
    if not kinds:
        raise InputError(f"--save names at least one of {', '.join(KINDS)}")
    return kinds


def shard(sources: list[Source], text: str | None) -> list[Source]:
    """Part I of N of the sources, ``"I/N"`` counted from 1; all of them for None."""
    if text is None:
        return sources
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise InputError(f"--shard is I/N with I from 1 to N, such as 2/4; got '{text}'")
    return sources[int(part) - 1 :: int(parts)]


def run(
    sources: list[Source],
    predictor: Predictor,
    options: Options,
    *,
    begin: Callable[[Source, int | None], None] = lambda _source, _frames: None,
    progress: Callable[[int], None] = lambda _done: None,
) -> Iterator[Report]:
    """Predict every source; a Report for each, as it is done.

    A source that cannot be read does not stop the others: :class:`SourcesFailedError` names it at the end.

    Args:
        sources: from `expand_sources`.
        predictor: the model or models.
        options: what to write.
        begin: told of each source and its estimated frame count.
        progress: told how many frames of it are done.

    Raises:
        SourcesFailedError: after all sources, when some could not be read.
        KeyboardInterrupt: after finalising and reporting the source at hand.
    """
    label_map = predictor.label_map
    painter = OverlayPainter(
        label_map.palette, names=label_map.names, background=label_map.background, style=options.style
    )
    failures: list[tuple[str, LaneError]] = []
    for source in sources:
        report = Report(source.path)
        started = time.perf_counter()
        counter = _Counter(label_map.background)
        interruption: KeyboardInterrupt | None = None
        try:
            if source.kind == "image":
                begin(source, 1)
                _run_picture(source, predictor, options, painter, report, counter)
            else:
                _run_video(source, predictor, options, painter, report, counter, begin, progress)
        except KeyboardInterrupt as error:
            interruption, report.interrupted = error, True
        except LaneError as error:
            if len(sources) == 1:
                raise
            failures.append((source.path, error))
            continue
        report.seconds = time.perf_counter() - started
        report.frames = counter.frames
        report.fps = counter.frames / report.seconds if report.seconds else 0.0
        report.lane_fraction = counter.lane_fraction
        yield report
        if interruption is not None:
            raise interruption
    if failures:
        raise SourcesFailedError(failures, len(sources))


class SourcesFailedError(LaneError):
    """Some of several sources could not be read; the message names them, the exit code is the first one's."""

    def __init__(self, failures: list[tuple[str, LaneError]], total: int) -> None:
        """Args: failures: path and error of each; total: sources there were."""
        self.exit_code = failures[0][1].exit_code
        shown = "; ".join(str(error) for _, error in failures[:3])
        more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
        super().__init__(f"{len(failures)} of {total} sources failed: {shown}{more}")


class _Counter:
    """Frames, and the share of pixels that are not background."""

    def __init__(self, background: int | None) -> None:
        self._background, self.frames, self._marked, self._pixels = background, 0, 0, 0

    def add(self, class_map: np.ndarray) -> None:
        self.frames += 1
        self._pixels += class_map.size
        if self._background == 0:
            self._marked += int(np.count_nonzero(class_map))
        else:
            self._marked += int(np.count_nonzero(class_map != (-1 if self._background is None else self._background)))

    @property
    def lane_fraction(self) -> float | None:
        return self._marked / self._pixels if self._pixels else None


def _run_picture(
    source: Source, predictor: Predictor, options: Options, painter: OverlayPainter, report: Report, counter: _Counter
) -> None:
    sinks = open_sinks(
        options.save,
        source,
        None,
        options.out,
        painter,
        predictor.label_map,
        decode=options.decode,
        overwrite=options.overwrite,
    )
    prediction = predictor.predict(Frame.from_rgb(read_picture(source.path)))
    counter.add(prediction.class_map)
    for sink in sinks:
        sink.write(prediction)
    report.outputs = [str(sink.path) for sink in sinks]


def _run_video(
    source: Source,
    predictor: Predictor,
    options: Options,
    painter: OverlayPainter,
    report: Report,
    counter: _Counter,
    begin: Callable[[Source, int | None], None],
    progress: Callable[[int], None],
) -> None:
    with open_video(source, every=options.every) as reader:
        begin(source, None if reader.info.frames is None else -(-reader.info.frames // options.every))
        sinks = open_sinks(
            options.save,
            source,
            reader,
            options.out,
            painter,
            predictor.label_map,
            decode=options.decode,
            overwrite=options.overwrite,
        )

        def write(prediction: Prediction) -> None:
            counter.add(prediction.class_map)
            for sink in sinks:
                sink.write(prediction)
            progress(counter.frames)

        try:
            with BackgroundSink(write, QUEUE) as sink, contextlib.closing(prefetch(reader, QUEUE)) as frames:
                for prediction in predictor.stream(frames):
                    sink.put(prediction)
        finally:
            _close(sinks)
            report.skipped_frames = reader.skipped_frames
            report.warnings = [line for s in sinks for line in getattr(s, "warnings", [])]
            if reader.truncated:
                report.warnings.append("the video is cut short: what could be read is written")
            if reader.skipped_frames:
                report.warnings.append(f"{reader.skipped_frames} corrupt frames were skipped")
            report.outputs = [str(s.path) for s in sinks if s.path.exists()]
        if not counter.frames:
            raise InputError(f"{source.path}: no frame could be decoded")


def _close(sinks: list[Sink]) -> None:
    """Finalise every sink, whichever fails; a failure is raised after the rest are done."""
    with contextlib.ExitStack() as stack:
        for sink in sinks:
            stack.callback(sink.close)
