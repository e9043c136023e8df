"""The interface of every backend."""

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
"""(width, height) of the network's picture if the model file gives no size."""


@dataclass(frozen=True)
class Load:
    """How a model file is loaded.

    Attributes:
        path: the model file.
        outputs: names of the outputs of each answer: ``"planes"`` (probabilities, one plane for each of
            `LabelMap.plane_classes`), ``"logits"``, ``"features"``, or the model's own, such as ``"log_density"``.
        precision: auto, fp32, bf16, fp16 or int8.
        device: auto, cpu, cuda or cuda:N.
        size: (width, height) of the network's picture; None takes the model's own.
        batch: most pictures a request holds.
    """

    path: Path
    outputs: tuple[str, ...] = ("planes",)
    precision: str = "auto"
    device: str = "auto"
    size: Size | None = None
    batch: int = 1


class Answer(Protocol):
    """The answer to a request in flight."""

    def result(self) -> dict[str, np.ndarray]:
        """Wait for the outputs and return them by name, each with the pictures along its first axis.

        ``planes`` (n, K, h, w), ``logits`` (n, C, h, w), ``features`` (n, D, h / s, w / s), others (n, h, w); float32.
        """
        ...


class Backend(ABC):
    """A loaded model file.

    Attributes:
        load: how it was asked to be loaded.
        spec: what the model file says about the model.
        size: (width, height) of the pictures it takes.
        name, precision, device: what it runs on, as reported to the user.
        depth: how many requests to keep in flight before waiting for the first answer.
        samples_dropout: whether :meth:`submit` can sample dropout from a `seed`.
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
        """Start on (n, h, w, 3) uint8 RGB pictures of `size`; they must not change until the answer is taken.

        Args:
            pictures: at most `load.batch` of them.
            seed: seed of dropout; None leaves dropout off.
        """

    def place(self, geometry: Geometry, frame: Size) -> Placement:
        """Return where the network's picture lies in a frame of this size."""
        return place(geometry, frame, self.size)

    def check_sampling(self) -> None:
        """Raise InputError if the backend cannot sample dropout."""
        raise InputError(
            f"{self.load.path}: mc-dropout runs only on torch: give the .safetensors file the model was exported "
            "from, with --backend auto or torch"
        )

    def infer(self, picture: np.ndarray) -> np.ndarray:
        """Return (K, h, w) float32 planes of probabilities for one (h, w, 3) uint8 RGB picture."""
        return self.submit(picture[None]).result()["planes"][0]

    def in_precision(self, precision: str) -> Backend:
        """Return the same model, loaded again to compute in another precision."""
        return type(self)(replace(self.load, precision=precision))

    def at_size(self, size: Size) -> Backend:
        """Return the same model for pictures of another size."""
        return type(self)(replace(self.load, size=size))


class Ready:
    """An answer that is already there."""

    def __init__(self, outputs: Mapping[str, np.ndarray]) -> None:
        self._outputs = dict(outputs)

    def result(self) -> dict[str, np.ndarray]:
        """Return the outputs by name."""
        return self._outputs


class Checked:
    """An answer whose outputs are compared with what the model file promises."""

    def __init__(self, answer: Answer, backend: Backend, count: int, size: Size | None = None) -> None:
        """Wrap an answer.

        Args:
            answer: the answer of `backend`.
            backend: the backend that computes it.
            count: number of pictures in the request.
            size: (width, height) of the pictures; by default the backend's own.
        """
        self._answer, self._backend, self._count, self._size = answer, backend, count, size or backend.size

    def result(self) -> dict[str, np.ndarray]:
        """Return the outputs by name.

        Raises:
            LaneError: the runtime fails.
            InputError: an output has another shape or dtype than the model file promises.
        """
        path = self._backend.load.path
        try:
            outputs = self._answer.result()
        except Exception as error:
            raise LaneError(f"{path}: {self._backend.name} cannot run it: {reason(error)}") from error
        for name, values in outputs.items():
            _check(path, self._backend.spec.label_map, name, values.shape, (self._count, self._size))
            if values.dtype != np.float32:
                raise InputError(f"{path}: its output '{name}' is {values.dtype}, not float32; export the model again")
        return outputs


def check_declared(
    path: Path, label_map: LabelMap, name: str, shape: Sequence[object], asked: tuple[int, Size] | None = None
) -> None:
    """Raise InputError if a graph declares an output without the axes and classes its header promises.

    Args:
        path: the model file.
        label_map: the label map in its header.
        name: name of the output, as in `Load.outputs`.
        shape: a number for each axis, or anything else if the graph leaves it open.
        asked: number and size of the input pictures, if they are fixed.
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
            f"{path}: its output '{name}' is {shown[0]} but its header promises {shown[1]}; export the model again"
        )
