"""Sinks: where Predictions go. Each writes one kind of output and finalises it whatever happens."""

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
    """What the user asked of outputs.

    Attributes:
        style: of the overlay; None is its default.
        decode: masks hold source ids instead of train ids.
        overwrite: replace existing outputs.
        lanes: lane lines are written too, and the overlay shows them.
    """

    style: OverlayStyle | None = None
    decode: bool = False
    overwrite: bool = False
    lanes: bool = False


@dataclass(frozen=True)
class SinkJob:
    """What one sink is to do.

    Attributes:
        path: of the output: a file, or a folder for one file a frame.
        label_map: the classes of Predictions.
        settings: what the user asked.
        source: what is predicted; None for a sink of the whole run.
        reader: of the video, a `VideoReader` or `CameraReader`; None for a picture.
        gives: names of the maps Predictions will hold.
        ranges: of maps, the value drawn as certain and the one drawn as doubtful, where they are known.
    """

    path: Path
    label_map: LabelMap
    settings: SinkSettings
    source: Source | None = None
    reader: Any = None
    gives: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class Sink(ABC):
    """One output. It never changes a Prediction or its frame: others read them too.

    Attributes:
        needs: parts of a Prediction it reads besides the class map: ``"planes"``, ``"lanes"``, or names of maps.
        path: of the output.
        warnings: what could not be carried over, a line each.
    """

    needs: frozenset[str] = frozenset()
    path: Path

    @abstractmethod
    def __init__(self, job: SinkJob) -> None:
        """Open the output. Raises InputError where it cannot be written."""

    @property
    def warnings(self) -> list[str]:
        """What could not be carried over, a line each."""
        return []

    def begin(self, source: Source) -> None:  # noqa: B027, most sinks have nothing to do
        """A sink of the whole run is told which source the next Predictions belong to."""

    @abstractmethod
    def write(self, prediction: Prediction) -> None:
        """Take the next Prediction."""

    def close(self, interrupted: bool = False) -> None:  # noqa: B027, most sinks have nothing open
        """Finalise what has been written.

        Args:
            interrupted: the source did not come to its end.
        """


SINKS: Registry[type[Sink]] = Registry("output")
"""Facts: ``picture`` and ``video``, how names end; or ``whole``, the name of one file for the whole run."""
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
    summary="heat map of the uncertainty with a legend; of a picture its numbers too",
    picture=".uncertainty.png",
    video=".uncertainty.mp4",
)
SINKS.add(
    "lanes",
    "lanecli.inference.sinks.lanes:LaneFile",
    summary="lane lines, a JSON object a frame",
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
    """Where output `kind` of `source` goes below `out`: a file, or for a video's frames a folder."""
    facts = SINKS.entry(kind).facts
    if "whole" in facts:
        return out / facts["whole"]
    return out / source.relative / f"{source.stem}{facts['picture' if source.kind == 'image' else 'video']}"


def free_folders(base: Path, kinds: tuple[str, ...], sources: list[Source]) -> Iterator[Path]:
    """`base`, ``base-2``, ``base-3`` …: those in which no output of `sources` exists yet."""
    for number in itertools.count(1):
        folder = base if number == 1 else base.with_name(f"{base.name}-{number}")
        if not any(output_path(kind, source, folder).exists() for source in sources for kind in kinds):
            yield folder
