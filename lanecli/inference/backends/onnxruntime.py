"""The ONNX Runtime backend."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort

from lanecli.errors import InputError, reason
from lanecli.inference.backends.base import FALLBACK_SIZE, Answer, Backend, Checked, Load, check_declared
from lanecli.inference.backends.trim import WHOLE_SINCE, inner_name, trim_to_network
from lanecli.labels import LabelMap, planes_of
from lanecli.modelfile import read_spec

_FLOATS = ("tensor(float)", "tensor(float16)", "tensor(bfloat16)")


def planes_of_logits(logits: np.ndarray, label_map: LabelMap) -> np.ndarray:
    """Return (n, K, h, w) float32 probabilities, one plane per `LabelMap.plane_classes`, from (n, C, h, w) logits.

    Values that are not finite stay so: an infinite logit gives NaN, not a certain class.
    """
    logits = logits.astype(np.float32, copy=False)
    if label_map.bernoulli:
        scores = planes_of(logits.swapaxes(0, 1), label_map, logits=True).swapaxes(0, 1)
        return 1 / (1 + np.exp(-np.clip(scores, -80, 80))) + (scores - scores)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _session_options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    # threads that spin while they wait would take the cores of the decoder and the encoder
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


class OnnxRuntimeBackend(Backend):
    """Runs an .onnx model file with ONNX Runtime, on the CPU or a CUDA device."""

    name = "onnxruntime"
    depth = 2

    def __init__(self, load: Load) -> None:
        """Load the file. Raises InputError for a precision or device this runtime does not have."""
        if load.precision not in ("auto", "fp32"):
            raise InputError(f"backend 'onnxruntime' runs only in the file's own precision, not in {load.precision}")
        path = load.path
        self.load, self.spec, self.precision = load, read_spec(path), "fp32"
        self.size = load.size or self.spec.geometry.size or FALLBACK_SIZE
        providers: list[object] = ["CPUExecutionProvider"]
        self.device = "cpu"
        if load.device.startswith("cuda"):
            if "CUDAExecutionProvider" not in ort.get_available_providers():
                raise InputError("this onnxruntime has no CUDA: pip install onnxruntime-gpu, or use --backend torch")
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": load.device.partition(":")[2] or "0"}))
            self.device = load.device
        self._wanted = list(dict.fromkeys("logits" if name == "planes" else name for name in load.outputs))
        try:
            self._session = ort.InferenceSession(self._graph(path), _session_options(), providers=providers)
        except InputError:
            raise
        except Exception as error:  # the runtime has an exception class per status code and no common one
            raise InputError(f"{path}: ONNX Runtime cannot read it ({reason(error)})") from error
        if len(self._session.get_inputs()) != 1:
            raise InputError(f"{path}: has {len(self._session.get_inputs())} inputs where only pictures are expected")
        self._input = self._session.get_inputs()[0].name
        missing = set(self._inner) - {output.name for output in self._session.get_outputs()}
        if missing:
            raise InputError(f"{path}: has no output '{missing.pop()}'; export the model again with it")
        declared = {output.name: output for output in self._session.get_outputs()}
        for name, inner in zip(self._wanted, self._inner, strict=True):
            if self.spec.version < WHOLE_SINCE:  # inner values declare no shape; they are checked when run
                check_declared(path, self.spec.label_map, name, declared[inner].shape)
            if declared[inner].type not in _FLOATS:
                raise InputError(f"{path}: its output '{name}' is a {declared[inner].type}; export the model again")
        self._worker = ThreadPoolExecutor(1, "onnxruntime")

    def _graph(self, path: Path) -> str | bytes:
        """Return what the session runs: the file, or only its network if the file holds the whole model."""
        self._inner = self._wanted
        if self.spec.version < WHOLE_SINCE:
            return str(path)
        import onnx

        self._inner = [inner_name(name) for name in self._wanted]
        try:
            return trim_to_network(onnx.load(path), self._inner).SerializeToString()
        except KeyError as error:
            raise InputError(f"{path}: has no output {error}; export the model again with it") from error

    def _run(self, pictures: np.ndarray) -> Mapping[str, np.ndarray]:
        values = self._session.run(self._inner, {self._input: pictures})
        outputs = dict(zip(self._wanted, values, strict=True))
        if "planes" in self.load.outputs:
            outputs["planes"] = planes_of_logits(outputs["logits"], self.spec.label_map)
        return {name: outputs[name] for name in self.load.outputs}

    def submit(self, pictures: np.ndarray, seed: int | None = None) -> Answer:
        """Queue pictures for the session's thread."""
        future: Future[dict[str, np.ndarray]] = self._worker.submit(self._run, pictures)  # type: ignore[arg-type]
        return Checked(future, self, len(pictures))
