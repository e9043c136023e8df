"""PyTorch: any model file, on the CPU or a CUDA device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.hardware import cpu_has_bf16
from lanecli.inference.backends.base import Backend, Probabilities, Ready
from lanecli.models.build import network_from_file

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchBackend(Backend):
    """A model file under PyTorch, eager."""

    name = "torch"

    def __init__(self, path: Path, *, precision: str, device: str, size: Size | None) -> None:
        """Build the network and load its weights. Raises InputError for a device or precision that is not there."""
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise InputError(f"device '{device}' is not there: torch sees no CUDA device; use --device cpu")
        if precision == "auto":
            half = torch.cuda.is_bf16_supported(including_emulation=False) if device != "cpu" else cpu_has_bf16()
            precision = "bf16" if half else "fp32"
        if precision not in _DTYPES:
            raise InputError(f"backend 'torch' does not compute in {precision}; use auto, fp32, bf16 or fp16")
        self._network, self.spec = network_from_file(path)
        self._network.to(device)
        self.device, self.precision = device, precision
        self.size = size or self.spec.geometry.size or (512, 256)

    @torch.inference_mode()
    def submit(self, picture: np.ndarray) -> Probabilities:
        """Run one picture now."""
        pictures = torch.from_numpy(np.ascontiguousarray(picture)[None]).to(self.device)
        kind = torch.device(self.device).type
        with torch.autocast(kind, _DTYPES[self.precision], enabled=self.precision != "fp32"):
            logits = self._network(pictures)
        logits = logits.float()
        probabilities = logits.sigmoid() if self.spec.task == "multilabel" else logits.softmax(1)
        return Ready(probabilities[0].cpu().numpy())
