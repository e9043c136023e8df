"""Selects the frames most worth labelling next, and writes what a person needs to label them."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lanecli import atomic, interruption
from lanecli.data.annotations import Annotation, Line, Region, regions_of, write_annotations
from lanecli.draw import OverlayPainter
from lanecli.draw.heatmap import HeatmapPainter
from lanecli.draw.sheet import grid
from lanecli.errors import InputError, LaneError
from lanecli.geometry import resize
from lanecli.inference.member import Member, MemberAnswer
from lanecli.inference.prediction import Prediction
from lanecli.inference.predictor import Predictor
from lanecli.inference.recipe import Recipe
from lanecli.inference.sinks.uncertainty import scale_of
from lanecli.labelmaps.line_classes import line_classes
from lanecli.labels import LabelMap
from lanecli.lanes import find_lanes
from lanecli.media import Frame, Source, open_video, prefetch, read_picture, write_picture
from lanecli.uncertainty.maps import doubt, map_kind, uncertainty_maps
from lanecli.uncertainty.selection import SCORES, SPREADS, choose_frames, describe_frame, frame_scores

DOUBTFUL_LABEL, DOUBTFUL_COLOR = "doubtful", (255, 0, 200)
CURVE_LABEL, CURVE_COLOR = "curve", (60, 130, 255)
"""Lane lines as polylines; the label lacks the word "lane", so `prepare --classes lane` does not draw them as paint."""
_SMALLEST = 20  # pixels: smaller regions are not worth a click
_TILE, _COLUMNS = 480, 3
_QUEUE = 4


@dataclass(frozen=True)
class Candidate:
    """A frame that could be labelled.

    Attributes:
        source: the picture or video.
        index: index of the frame among those taken from the source.
        time: time of the frame in seconds, or None.
        scores: the uncertainty of the frame by each of the scores.
        description: the vector that describes its features.
    """

    source: Source
    index: int
    time: float | None
    scores: dict[str, float]
    description: np.ndarray


class FrameFeatures:
    """A measure without a map, which keeps a description of the features of each frame.

    Attributes:
        descriptions: the descriptions of the frames so far.
    """

    needs = frozenset({"features"})
    maps: tuple[str, ...] = ()
    samples = False

    def __init__(self) -> None:
        """Start without a frame."""
        self.descriptions: list[np.ndarray] = []

    def check(self, members: Sequence[Member]) -> None:
        """Accept all members: every network has features."""

    def begin(self, label_map: LabelMap) -> _FeatureFold:
        """Start on a frame."""
        return _FeatureFold(self.descriptions)


class _FeatureFold:
    def __init__(self, descriptions: list[np.ndarray]) -> None:
        self._descriptions = descriptions
        self._description: np.ndarray | None = None

    def add(self, answer: MemberAnswer) -> None:
        if self._description is None:  # only the first member's: other networks' features lie in other spaces
            self._description = describe_frame(answer.features())

    def result(self, planes: np.ndarray) -> dict[str, np.ndarray]:
        assert self._description is not None, "there is a member"
        self._descriptions.append(self._description)
        return {}


def find_candidates(
    predictor: Predictor,
    features: FrameFeatures,
    sources: Sequence[Source],
    every: int,
    begin: Callable[[Source, int | None], None],
    progress: Callable[[int], None],
    failed: Callable[[str], None],
) -> list[Candidate]:
    """Return every frame of the sources with its scores; pictures are not kept.

    Args:
        predictor: a predictor with an uncertainty, and with `features` among its measures.
        features: the measure that describes frames.
        sources: pictures and videos.
        every: take only each N-th frame of a video.
        begin: called with each source and its estimated frame count.
        progress: called with the number of finished frames of the source.
        failed: called with the message of a source that cannot be read; the others are still read.
    """
    candidates = []
    for source in sources:
        try:
            for number, prediction in enumerate(_predictions(predictor, source, every, begin)):
                interruption.check()
                name = uncertainty_maps(prediction.maps)[0]
                scores = frame_scores(doubt(name, prediction.maps[name]))
                description = features.descriptions.pop(0)
                candidates.append(Candidate(source, number, prediction.frame.time, scores, description))
                progress(number + 1)
        except (LaneError, OSError) as error:
            features.descriptions.clear()
            failed(str(error))
    return candidates


def _predictions(
    predictor: Predictor, source: Source, every: int, begin: Callable[[Source, int | None], None]
) -> Iterator[Prediction]:
    if source.kind == "image":
        begin(source, 1)
        yield predictor.predict(Frame.from_rgb(read_picture(source.path)))
        return
    with open_video(source, every=every) as reader:
        begin(source, None if reader.info.frames is None else -(-reader.info.frames // every))
        yield from predictor.stream(prefetch(reader, _QUEUE))


def select(
    recipe: Recipe,
    sources: Sequence[Source],
    out: Path,
    *,
    top: int,
    score: str = "tail",
    spread: str = "greedy",
    every: int = 1,
    export: str | None = None,
    begin: Callable[[Source, int | None], None] = lambda _source, _frames: None,
    progress: Callable[[int], None] = lambda _done: None,
    failed: Callable[[str], None] = lambda _line: None,
) -> dict[str, Any]:
    """Choose frames, and write them with heat maps to look at and, if asked for, annotations to correct.

    ``out`` gets ``images/``, ``selection.csv`` (rank, picture, source, frame, time, scores), ``contact_sheet.png`` and,
    with `export`, annotations to correct.

    Args:
        recipe: the model, with an uncertainty.
        sources: pictures and videos.
        out: a folder to write; it must not exist yet.
        top: how many frames to choose.
        score: one of :data:`lanecli.uncertainty.selection.SCORES`.
        spread: one of :data:`lanecli.uncertainty.selection.SPREADS`.
        every: take only each N-th frame of a video.
        export: one of :data:`lanecli.data.annotations.FORMATS`.
        begin, progress, failed: see :func:`find_candidates`.

    Raises:
        InputError: a name is unknown, or no frame could be read.
    """
    for value, known, option in ((score, SCORES, "--score"), (spread, SPREADS, "--spread")):
        if value not in known:
            raise InputError(f"{option} takes {', '.join(known)}, not '{value}'")
    features = FrameFeatures()
    predictor = recipe.open({"uncertainty"}, extra_measures=[features])
    candidates = find_candidates(predictor, features, sources, every, begin, progress, failed)
    if not candidates:
        raise InputError("no frame could be read")
    scores = np.array([candidate.scores[score] for candidate in candidates])
    descriptions = np.stack([candidate.description for candidate in candidates])
    chosen = [candidates[i] for i in choose_frames(scores, descriptions, top, spread)]
    with atomic.folder(out) as folder:
        names = _write_pictures(folder / "images", chosen, every)
        annotations, tiles = [], []
        for name in names:
            prediction = predictor.predict(Frame.from_rgb(read_picture(folder / "images" / name)))
            features.descriptions.clear()
            tiles.append(_tile(prediction, predictor))
            annotations.append(annotation_of(prediction, name, predictor.ranges))
        write_picture(folder / "contact_sheet.png", grid(tiles, _COLUMNS))
        atomic.write(folder / "selection.csv", _table(chosen, names))
        if export:
            labels, colors = label_list(predictor.label_map)
            write_annotations(export, folder, annotations, labels, colors)
    return {
        "frames": len(candidates),
        "selected": [
            {
                "picture": str(out / "images" / name),
                "source": c.source.path,
                "frame": c.index,
                "time": c.time,
                **c.scores,
            }
            for c, name in zip(chosen, names, strict=True)
        ],
        "score": score,
        "spread": spread,
        "map": uncertainty_maps(predictor.map_names)[0],
    }


def _write_pictures(folder: Path, chosen: Sequence[Candidate], every: int) -> list[str]:
    """Write copies of pictures, and frames of videos as PNG; return their names in the order of `chosen`."""
    folder.mkdir()
    names: dict[int, str] = {}
    for source in {id(c.source): c.source for c in chosen}.values():
        of_source = [(rank, c) for rank, c in enumerate(chosen) if c.source is source]
        if source.kind == "image":
            for rank, _ in of_source:
                names[rank] = f"{rank + 1:04d}_{Path(source.path).stem}{Path(source.path).suffix}"
                shutil.copyfile(source.path, folder / names[rank])
            continue
        wanted = {candidate.index: rank for rank, candidate in of_source}
        with open_video(source, every=every) as reader:
            for number, frame in enumerate(reader):
                if number in wanted:
                    rank = wanted.pop(number)
                    names[rank] = f"{rank + 1:04d}_{source.stem}_{number * every:06d}.png"
                    write_picture(folder / names[rank], frame.rgb())
                if not wanted:
                    break
    return [names[rank] for rank in range(len(chosen))]


def label_list(label_map: LabelMap) -> tuple[list[str], list[tuple[int, int, int]]]:
    """Return every label of the task and its colour: the classes without the background, doubtful regions, lane lines.

    Lane lines are among them only if one of the classes is a lane line.
    """
    drawn = [(c.name, c.color) for i, c in enumerate(label_map.classes) if i != label_map.background]
    drawn.append((DOUBTFUL_LABEL, DOUBTFUL_COLOR))
    if line_classes(label_map):
        drawn.append((CURVE_LABEL, CURVE_COLOR))
    names, colors = zip(*drawn, strict=True)
    return list(names), list(colors)


def annotation_of(prediction: Prediction, name: str, ranges: dict[str, tuple[float, float]]) -> Annotation:
    """Return the model's own prediction as an annotation to correct.

    Lane lines and doubtful regions lie below the classes, so what a person draws covers them. Where nothing covers
    them, they are read as background, unless their labels are among the classes.

    Args:
        prediction: the prediction for the picture.
        name: file name of the picture.
        ranges: the ranges of the predictor's maps; a pixel beyond the middle of the range is doubtful.
    """
    label_map = prediction.label_map
    measure = uncertainty_maps(prediction.maps)[0]
    certain, doubtful = ranges.get(measure) or scale_of(measure, prediction.maps[measure])
    sign = map_kind(measure).sign
    region = doubt(measure, prediction.maps[measure]) > sign * (certain + doubtful) / 2
    regions: list[Region] = regions_of(region, DOUBTFUL_LABEL, _SMALLEST)
    for train_id, label in enumerate(label_map.classes):
        if train_id != label_map.background:
            mask = (
                prediction.class_map == train_id
                if prediction.labels is None
                else prediction.labels >> train_id & 1 == 1
            )
            regions += regions_of(mask, label.name, 1)
    size = prediction.frame.size
    lanes = find_lanes(prediction.class_map, label_map, size) if line_classes(label_map) else ()
    return Annotation(name, size, tuple(regions), tuple(Line(CURVE_LABEL, lane.points) for lane in lanes))


def _tile(prediction: Prediction, predictor: Predictor) -> np.ndarray:
    """Return the overlay above the heat map."""
    label_map, name = prediction.label_map, uncertainty_maps(prediction.maps)[0]
    size = (_TILE, max(1, round(_TILE * prediction.frame.size[1] / prediction.frame.size[0])))
    drawn, heated = (Frame.from_rgb(prediction.frame.rgb().copy()) for _ in range(2))
    OverlayPainter(label_map.palette, names=label_map.names, background=label_map.background).paint(
        drawn, prediction.class_map
    )
    values = prediction.maps[name]
    HeatmapPainter(map_kind(name).title, *(predictor.ranges.get(name) or scale_of(name, values))).paint(heated, values)
    return np.vstack([resize(drawn.rgb(), size), resize(heated.rgb(), size)])


def _table(chosen: Sequence[Candidate], names: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["rank", "picture", "source", "frame", "time", *SCORES])
    for rank, (candidate, name) in enumerate(zip(chosen, names, strict=True), 1):
        time = "" if candidate.time is None else f"{candidate.time:.3f}"
        scores = [f"{candidate.scores[score]:.6g}" for score in SCORES]
        rows.writerow([rank, f"images/{name}", candidate.source.path, candidate.index, time, *scores])
    return text.getvalue().encode()
