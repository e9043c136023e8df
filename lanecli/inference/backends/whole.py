"""The backend for a file that holds several models and their rule: it runs the whole graph on full-size frames."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import onnxruntime as ort

from lanecli.errors import InputError, reason
from lanecli.geometry import Geometry, Placement, Size
from lanecli.inference.backends.base import FALLBACK_SIZE, Answer, Backend, Checked, Load
from lanecli.labels import planes_of
from lanecli.modelfile import read_spec


class WholeFileBackend(Backend):
    """Runs an exported ensemble with ONNX Runtime on the CPU. Its input is the frame: the graph does everything."""

    name, precision, device = "onnxruntime", "fp32", "cpu"
    depth = 2

    def __init__(self, load: Load) -> None:
        """Load the file. Raises InputError for outputs, a device or a precision that such a file does not have."""
        path = load.path
        self.load, self.spec, self.size = load, read_spec(path), FALLBACK_SIZE
        if load.precision not in ("auto", "fp32") or load.device not in ("auto", "cpu"):
            raise InputError(f"{path} holds several models, which run only in fp32 on the CPU")
        if missing := set(load.outputs) - {"planes"}:
            raise InputError(
                f"{path} holds several models and has no '{missing.pop()}': use the ensemble's YAML file or its members"
            )
        if self.spec.arguments.get("combine") == "vote":
            raise InputError(f"{path} breaks the ties of votes in its graph: use the ensemble's YAML file instead")
        options = ort.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as in the backend for single models
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            self._input = self._session.get_inputs()[0].name
        except Exception as error:  # the runtime has an exception class per status code and no common one
            raise InputError(f"{path}: ONNX Runtime cannot read it ({reason(error)})") from error
        self._worker = ThreadPoolExecutor(1, "onnxruntime")

    def place(self, geometry: Geometry, frame: Size) -> Placement:
        """Return the placement that leaves the frame as it is."""
        return Geometry().place(frame)

    def at_size(self, size: Size) -> Backend:
        """Raise InputError: the sizes of the members are fixed in the graph."""
        raise InputError(f"{self.load.path} holds several models, whose sizes are fixed: leave out --tta multiscale")

    def _run(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        [probabilities] = self._session.run(["probabilities"], {self._input: pictures})
        planes = planes_of(probabilities.swapaxes(0, 1), self.spec.label_map).swapaxes(0, 1)
        return {"planes": np.ascontiguousarray(planes)}

    def submit(self, pictures: np.ndarray, seed: int | None = None) -> Answer:
        """Queue pictures, all of one size, for the session's thread."""
        future: Future[dict[str, np.ndarray]] = self._worker.submit(self._run, pictures)
        size = pictures.shape[2], pictures.shape[1]
        return Checked(future, self, len(pictures), size)
