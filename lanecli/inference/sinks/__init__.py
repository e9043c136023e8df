"""Sinks write Predictions: each writes one kind of output, and finalises it whatever happens."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lanecli.registry import Registry

if TYPE_CHECKING:
    from lanecli.draw import OverlayStyle
    from lanecli.inference.prediction import Prediction
    from lanecli.labels import LabelMap
    from lanecli.media import Source


@dataclass(frozen=True)
class SinkSettings:
    """The user's options for outputs.

    Attributes:
        style: style of the overlay; None for the default.
        decode: whether masks hold source ids instead of train ids.
        overwrite: whether existing outputs are replaced.
        lanes: whether lane lines are written too; the overlay then shows them.
    """

    style: OverlayStyle | None = None
    decode: bool = False
    overwrite: bool = False
    lanes: bool = False


@dataclass(frozen=True)
class SinkJob:
    """What one sink has to write.

    Attributes:
        path: path of the output: a file, or a folder with one file per frame.
        label_map: the classes of the Predictions.
        settings: the user's options.
        source: the source; None for a sink of the whole run.
        reader: reader of the video, a `VideoReader` or `CameraReader`; None for a picture.
        map_names: names of the maps the Predictions will hold.
        ranges: for maps with a known scale, the value drawn as certain and the one drawn as doubtful.
    """

    path: Path
    label_map: LabelMap
    settings: SinkSettings
    source: Source | None = None
    reader: Any = None
    map_names: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class Sink(ABC):
    """One output. A sink never changes a Prediction or its frame: others read them too.

    Attributes:
        needs: parts of a Prediction it reads besides the class map: ``"planes"``, ``"lanes"``, ``"shown_map"``, names
            of maps.
        path: path of the output.
        warnings: what could not be carried over, a line each.
    """

    needs: frozenset[str] = frozenset()
    path: Path

    @abstractmethod
    def __init__(self, job: SinkJob) -> None:
        """Open the output. Raises InputError if it cannot be written."""

    @property
    def warnings(self) -> list[str]:
        """What could not be carried over, a line each."""
        return []

    def begin(self, source: Source) -> None:  # noqa: B027, most sinks have nothing to do
        """Tell a sink of the whole run which source the next Predictions belong to."""

    @abstractmethod
    def write(self, prediction: Prediction) -> None:
        """Write the next Prediction."""

    def close(self, interrupted: bool = False) -> None:  # noqa: B027, most sinks have nothing open
        """Finalise what has been written.

        Args:
            interrupted: whether the source was cut short.
        """


SINKS: Registry[type[Sink]] = Registry("output")
"""Facts: ``picture`` and ``video``, the endings of output names; or ``whole``, the name of one file for the run."""
SINKS.add(
    "overlay",
    "lanecli.inference.sinks.overlay:Overlay",
    summary="classes drawn on the picture or video",
    picture=".overlay.png",
    video=".overlay.mp4",
)
SINKS.add(
    "masks",
    "lanecli.inference.sinks.masks:Masks",
    summary="8-bit train ids",
    picture=".mask.png",
    video=".masks",
)
SINKS.add(
    "probabilities",
    "lanecli.inference.sinks.probabilities:ProbabilityFiles",
    summary="class probabilities as float16 NumPy arrays",
    picture=".probabilities.npz",
    video=".probabilities",
)
SINKS.add(
    "uncertainty",
    "lanecli.inference.sinks.uncertainty:Uncertainty",
    summary="heat map of the uncertainty with a legend; for pictures also the values",
    picture=".uncertainty.png",
    video=".uncertainty.mp4",
)
SINKS.add(
    "lanes",
    "lanecli.inference.sinks.lanes:LaneFile",
    summary="lane lines, one JSON object per frame",
    picture=".lanes.jsonl",
    video=".lanes.jsonl",
)
SINKS.add(
    "tusimple",
    "lanecli.inference.sinks.tusimple:TuSimpleFile",
    summary="lane lines as a TuSimple submission",
    whole="tusimple.json",
)
SINKS.add(
    "culane",
    "lanecli.inference.sinks.culane:CuLaneFiles",
    summary="lane lines as CULane's .lines.txt",
    picture=".lines.txt",
    video=".lines",
)


def output_path(kind: str, source: Source, out: Path) -> Path:
    """Return where output `kind` of `source` is written in `out`: a file, or for a video's frames a folder."""
    facts = SINKS.entry(kind).facts
    if "whole" in facts:
        return out / facts["whole"]
    return out / source.relative / f"{source.stem}{facts['picture' if source.kind == 'image' else 'video']}"


def free_folders(base: Path, kinds: tuple[str, ...], sources: list[Source]) -> Iterator[Path]:
    """Yield those of `base`, ``base-2``, ``base-3`` … that hold no output of `sources` yet."""
    for number in itertools.count(1):
        folder = base if number == 1 else base.with_name(f"{base.name}-{number}")
        if not any(output_path(kind, source, folder).exists() for source in sources for kind in kinds):
            yield folder
