"""Replaces operations of an exported graph that not all runtimes compute alike by their constant results."""

from __future__ import annotations

from typing import Any


def fold_cubic_resizes(model: Any) -> None:
    """Replace cubic Resize nodes whose inputs are constant by their results.

    Vision transformers scale their position embedding to the network's size with a cubic, antialiased Resize, which
    OpenVINO computes differently from ONNX Runtime and torch. The size is fixed in the graph, so the result is
    constant.

    Args:
        model: an onnx ModelProto, which is changed in place.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        mode = next((attribute.s for attribute in node.attribute if attribute.name == "mode"), b"")
        if node.op_type == "Resize" and mode == b"cubic":
            _replace_by_constant(model, node, producers)


def _replace_by_constant(model: Any, node: Any, producers: dict[str, Any]) -> None:
    """Turn `node` into a Constant if it depends only on weights and constants."""
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    weights = {weight.name for weight in model.graph.initializer}
    pending, used = [node.output[0]], set()
    while pending:
        name = pending.pop()
        if name in used or not name:
            continue
        used.add(name)
        if name in producers:
            pending += producers[name].input
        elif name not in weights:  # an input of the model
            return
    graph = helper.make_graph(
        [other for other in model.graph.node if used.intersection(other.output)],
        "constant",
        [],
        [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)],
        [weight for weight in model.graph.initializer if weight.name in used],
    )
    constant_model = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    session = ort.InferenceSession(constant_model.SerializeToString(), providers=["CPUExecutionProvider"])
    value = numpy_helper.from_array(session.run(None, {})[0])
    node.CopyFrom(helper.make_node("Constant", [], list(node.output), name=node.name, value=value))
