"""OpenVINO: asynchronous requests, one core each; softmax inside the graph."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.inference.backends.base import Backend, Probabilities
from lanecli.modelfile import read_spec


class _Request:
    def __init__(self, request: ov.InferRequest, picture: np.ndarray, free: list[ov.InferRequest]) -> None:
        self._request, self._free = request, free
        self._picture = picture  # kept alive: the request reads it in place
        request.start_async({0: ov.Tensor(picture[None], shared_memory=True)})

    def result(self) -> np.ndarray:
        self._request.wait()
        probabilities = self._request.get_output_tensor(0).data[0].copy()
        self._free.append(self._request)
        return probabilities


class OpenVinoBackend(Backend):
    """A .onnx model file under OpenVINO on the CPU."""

    name = "openvino"

    def __init__(self, path: Path, *, precision: str, device: str, size: Size | None) -> None:
        """Compile for one picture size. Raises InputError for what OpenVINO's CPU device cannot do."""
        if device not in ("auto", "cpu"):
            raise InputError(f"backend 'openvino' runs on the CPU here, not on '{device}'; use --backend torch")
        self.spec, self.device = read_spec(path), "cpu"
        self.size = size or self.spec.geometry.size or (512, 256)
        core = ov.Core()
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "auto":
            precision = "bf16" if has_bf16 else "fp32"
        hint = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}.get(precision)
        if hint is None or (hint == "f16" and "FP16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")):
            raise InputError(f"backend 'openvino' cannot compute in {precision} on this CPU; use auto, fp32 or bf16")
        self.precision = precision
        try:
            model = core.read_model(path)
            model.reshape([1, self.size[1], self.size[0], 3])
        except RuntimeError as error:
            raise InputError(f"{path}: OpenVINO cannot read it ({str(error).splitlines()[0]})") from error
        logits = model.output(0).get_node().input_value(0)
        answer = ops.sigmoid(logits) if self.spec.task == "multilabel" else ops.softmax(logits, 1)
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        # one request a core: a frame each beats all cores on one frame by 4 to 8 percent, and needs no batching
        compiled = core.compile_model(
            ov.Model([answer], model.get_parameters(), "lanes"),
            "CPU",
            {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads},
        )
        self.depth = threads + 1
        self._free = [compiled.create_infer_request() for _ in range(self.depth)]

    def submit(self, picture: np.ndarray) -> Probabilities:
        """Start a free request; with all of them under way (more than `depth`) a RuntimeError."""
        if not self._free:
            raise RuntimeError(f"more than {self.depth} answers are waiting to be taken")
        return _Request(self._free.pop(), np.ascontiguousarray(picture), self._free)
