"""Backends of which every answer is known, and a predictor over them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.geometry import Geometry
from lanecli.inference.backends.base import Backend, Load
from lanecli.inference.combiners import COMBINERS
from lanecli.inference.member import Member
from lanecli.inference.predictor import Predictor
from lanecli.inference.views import View
from lanecli.labels import LabelClass, LabelMap, planes_of
from lanecli.media.frame import Frame
from lanecli.modelfile import ModelSpec

Make = Callable[[np.ndarray], np.ndarray]
AS_IT_IS = View()


def classes(count: int, background: int | None = 0, multilabel: bool = False) -> LabelMap:
    names = tuple(LabelClass(f"c{i}", (i, i, i)) for i in range(count))
    return LabelMap("m", names, background=background, multilabel=multilabel)


class Fake(Backend):
    """Gives probabilities made from the picture; at most `depth` questions may be under way, as in OpenVINO."""

    name = precision = device = "fake"
    samples_dropout = True

    def __init__(  # the arguments of a real one make no sense here
        self,
        make: Make,
        label_map: LabelMap,
        *,
        size: tuple[int, int] = (16, 8),
        depth: int = 1,
        geometry: Geometry | None = None,
        logits: Make | None = None,
        precision: str = "fp32",
        outputs: dict[str, Make] | None = None,
    ) -> None:
        self.spec = ModelSpec("fake", {}, label_map, geometry or Geometry(size))
        self.load = Load(Path("fake"))
        self.size, self.depth, self.make, self.logits = size, depth, make, logits
        self.outputs, self.precision = outputs or {}, precision
        self.under_way = self.most = self.submitted = 0
        self.seeds: list[int | None] = []

    def submit(self, pictures: np.ndarray, seed: int | None = None) -> _Answer:
        assert pictures.shape[1:] == (self.size[1], self.size[0], 3)
        self.under_way += 1
        self.submitted += 1
        self.seeds.append(seed)
        self.most = max(self.most, self.under_way)
        if self.under_way > self.depth:
            raise RuntimeError("too many")
        found: dict[str, np.ndarray] = {}
        if self.make is not None:
            made = np.stack([self.make(picture.copy()) for picture in pictures])
            found["planes"] = np.stack([planes_of(p, self.spec.label_map) for p in made])
        if self.logits is not None:
            found["logits"] = np.stack([self.logits(picture) for picture in pictures])
        for name, make in self.outputs.items():
            found[name] = np.stack([make(picture) for picture in pictures])
        return _Answer(self, found)

    def at_size(self, size: tuple[int, int]) -> Fake:
        return Fake(self.make, self.spec.label_map, size=size, depth=self.depth, logits=self.logits)


class _Answer:
    def __init__(self, backend: Fake, found: dict[str, np.ndarray]) -> None:
        self.backend, self.found = backend, found

    def result(self) -> dict[str, np.ndarray]:
        self.backend.under_way -= 1
        return self.found


def predictor(
    backends: Sequence[Backend],
    keep: Collection[str] | bool = (),
    combine: str = "mean",
    weights: Sequence[float] | None = None,
    views: Sequence[View] = (AS_IT_IS,),
    **more: Any,
) -> Predictor:
    """A predictor over every backend in every view; `keep` true keeps probabilities."""
    kept = (("planes",) if keep else ()) if isinstance(keep, bool) else keep
    shares = weights or [1 / len(backends)] * len(backends)
    members = [
        Member(backend, backend.spec.geometry, backends[0].spec.label_map, view, share / len(views))
        for backend, share in zip(backends, shares, strict=True)
        for view in views
    ]
    return Predictor(members, COMBINERS.get(combine)(), keep=kept, **more)


def fixed(probabilities: np.ndarray) -> Make:
    return lambda _picture: probabilities


def positive(values: np.ndarray) -> np.ndarray:
    """(2, h, w) from class 1's probabilities."""
    values = np.asarray(values, np.float32)
    return np.stack([1 - values, values])


def by_brightness(picture: np.ndarray) -> np.ndarray:
    return positive(picture.mean(-1) / 255)


def frames(count: int, size: tuple[int, int] = (32, 16)) -> list[Frame]:
    return [Frame.from_rgb(np.full((size[1], size[0], 3), 10 * i, np.uint8), i) for i in range(count)]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(0))
    return (powers / powers.sum(0)).astype(np.float32)
