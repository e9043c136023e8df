"""A model as one .onnx file: pictures as Geometry leaves them in, logits out, the ModelSpec in its metadata."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lanecli import atomic
from lanecli.errors import LaneError
from lanecli.geometry import Size
from lanecli.modelfile import KEY, ModelSpec
from lanecli.models.build import Network
from lanecli.models.spectral import folded, plain_spec

INPUT, OUTPUT = "pictures", "logits"
TOLERANCE = 1e-3
"""Largest difference of logits, as a share of the largest logit, an exported file may show."""
_EXAMPLE = (229, 293)  # (height, width)
"""What the graph is traced on: no stride divides it, two windows of Swin's deepest stage fit in either way, and the
batch is above one. Otherwise the exporter fixes padding, windows or batch without a word."""
_COMPARED = (261, 241)
"""(width, height) of a comparison at yet another size."""
TIES = 0.05
"""Share of pixels that may differ by more in networks that remember where each maximum was: where the two largest
values are equal up to rounding, another runtime may well find the other one first."""


@dataclass(frozen=True)
class Parity:
    """How an exported file agrees with torch.

    Attributes:
        largest_difference: of any logit.
        largest_logit: in absolute value, for scale.
        equal_pixels: share of pixels with the same class.
        differing_pixels: share of pixels with a logit beyond the tolerance.
        pixels: how many were compared, over several batch and picture sizes.
    """

    largest_difference: float
    largest_logit: float
    equal_pixels: float
    differing_pixels: float
    pixels: int

    @property
    def relative(self) -> float:
        """Largest difference over largest logit."""
        return self.largest_difference / max(self.largest_logit, 1e-12)


def export_onnx(
    network: Network, spec: ModelSpec, path: Path, *, precision: str = "fp32", static: bool = False
) -> Parity:
    """Write `network` to `path` and compare it with torch; a file that disagrees is not kept.

    The graph takes ``pictures`` (N, H, W, 3) uint8 RGB, normalises them itself, and gives ``logits`` (N, C, H, W)
    float32. Its weights keep their names, so the file is a model file like any other. Spectrally normalised weights are
    written as they are used, and the file's specification is that of a model without; auxiliary heads are left out.

    Args:
        network: in eval mode, on the CPU.
        spec: written into the file's metadata.
        path: of the .onnx file; written under a temporary name first.
        precision: ``"fp32"``, or ``"fp16"`` to store weights in half precision (half the size; they are widened to
            float32 when loaded, so every runtime takes them and computes as before).
        static: fix batch 1 and the geometry's size instead of any batch and size.

    Raises:
        LaneError: the exporter fails, or the file disagrees by more than the tolerance.
    """
    import onnx

    width, height = spec.geometry.size or (512, 256)
    path.parent.mkdir(parents=True, exist_ok=True)
    network, spec = folded(network), plain_spec(spec)
    halved = _round_weights(network) if precision == "fp16" else set()
    example = torch.zeros((1, height, width, 3) if static else (2, *_EXAMPLE, 3), dtype=torch.uint8)
    dimension = torch.export.Dim.DYNAMIC
    shapes = None if static else ({0: dimension, 1: dimension, 2: dimension},)
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=[INPUT],
                output_names=[OUTPUT],
                optimize=False,  # folding batch norm would lose the weights' names
                verbose=False,
            )
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise LaneError(f"{spec.architecture} could not be exported to ONNX: {reason}") from error
    if program is None:
        raise LaneError(f"{spec.architecture} could not be exported to ONNX")
    model = program.model_proto
    if halved:
        _store_half(model, halved)
    if not static:
        _name_dimensions(model)
    for node in model.graph.node:  # stack traces of the export: a quarter of a small file
        del node.metadata_props[:]
        node.doc_string = ""
    # the exporter's intermediate shapes are in its own symbols and, for halved weights, wrong: runtimes infer them
    del model.graph.value_info[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, spec.to_json()
    with atomic.file(path) as temporary:
        onnx.save(model, temporary)
        sizes = [(1, (width, height))] if static else [(1, (width, height)), (3, (width, height)), (2, _COMPARED)]
        parity = compare(network, temporary, sizes)
        ties = network.architecture.pools_by_index and parity.differing_pixels <= TIES
        if not (parity.relative <= TOLERANCE or ties):
            raise LaneError(
                f"the exported file disagrees with torch: logits differ by up to {parity.largest_difference:.3g} "
                f"(largest {parity.largest_logit:.3g}), by too much in {100 * parity.differing_pixels:.2g} % of "
                "pixels; it was not kept"
            )
    return parity


def compare(network: Network, path: Path, sizes: list[tuple[int, Size]], seed: int = 0) -> Parity:
    """Run `path` in ONNX Runtime and `network` in torch on the same noise, at several batch and picture sizes.

    Args:
        network: in eval mode, float32, on the CPU.
        path: the exported file.
        sizes: batch and (width, height) of each comparison.
        seed: of the pictures: smooth noise, so that deep layers see more than grey.
    """
    import cv2
    import onnxruntime as ort

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(seed)
    difference = largest = 0.0
    equal = pixels = differing = 0
    for batch, (width, height) in sizes:
        coarse = rng.integers(0, 256, (batch, 9, 16, 3), np.uint8)
        pictures = np.stack([cv2.resize(p, (width, height), interpolation=cv2.INTER_CUBIC) for p in coarse])
        theirs = session.run([OUTPUT], {INPUT: pictures})[0]
        with torch.inference_mode():
            ours = network.logits(torch.from_numpy(pictures)).float().numpy()
        if theirs.shape != ours.shape or not np.isfinite(theirs).all():
            raise LaneError(f"the exported file gives {theirs.shape} where torch gives {ours.shape}, or is not finite")
        difference = max(difference, float(np.abs(theirs - ours).max()))
        largest = max(largest, float(np.abs(ours).max()))
        differing += int((np.abs(theirs - ours).max(1) > TOLERANCE * np.abs(ours).max()).sum())
        same = theirs.argmax(1) == ours.argmax(1)
        equal, pixels = equal + int(same.sum()), pixels + same.size
    return Parity(difference, largest, equal / pixels, differing / pixels, pixels)


def _round_weights(network: Network) -> set[str]:
    """Round weights of two or more dimensions to half precision in place; their names come back.

    Torch and the file then hold the same numbers. Biases and batch norm are small and stay as they are.
    """
    halved = set()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and tensor.ndim > 1:
                tensor.copy_(tensor.half().float())
                halved.add(name)
    return halved


def _store_half(model: Any, names: set[str]) -> None:
    """Store the weights `names` as float16, each behind a Cast back to float32."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in model.graph.initializer:
        name = weight.name
        if name not in names:
            continue
        values = numpy_helper.to_array(weight)
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name))
        wide = f"{name}.float32"
        for node in model.graph.node:
            for number, used in enumerate(node.input):
                if used == name:
                    node.input[number] = wide
        casts.append(helper.make_node("Cast", [name], [wide], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)


def _name_dimensions(model: Any) -> None:
    """Plain names for dynamic dimensions in place of the exporter's symbols and formulas."""
    pictures, logits = model.graph.input[0], model.graph.output[0]
    for value, names in (
        (pictures, {0: "batch", 1: "height", 2: "width"}),
        (logits, {0: "batch", 2: "height", 3: "width"}),
    ):
        for axis, name in names.items():
            value.type.tensor_type.shape.dim[axis].dim_param = name


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
