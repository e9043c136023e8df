"""Exports a model as one .onnx file: pictures of any size in, class maps and probabilities of the same size out."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lanecli import atomic
from lanecli.errors import LaneError
from lanecli.export.fold import fold_cubic_resizes
from lanecli.export.parity import Parity, compare
from lanecli.export.whole import WholeModel
from lanecli.inference.backends.base import FALLBACK_SIZE
from lanecli.modelfile import KEY, ModelSpec
from lanecli.models.build import Network
from lanecli.models.spectral import spec_without_spectral_norm, without_spectral_norm

INPUT = "pictures"
_EXAMPLE = (229, 293)
"""(height, width) the graph is traced with: no stride divides it, two windows of Swin's deepest stage fit along either
side, and the batch is above one. Otherwise the exporter silently fixes padding, windows or batch."""
COMPARED = (261, 241)
"""(width, height) of a second comparison, at another size."""
_WRAPPER = "network."
"""Prefix that the whole model adds to the network's own names of weights; files have the names without it."""


def export_onnx(
    network: Network,
    spec: ModelSpec,
    path: Path,
    *,
    precision: str = "fp32",
    static: bool = False,
    maps: Sequence[str] | None = None,
) -> Parity:
    """Write the whole model to `path` and compare it with torch; a file that disagrees is deleted.

    The graph takes ``pictures`` (N, H, W, 3) uint8 RGB of any size. Its outputs are ``class_map`` (N, H, W) uint8 and
    ``probabilities`` (N, C, H, W) float32 at the same size, ``logits`` (N, C, h, w) float32 at the network's size, and
    each of `maps` (N, H, W) float32. Weights keep their names, so the file is a model file like any other. Spectrally
    normalised weights are written in normalised form, with the specification of a model without spectral normalisation;
    auxiliary heads are left out.

    Args:
        network: the network, in eval mode, on the CPU.
        spec: its specification, written into the file's metadata.
        path: the .onnx file to write.
        precision: ``"fp32"``, or ``"fp16"`` to store the weights in half precision (half the size; they are widened to
            float32 when loaded, so every runtime takes them and computes as before).
        static: fix the batch to 1 and the size to that of the geometry's frames, or else to the network's.
        maps: names of further outputs; None for all the model has.

    Raises:
        LaneError: the exporter fails, or the file disagrees by more than the tolerance.
    """
    network, spec = without_spectral_norm(network), spec_without_spectral_norm(spec)
    halved = round_weights(network) if precision == "fp16" else set()
    wanted = tuple(spec.outputs) if maps is None else tuple(maps)
    seen = spec.geometry.size or FALLBACK_SIZE
    spec = replace(spec, geometry=replace(spec.geometry, size=seen))
    size = (spec.geometry.frame if static else None) or seen
    whole = WholeModel(network, spec.label_map, spec.geometry, wanted, size if static else None).eval()
    model = traced_graph(whole, spec.architecture, size if static else None)
    clean_graph(model, whole, static)
    if halved:
        store_half(model, halved)
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, spec.to_json()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.file(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        sizes = [(1, size)] if static else [(1, size), (3, size), (2, COMPARED)]
        parity = compare(whole, session_function(temporary), sizes)
        parity.check(network.architecture.pools_by_index)
    return parity


def session_function(path: Path) -> Any:
    """Return a function that runs the file at `path` with ONNX Runtime and returns its outputs by name."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def answer(pictures: np.ndarray) -> Mapping[str, np.ndarray]:
        return dict(zip(names, session.run(names, {INPUT: pictures}), strict=True))

    return answer


def traced_graph(whole: Any, name: str, size: tuple[int, int] | None) -> Any:
    """Return the graph as an onnx ModelProto, for pictures of any size, or only of `size` if it is given."""
    example = torch.zeros((1, size[1], size[0], 3) if size else (2, *_EXAMPLE, 3), dtype=torch.uint8)
    dimension = torch.export.Dim.DYNAMIC
    try:
        with _quiet():
            program = torch.onnx.export(
                whole,
                (example,),
                dynamo=True,
                dynamic_shapes=None if size else ({0: dimension, 1: dimension, 2: dimension},),
                input_names=[INPUT],
                output_names=list(whole.outputs),
                optimize=False,  # folding batch norm would lose the names of the weights
                verbose=False,
            )
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise LaneError(f"{name} could not be exported to ONNX: {reason}") from error
    if program is None:
        raise LaneError(f"{name} could not be exported to ONNX")
    return program.model_proto


def clean_graph(model: Any, whole: Any, static: bool) -> None:
    """Turn inner outputs into inner values, give weights the network's own names, and remove what the exporter left."""
    inner = [output for output in model.graph.output if output.name in whole.outputs[3 + len(whole.maps) :]]
    for output in inner:
        model.graph.output.remove(output)
    for weight in model.graph.initializer:
        if weight.name.startswith(_WRAPPER):
            _rename(model, weight.name, weight.name.removeprefix(_WRAPPER))
            weight.name = weight.name.removeprefix(_WRAPPER)
    for node in model.graph.node:  # stack traces of the export: a quarter of a small file's size
        del node.metadata_props[:]
        node.doc_string = ""
    _cast_by_type(model)
    fold_cubic_resizes(model)
    # the exporter's inner shapes use its own symbols and are wrong for halved weights; runtimes infer them
    del model.graph.value_info[:]
    if not static:
        _name_dimensions(model)


def _cast_by_type(model: Any) -> None:
    """Replace casts to another value's type by casts to that type: runtimes cannot fold the former, and warn."""
    types = {value.name: value.type.tensor_type.elem_type for value in (*model.graph.value_info, *model.graph.input)}
    types |= {weight.name: weight.data_type for weight in model.graph.initializer}
    from onnx import helper

    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            types[node.output[0]] = node.attribute[0].t.data_type
    for node in model.graph.node:
        if node.op_type == "CastLike" and types.get(node.input[1]):
            kind = types[node.input[1]]
            node.op_type = "Cast"
            del node.input[1:]
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("to", kind))


def _rename(model: Any, old: str, new: str) -> None:
    for node in model.graph.node:
        for number, used in enumerate(node.input):
            if used == old:
                node.input[number] = new


def round_weights(network: Network) -> set[str]:
    """Round weights of two or more dimensions to half precision in place, and return their names.

    Torch and the file then hold the same numbers. Biases and batch norm are small and stay as they are, and so do
    further outputs, whose whitening would magnify the rounding.
    """
    halved = set()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and tensor.ndim > 1 and not name.startswith("extra."):
                tensor.copy_(tensor.half().float())
                halved.add(name)
    return halved


def store_half(model: Any, names: set[str]) -> None:
    """Store the weights `names` as float16, each followed by a Cast back to float32."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in model.graph.initializer:
        name = weight.name
        if name not in names:
            continue
        values = numpy_helper.to_array(weight)
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name))
        wide = f"{name}.float32"
        _rename(model, name, wide)
        casts.append(helper.make_node("Cast", [name], [wide], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)


def _name_dimensions(model: Any) -> None:
    """Give dynamic dimensions plain names in place of the exporter's symbols and formulas."""
    names = {
        INPUT: ("batch", "height", "width", None),
        "class_map": ("batch", "height", "width"),
        "probabilities": ("batch", None, "height", "width"),
        "logits": ("batch", None, "network_height", "network_width"),
    }
    for value in (model.graph.input[0], *model.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        for dimension, name in zip(dimensions, names.get(value.name, ("batch", "height", "width")), strict=True):
            if name is not None and not dimension.dim_value:
                dimension.dim_param = name


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes about its own progress off the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
