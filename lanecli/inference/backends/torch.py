"""PyTorch: any model file, on the CPU or a CUDA device."""

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
    """A model file under PyTorch, eager."""

    name = "torch"
    samples_dropout = True

    def __init__(self, load: Load) -> None:
        """Build the network and load its weights. Raises InputError for a device or precision that is not there."""
        device, precision = load.device, load.precision
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise InputError(f"device '{device}' is not there: torch sees no CUDA device; use --device cpu")
        if precision == "auto":
            half = torch.cuda.is_bf16_supported(including_emulation=False) if device != "cpu" else cpu_has_bf16()
            precision = "bf16" if half else "fp32"
        if precision not in _DTYPES:
            raise InputError(f"backend 'torch' does not compute in {precision}; use auto, fp32, bf16 or fp16")
        self._network, self.spec = network_from_file(load.path)
        self._network.to(device)
        self.load, self.device, self.precision = load, device, precision
        self.size = load.size or self.spec.geometry.size or FALLBACK_SIZE
        self._wanted = tuple(dict.fromkeys("logits" if name == "planes" else name for name in load.outputs))

    def in_precision(self, precision: str) -> Backend:
        """The same weights, computed in another precision."""
        return self._like(replace(self.load, precision=precision), precision, self.size)

    def at_size(self, size: Size) -> Backend:
        """The same weights for pictures of another size."""
        return self._like(replace(self.load, size=size), self.precision, size)

    def _like(self, load: Load, precision: str, size: Size) -> Backend:
        other = object.__new__(TorchBackend)
        other.__dict__ = {**self.__dict__, "load": load, "precision": precision, "size": size}
        return other

    def check_sampling(self) -> None:
        """Raise InputError where the network has no dropout, or comes from a graph that was exported without."""
        if self.load.path.suffix == ".onnx":
            super().check_sampling()
        with dropout_sampling(self._network):
            pass

    @contextmanager
    def _sampled(self, seed: int) -> Iterator[None]:
        """Dropout on, drawn from `seed`; the process's own random state is left as it was."""
        devices = [self.device] if self.device != "cpu" else []
        with torch.random.fork_rng(devices), dropout_sampling(self._network):
            torch.manual_seed(seed)
            yield

    @torch.inference_mode()
    def submit(self, pictures: np.ndarray, seed: int | None = None) -> Answer:
        """Run pictures now."""
        shown = torch.from_numpy(np.ascontiguousarray(pictures)).to(self.device)
        kind = torch.device(self.device).type
        with (
            torch.autocast(kind, _DTYPES[self.precision], enabled=self.precision != "fp32"),
            nullcontext() if seed is None else self._sampled(seed),
        ):
            found = self._network(shown, self._wanted)
        return Ready(
            {
                name: (planes_of_logits(found["logits"], self.spec.label_map) if name == "planes" else found[name])
                .float()
                .cpu()
                .numpy()
                for name in self.load.outputs
            }
        )


def planes_of_logits(logits: torch.Tensor, label_map: LabelMap) -> torch.Tensor:
    """(n, C, h, w) logits to (n, K, h, w) float32 probabilities, one plane for each of `LabelMap.plane_classes`.

    What is not finite stays so: an infinite logit gives NaN, not a certain class.
    """
    logits = logits.float()
    if not label_map.bernoulli:
        return logits.softmax(1)
    scores = logits if label_map.multilabel else logits[:, 1:] - logits[:, :1]
    return scores.sigmoid() + (scores - scores)
