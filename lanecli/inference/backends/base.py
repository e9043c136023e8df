"""What every backend is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol

import numpy as np

from lanecli.geometry import Size
from lanecli.modelfile import ModelSpec


class Probabilities(Protocol):
    """An answer under way."""

    def result(self) -> np.ndarray:
        """(C, h, w) float32 class probabilities; waits until they are there."""
        ...


class Backend(ABC):
    """A model file, loaded.

    Attributes:
        spec: what the model file says of itself.
        size: (width, height) of the pictures it takes.
        name, precision, device: what it runs on, as reported to the user.
        depth: how many pictures to submit before waiting for the first answer.
    """

    name: str
    spec: ModelSpec
    size: Size
    precision: str
    device: str
    depth: int = 1

    @abstractmethod
    def __init__(self, path: Path, *, precision: str, device: str, size: Size | None) -> None:
        """Load `path`; see `open_backend`."""

    @abstractmethod
    def submit(self, picture: np.ndarray) -> Probabilities:
        """Start on one (h, w, 3) uint8 RGB picture of `size`; it must stay unchanged until the answer is taken."""

    def infer(self, picture: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8 RGB to (C, h, w) float32 probabilities."""
        return self.submit(picture).result()


class Ready:
    """An answer that is already there."""

    def __init__(self, probabilities: np.ndarray) -> None:
        self._probabilities = probabilities

    def result(self) -> np.ndarray:
        """(C, h, w) float32."""
        return self._probabilities
