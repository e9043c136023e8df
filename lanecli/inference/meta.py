"""The meta-model of a stacked ensemble: a small network on the learners' answers at a pixel, run without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lanecli import atomic
from lanecli.errors import InputError, reading
from lanecli.labels import LabelMap
from lanecli.uncertainty.entropy import entropy

KEY = "lanecli-meta"
INPUTS = ("probabilities", "entropy", "picture")
_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class MetaModel:
    """Computes W2 relu(W1 x + b1) + b2 for each pixel on its own.

    x holds the planes of probabilities and the entropy of each learner in turn, then the picture. Each of these appears
    a second time, averaged over a square of `context` pixels, if `context` is above 1. The first layer is linear, so
    that learners can be added one after another.

    Attributes:
        inputs: which of :data:`INPUTS` x holds.
        learners: number of learners.
        planes: K, planes of each answer (`LabelMap.plane_classes`).
        context: side of the square whose mean is an input too; 1 for none.
        first, bias: (H, F) and (H,) float32.
        second, offset: (K, H) and (K,) float32; the result is the logits of the planes.
        classes: class names in train id order.
    """

    inputs: tuple[str, ...]
    learners: int
    planes: int
    context: int
    first: np.ndarray
    bias: np.ndarray
    second: np.ndarray
    offset: np.ndarray
    classes: tuple[str, ...]

    @property
    def width(self) -> int:
        """Number of inputs of one learner, without the averaged ones."""
        return learner_width(self.inputs, self.planes)

    @property
    def repeats(self) -> int:
        """How often each input appears in x: 2 if it appears averaged too, else 1."""
        return 2 if self.context > 1 else 1

    def learner(self, number: int, planes: np.ndarray, label_map: LabelMap) -> np.ndarray:
        """Return what one learner's (K, H, W) planes add to the first layer: (hidden, H, W) float32."""
        x = learner_inputs(planes, label_map, self.inputs, self.context)
        start = number * self.width * self.repeats
        return _product(self.first[:, start : start + len(x)], x)

    def picture(self, rgb: np.ndarray) -> np.ndarray | None:
        """Return what the (H, W, 3) uint8 picture adds to the first layer, or None if it is not an input."""
        if "picture" not in self.inputs:
            return None
        x = picture_inputs(rgb, self.context)
        return _product(self.first[:, -len(x) :], x)

    def finish(self, hidden: np.ndarray) -> np.ndarray:
        """Turn the summed first layer, (hidden, H, W), into (K, H, W) logits of the planes."""
        active = np.maximum(hidden + self.bias[:, None, None], 0)
        return _product(self.second, active) + self.offset[:, None, None]

    def write(self, path: Path) -> None:
        """Write a safetensors file, from which :meth:`read` builds an equal model."""
        from safetensors.numpy import save

        head = {
            "inputs": list(self.inputs),
            "learners": self.learners,
            "planes": self.planes,
            "context": self.context,
            "classes": list(self.classes),
        }
        tensors = {"first": self.first, "bias": self.bias, "second": self.second, "offset": self.offset}
        packed = {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items()}
        atomic.write(path, save(packed, {KEY: json.dumps(head, ensure_ascii=False)}))

    @classmethod
    def read(cls, path: Path) -> MetaModel:
        """Read a file of :meth:`write`. Raises InputError that names the file and what is wrong."""
        from safetensors import safe_open

        if not path.is_file():
            raise InputError(f"no such meta-model: {path}")
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: a meta-model is small, but this file has {path.stat().st_size} bytes")
        with reading(path, "as a meta-model"), safe_open(path, "numpy") as file:
            head: Mapping[str, Any] = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in ("first", "bias", "second", "offset")}
            model = cls(
                tuple(str(name) for name in head["inputs"]),
                int(head["learners"]),
                int(head["planes"]),
                int(head["context"]),
                **tensors,
                classes=tuple(str(name) for name in head["classes"]),
            )
        model.check(path)
        return model

    def check(self, path: Path) -> None:
        """Raise InputError if the sizes of the parts do not match, or a value is not finite."""
        pictures = 3 * self.repeats if "picture" in self.inputs else 0
        wanted = self.learners * self.width * self.repeats + pictures
        hidden = len(self.bias)
        shapes = (self.first.shape, self.second.shape, self.offset.shape)
        if (
            not self.inputs
            or set(self.inputs) - set(INPUTS)
            or shapes != ((hidden, wanted), (self.planes, hidden), (self.planes,))
        ):
            raise InputError(f"{path}: the parts of this meta-model do not match each other")
        if not all(np.isfinite(tensor).all() for tensor in (self.first, self.bias, self.second, self.offset)):
            raise InputError(f"{path}: some of its values are not finite")


def learner_width(inputs: Sequence[str], planes: int) -> int:
    """Return the number of inputs of a learner with so many planes."""
    return planes * ("probabilities" in inputs) + ("entropy" in inputs)


def learner_inputs(planes: np.ndarray, label_map: LabelMap, inputs: Sequence[str], context: int) -> np.ndarray:
    """Return the (F, H, W) float32 inputs made from one learner's (K, H, W) planes."""
    parts = [planes] if "probabilities" in inputs else []
    if "entropy" in inputs:
        parts.append(entropy(planes, bernoulli=label_map.bernoulli)[None])
    return _with_context(np.concatenate(parts), context)


def picture_inputs(rgb: np.ndarray, context: int) -> np.ndarray:
    """Return the (3 or 6, H, W) float32 inputs, -1 to 1, made from an (H, W, 3) uint8 picture."""
    return _with_context(np.ascontiguousarray(rgb.transpose(2, 0, 1), np.float32) / 127.5 - 1, context)


def _with_context(x: np.ndarray, context: int) -> np.ndarray:
    x = x.astype(np.float32, copy=False)
    if context <= 1:
        return x
    around = [cv2.blur(plane, (context, context), borderType=cv2.BORDER_REPLICATE) for plane in x]
    return np.concatenate([x, np.stack(around)])


def _product(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    return (matrix @ x.reshape(len(x), -1)).reshape(-1, *x.shape[1:])
