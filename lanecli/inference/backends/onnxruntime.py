"""ONNX Runtime."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort

from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.inference.backends.base import Backend, Probabilities
from lanecli.modelfile import read_spec


def to_probabilities(logits: np.ndarray, task: str) -> np.ndarray:
    """(C, h, w) logits to float32 probabilities: softmax over C, or a sigmoid per class for ``"multilabel"``."""
    logits = logits.astype(np.float32, copy=False)
    if task == "multilabel":
        return 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
    if len(logits) == 2:  # softmax of two is a sigmoid of the difference: a third of the work
        positive = 1 / (1 + np.exp(np.clip(logits[0] - logits[1], -80, 80)))
        return np.stack([1 - positive, positive])
    powers = np.exp(logits - logits.max(0))
    return powers / powers.sum(0)


def _session_options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    # spinning threads would take the decoder's and the encoder's core while they wait
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


class OnnxRuntimeBackend(Backend):
    """A .onnx model file under ONNX Runtime, on the CPU or a CUDA device."""

    name = "onnxruntime"
    depth = 2

    def __init__(self, path: Path, *, precision: str, device: str, size: Size | None) -> None:
        """Load. Raises InputError for a precision or device this runtime does not have."""
        if precision not in ("auto", "fp32"):
            raise InputError(f"backend 'onnxruntime' computes in the file's own precision, not in {precision}")
        self.spec, self.precision = read_spec(path), "fp32"
        self.size = size or self.spec.geometry.size or (512, 256)
        providers: list[object] = ["CPUExecutionProvider"]
        self.device = "cpu"
        if device.startswith("cuda"):
            if "CUDAExecutionProvider" not in ort.get_available_providers():
                raise InputError("this onnxruntime has no CUDA: pip install onnxruntime-gpu, or use --backend torch")
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.partition(":")[2] or "0"}))
            self.device = device
        try:
            self._session = ort.InferenceSession(str(path), _session_options(), providers=providers)
        except Exception as error:  # the runtime has one class per status code and no common one
            raise InputError(f"{path}: ONNX Runtime cannot read it ({str(error).splitlines()[0]})") from error
        self._input = self._session.get_inputs()[0].name
        self._worker = ThreadPoolExecutor(1, "onnxruntime")

    def _run(self, picture: np.ndarray) -> np.ndarray:
        return to_probabilities(self._session.run(None, {self._input: picture[None]})[0][0], self.spec.task)

    def submit(self, picture: np.ndarray) -> Probabilities:
        """Queue one picture for the session's thread."""
        future: Future[np.ndarray] = self._worker.submit(self._run, picture)
        return future
