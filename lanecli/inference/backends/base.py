"""What every backend is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from lanecli.errors import InputError, LaneError, reading, reason
from lanecli.geometry import Geometry, Placement, Size
from lanecli.inference.network_input import place
from lanecli.labels import LabelMap
from lanecli.modelfile import ModelSpec

FALLBACK_SIZE = (512, 256)
"""(width, height) a network sees where its model file names none."""


@dataclass(frozen=True)
class Load:
    """How a model file is to be loaded.

    Attributes:
        path: of the model file.
        outputs: names of what answers hold: ``"planes"`` (probabilities, one plane for each of
            `LabelMap.plane_classes`), ``"logits"``, ``"features"``, or the model's own, such as ``"log_density"``.
        precision: auto, fp32, bf16, fp16 or int8.
        device: auto, cpu, cuda or cuda:N.
        size: (width, height) the network will see; None is the model's own.
        batch: how many pictures a question holds at most.
    """

    path: Path
    outputs: tuple[str, ...] = ("planes",)
    precision: str = "auto"
    device: str = "auto"
    size: Size | None = None
    batch: int = 1


class Answer(Protocol):
    """An answer under way."""

    def result(self) -> dict[str, np.ndarray]:
        """The outputs by name, each with the pictures along its first axis; waits until they are there.

        ``planes`` (n, K, h, w), ``logits`` (n, C, h, w), ``features`` (n, D, h / s, w / s), others (n, h, w); float32.
        """
        ...


class Backend(ABC):
    """A model file, loaded.

    Attributes:
        load: how it was asked to be loaded.
        spec: what the model file says of itself.
        size: (width, height) of the pictures it takes.
        name, precision, device: what it runs on, as reported to the user.
        depth: how many questions to ask before waiting for the first answer.
        samples_dropout: whether `seed` of :meth:`submit` has a meaning.
    """

    name: str
    load: Load
    spec: ModelSpec
    size: Size
    precision: str
    device: str
    depth: int = 1
    samples_dropout: bool = False

    @abstractmethod
    def __init__(self, load: Load) -> None:
        """Load a model file; see `open_backend`."""

    @abstractmethod
    def submit(self, pictures: np.ndarray, seed: int | None = None) -> Answer:
        """Start on (n, h, w, 3) uint8 RGB pictures of `size`; they must stay unchanged until the answer is taken.

        Args:
            pictures: at most `load.batch` of them.
            seed: with dropout on, drawn from this seed; None is without.
        """

    def place(self, geometry: Geometry, frame: Size) -> Placement:
        """Where the picture it takes lies in a frame of that size."""
        return place(geometry, frame, self.size)

    def check_sampling(self) -> None:
        """Raise InputError where dropout cannot be sampled."""
        raise InputError(
            f"{self.load.path}: mc-dropout samples with torch only: give the .safetensors file the model was exported "
            "from, with --backend auto or torch"
        )

    def infer(self, picture: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8 RGB to (K, h, w) float32 planes of probabilities."""
        return self.submit(picture[None]).result()["planes"][0]

    def in_precision(self, precision: str) -> Backend:
        """The same model, loaded once more to compute in another precision."""
        return type(self)(replace(self.load, precision=precision))

    def at_size(self, size: Size) -> Backend:
        """The same model for pictures of another size."""
        return type(self)(replace(self.load, size=size))


class Ready:
    """An answer that is already there."""

    def __init__(self, found: Mapping[str, np.ndarray]) -> None:
        self._found = dict(found)

    def result(self) -> dict[str, np.ndarray]:
        """The outputs by name."""
        return self._found


class Checked:
    """An answer that is held to what the model file promised."""

    def __init__(self, answer: Answer, backend: Backend, count: int, size: Size | None = None) -> None:
        """Args: answer: of `backend` to `count` pictures of `size`, by default its own."""
        self._answer, self._backend, self._count, self._size = answer, backend, count, size or backend.size

    def result(self) -> dict[str, np.ndarray]:
        """The outputs by name. Raises LaneError where the runtime fails, InputError where they are of other shapes."""
        path = self._backend.load.path
        try:
            found = self._answer.result()
        except Exception as error:
            raise LaneError(f"{path}: {self._backend.name} cannot run it: {reason(error)}") from error
        for name, values in found.items():
            _check(path, self._backend.spec.label_map, name, values.shape, (self._count, self._size))
            if values.dtype != np.float32:
                raise InputError(f"{path}: its output '{name}' is {values.dtype}, not float32; export it again")
        return found


def check_declared(
    path: Path, label_map: LabelMap, name: str, shape: Sequence[object], asked: tuple[int, Size] | None = None
) -> None:
    """Raise InputError where an output a graph declares has not the axes and classes its header promises.

    Args:
        path: of the model file.
        label_map: out of its header.
        name: of the output, as in `Load.outputs`.
        shape: a number for each axis, or anything else where the graph leaves it open.
        asked: how many pictures of which size go in, where that is fixed.
    """
    with reading(path, f"output '{name}'"):
        sides = tuple(side if isinstance(side, int) and side > 0 else None for side in shape)
        _check(path, label_map, name, sides, asked)


def _check(
    path: Path,
    label_map: LabelMap,
    name: str,
    shape: tuple[int | None, ...],
    asked: tuple[int, Size] | None = None,
) -> None:
    classes = {"logits": len(label_map.classes), "planes": len(label_map.plane_classes)}.get(name)
    wanted: list[int | None] = [None] * (4 if name in ("logits", "planes", "features") else 3)
    if classes is not None:
        wanted[1] = classes
    if asked is not None:
        wanted[0] = asked[0]
        if classes is not None:
            wanted[2:] = asked[1][::-1]
    fits = len(shape) == len(wanted) and all(
        want is None or side is None or side == want for side, want in zip(shape, wanted, strict=True)
    )
    if not fits:
        shown = [" x ".join("?" if side is None else str(side) for side in sides) for sides in (shape, wanted)]
        raise InputError(
            f"{path}: its output '{name}' is {shown[0]} where its header promises {shown[1]}; export it again"
        )
