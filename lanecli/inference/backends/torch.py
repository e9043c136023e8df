"""The PyTorch backend: any model file, on the CPU or a CUDA device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import torch

from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.hardware import cpu_has_bf16
from lanecli.inference.backends.base import FALLBACK_SIZE, Answer, Backend, Load, Ready
from lanecli.labels import LabelMap
from lanecli.models.build import network_from_file
from lanecli.models.dropout import dropout_sampling

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchBackend(Backend):
    """Runs a model file with PyTorch, uncompiled."""

    name = "torch"
    samples_dropout = True

    def __init__(self, load: Load) -> None:
        """Build the network and load its weights. Raises InputError for a device or precision that is not available."""
        device, precision = load.device, load.precision
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise InputError(f"device '{device}' is not available: torch finds no CUDA device; use --device cpu")
        if precision == "auto":
            half = torch.cuda.is_bf16_supported(including_emulation=False) if device != "cpu" else cpu_has_bf16()
            precision = "bf16" if half else "fp32"
        if precision not in _DTYPES:
            raise InputError(f"backend 'torch' cannot compute in {precision}: use auto, fp32, bf16 or fp16")
        self._network, self.spec = network_from_file(load.path)
        self._network.to(device)
        self.load, self.device, self.precision = load, device, precision
        self.size = load.size or self.spec.geometry.size or FALLBACK_SIZE
        self._wanted = tuple(dict.fromkeys("logits" if name == "planes" else name for name in load.outputs))

    def in_precision(self, precision: str) -> Backend:
        """Return the same weights, computing in another precision."""
        return self._like(replace(self.load, precision=precision), precision, self.size)

    def at_size(self, size: Size) -> Backend:
        """Return the same weights for pictures of another size."""
        return self._like(replace(self.load, size=size), self.precision, size)

    def _like(self, load: Load, precision: str, size: Size) -> Backend:
        other = object.__new__(TorchBackend)
        other.__dict__ = {**self.__dict__, "load": load, "precision": precision, "size": size}
        return other

    def check_sampling(self) -> None:
        """Raise InputError if the network has no dropout, or comes from a graph that was exported without it."""
        if self.load.path.suffix == ".onnx":
            super().check_sampling()
        with dropout_sampling(self._network):
            pass

    @contextmanager
    def _sampled(self, seed: int) -> Iterator[None]:
        """Turn dropout on, drawn from `seed`, and leave the process's own random state unchanged."""
        devices = [self.device] if self.device != "cpu" else []
        with torch.random.fork_rng(devices), dropout_sampling(self._network):
            torch.manual_seed(seed)
            yield

    @torch.inference_mode()
    def submit(self, pictures: np.ndarray, seed: int | None = None) -> Answer:
        """Run the pictures at once."""
        inputs = torch.from_numpy(np.ascontiguousarray(pictures)).to(self.device)
        kind = torch.device(self.device).type
        with (
            torch.autocast(kind, _DTYPES[self.precision], enabled=self.precision != "fp32"),
            nullcontext() if seed is None else self._sampled(seed),
        ):
            outputs = self._network(inputs, self._wanted)
        return Ready(
            {
                name: (planes_of_logits(outputs["logits"], self.spec.label_map) if name == "planes" else outputs[name])
                .float()
                .cpu()
                .numpy()
                for name in self.load.outputs
            }
        )


def planes_of_logits(logits: torch.Tensor, label_map: LabelMap) -> torch.Tensor:
    """Return (n, K, h, w) float32 probabilities, one plane per `LabelMap.plane_classes`, from (n, C, h, w) logits.

    Values that are not finite stay so: an infinite logit gives NaN, not a certain class.
    """
    logits = logits.float()
    if not label_map.bernoulli:
        return logits.softmax(1)
    scores = logits if label_map.multilabel else logits[:, 1:] - logits[:, :1]
    return scores.sigmoid() + (scores - scores)
