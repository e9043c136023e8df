"""Runs prediction from sources to outputs.

Decoding, prediction, and drawing with encoding run in threads of their own, connected by bounded queues.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lanecli import interruption
from lanecli.errors import InputError, LaneError, bug_report_message, did_you_mean, reason
from lanecli.inference.prediction import Prediction
from lanecli.inference.predictor import Predictor
from lanecli.inference.record import JobRecord
from lanecli.inference.sinks import SINKS, Sink, SinkJob, SinkSettings, output_path
from lanecli.inference.steps import StepContext
from lanecli.labels import IGNORE_ID
from lanecli.media import BackgroundWriter, Frame, Source, open_video, prefetch, read_picture

QUEUE = 4  # frames between two stages: enough to absorb jitter, few enough to save memory


@dataclass
class SourceReport:
    """What happened to one source."""

    source: str
    outputs: list[str] = field(default_factory=list)
    frames: int = 0
    skipped_frames: int = 0
    fps: float = 0.0
    seconds: float = 0.0
    lane_fraction: float | None = None
    uncertainty: dict[str, float] | None = None
    warnings: list[str] = field(default_factory=list)
    interrupted: bool = False
    error: str | None = None
    exit_code: int = 0
    earlier: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the report as `--json` prints it."""
        written = {key: value for key, value in self.__dict__.items() if key != "exit_code"}
        return {**written, "fps": round(self.fps, 2), "seconds": round(self.seconds, 3)}


def parse_save(text: str) -> tuple[str, ...]:
    """Split ``"overlay,masks"`` into names of :data:`SINKS`. Raises InputError for an unknown name, or without any.

    Example:
        >>> parse_save("overlay, masks")
        ('overlay', 'masks')
    """
    kinds = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for kind in kinds:
        if kind not in SINKS:
            raise InputError(f"--save takes {', '.join(SINKS)}, not '{kind}'{did_you_mean(kind, SINKS)}")
    if not kinds:
        raise InputError(f"--save needs at least one of {', '.join(SINKS)}")
    return tuple(dict.fromkeys(SINKS.canonical(kind) for kind in kinds))


def needed_parts(kinds: Iterable[str]) -> set[str]:
    """Return the parts of Predictions that outputs of these kinds need besides the class map."""
    return {need for kind in kinds for need in SINKS.get(kind).needs}


def select_shard(sources: list[Source], text: str | None) -> list[Source]:
    """Return shard I of N of the sources, for ``"I/N"`` counted from 1; all sources for None."""
    if text is None:
        return sources
    shard, _, shards = text.partition("/")
    if not (shard.isdigit() and shards.isdigit() and 1 <= int(shard) <= int(shards)):
        raise InputError(f"--shard is I/N with I from 1 to N, such as 2/4; got '{text}'")
    return sources[int(shard) - 1 :: int(shards)]


@dataclass
class Run:
    """A run of `predict`: sources in, outputs on disk.

    Attributes:
        predictor: the predictor.
        out: folder for the outputs.
        kinds: names of :data:`SINKS`.
        settings: the user's options for outputs.
        every: predict only each N-th frame of a video.
        record: record of the job, if it can be resumed: finished sources are skipped.
        begin: called with each source and its estimated frame count.
        progress: called with the number of finished frames of the source.
        cropped: datasets for which the user has been told that their pictures are already cropped.
    """

    predictor: Predictor
    out: Path
    kinds: tuple[str, ...] = ("overlay",)
    settings: SinkSettings = field(default_factory=SinkSettings)
    every: int = 1
    record: JobRecord | None = None
    begin: Callable[[Source, int | None], None] = lambda _source, _frames: None
    progress: Callable[[int], None] = lambda _done: None
    cropped: set[Path] = field(default_factory=set)

    def reports(self, sources: Sequence[Source]) -> Iterator[SourceReport]:
        """Predict every source and yield a report for each as it is finished, failed ones included.

        Raises:
            KeyboardInterrupt: after the current source is finalised and reported.
        """
        whole = self._open([kind for kind in self.kinds if "whole" in SINKS.entry(kind).facts])
        interrupted = True
        try:
            for source in sources:
                interruption.check()  # an interruption that came while the last source was finalised
                if (earlier := self._earlier(source)) is not None and not whole:
                    yield earlier
                    continue
                for sink in whole:
                    sink.begin(source)
                current = _SourceRun(self, source, whole)
                stop = current.run()
                if self.record and current.report.error is None and stop is None:
                    self.record.done(source, current.report.to_dict())
                yield current.report
                if stop is not None:
                    raise stop
            interrupted = False
        finally:
            _close(whole, interrupted)

    def _earlier(self, source: Source) -> SourceReport | None:
        """Return the report of a source that an earlier, killed run of the same job finished, or None."""
        report = self.record.earlier_report(source) if self.record else None
        if report is None:
            return None
        known = {key: value for key, value in report.items() if key in SourceReport.__dataclass_fields__}
        return SourceReport(**{**known, "source": source.path, "earlier": True})

    def _open(self, kinds: Iterable[str], source: Source | None = None, reader: Any = None) -> list[Sink]:
        """Open the sinks of these kinds. Raises InputError if an output cannot be written."""
        sinks: list[Sink] = []
        settings = replace(self.settings, lanes="lanes" in self.kinds)
        if self.record and self.record.resumed and (source is None or self.record.was_begun(source)):
            settings = replace(settings, overwrite=True)  # the outputs that exist are the killed run's
        try:
            for kind in kinds:
                path = self.out / SINKS.entry(kind).facts["whole"] if source is None else None
                path = path or output_path(kind, source, self.out)  # type: ignore[arg-type]
                job = SinkJob(
                    path,
                    self.predictor.label_map,
                    settings,
                    source,
                    reader,
                    self.predictor.map_names,
                    self.predictor.ranges,
                )
                sinks.append(SINKS.get(kind)(job))
            if self.record and source is not None:
                self.record.begin(source)
        except BaseException:
            _close(sinks, True)
            raise
        return sinks


class _SourceRun:
    """The prediction of one source."""

    def __init__(self, run: Run, source: Source, whole: list[Sink]) -> None:
        self._run, self._source, self._whole = run, source, whole
        self._kinds = [kind for kind in run.kinds if "whole" not in SINKS.entry(kind).facts]
        self._tally = _Tally(run.predictor.label_map.background)
        self.report = SourceReport(source.path)

    def run(self) -> KeyboardInterrupt | None:
        """Predict the source. A failure is put in its report; an interruption is returned."""
        started = time.perf_counter()
        stop: KeyboardInterrupt | None = None
        try:
            if self._source.kind == "image":
                self._picture()
            else:
                self._video()
        except KeyboardInterrupt as error:
            stop, self.report.interrupted = error, True
        except Exception as error:
            if interruption.interrupted():  # an interruption may arrive as another exception
                stop, self.report.interrupted = KeyboardInterrupt(), True
            elif os.environ.get("LANECLI_DEBUG") and not isinstance(error, (LaneError, OSError)):
                raise
            else:  # it must not affect the other sources
                self.report.error = _failure_message(error, self._source.path)
                self.report.exit_code = error.exit_code if isinstance(error, LaneError) else 1
        report, tally = self.report, self._tally
        report.warnings += self._run.predictor.take_warnings()
        report.seconds = time.perf_counter() - started
        report.frames = tally.frames
        report.fps = tally.frames / report.seconds if report.seconds else 0.0
        report.lane_fraction, report.uncertainty = tally.lane_fraction, tally.uncertainty
        return stop

    def _picture(self) -> None:
        run = self._run
        run.begin(self._source, 1)
        self._warn_of_cropped(Path(self._source.path))
        sinks = run._open(self._kinds, self._source)
        interrupted = True
        try:
            [prediction] = run.predictor.stream([Frame.from_rgb(read_picture(self._source.path))])
            self._write(sinks, prediction)
            interrupted = False
        finally:
            self._finish(sinks, interrupted)

    def _warn_of_cropped(self, picture: Path) -> None:
        """Warn, once per dataset, that `prepare` has already cropped its pictures."""
        if not any((folder / "manifest.csv").is_file() for folder in picture.absolute().parents):
            return
        from lanecli.data.manifest import (
            cropped_by_prepare,
        )  # imports YAML and more, which only pictures of a dataset need

        cropped, run = cropped_by_prepare(picture), self._run
        if cropped is not None and cropped[0] not in run.cropped:
            run.cropped.add(cropped[0])
            self.report.warnings.append(cropped[1])

    def _video(self) -> None:
        run = self._run
        with open_video(self._source, every=run.every) as reader:
            run.begin(self._source, None if reader.info.frames is None else -(-reader.info.frames // run.every))
            sinks = run._open(self._kinds, self._source, reader)
            context = StepContext(run.predictor.label_map, True, float(reader.frame_rate))
            interrupted = True
            try:
                with (
                    BackgroundWriter[Prediction](lambda prediction: self._write(sinks, prediction), QUEUE) as queue,
                    contextlib.closing(prefetch(reader, QUEUE)) as frames,
                ):
                    for prediction in run.predictor.stream(frames, context):
                        queue.put(prediction)
                interrupted = False
            finally:
                self.report.skipped_frames = reader.skipped_frames
                self.report.warnings += reader.warnings
                self._finish(sinks, interrupted)
            if not self._tally.frames:
                raise InputError(f"{self._source.path}: no frame could be decoded")

    def _write(self, sinks: list[Sink], prediction: Prediction) -> None:
        self._tally.add(prediction)
        for sink in (*sinks, *self._whole):
            sink.write(prediction)
        self._run.progress(self._tally.frames)

    def _finish(self, sinks: list[Sink], interrupted: bool) -> None:
        try:
            _close(sinks, interrupted)
        finally:
            self.report.warnings += [line for sink in sinks for line in sink.warnings]
            self.report.outputs = [str(sink.path) for sink in sinks if sink.path.exists()]


class _Tally:
    """Counts frames, the share of pixels that are not background, and the mean of each map."""

    def __init__(self, background: int | None) -> None:
        self._background, self.frames, self._marked, self._pixels = background, 0, 0, 0
        self._sums: dict[str, float] = {}

    def add(self, prediction: Prediction) -> None:
        class_map = prediction.class_map
        self.frames += 1
        self._pixels += class_map.size
        if self._background == 0:
            self._marked += int(np.count_nonzero(class_map))
        else:
            nothing = IGNORE_ID if self._background is None else self._background
            self._marked += int(np.count_nonzero(class_map != nothing))
        for name, plane in prediction.maps.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(plane.mean())

    @property
    def lane_fraction(self) -> float | None:
        return self._marked / self._pixels if self._pixels else None

    @property
    def uncertainty(self) -> dict[str, float] | None:
        return {name: total / self.frames for name, total in self._sums.items()} or None


def check_outputs(reports: Iterable[SourceReport]) -> None:
    """Turn reports of outputs that no longer exist into failures: something removed them during the run."""
    for report in reports:
        gone = [path for path in report.outputs if not os.path.exists(path)]
        if gone:
            report.outputs = [path for path in report.outputs if path not in gone]
            report.error = report.error or f"{gone[0]}: was removed during the run"
            report.exit_code = report.exit_code or 1


def _failure_message(error: Exception, source: str) -> str:
    """Return the message for a failure of one source."""
    if isinstance(error, LaneError):
        return str(error)
    if isinstance(error, (OSError, MemoryError)):
        file = getattr(error, "filename", None)
        return f"{source}: {'' if file is None else f'{file}: '}{reason(error)}"
    return f"{source}: {bug_report_message(error)}"


def _close(sinks: Sequence[Sink], interrupted: bool) -> None:
    """Finalise every sink even if some fail; only then is a failure raised, or an interruption let through."""
    with interruption.Deferred(), contextlib.ExitStack() as stack:
        for sink in sinks:
            stack.callback(sink.close, interrupted)
