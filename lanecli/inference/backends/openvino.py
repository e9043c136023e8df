"""The OpenVINO backend: asynchronous requests, one core each; probabilities are computed in the graph."""

from __future__ import annotations

import os

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from lanecli.errors import InputError, reading
from lanecli.inference.backends.base import FALLBACK_SIZE, Answer, Backend, Checked, Load, check_declared
from lanecli.inference.backends.trim import NETWORK_INPUT, WHOLE_SINCE, inner_name
from lanecli.labels import LabelMap
from lanecli.modelfile import read_spec


class _Request:
    def __init__(self, backend: OpenVinoBackend, request: ov.InferRequest, pictures: np.ndarray, count: int) -> None:
        self._backend, self._request, self._count = backend, request, count
        self._pictures = pictures  # kept alive: the request reads them in place
        request.start_async({0: ov.Tensor(pictures, shared_memory=True)})

    def result(self) -> dict[str, np.ndarray]:
        try:
            self._request.wait()
            return {
                name: self._request.get_output_tensor(number).data[: self._count].copy()
                for number, name in enumerate(self._backend.load.outputs)
            }
        finally:
            self._backend.free.append(self._request)


class OpenVinoBackend(Backend):
    """Runs an .onnx model file with OpenVINO on the CPU."""

    name = "openvino"

    def __init__(self, load: Load) -> None:
        """Compile the model for one picture size. Raises InputError for what OpenVINO's CPU device cannot do."""
        if load.device not in ("auto", "cpu"):
            raise InputError(f"backend 'openvino' runs only on the CPU, not on '{load.device}'; use --backend torch")
        path, precision = load.path, load.precision
        self.load, self.spec, self.device = load, read_spec(path), "cpu"
        self.size = load.size or self.spec.geometry.size or FALLBACK_SIZE
        core = ov.Core()
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "auto":
            precision = "bf16" if has_bf16 else "fp32"
        hint = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}.get(precision)
        if hint is None or (hint == "f16" and "FP16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")):
            raise InputError(f"backend 'openvino' cannot compute in {precision} on this CPU: use auto, fp32 or bf16")
        self.precision = precision
        with reading(path, "by OpenVINO"):
            model = core.read_model(path)
            if self.spec.version >= WHOLE_SINCE:
                pictures = _network_input(model)
                outputs = [self._output(model, name) for name in load.outputs]
                model = ov.Model(outputs, [pictures], "lanes")
                try:
                    model.reshape([load.batch, self.size[1], self.size[0], 3])
                except RuntimeError as error:
                    own = self.spec.geometry.size or FALLBACK_SIZE
                    if self.size == own:
                        raise
                    raise InputError(
                        f"{path}: this file's network takes pictures of {own[0]}x{own[1]} only; for "
                        f"{self.size[0]}x{self.size[1]} give the .safetensors file it was exported from"
                    ) from error
            else:
                model.reshape([load.batch, self.size[1], self.size[0], 3])
                outputs = [self._output(model, name) for name in load.outputs]
                model = ov.Model(outputs, model.get_parameters(), "lanes")
            for name, output in zip(load.outputs, model.outputs, strict=True):
                check_declared(path, self.spec.label_map, name, _sides(output), (load.batch, self.size))
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        # one request per core: a frame for each core beats all cores on one frame by 4 to 8 %, without batching
        with reading(path, "by OpenVINO"):
            compiled = core.compile_model(
                model,
                "CPU",
                {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads},
            )
        self.depth = threads + 1
        self.free = [compiled.create_infer_request() for _ in range(self.depth)]

    def _output(self, model: ov.Model, name: str) -> ov.Output:
        """Return the named output of the graph; probabilities are computed from its logits."""
        wanted = "logits" if name == "planes" else name
        if self.spec.version >= WHOLE_SINCE:
            wanted = inner_name(wanted)
        found = _value(model, wanted)
        if found is None:
            raise InputError(f"{self.load.path}: has no output '{name}'; export the model again with it")
        if name == "planes":  # computed from all of the logits, or from some of them
            check_declared(self.load.path, self.spec.label_map, "logits", _sides(found))
        return _planes(found, self.spec.label_map).output(0) if name == "planes" else found

    def submit(self, pictures: np.ndarray, seed: int | None = None) -> Answer:
        """Start a free request. Raises RuntimeError if all of them (more than `depth`) are in flight."""
        if not self.free:
            raise RuntimeError(f"more than {self.depth} answers are waiting to be taken")
        count = len(pictures)
        if count < self.load.batch:  # the graph is compiled for whole batches
            pictures = np.concatenate([pictures, np.repeat(pictures[-1:], self.load.batch - count, 0)])
        return Checked(_Request(self, self.free.pop(), np.ascontiguousarray(pictures), count), self, count)


def _value(model: ov.Model, name: str) -> ov.Output | None:
    """Return the value of that name anywhere in the graph, or None."""
    for node in model.get_ordered_ops():
        for output in node.outputs():
            if name in output.get_names() and node.get_type_name() != "Result":
                return output
    return None


def _network_input(model: ov.Model) -> ov.Node:
    """Return a new input that replaces the graph's own preprocessing: the pictures as the network takes them."""
    preprocessed = _value(model, NETWORK_INPUT)
    if preprocessed is None:
        raise RuntimeError("it does not say where its network begins")
    pictures = ops.parameter(ov.PartialShape([-1, -1, -1, 3]), np.uint8, "pictures")
    levels = ops.convert(pictures, "f32")
    for target in preprocessed.get_target_inputs():
        target.replace_source_output(levels.output(0))
    # some networks take the batch from the shape of what the user gives
    for given in model.get_parameters():
        for target in given.output(0).get_target_inputs():
            target.replace_source_output(pictures.output(0))
    return pictures


def _sides(output: ov.Output) -> list[int | None]:
    """Return the length of each axis, None where the graph leaves it open; an empty list for a scalar."""
    shape = output.get_partial_shape()
    if shape.rank.is_dynamic:
        return [None] * 4
    return [side.get_length() if side.is_static else None for side in shape]


def _planes(logits: ov.Output, label_map: LabelMap) -> ov.Node:
    """Return a node that turns logits into probabilities, one plane for each of `LabelMap.plane_classes`."""
    if not label_map.bernoulli:
        return ops.softmax(logits, 1)
    if label_map.multilabel:
        # an infinite logit must not look like a certain label: infinity minus itself is NaN
        return ops.add(ops.sigmoid(logits), ops.subtract(logits, logits))
    one, zero = (ops.slice(logits, [number], [number + 1], [1], [1]) for number in (1, 0))
    return ops.sigmoid(ops.subtract(one, zero))  # softmax over two classes with half the planes
